import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.Map;
import java.util.TreeMap;
import org.apache.pulsar.client.api.Consumer;
import org.apache.pulsar.client.api.Message;
import org.apache.pulsar.client.api.Producer;
import org.apache.pulsar.client.api.PulsarClient;
import org.apache.pulsar.client.api.Schema;
import org.apache.pulsar.client.api.SubscriptionInitialPosition;
import org.apache.pulsar.client.api.schema.Field;
import org.apache.pulsar.client.api.schema.GenericRecord;
import org.apache.pulsar.client.api.schema.SchemaDefinition;
import org.apache.pulsar.common.schema.KeyValue;
import org.apache.pulsar.common.schema.KeyValueEncodingType;

/** Which schemas the official Java client may use one after the other: Schemas SERVICE_URL ADMIN_URL. */
public class Schemas {
    static final String UNIQUE = "y" + System.nanoTime();
    static PulsarClient client;
    static String admin;

    public static class First { public int a; }
    public static class More { public int a; public String b; }
    public static class Wider { public long a; }
    public static class Other { public String a; }
    public static class Nested { public First first; public java.util.List<More> list; public Map<String, Long> map; public Kind kind; }
    public enum Kind { ONE, TWO }

    interface Part { Object run() throws Exception; }

    static void part(String name, Part part) {
        Object answer;
        try {
            answer = part.run();
        } catch (Throwable error) {
            answer = error.getClass().getSimpleName();
        }
        System.out.println("> " + name + ": " + answer);
    }

