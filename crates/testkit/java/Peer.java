import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Enumeration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import javax.jms.BytesMessage;
import javax.jms.DeliveryMode;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Queue;
import javax.jms.QueueBrowser;
import javax.jms.Session;
import org.apache.activemq.ActiveMQConnection;
import org.apache.activemq.ActiveMQConnectionFactory;
import org.apache.activemq.ActiveMQSession;
import org.apache.activemq.ActiveMQSslConnectionFactory;
import org.apache.activemq.command.ActiveMQDestination;

/**
 * ActiveMQ's own JMS client, for tests: each line of the input is a question in JSON, each line of the
 * output its answer with the same number. It ends with its input.
 */
public final class Peer {
    private static final Map<String, Integer> MODES = new HashMap<>();

    static {
        MODES.put("auto", Session.AUTO_ACKNOWLEDGE);
        MODES.put("client", Session.CLIENT_ACKNOWLEDGE);
        MODES.put("individual", ActiveMQSession.INDIVIDUAL_ACKNOWLEDGE);
        MODES.put("transacted", Session.SESSION_TRANSACTED);
    }

    /** A consumer, which has a session of its own, and what it received last. */
    private static final class Consumer {
        Session session;
        MessageConsumer consumer;
        Message last;
    }

    private final List<Consumer> consumers = new ArrayList<>();
    private ActiveMQConnection connection;
    private Session session;

