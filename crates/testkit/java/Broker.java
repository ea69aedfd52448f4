import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.io.Writer;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.activemq.broker.BrokerPlugin;
import org.apache.activemq.broker.BrokerService;
import org.apache.activemq.broker.Connection;
import org.apache.activemq.broker.SslBrokerService;
import org.apache.activemq.broker.TransportConnector;
import org.apache.activemq.broker.region.Destination;
import org.apache.activemq.broker.region.DestinationFilter;
import org.apache.activemq.broker.region.DestinationStatistics;
import org.apache.activemq.broker.region.Queue;
import org.apache.activemq.broker.region.Subscription;
import org.apache.activemq.broker.region.policy.AbstractDeadLetterStrategy;
import org.apache.activemq.broker.region.policy.IndividualDeadLetterStrategy;
import org.apache.activemq.broker.region.policy.PolicyEntry;
import org.apache.activemq.broker.region.policy.PolicyMap;
import org.apache.activemq.broker.region.policy.SharedDeadLetterStrategy;
import org.apache.activemq.command.ActiveMQDestination;
import org.apache.activemq.command.ActiveMQQueue;
import org.apache.activemq.command.ConsumerControl;
import org.apache.activemq.security.AuthenticationUser;
import org.apache.activemq.security.AuthorizationEntry;
import org.apache.activemq.security.AuthorizationPlugin;
import org.apache.activemq.security.DefaultAuthorizationMap;
import org.apache.activemq.security.SimpleAuthenticationPlugin;
import org.apache.activemq.security.TempDestinationAuthorizationEntry;
import org.apache.activemq.store.kahadb.KahaDBPersistenceAdapter;
import org.apache.activemq.util.IntrospectionSupport;

/**
 * A broker of ActiveMQ Classic, told by one JSON file what it is, and asked about its queues over a
 * socket: one line of JSON for a question, one for its answer.
 *
 * Questions are answered from inside, because JMX would listen on all of the machine's addresses, and
 * the Debian package has no HTTP interface.
 */
public final class Broker {
    private final BrokerService service;

    private Broker(BrokerService service) {
        this.service = service;
    }

    public static void main(String[] arguments) throws Exception {
        byte[] file = Files.readAllBytes(Paths.get(arguments[0]));
        Map<String, Object> settings = Json.object(Json.parse(new String(file, StandardCharsets.UTF_8)));
        BrokerService service = service(settings);
        service.start();
        service.waitUntilStarted();
        int port = ((Long) settings.get("admin")).intValue();
        ServerSocket questions = new ServerSocket(port, 50, InetAddress.getByName("127.0.0.1"));
        System.out.println("gristmill: ready");
        new Broker(service).answer(questions);
    }

    private static BrokerService service(Map<String, Object> settings) throws Exception {
        SslBrokerService service = new SslBrokerService();
        service.setBrokerName((String) settings.get("name"));
        service.setUseJmx(false);
        service.setSchedulerSupport(true);
        File data = new File((String) settings.get("data"));
        service.setDataDirectoryFile(data);
        KahaDBPersistenceAdapter store = new KahaDBPersistenceAdapter();
        store.setDirectory(new File(data, "kahadb"));
        store.setJournalMaxFileLength(8 << 20);
        // A standby waits for the lock of the store, and looks this often (milliseconds).
        store.getLocker().setLockAcquireSleepInterval(100);
        service.setPersistenceAdapter(store);
        service.getSystemUsage().getMemoryUsage().setLimit((Long) settings.get("memory"));
        service.getSystemUsage().getStoreUsage().setLimit(2L << 30);
        service.getSystemUsage().getTempUsage().setLimit(256L << 20);
        service.getSystemUsage().getJobSchedulerUsage().setLimit(256L << 20);
        service.setDestinationPolicy(policies(settings));
        service.setPlugins(plugins(settings).toArray(new BrokerPlugin[0]));
        IntrospectionSupport.setProperties(service, new HashMap<>(Json.object(settings.get("broker"))));
        String options = (String) settings.get("transport");
        service.addConnector("tcp://127.0.0.1:" + settings.get("openwire") + "?" + options);
        Map<String, Object> tls = Json.object(settings.get("tls"));
        if (tls != null) {
            String uri = "ssl://127.0.0.1:" + tls.get("port") + "?needClientAuth=" + tls.get("demands") + "&" + options;
            service.addSslConnector(uri, Tls.keys(tls), Tls.trust(tls), null);
        }
        return service;
    }

