import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import org.apache.pulsar.client.api.*;
import org.apache.pulsar.client.api.schema.*;
import org.apache.pulsar.common.schema.KeyValue;
import org.apache.pulsar.common.schema.KeyValueEncodingType;

/** What the official Java client sees of a broker, line by line: Client SERVICE_URL ADMIN_URL. */
public class Client {
    static PulsarClient client;
    static String admin;
    static final String UNIQUE = Long.toString(System.nanoTime());

    public static class Thing {
        public int a;
        public String b;
    }

    interface Part {
        Object run() throws Exception;
    }

    static String topic(String name) {
        return "persistent://public/default/java-" + name + "-" + UNIQUE;
    }

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
        HttpRequest request = HttpRequest.newBuilder(URI.create(admin + "/admin/v2/" + path))
                .header("content-type", "application/json")
                .method(method, HttpRequest.BodyPublishers.ofString(body)).build();
        return HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).statusCode();
    }

    static String text(byte[] bytes) {
        return new String(bytes, StandardCharsets.UTF_8);
    }

    static List<String> drain(Consumer<byte[]> consumer, int count) throws Exception {
        List<String> found = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            Message<byte[]> message = consumer.receive(10, TimeUnit.SECONDS);
            if (message == null) {
                found.add("nothing");
                break;
            }
            found.add(text(message.getValue()));
            consumer.acknowledge(message);
        }
        return found;
    }

    public static void main(String[] args) throws Exception {
        client = PulsarClient.builder().serviceUrl(args[0]).operationTimeout(10, TimeUnit.SECONDS).build();
        admin = args[1];
        for (SubscriptionType type : SubscriptionType.values()) {
            for (boolean batching : new boolean[] {true, false}) {
                part(type + (batching ? " batched" : ""), () -> {
                    String topic = topic(type.name() + batching);
                    Consumer<byte[]> consumer =
                            client.newConsumer().topic(topic).subscriptionName("s").subscriptionType(type).subscribe();
                    Producer<byte[]> producer = client.newProducer().topic(topic).enableBatching(batching)
                            .compressionType(CompressionType.LZ4).batcherBuilder(BatcherBuilder.KEY_BASED).create();
                    List<CompletableFuture<MessageId>> sent = new ArrayList<>();
                    for (int i = 0; i < 50; i++) {
                        sent.add(producer.newMessage().key("k" + i % 5).value(("" + i).getBytes()).sendAsync());
                    }
                    producer.flush();
                    for (CompletableFuture<MessageId> future : sent) {
                        future.get();
                    }
                    List<String> found = drain(consumer, 50);
                    Collections.sort(found);
                    consumer.close();
                    return found;
                });
            }
        }
        part("access", () -> {
            String topic = topic("access");
            Producer<byte[]> first = client.newProducer().topic(topic).accessMode(ProducerAccessMode.Exclusive).create();
            List<Object> seen = new ArrayList<>();
            for (ProducerAccessMode mode : new ProducerAccessMode[] {ProducerAccessMode.Shared, ProducerAccessMode.Exclusive}) {
                try {
                    client.newProducer().topic(topic).accessMode(mode).create();
                    seen.add("in");
                } catch (PulsarClientException error) {
                    seen.add(error.getClass().getSimpleName());
                }
            }
            CompletableFuture<Producer<byte[]>> waits = client.newProducer().topic(topic)
                    .sendTimeout(2, TimeUnit.SECONDS).accessMode(ProducerAccessMode.WaitForExclusive).createAsync();
            seen.add(waits.isDone());
            first.close();
            seen.add(waits.get(10, TimeUnit.SECONDS) != null);
            // Of a client of its own: what a fenced producer sends ends its connection. With both on it chance says who is
            // back first, and so whether the fenced one is refused or stands in line until its message times out.
            PulsarClient other = PulsarClient.builder().serviceUrl(args[0]).build();
            Producer<byte[]> fencing =
                    other.newProducer().topic(topic).accessMode(ProducerAccessMode.ExclusiveWithFencing).create();
            try {
                waits.get().send("late".getBytes());
                seen.add("sent");
            } catch (PulsarClientException error) {
                seen.add(error.getClass().getSimpleName());
            }
            fencing.send("x".getBytes());
            other.close();
            return seen;
        });
        part("dead letter", () -> {
            String topic = topic("dlq");
            Consumer<byte[]> consumer = client.newConsumer().topic(topic).subscriptionName("s")
                    .subscriptionType(SubscriptionType.Shared).negativeAckRedeliveryDelay(100, TimeUnit.MILLISECONDS)
                    .deadLetterPolicy(DeadLetterPolicy.builder().maxRedeliverCount(2).initialSubscriptionName("first").build())
                    .subscribe();
            client.newProducer().topic(topic).create().send("bad".getBytes());
            for (int i = 0; i < 3; i++) {
                consumer.negativeAcknowledge(consumer.receive(10, TimeUnit.SECONDS));
            }
            CompletableFuture<Message<byte[]>> none = consumer.receiveAsync();
            Thread.sleep(1000);
            Consumer<byte[]> dead = client.newConsumer().topic(topic + "-s-DLQ").subscriptionName("first").subscribe();
            return drain(dead, 1) + " " + none.isDone();
        });
        part("retry letter", () -> {
            String topic = topic("retry");
            Consumer<byte[]> consumer = client.newConsumer().topic(topic).subscriptionName("s").enableRetry(true)
                    .subscriptionType(SubscriptionType.Shared).subscribe();
            client.newProducer().topic(topic).create().send("again".getBytes());
            consumer.reconsumeLater(consumer.receive(10, TimeUnit.SECONDS), 1, TimeUnit.SECONDS);
            Message<byte[]> message = consumer.receive(10, TimeUnit.SECONDS);
            return text(message.getValue()) + " " + message.getProperty("RECONSUMETIMES");
        });
        part("chunks", () -> {
            String topic = topic("chunks");
            Consumer<byte[]> consumer = client.newConsumer().topic(topic).subscriptionName("s").subscribe();
            client.newProducer().topic(topic).enableChunking(true).enableBatching(false).create().send(new byte[12 << 20]);
            return consumer.receive(20, TimeUnit.SECONDS).getValue().length;
        });
        part("delayed", () -> {
            String topic = topic("delayed");
            Consumer<byte[]> consumer = client.newConsumer().topic(topic).subscriptionName("s")
                    .subscriptionType(SubscriptionType.Shared).subscribe();
            Producer<byte[]> producer = client.newProducer().topic(topic).create();
            producer.newMessage().value("late".getBytes()).deliverAfter(2, TimeUnit.SECONDS).send();
            producer.newMessage().value("now".getBytes()).send();
            return drain(consumer, 2);
        });
        part("seek", () -> {
            String topic = topic("seek");
            Producer<byte[]> producer = client.newProducer().topic(topic).create();
            List<MessageId> ids = new ArrayList<>();
            for (int i = 0; i < 5; i++) {
                ids.add(producer.send(("" + i).getBytes()));
            }
            Consumer<byte[]> consumer = client.newConsumer().topic(topic).subscriptionName("s")
                    .subscriptionInitialPosition(SubscriptionInitialPosition.Earliest).subscribe();
            List<String> seen = drain(consumer, 5);
            consumer.seek(ids.get(3));
            seen.addAll(drain(consumer, 1));
            consumer.seek(MessageId.earliest);
            seen.addAll(drain(consumer, 5));
            return seen;
        });
        part("batch index", () -> {
            String topic = topic("index");
            Producer<byte[]> producer = client.newProducer().topic(topic).batchingMaxPublishDelay(1, TimeUnit.SECONDS).create();
            Consumer<byte[]> consumer = client.newConsumer().topic(topic).subscriptionName("s")
                    .subscriptionType(SubscriptionType.Shared).enableBatchIndexAcknowledgment(true).subscribe();
            for (int i = 0; i < 6; i++) {
                producer.sendAsync(("" + i).getBytes());
            }
            producer.flush();
            for (int i = 0; i < 6; i++) {
                Message<byte[]> message = consumer.receive(10, TimeUnit.SECONDS);
                if (i % 2 == 0) {
                    consumer.acknowledge(message);
                }
            }
            consumer.close();
            consumer = client.newConsumer().topic(topic).subscriptionName("s")
                    .subscriptionType(SubscriptionType.Shared).enableBatchIndexAcknowledgment(true).subscribe();
            return drain(consumer, 3);
        });
        part("schemas", () -> {
            List<Object> seen = new ArrayList<>();
            Thing thing = new Thing();
            thing.a = 7;
            thing.b = "x";
            int n = 0;
            for (Schema<Thing> schema : List.of(Schema.AVRO(Thing.class), Schema.JSON(Thing.class))) {
                String topic = topic("schema" + n++);
                Consumer<GenericRecord> auto = client.newConsumer(Schema.AUTO_CONSUME()).topic(topic).subscriptionName("a").subscribe();
                Consumer<Thing> consumer = client.newConsumer(schema).topic(topic).subscriptionName("s").subscribe();
                client.newProducer(schema).topic(topic).create().send(thing);
                seen.add(consumer.receive(10, TimeUnit.SECONDS).getValue().b);
                seen.add(auto.receive(10, TimeUnit.SECONDS).getValue().getField("a"));
                try {
                    client.newProducer(Schema.INT32).topic(topic).create();
                    seen.add("in");
                } catch (PulsarClientException error) {
                    seen.add(error.getClass().getSimpleName());
                }
            }
            Schema<KeyValue<String, Integer>> pair =
                    Schema.KeyValue(Schema.STRING, Schema.INT32, KeyValueEncodingType.SEPARATED);
            Consumer<KeyValue<String, Integer>> consumer = client.newConsumer(pair).topic(topic("pair")).subscriptionName("s").subscribe();
            client.newProducer(pair).topic(topic("pair")).create().send(new KeyValue<>("k", 5));
            seen.add(consumer.receive(10, TimeUnit.SECONDS).getValue());
            return seen;
        });
        part("partitions", () -> {
            String name = "java-parts-" + UNIQUE;
            List<Object> seen = new ArrayList<>();
            seen.add(call("PUT", "persistent/public/default/" + name + "/partitions", "2"));
            Consumer<byte[]> consumer = client.newConsumer().topic(topic("parts")).subscriptionName("s")
                    .autoUpdatePartitionsInterval(1, TimeUnit.SECONDS).subscribe();
            Producer<byte[]> producer = client.newProducer().topic(topic("parts"))
                    .autoUpdatePartitionsInterval(1, TimeUnit.SECONDS).enableBatching(false).create();
            seen.add(call("POST", "persistent/public/default/" + name + "/partitions", "4"));
            for (int i = 0; i < 20 && client.getPartitionsForTopic(topic("parts")).get().size() < 4; i++) {
                Thread.sleep(200);
            }
            Thread.sleep(3000);
            for (int i = 0; i < 40; i++) {
                producer.send(("" + i).getBytes());
            }
            List<String> found = drain(consumer, 40);
            Collections.sort(found);
            seen.add(found.size());
            seen.add(client.getPartitionsForTopic(topic("parts")).get().size());
            return seen;
        });
        part("pattern", () -> {
            client.newProducer().topic(topic("pat-a")).create().send("a".getBytes());
            Consumer<byte[]> consumer = client.newConsumer().topicsPattern(Pattern.compile("public/default/java-pat-.*" + UNIQUE))
                    .subscriptionName("s").patternAutoDiscoveryPeriod(1, TimeUnit.SECONDS)
                    .subscriptionInitialPosition(SubscriptionInitialPosition.Earliest).subscribe();
            List<String> seen = drain(consumer, 1);
            client.newProducer().topic(topic("pat-b")).create().send("b".getBytes());
            seen.addAll(drain(consumer, 1));
            return seen;
        });
        part("reader", () -> {
            Reader<byte[]> reader = client.newReader().topic(topic("seek")).startMessageId(MessageId.earliest).create();
            List<String> seen = new ArrayList<>();
            while (reader.hasMessageAvailable()) {
                seen.add(text(reader.readNext(10, TimeUnit.SECONDS).getValue()));
            }
            return seen + " " + reader.hasReachedEndOfTopic();
        });
        part("compacted", () -> {
            String topic = topic("compacted");
            Producer<String> producer = client.newProducer(Schema.STRING).topic(topic).create();
            for (String[] pair : new String[][] {{"a", "1"}, {"b", "2"}, {"a", "3"}, {"b", null}, {"c", "4"}}) {
                producer.newMessage().key(pair[0]).value(pair[1]).send();
            }
            List<Object> seen = new ArrayList<>();
            seen.add(call("PUT", topic.replace("persistent://", "persistent/") + "/compaction", ""));
            Thread.sleep(3000);
            TableView<String> table = client.newTableView(Schema.STRING).topic(topic).create();
            seen.add(new java.util.TreeMap<>(collect(table)));
            producer.newMessage().key("d").value("5").send();
            for (int i = 0; i < 50 && !table.containsKey("d"); i++) {
                Thread.sleep(100);
            }
            seen.add(table.get("d"));
            return seen;
        });
        part("terminated", () -> {
            String topic = topic("terminated");
            Producer<byte[]> producer = client.newProducer().topic(topic).create();
            producer.send("x".getBytes());
            Consumer<byte[]> consumer = client.newConsumer().topic(topic).subscriptionName("s")
                    .subscriptionInitialPosition(SubscriptionInitialPosition.Earliest).subscribe();
            List<Object> seen = new ArrayList<>();
            seen.add(call("POST", topic.replace("persistent://", "persistent/") + "/terminate", ""));
            try {
                producer.send("y".getBytes());
                seen.add("sent");
            } catch (PulsarClientException error) {
                seen.add(error.getClass().getSimpleName());
            }
            seen.addAll(drain(consumer, 1));
            for (int i = 0; i < 50 && !consumer.hasReachedEndOfTopic(); i++) {
                Thread.sleep(100);
            }
            seen.add(consumer.hasReachedEndOfTopic());
            return seen;
        });
        part("deduplicated", () -> {
            String topic = topic("dedup");
            List<Object> seen = new ArrayList<>();
            seen.add(call("PUT", topic.replace("persistent://", "persistent/"), ""));
            seen.add(call("POST", topic.replace("persistent://", "persistent/") + "/deduplicationEnabled", "true"));
            Thread.sleep(1000);
            Consumer<byte[]> consumer = client.newConsumer().topic(topic).subscriptionName("s").subscribe();
            Producer<byte[]> producer = client.newProducer().topic(topic).producerName("p").sendTimeout(0, TimeUnit.SECONDS).create();
            for (long sequence : new long[] {1, 2, 2, 1, 3}) {
                producer.newMessage().sequenceId(sequence).value(("" + sequence).getBytes()).send();
            }
            producer.close();
            producer = client.newProducer().topic(topic).producerName("p").sendTimeout(0, TimeUnit.SECONDS).create();
            seen.add(producer.getLastSequenceId());
            seen.addAll(drain(consumer, 3));
            seen.add(consumer.receive(1, TimeUnit.SECONDS) == null);
            return seen;
        });
        part("unloaded", () -> {
            String topic = topic("unloaded");
            Consumer<byte[]> consumer = client.newConsumer().topic(topic).subscriptionName("s").subscribe();
            Producer<byte[]> producer = client.newProducer().topic(topic).create();
            producer.send("1".getBytes());
            List<Object> seen = new ArrayList<>();
            seen.add(call("PUT", topic.replace("persistent://", "persistent/") + "/unload", ""));
            producer.send("2".getBytes());
            seen.addAll(drain(consumer, 2));
            return seen;
        });
        client.close();
        System.out.println("> done");
        System.exit(0);
    }

    static Map<String, String> collect(TableView<String> table) {
        Map<String, String> found = new HashMap<>();
        table.forEach(found::put);
        return found;
    }
}