    static int call(String method, String path, String body) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(admin + "/admin/v2/" + path)).header("content-type", "application/json")
                .method(method, HttpRequest.BodyPublishers.ofString(body)).build();
        return HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).statusCode();
    }

    static <T> Schema<T> of(String kind, Class<T> type) {
        SchemaDefinition<T> definition = SchemaDefinition.<T>builder().withPojo(type).withAlwaysAllowNull(true).build();
        return kind.equals("AVRO") ? Schema.AVRO(definition) : Schema.JSON(definition);
    }

    static <T> String produce(String topic, Schema<T> schema, T value) throws Exception {
        try (Producer<T> producer = client.newProducer(schema).topic(topic).create()) {
            return producer.send(value) == null ? "none" : "sent";
        }
    }

    static <T> String consume(String topic, Schema<T> schema, int count) throws Exception {
        StringBuilder all = new StringBuilder();
        try (Consumer<T> consumer = client.newConsumer(schema).topic(topic).subscriptionName("s" + System.nanoTime())
                .subscriptionInitialPosition(SubscriptionInitialPosition.Earliest).subscribe()) {
            for (int n = 0; n < count; n++) {
                Message<T> message = consumer.receive(10, java.util.concurrent.TimeUnit.SECONDS);
                byte[] version = message.getSchemaVersion();
                all.append(version == null ? "-" : version[7]).append(' ').append(show(message.getValue())).append("; ");
            }
        }
        return all.toString();
    }

    static String show(Object value) throws Exception {
        if (value instanceof GenericRecord) {
            GenericRecord record = (GenericRecord) value;
            TreeMap<String, Object> fields = new TreeMap<>();
            for (Field field : record.getFields()) {
                fields.put(field.getName(), String.valueOf(record.getField(field)));
            }
            return fields.toString();
        }
        if (value != null && value.getClass().getDeclaringClass() == Schemas.class) {
            TreeMap<String, Object> fields = new TreeMap<>();
            for (java.lang.reflect.Field field : value.getClass().getFields()) {
                fields.put(field.getName(), String.valueOf(field.get(value)));
            }
            return fields.toString();
        }
        return String.valueOf(value);
    }

    static First first(int a) { First value = new First(); value.a = a; return value; }
    static More more(int a, String b) { More value = new More(); value.a = a; value.b = b; return value; }
    static Wider wider(long a) { Wider value = new Wider(); value.a = a; return value; }
    static Other other(String a) { Other value = new Other(); value.a = a; return value; }

    public static void main(String[] args) throws Exception {
        client = PulsarClient.builder().serviceUrl(args[0]).build();
        admin = args[1];
        for (String kind : new String[] {"AVRO", "JSON"}) {
            for (String strategy : new String[] {"BACKWARD", "FORWARD", "FULL", "ALWAYS_COMPATIBLE", "ALWAYS_INCOMPATIBLE", "FULL_TRANSITIVE"}) {
                String namespace = "public/" + UNIQUE + kind + strategy.replace("_", "");
                call("PUT", "namespaces/" + namespace, "");
                call("PUT", "namespaces/" + namespace + "/schemaCompatibilityStrategy", "\"" + strategy + "\"");
                String topic = "persistent://" + namespace + "/t";
                String about = kind + " " + strategy + " ";
                part(about + "first", () -> produce(topic, of(kind, First.class), first(1)));
                part(about + "more", () -> produce(topic, of(kind, More.class), more(2, "two")));
                part(about + "wider", () -> produce(topic, of(kind, Wider.class), wider(3)));
                part(about + "other", () -> produce(topic, of(kind, Other.class), other("four")));
                part(about + "first again", () -> produce(topic, of(kind, First.class), first(5)));
                part(about + "text", () -> produce(topic, Schema.STRING, "six"));
                part(about + "read as first", () -> consume(topic, of(kind, First.class), 1));
                part(about + "read as more", () -> consume(topic, of(kind, More.class), 1));
                part(about + "read as other", () -> consume(topic, of(kind, Other.class), 0));
                part(about + "read as anything", () -> consume(topic, Schema.AUTO_CONSUME(), 2));
            }
        }
        String topic = "persistent://public/default/" + UNIQUE;
        part("nested", () -> {
            Nested value = new Nested();
            value.first = first(1);
            value.list = java.util.List.of(more(2, "x"));
            value.map = Map.of("k", 3L);
            value.kind = Kind.TWO;
            return produce(topic + "n", Schema.AVRO(Nested.class), value);
        });
        part("nested, read", () -> consume(topic + "n", Schema.AUTO_CONSUME(), 0));
        part("nested again", () -> produce(topic + "n", Schema.AVRO(Nested.class), new Nested()));
        part("auto produce", () -> {
            produce(topic + "a", of("AVRO", First.class), first(1));
            byte[] bytes = of("AVRO", First.class).encode(first(7));
            try (Producer<byte[]> producer = client.newProducer(Schema.AUTO_PRODUCE_BYTES()).topic(topic + "a").create()) {
                producer.send(bytes);
            }
            return consume(topic + "a", of("AVRO", First.class), 2);
        });
        for (KeyValueEncodingType encoding : KeyValueEncodingType.values()) {
            String name = topic + encoding;
            Schema<KeyValue<String, First>> one = Schema.KeyValue(Schema.STRING, of("AVRO", First.class), encoding);
            Schema<KeyValue<String, Other>> two = Schema.KeyValue(Schema.STRING, of("AVRO", Other.class), encoding);
            part("key and value " + encoding, () -> produce(name, one, new KeyValue<>("k", first(1))));
            part("another value " + encoding, () -> produce(name, two, new KeyValue<>("k", other("x"))));
            part("read " + encoding, () -> {
                try (Consumer<KeyValue<String, First>> consumer = client.newConsumer(one).topic(name).subscriptionName("s")
                        .subscriptionInitialPosition(SubscriptionInitialPosition.Earliest).subscribe()) {
                    KeyValue<String, First> found = consumer.receive(10, java.util.concurrent.TimeUnit.SECONDS).getValue();
                    return found.getKey() + "=" + found.getValue().a;
                }
            });
        }
        for (Schema<?> schema : new Schema<?>[] {Schema.INT8, Schema.INT16, Schema.INT32, Schema.INT64, Schema.BOOL, Schema.FLOAT, Schema.DOUBLE,
            Schema.DATE, Schema.TIME, Schema.TIMESTAMP, Schema.INSTANT, Schema.LOCAL_DATE, Schema.LOCAL_TIME, Schema.LOCAL_DATE_TIME, Schema.STRING, Schema.BYTES}) {
            String name = topic + schema.getSchemaInfo().getType();
            part("open " + schema.getSchemaInfo().getType(), () -> {
                client.newProducer(schema).topic(name).create().close();
                client.newConsumer(schema).topic(name).subscriptionName("s").subscribe().close();
                return "both";
            });
            part("then text", () -> {
                client.newProducer(Schema.STRING).topic(name).create().close();
                return "opened";
            });
        }
        client.close();
        System.out.println("> done");
        System.exit(0);
    }
}
