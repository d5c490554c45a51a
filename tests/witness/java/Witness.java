import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.apache.pulsar.client.api.BatcherBuilder;
import org.apache.pulsar.client.api.CompressionType;
import org.apache.pulsar.client.api.Consumer;
import org.apache.pulsar.client.api.ConsumerBuilder;
import org.apache.pulsar.client.api.DeadLetterPolicy;
import org.apache.pulsar.client.api.HashingScheme;
import org.apache.pulsar.client.api.Message;
import org.apache.pulsar.client.api.MessageId;
import org.apache.pulsar.client.api.Producer;
import org.apache.pulsar.client.api.ProducerBuilder;
import org.apache.pulsar.client.api.PulsarClient;
import org.apache.pulsar.client.api.Schema;
import org.apache.pulsar.client.api.SubscriptionInitialPosition;
import org.apache.pulsar.client.api.SubscriptionType;
import org.apache.pulsar.client.api.TypedMessageBuilder;

/**
 * The official Java client as a witness: Witness URL.
 *
 * <p>Requests are JSON lines on standard input, each with an "id" that its answer repeats; they run concurrently. What each
 * wants and answers is written in tests/native/interop/witness.rs.
 */
public final class Witness {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final HexFormat HEX = HexFormat.of();

    private final PulsarClient client;
    private final Map<String, Consumer<byte[]>> consumers = new ConcurrentHashMap<>();
    private final PrintStream out;

    private Witness(String url, PrintStream out) throws Exception {
        this.client = PulsarClient.builder().serviceUrl(url).build();
        this.out = out;
    }