    private static PolicyMap policies(Map<String, Object> settings) {
        List<PolicyEntry> entries = new ArrayList<>();
        for (Object item : Json.list(settings.get("policies"))) {
            Map<String, Object> properties = new HashMap<>(Json.object(item));
            PolicyEntry entry = new PolicyEntry();
            entry.setQueue((String) properties.remove("queue"));
            String deadLetters = (String) properties.remove("deadLetterPrefix");
            AbstractDeadLetterStrategy strategy = new SharedDeadLetterStrategy();
            if (deadLetters != null) {
                IndividualDeadLetterStrategy individual = new IndividualDeadLetterStrategy();
                individual.setQueuePrefix(deadLetters);
                strategy = individual;
            }
            strategy.setProcessNonPersistent("true".equals(properties.remove("processNonPersistent")));
            entry.setDeadLetterStrategy(strategy);
            IntrospectionSupport.setProperties(entry, properties);
            if (!properties.isEmpty()) {
                throw new IllegalArgumentException("no such settings of a queue: " + properties.keySet());
            }
            entries.add(entry);
        }
        PolicyMap map = new PolicyMap();
        map.setPolicyEntries(entries);
        return map;
    }

    private static List<BrokerPlugin> plugins(Map<String, Object> settings) throws Exception {
        List<BrokerPlugin> plugins = new ArrayList<>();
        List<AuthenticationUser> users = new ArrayList<>();
        Set<String> groups = new HashSet<>();
        for (Object item : Json.list(settings.get("users"))) {
            Map<String, Object> user = Json.object(item);
            String group = (String) user.get("group");
            groups.add(group);
            users.add(new AuthenticationUser((String) user.get("name"), (String) user.get("password"), group));
        }
        if (!users.isEmpty()) {
            plugins.add(new SimpleAuthenticationPlugin(users));
        }
        List<Object> rights = Json.list(settings.get("rights"));
        if (!rights.isEmpty()) {
            String everybody = String.join(",", groups);
            List<AuthorizationEntry> entries = new ArrayList<>();
            for (Object item : rights) {
                Map<String, Object> right = Json.object(item);
                AuthorizationEntry entry = new AuthorizationEntry();
                entry.setQueue((String) right.get("queue"));
                grant(entry, (String) right.get("read"), (String) right.get("write"), (String) right.get("admin"));
                entries.add(entry);
            }
            // Every JMS client listens to what the broker tells about temporary queues.
            AuthorizationEntry advisories = new AuthorizationEntry();
            advisories.setTopic("ActiveMQ.Advisory.>");
            grant(advisories, everybody, everybody, everybody);
            entries.add(advisories);
            DefaultAuthorizationMap map = new DefaultAuthorizationMap();
            map.setAuthorizationEntries(new ArrayList<>(entries));
            TempDestinationAuthorizationEntry temporary = new TempDestinationAuthorizationEntry();
            grant(temporary, everybody, everybody, everybody);
            map.setTempDestinationAuthorizationEntry(temporary);
            plugins.add(new AuthorizationPlugin(map));
        }
        return plugins;
    }

    private static void grant(AuthorizationEntry entry, String read, String write, String admin) throws Exception {
        entry.setRead(read);
        entry.setWrite(write);
        entry.setAdmin(admin);
    }

