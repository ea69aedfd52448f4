import java.io.ByteArrayInputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.Serializable;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import javax.jms.BytesMessage;
import javax.jms.MapMessage;
import javax.jms.Message;
import javax.jms.MessageEOFException;
import javax.jms.ObjectMessage;
import javax.jms.Session;
import javax.jms.StreamMessage;
import javax.jms.TextMessage;
import org.apache.activemq.command.ActiveMQDestination;
import org.apache.activemq.command.ActiveMQMapMessage;
import org.apache.activemq.command.ActiveMQMessage;
import org.apache.activemq.util.MarshallingSupport;
import org.fusesource.hawtbuf.UTF8Buffer;

/**
 * Messages as JSON and back. A value keeps its Java type, as in `{"int": 1}` or `{"bytes": "AAE="}`;
 * numbers that JSON cannot hold are strings there.
 */
final class Messages {
    private Messages() {}

    static Message read(Session session, Map<String, Object> json) throws Exception {
        Message message = body(session, (String) json.get("kind"), json.get("body"));
        for (Map.Entry<String, Object> property : Json.object(json.get("properties")).entrySet()) {
            message.setObjectProperty(property.getKey(), value(property.getValue()));
        }
        if (json.get("correlationId") != null) {
            message.setJMSCorrelationID((String) json.get("correlationId"));
        }
        if (json.get("type") != null) {
            message.setJMSType((String) json.get("type"));
        }
        if (json.get("replyTo") != null) {
            String replyTo = (String) json.get("replyTo");
            message.setJMSReplyTo(ActiveMQDestination.createDestination(replyTo, ActiveMQDestination.QUEUE_TYPE));
        }
        if (json.get("group") != null) {
            message.setStringProperty("JMSXGroupID", (String) json.get("group"));
        }
        return message;
    }

    private static Message body(Session session, String kind, Object body) throws Exception {
        switch (kind) {
            case "text":
                return session.createTextMessage((String) body);
            case "bytes":
                BytesMessage bytes = session.createBytesMessage();
                bytes.writeBytes(Base64.getDecoder().decode((String) body));
                return bytes;
            case "map":
                MapMessage map = session.createMapMessage();
                for (Map.Entry<String, Object> entry : Json.object(body).entrySet()) {
                    map.setObject(entry.getKey(), value(entry.getValue()));
                }
                return map;
            case "stream":
                StreamMessage stream = session.createStreamMessage();
                for (Object item : Json.list(body)) {
                    stream.writeObject(value(item));
                }
                return stream;
            case "object":
                return session.createObjectMessage((Serializable) value(body));
            case "message":
                return session.createMessage();
            default:
                throw new IllegalArgumentException("no such kind of message: " + kind);
        }
    }

    static Map<String, Object> print(Message received) throws Exception {
        ActiveMQMessage message = (ActiveMQMessage) received;
        // Reading the body may replace the compressed bytes, so this is asked first.
        boolean compressed = message.isCompressed();
        Map<String, Object> json = body(message);
        Map<String, Object> properties = new LinkedHashMap<>();
        // As they came: the client's own enumeration adds what it computes, such as JMSXDeliveryCount.
        for (Map.Entry<String, Object> property : message.getProperties().entrySet()) {
            properties.put(property.getKey(), typed(property.getValue()));
        }
        json.put("properties", properties);
        json.put("id", message.getJMSMessageID());
        json.put("destination", name(message.getDestination()));
        json.put("correlationId", message.getJMSCorrelationID());
        json.put("replyTo", name(message.getReplyTo()));
        json.put("type", message.getJMSType());
        json.put("group", message.getGroupID());
        json.put("groupSequence", message.getGroupSequence());
        json.put("priority", message.getJMSPriority());
        json.put("timestamp", message.getJMSTimestamp());
        json.put("expiration", message.getJMSExpiration());
        json.put("persistent", message.isPersistent());
        json.put("redelivered", message.getJMSRedelivered());
        json.put("redeliveryCounter", message.getRedeliveryCounter());
        json.put("compressed", compressed);
        json.put("userId", message.getUserID());
        json.put("brokerInTime", message.getBrokerInTime());
        json.put("originalDestination", name(message.getOriginalDestination()));
        return json;
    }

    /** The event of AWS Lambda, as a Java program would make it. */
    static String event(List<BytesMessage> messages) throws Exception {
        StringBuilder event = new StringBuilder("{\"eventSource\":\"aws:mq\",\"eventSourceArn\":\"arn\",\"messages\":[");
        String separator = "";
        for (BytesMessage bytes : messages) {
            ActiveMQMessage message = (ActiveMQMessage) bytes;
            byte[] content = new byte[(int) bytes.getBodyLength()];
            bytes.readBytes(content);
            event.append(separator).append("{\"messageID\":\"").append(message.getJMSMessageID());
            event.append("\",\"messageType\":\"jms/bytes-message\",\"deliveryMode\":").append(message.getJMSDeliveryMode());
            event.append(",\"replyTo\":").append(message.getReplyTo()).append(",\"type\":").append(message.getJMSType());
            event.append(",\"expiration\":\"").append(message.getExpiration());
            event.append("\",\"priority\":").append(message.getJMSPriority());
            event.append(",\"correlationId\":").append(message.getJMSCorrelationID());
            event.append(",\"redelivered\":").append(message.getJMSRedelivered());
            event.append(",\"destination\":{\"physicalName\":\"").append(message.getDestination().getPhysicalName());
            event.append("\"},\"data\":\"").append(Base64.getEncoder().encodeToString(content));
            event.append("\",\"timestamp\":").append(message.getTimestamp());
            event.append(",\"brokerInTime\":").append(message.getBrokerInTime());
            event.append(",\"brokerOutTime\":").append(message.getBrokerOutTime()).append(",\"properties\":{}}");
            separator = ",";
        }
        return event.append("]}").toString();
    }