    public static void main(String[] arguments) throws Exception {
        // Whatever logs to standard output must not mix with the answers.
        PrintStream answers = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        System.setOut(System.err);
        Witness witness = new Witness(arguments[0], answers);
        ExecutorService requests = Executors.newCachedThreadPool();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            JsonNode request = JSON.readTree(line);
            requests.execute(() -> witness.answer(request));
        }
        System.exit(0);
    }

    private void answer(JsonNode request) {
        ObjectNode answer = JSON.createObjectNode();
        answer.set("id", request.get("id"));
        try {
            switch (request.get("do").asText()) {
                case "produce" -> produce(request, answer);
                case "subscribe" -> subscribe(request);
                case "receive" -> receive(request, answer);
                case "commands" -> answer.set("commands", JSON.valueToTree(Golden.filled("live")));
                case "recode" -> recode(request, answer);
                case "compare" -> compare(request, answer);
                case "close" -> consumers.remove(request.get("handle").asText()).close();
                default -> throw new IllegalArgumentException("no such request: " + request);
            }
        } catch (Throwable error) {
            answer.put("error", error.toString());
        }
        synchronized (out) {
            out.println(answer);
        }
    }

    private void produce(JsonNode request, ObjectNode answer) throws Exception {
        ProducerBuilder<byte[]> builder = client.newProducer()
                .topic(request.get("topic").asText())
                .enableBatching(false)
                .blockIfQueueFull(true)
                .hashingScheme(HashingScheme.valueOf(request.path("hashing").asText("JavaStringHash")))
                .compressionType(CompressionType.valueOf(request.path("codec").asText("NONE")));
        switch (request.path("mode").asText("single")) {
            case "batch" -> builder.enableBatching(true)
                    .batchingMaxMessages(1000)
                    .batchingMaxBytes(1024 * 1024)
                    .batchingMaxPublishDelay(20, TimeUnit.SECONDS);
            case "alone" -> builder.enableBatching(true).batchingMaxMessages(1);
            case "keyed" -> builder.enableBatching(true)
                    .batcherBuilder(BatcherBuilder.KEY_BASED)
                    .batchingMaxPublishDelay(20, TimeUnit.SECONDS);
            case "chunk" -> builder.enableChunking(true);
            default -> { }
        }
        if (request.has("chunk_size")) {
            builder.chunkMaxMessageSize(request.get("chunk_size").asInt());
        }
        try (Producer<byte[]> producer = builder.create()) {
            List<CompletableFuture<MessageId>> sends = new ArrayList<>();
            for (JsonNode message : request.get("messages")) {
                sends.add(message(producer, message).sendAsync());
            }
            producer.flushAsync();
            ArrayNode sent = answer.putArray("sent");
            for (CompletableFuture<MessageId> send : sends) {
                ObjectNode one = sent.addObject();
                try {
                    id(send.get(30, TimeUnit.SECONDS), one);
                } catch (Exception error) {
                    one.put("error", String.valueOf(error.getCause()));
                }
            }
        }
    }

    private static TypedMessageBuilder<byte[]> message(Producer<byte[]> producer, JsonNode message) {
        TypedMessageBuilder<byte[]> builder = producer.newMessage(Schema.BYTES);
        JsonNode payload = message.path("payload");
        builder.value(payload.isTextual() ? HEX.parseHex(payload.asText())
                : payload.isObject() ? random(payload.get("random").get(0).asLong(), payload.get("random").get(1).asInt())
                : null);
        if (message.has("key")) {
            builder.key(message.get("key").asText());
        }
        if (message.has("ordering_key")) {
            builder.orderingKey(HEX.parseHex(message.get("ordering_key").asText()));
        }
        if (message.has("event_time")) {
            builder.eventTime(message.get("event_time").asLong());
        }
        if (message.has("deliver_after_ms")) {
            builder.deliverAfter(message.get("deliver_after_ms").asLong(), TimeUnit.MILLISECONDS);
        }
        message.path("properties").fields().forEachRemaining(p -> builder.property(p.getKey(), p.getValue().asText()));
        return builder;
    }

    private static byte[] random(long seed, int length) {
        byte[] bytes = new byte[length];
        for (int at = 0; at < length; at += 32) {
            byte[] block = sha256((seed + ":" + at / 32).getBytes(StandardCharsets.US_ASCII));
            System.arraycopy(block, 0, bytes, at, Math.min(32, length - at));
        }
        return bytes;
    }

    private static byte[] sha256(byte[] bytes) {
        try {
            return MessageDigest.getInstance("SHA-256").digest(bytes);
        } catch (NoSuchAlgorithmException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    private void subscribe(JsonNode request) throws Exception {
        ConsumerBuilder<byte[]> builder = client.newConsumer()
                .topic(request.get("topic").asText())
                .subscriptionName(request.get("subscription").asText())
                .subscriptionType(SubscriptionType.valueOf(request.path("type").asText("Exclusive")))
                .subscriptionInitialPosition(SubscriptionInitialPosition.Earliest)
                .receiverQueueSize(request.path("queue").asInt(1000))
                .enableRetry(request.path("retry").asBoolean(false))
                // Without receipts, what reconsumeLater acknowledges may be lost when the consumer is closed.
                .isAckReceiptEnabled(request.path("retry").asBoolean(false));
        if (request.has("max_redeliver_count")) {
            int max = request.get("max_redeliver_count").asInt();
            builder.deadLetterPolicy(DeadLetterPolicy.builder().maxRedeliverCount(max).build());
        }
        if (request.has("nack_delay_ms")) {
            builder.negativeAckRedeliveryDelay(request.get("nack_delay_ms").asLong(), TimeUnit.MILLISECONDS);
        }
        consumers.put(request.get("handle").asText(), builder.subscribe());
    }

    private void receive(JsonNode request, ObjectNode answer) throws Exception {
        Consumer<byte[]> consumer = consumers.get(request.get("handle").asText());
        ArrayNode messages = answer.putArray("messages");
        int count = request.get("count").asInt();
        int timeout = request.get("timeout_ms").asInt();
        while (messages.size() < count) {
            Message<byte[]> message = consumer.receive(timeout, TimeUnit.MILLISECONDS);
            if (message == null) {
                return;
            }
            ObjectNode one = messages.addObject();
            id(message.getMessageId(), one);
            byte[] value = message.getValue();
            if (value == null) {
                one.putNull("payload");
            } else if (value.length > 4096) {
                one.putObject("payload").put("sha256", HEX.formatHex(sha256(value))).put("length", value.length);
            } else {
                one.put("payload", HEX.formatHex(value));
            }
            if (message.hasKey()) {
                one.put("key", message.getKey());
            }
            if (message.hasOrderingKey()) {
                one.put("ordering_key", HEX.formatHex(message.getOrderingKey()));
            }
            ObjectNode properties = one.putObject("properties");
            message.getProperties().forEach(properties::put);
            one.put("event_time", message.getEventTime());
            one.put("producer", message.getProducerName());
            one.put("sequence_id", message.getSequenceId());
            one.put("at_ms", System.currentTimeMillis());
            one.put("redelivery_count", message.getRedeliveryCount());
            switch (request.path("then").asText(request.path("acknowledge").asBoolean(true) ? "acknowledge" : "keep")) {
                case "acknowledge" -> consumer.acknowledge(message);
                case "negative_acknowledge" -> consumer.negativeAcknowledge(message);
                case "reconsume_later" ->
                        consumer.reconsumeLater(message, request.get("delay_ms").asLong(), TimeUnit.MILLISECONDS);
                default -> { }
            }
        }
    }

    /** Messages of the protocol, read by the generated classes and written again. */
    private static void recode(JsonNode request, ObjectNode answer) throws Exception {
        ArrayNode messages = answer.putArray("messages");
        for (JsonNode message : request.get("messages")) {
            Class<?> type = Class.forName(Shape.PACKAGE + message.get("message").asText());
            messages.add(HEX.formatHex(Filler.bytes(Filler.parse(type, HEX.parseHex(message.get("hex").asText())))));
        }
    }

    /** The places of serialised ids in the client's order. */
    private static void compare(JsonNode request, ObjectNode answer) throws Exception {
        List<MessageId> ids = new ArrayList<>();
        for (JsonNode id : request.get("ids")) {
            ids.add(MessageId.fromByteArray(HEX.parseHex(id.asText())));
        }
        ArrayNode order = answer.putArray("order");
        IntStream.range(0, ids.size()).boxed().sorted(Comparator.comparing(ids::get)).forEach(order::add);
    }

    private static void id(MessageId id, ObjectNode into) {
        into.put("message_id", id.toString());
        into.put("serialized", HEX.formatHex(id.toByteArray()));
    }
}