    private void answer(ServerSocket questions) throws Exception {
        while (true) {
            try (Socket socket = questions.accept();
                    BufferedReader in = new BufferedReader(new InputStreamReader(socket.getInputStream(), StandardCharsets.UTF_8));
                    Writer out = new OutputStreamWriter(socket.getOutputStream(), StandardCharsets.UTF_8)) {
                String question = in.readLine();
                if (question != null) {
                    out.write(Json.print(answerOrError(Json.object(Json.parse(question)))) + "\n");
                }
            } catch (IOException e) {
                // The test that asked has gone, and may have failed for a reason of its own.
                System.out.println("gristmill: a question was not answered: " + e);
            }
        }
    }

    private Map<String, Object> answerOrError(Map<String, Object> question) {
        try {
            return Json.of("ok", answer((String) question.get("do"), (String) question.get("queue")));
        } catch (Exception e) {
            return Json.of("error", String.valueOf(e.getMessage()));
        }
    }

    private Object answer(String what, String queue) throws Exception {
        switch (what) {
            case "create":
                service.getDestination(new ActiveMQQueue(queue));
                return null;
            case "delete":
                service.removeDestination(new ActiveMQQueue(queue));
                return null;
            case "purge":
                queue(queue).purge();
                return null;
            case "counts":
                return counts(queue(queue));
            case "queues":
                List<Object> names = new ArrayList<>();
                for (ActiveMQDestination destination : service.getBroker().getDestinationMap().keySet()) {
                    if (destination.isQueue() && !destination.isTemporary()) {
                        names.add(destination.getPhysicalName());
                    }
                }
                return names;
            case "consumers":
                List<Object> consumers = new ArrayList<>();
                for (Subscription subscription : queue(queue).getConsumers()) {
                    consumers.add(Json.of(
                            "clientId", subscription.getContext().getClientId(),
                            "prefetch", subscription.getConsumerInfo().getPrefetchSize(),
                            "inFlight", subscription.getInFlightSize()));
                }
                return consumers;
            case "closeConsumers":
                for (Subscription subscription : queue(queue).getConsumers()) {
                    // As the broker does with consumers that are too slow.
                    ConsumerControl control = new ConsumerControl();
                    control.setConsumerId(subscription.getConsumerInfo().getConsumerId());
                    control.setDestination(subscription.getConsumerInfo().getDestination());
                    control.setClose(true);
                    subscription.getContext().getConnection().dispatchAsync(control);
                }
                return null;
            case "connections":
                return connections().size();
            case "closeConnections":
                for (Connection connection : connections()) {
                    connection.stop();
                }
                return null;
            default:
                throw new IllegalArgumentException("no such question: " + what);
        }
    }

    private List<Connection> connections() {
        List<Connection> connections = new ArrayList<>();
        for (TransportConnector connector : service.getTransportConnectors()) {
            connections.addAll(connector.getConnections());
        }
        return connections;
    }

    private Queue queue(String name) throws Exception {
        Destination destination = service.getBroker().getDestinationMap().get(new ActiveMQQueue(name));
        while (destination instanceof DestinationFilter) {
            destination = ((DestinationFilter) destination).getNext();
        }
        if (destination == null) {
            throw new IllegalArgumentException("there is no queue " + name);
        }
        return (Queue) destination;
    }

    private static Map<String, Object> counts(Queue queue) {
        DestinationStatistics statistics = queue.getDestinationStatistics();
        return Json.of(
                "messages", statistics.getMessages().getCount(),
                "inFlight", statistics.getInflight().getCount(),
                "consumers", statistics.getConsumers().getCount(),
                "producers", statistics.getProducers().getCount(),
                "enqueued", statistics.getEnqueues().getCount(),
                "dispatched", statistics.getDispatched().getCount(),
                "dequeued", statistics.getDequeues().getCount(),
                "expired", statistics.getExpired().getCount());
    }
}