    private static Map<String, Object> body(Message message) throws Exception {
        if (message instanceof TextMessage) {
            return Json.of("kind", "text", "body", ((TextMessage) message).getText());
        }
        if (message instanceof BytesMessage) {
            BytesMessage bytes = (BytesMessage) message;
            byte[] content = new byte[(int) bytes.getBodyLength()];
            bytes.readBytes(content);
            return Json.of("kind", "bytes", "body", Base64.getEncoder().encodeToString(content));
        }
        if (message instanceof MapMessage) {
            // ActiveMQ's own name for the same, for the sake of strings.
            Map<String, Object> map = ((ActiveMQMapMessage) message).getContentMap();
            return Json.of("kind", "map", "body", Json.object(typed(map)).get("map"));
        }
        if (message instanceof StreamMessage) {
            List<Object> body = new ArrayList<>();
            try {
                while (true) {
                    body.add(typed(((StreamMessage) message).readObject()));
                }
            } catch (MessageEOFException end) {
                return Json.of("kind", "stream", "body", body);
            }
        }
        if (message instanceof ObjectMessage) {
            return Json.of("kind", "object", "body", typed(((ObjectMessage) message).getObject()));
        }
        return Json.of("kind", "message", "body", null);
    }

    private static String name(ActiveMQDestination destination) {
        return destination == null ? null : destination.getQualifiedName();
    }

    private static Object value(Object json) {
        if (json == null) {
            return null;
        }
        Map.Entry<String, Object> typed = Json.object(json).entrySet().iterator().next();
        Object value = typed.getValue();
        switch (typed.getKey()) {
            case "byte":
                return ((Long) value).byteValue();
            case "short":
                return ((Long) value).shortValue();
            case "char":
                return (char) ((Long) value).intValue();
            case "int":
                return ((Long) value).intValue();
            case "float":
                return Float.valueOf((String) value);
            case "double":
                return Double.valueOf((String) value);
            case "bytes":
                return Base64.getDecoder().decode((String) value);
            case "list":
                List<Object> list = new ArrayList<>();
                for (Object item : Json.list(value)) {
                    list.add(value(item));
                }
                return list;
            case "map":
                Map<String, Object> map = new LinkedHashMap<>();
                for (Map.Entry<String, Object> entry : Json.object(value).entrySet()) {
                    map.put(entry.getKey(), value(entry.getValue()));
                }
                return map;
            default:
                // A bool, long or string is what its JSON is.
                return value;
        }
    }

    private static Object typed(Object value) throws IOException {
        if (value == null) {
            return null;
        }
        if (value instanceof Boolean) {
            return Json.of("bool", value);
        }
        if (value instanceof Byte || value instanceof Short || value instanceof Long) {
            return Json.of(value.getClass().getSimpleName().toLowerCase(), value);
        }
        if (value instanceof Integer) {
            return Json.of("int", value);
        }
        if (value instanceof Character) {
            return Json.of("char", (int) (Character) value);
        }
        if (value instanceof Float || value instanceof Double) {
            return Json.of(value.getClass().getSimpleName().toLowerCase(), value.toString());
        }
        if (value instanceof byte[]) {
            return Json.of("bytes", Base64.getEncoder().encodeToString((byte[]) value));
        }
        if (value instanceof List) {
            List<Object> list = new ArrayList<>();
            for (Object item : (List<?>) value) {
                list.add(typed(item));
            }
            return Json.of("list", list);
        }
        if (value instanceof Map) {
            Map<String, Object> map = new LinkedHashMap<>();
            for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
                map.put(String.valueOf(entry.getKey()), typed(entry.getValue()));
            }
            return Json.of("map", map);
        }
        if (value instanceof UTF8Buffer) {
            return Json.of("string", string((UTF8Buffer) value));
        }
        return Json.of("string", value.toString());
    }

    /**
     * A string in a property or map, which the client leaves as the bytes that came. They are Java's
     * modified UTF-8, and the client's own getStringProperty reads them as if they were UTF-8: it gets
     * NUL and everything beyond U+FFFF wrong. Tests have to see what came.
     */
    private static String string(UTF8Buffer buffer) throws IOException {
        ByteBuffer bytes = ByteBuffer.allocate(4 + buffer.length);
        bytes.putInt(buffer.length).put(buffer.data, buffer.offset, buffer.length);
        return MarshallingSupport.readUTF8(new DataInputStream(new ByteArrayInputStream(bytes.array())));
    }
}