    public static void main(String[] arguments) throws Exception {
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), false, "UTF-8");
        // Whatever a library prints must not be taken for an answer.
        System.setOut(System.err);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        Peer peer = new Peer();
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            Map<String, Object> question = Json.object(Json.parse(line));
            Map<String, Object> answer = Json.of("number", question.get("number"));
            try {
                answer.put("ok", peer.answer(question));
            } catch (Exception | OutOfMemoryError e) {
                answer.put("error", e.getClass().getSimpleName() + ": " + e.getMessage());
            }
            print(out, answer);
        }
        // A connection to a broker that hangs would not close.
        Runtime.getRuntime().halt(0);
    }

    /** Whoever asked would wait for ever for an answer that has no room. */
    private static void print(PrintStream out, Map<String, Object> answer) {
        String line;
        try {
            line = Json.print(answer);
        } catch (OutOfMemoryError e) {
            line = Json.print(Json.of("number", answer.get("number"), "error", "the answer is too large"));
        }
        out.print(line + "\n");
        out.flush();
    }

    private Object answer(Map<String, Object> question) throws Exception {
        switch ((String) question.get("do")) {
            case "connect":
                connect(question);
                return null;
            case "send":
                return send(question);
            case "fill":
                return fill(question);
            case "subscribe":
                return subscribe(question);
            case "receive":
                return receive(consumer(question), number(question, "timeout"));
            case "drain":
                return drain(consumer(question), number(question, "count"), number(question, "timeout"));
            case "handle":
                return handle(consumer(question), number(question, "count"), number(question, "timeout"));
            case "acknowledge":
                consumer(question).last.acknowledge();
                return null;
            case "recover":
                consumer(question).session.recover();
                return null;
            case "commit":
                consumer(question).session.commit();
                return null;
            case "rollback":
                consumer(question).session.rollback();
                return null;
            case "unsubscribe":
                // Closing the session gives back what it has not acknowledged; closing the consumer would not.
                consumer(question).session.close();
                return null;
            case "browse":
                return browse((String) question.get("queue"));
            case "close":
                connection.close();
                return null;
            default:
                throw new IllegalArgumentException("no such question: " + question.get("do"));
        }
    }

    private void connect(Map<String, Object> question) throws Exception {
        String url = (String) question.get("url");
        Map<String, Object> tls = Json.object(question.get("tls"));
        ActiveMQConnectionFactory factory;
        if (tls == null) {
            factory = new ActiveMQConnectionFactory(url);
        } else {
            ActiveMQSslConnectionFactory secure = new ActiveMQSslConnectionFactory(url);
            secure.setKeyAndTrustManagers(Tls.keys(tls), Tls.trust(tls), null);
            factory = secure;
        }
        factory.setUserName((String) question.get("user"));
        factory.setPassword((String) question.get("password"));
        factory.setTrustAllPackages(true);
        // A test that lets messages come back does not want to wait for it, nor the client to give up.
        factory.getRedeliveryPolicy().setInitialRedeliveryDelay(0);
        factory.getRedeliveryPolicy().setRedeliveryDelay(0);
        factory.getRedeliveryPolicy().setMaximumRedeliveries((int) number(question, "redeliveries"));
        connection = (ActiveMQConnection) factory.createConnection();
        connection.start();
        session = connection.createSession(false, Session.AUTO_ACKNOWLEDGE);
    }

    private Object send(Map<String, Object> question) throws Exception {
        connection.setUseCompression(question.get("compressed") == Boolean.TRUE);
        // Else a message that is not persistent would be on its way still when this is answered.
        connection.setAlwaysSyncSend(true);
        String name = (String) question.get("queue");
        MessageProducer producer =
                session.createProducer(ActiveMQDestination.createDestination(name, ActiveMQDestination.QUEUE_TYPE));
        try {
            List<Object> ids = new ArrayList<>();
            for (Object item : Json.list(question.get("messages"))) {
                Map<String, Object> json = Json.object(item);
                Message message = Messages.read(session, json);
                boolean persistent = json.get("persistent") != Boolean.FALSE;
                int mode = persistent ? DeliveryMode.PERSISTENT : DeliveryMode.NON_PERSISTENT;
                producer.send(message, mode, (int) number(json, "priority"), number(json, "ttl"));
                ids.add(message.getJMSMessageID());
            }
            return ids;
        } finally {
            producer.close();
        }
    }

    /** Sends many messages with one transaction for each thousand, and returns the milliseconds it took. */
    private Object fill(Map<String, Object> question) throws Exception {
        long count = number(question, "count");
        byte[] body = new byte[(int) number(question, "size")];
        Arrays.fill(body, (byte) 'x');
        boolean persistent = question.get("persistent") != Boolean.FALSE;
        long start = System.nanoTime();
        connection.setUseCompression(false);
        connection.setAlwaysSyncSend(false);
        Session transacted = connection.createSession(true, Session.SESSION_TRANSACTED);
        try {
            MessageProducer producer = transacted.createProducer(queue(question));
            producer.setDeliveryMode(persistent ? DeliveryMode.PERSISTENT : DeliveryMode.NON_PERSISTENT);
            for (long sent = 1; sent <= count; sent++) {
                BytesMessage message = transacted.createBytesMessage();
                message.writeBytes(body);
                producer.send(message);
                if (sent % 1000 == 0 || sent == count) {
                    transacted.commit();
                }
            }
        } finally {
            transacted.close();
        }
        return (System.nanoTime() - start) / 1_000_000;
    }

    private Object subscribe(Map<String, Object> question) throws JMSException {
        Consumer consumer = new Consumer();
        int mode = MODES.get((String) question.get("mode"));
        consumer.session = connection.createSession(mode == Session.SESSION_TRANSACTED, mode);
        String name = (String) question.get("queue");
        if (question.get("prefetch") != null) {
            name += "?consumer.prefetchSize=" + question.get("prefetch");
        }
        consumer.consumer = consumer.session.createConsumer(consumer.session.createQueue(name));
        consumers.add(consumer);
        return (long) consumers.size() - 1;
    }

    private static Object receive(Consumer consumer, long timeout) throws Exception {
        Message message = timeout == 0 ? consumer.consumer.receiveNoWait() : consumer.consumer.receive(timeout);
        if (message == null) {
            return null;
        }
        consumer.last = message;
        return Messages.print(message);
    }

    /** Takes messages without looking at them, and returns how many and in which time (milliseconds). */
    private static Object drain(Consumer consumer, long count, long timeout) throws Exception {
        int mode = consumer.session.getAcknowledgeMode();
        boolean individual = mode == ActiveMQSession.INDIVIDUAL_ACKNOWLEDGE;
        boolean together = mode == Session.CLIENT_ACKNOWLEDGE;
        long start = System.nanoTime();
        long taken = 0;
        while (taken < count) {
            Message message = consumer.consumer.receive(timeout);
            if (message == null) {
                break;
            }
            consumer.last = message;
            taken++;
            if (individual || (together && taken % 100 == 0)) {
                message.acknowledge();
            }
        }
        if (together && taken % 100 != 0) {
            consumer.last.acknowledge();
        }
        if (consumer.session.getTransacted()) {
            consumer.session.commit();
        }
        return Json.of("count", taken, "ms", (System.nanoTime() - start) / 1_000_000);
    }

    /**
     * Takes messages, makes an event of each hundred, reads it and acknowledges them, and returns how many and
     * in which time (milliseconds).
     */
    private static Object handle(Consumer consumer, long count, long timeout) throws Exception {
        long start = System.nanoTime();
        long taken = 0;
        List<BytesMessage> batch = new ArrayList<>();
        while (taken < count) {
            Message message = consumer.consumer.receive(timeout);
            if (message == null) {
                break;
            }
            taken++;
            batch.add((BytesMessage) message);
            if (batch.size() == 100 || taken == count) {
                String event = Messages.event(batch);
                if (event.split("\"data\":", -1).length - 1 != batch.size()) {
                    throw new IllegalStateException("records are missing in the event");
                }
                message.acknowledge();
                batch.clear();
            }
        }
        return Json.of("count", taken, "ms", (System.nanoTime() - start) / 1_000_000);
    }

    private Object browse(String queue) throws Exception {
        QueueBrowser browser = session.createBrowser(session.createQueue(queue));
        try {
            List<Object> messages = new ArrayList<>();
            for (Enumeration<?> waiting = browser.getEnumeration(); waiting.hasMoreElements(); ) {
                messages.add(Messages.print((Message) waiting.nextElement()));
            }
            return messages;
        } finally {
            browser.close();
        }
    }

    private Queue queue(Map<String, Object> question) throws JMSException {
        return session.createQueue((String) question.get("queue"));
    }

    private Consumer consumer(Map<String, Object> question) {
        return consumers.get((int) number(question, "consumer"));
    }

    private static long number(Map<String, Object> question, String name) {
        return (Long) question.get(name);
    }
}
