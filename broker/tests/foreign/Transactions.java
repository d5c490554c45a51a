import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.apache.pulsar.client.admin.PulsarAdmin;
import org.apache.pulsar.client.admin.PulsarAdminException;
import org.apache.pulsar.client.api.*;
import org.apache.pulsar.client.api.transaction.Transaction;
import org.apache.pulsar.client.api.transaction.TxnID;
import org.apache.pulsar.common.policies.data.TransactionMetadata;

/** What the official Java client sees of transactions, line by line: Transactions SERVICE_URL ADMIN_URL. */
public class Transactions {
    static PulsarClient client;
    static String admin;
    static final String UNIQUE = Long.toString(System.nanoTime());

    interface Part {
        Object run() throws Exception;
    }

    static String topic(String name) {
        return "persistent://public/default/txn-" + name + "-" + UNIQUE;
    }

    static void part(String name, Part part) {
        Object answer;
        try {
            answer = part.run();
        } catch (Throwable error) {
            answer = named(error);
        }
        System.out.println("> " + name + ": " + answer);
    }

    static String named(Throwable error) {
        Throwable cause = error instanceof ExecutionException ? error.getCause() : error;
        return cause.getClass().getSimpleName();
    }

    static int call(String method, String path) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(admin + "/admin/v2/" + path))
                .method(method, HttpRequest.BodyPublishers.noBody()).build();
        return HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).statusCode();
    }

    static Transaction begin(long seconds) throws Exception {
        return client.newTransaction().withTransactionTimeout(seconds, TimeUnit.SECONDS).build().get();
    }

    static Producer<String> producer(String topic) throws Exception {
        return client.newProducer(Schema.STRING).topic(topic).sendTimeout(0, TimeUnit.SECONDS).enableBatching(false).create();
    }

    static Consumer<String> consumer(String topic, SubscriptionType type) throws Exception {
        return client.newConsumer(Schema.STRING).topic(topic).subscriptionName("s").subscriptionType(type)
                .enableBatchIndexAcknowledgment(true)
                .subscriptionInitialPosition(SubscriptionInitialPosition.Earliest).subscribe();
    }

    static List<String> take(Consumer<String> consumer, int count) throws Exception {
        List<String> found = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            Message<String> message = consumer.receive(30, TimeUnit.SECONDS);
            found.add(message == null ? "nothing" : message.getValue());
        }
        return found;
    }

    static boolean quiet(Consumer<String> consumer) throws Exception {
        return consumer.receive(700, TimeUnit.MILLISECONDS) == null;
    }

    /** The class of what an operation fails with; what it gives otherwise. */
    static Object outcome(CompletableFuture<?> future) throws Exception {
        try {
            future.get(15, TimeUnit.SECONDS);
            return "done";
        } catch (ExecutionException error) {
            return named(error);
        }
    }

    public static void main(String[] args) throws Exception {
        client = PulsarClient.builder().serviceUrl(args[0]).enableTransaction(true)
                .operationTimeout(15, TimeUnit.SECONDS).build();
        admin = args[1];
        for (SubscriptionType type : SubscriptionType.values()) {
            part("consume, transform, produce: " + type, () -> {
                String in = topic("in" + type);
                String out = topic("out" + type);
                Consumer<String> source = consumer(in, type);
                Consumer<String> sink = consumer(out, SubscriptionType.Exclusive);
                Producer<String> feed = producer(in);
                Producer<String> forward = producer(out);
                for (int i = 0; i < 6; i++) {
                    feed.newMessage().key("k").value("" + i).send();
                }
                List<Object> seen = new ArrayList<>();
                // The first half is committed, the second given up and done again.
                for (boolean commit : new boolean[] {true, false, true}) {
                    Transaction txn = begin(60);
                    List<String> values = new ArrayList<>();
                    for (int i = 0; i < 3; i++) {
                        Message<String> message = source.receive(30, TimeUnit.SECONDS);
                        values.add(message.getValue());
                        forward.newMessage(txn).value(message.getValue() + (commit ? "!" : "?")).sendAsync();
                        source.acknowledgeAsync(message.getMessageId(), txn).get();
                    }
                    Collections.sort(values);
                    seen.add(values);
                    seen.add(quiet(sink));
                    (commit ? txn.commit() : txn.abort()).get();
                    seen.add(txn.getState());
                    seen.add(commit ? new TreeSet<>(take(sink, 3)) : quiet(sink));
                }
                source.close();
                source = consumer(in, type);
                seen.add(quiet(source));
                seen.add(quiet(sink));
                return seen;
            });
        }
        part("many at a time", () -> {
            String topic = topic("many");
            Producer<String> producer = producer(topic);
            Consumer<String> consumer = consumer(topic, SubscriptionType.Shared);
            List<Transaction> transactions = new ArrayList<>();
            for (int i = 0; i < 40; i++) {
                Transaction txn = begin(60);
                producer.newMessage(txn).value("" + i).send();
                transactions.add(txn);
            }
            List<CompletableFuture<Void>> ends = new ArrayList<>();
            for (int i = 0; i < 40; i++) {
                ends.add(i % 2 == 0 ? transactions.get(i).commit() : transactions.get(i).abort());
            }
            for (CompletableFuture<Void> end : ends) {
                end.get();
            }
            Set<Integer> found = new TreeSet<>();
            for (String text : take(consumer, 20)) {
                found.add(Integer.valueOf(text));
            }
            return found + " " + quiet(consumer);
        });
        part("order", () -> {
            String topic = topic("order");
            Producer<String> producer = producer(topic);
            Consumer<String> consumer = consumer(topic, SubscriptionType.Exclusive);
            List<Object> seen = new ArrayList<>();
            Transaction one = begin(60);
            Transaction two = begin(60);
            producer.send("a");
            producer.newMessage(one).value("one").send();
            producer.send("b");
            producer.newMessage(two).value("two").send();
            producer.send("c");
            seen.add(take(consumer, 1));
            seen.add(quiet(consumer));
            two.commit().get();
            seen.add(quiet(consumer));
            one.abort().get();
            seen.add(take(consumer, 3));
            seen.add(quiet(consumer));
            return seen;
        });
        part("batches", () -> {
            String topic = topic("batches");
            Producer<String> producer = client.newProducer(Schema.STRING).topic(topic).sendTimeout(0, TimeUnit.SECONDS)
                    .batchingMaxPublishDelay(1, TimeUnit.SECONDS).compressionType(CompressionType.LZ4).create();
            Consumer<String> consumer = consumer(topic, SubscriptionType.Shared);
            // No messages without one beside them: this client puts those into any transaction's batch.
            Transaction first = begin(60);
            Transaction second = begin(60);
            List<CompletableFuture<MessageId>> sent = new ArrayList<>();
            for (int i = 0; i < 5; i++) {
                sent.add(producer.newMessage(first).value("first" + i).sendAsync());
                sent.add(producer.newMessage(second).value("second" + i).sendAsync());
            }
            producer.flush();
            for (CompletableFuture<MessageId> future : sent) {
                future.get();
            }
            first.commit().get();
            second.abort().get();
            Set<String> found = new TreeSet<>(take(consumer, 5));
            return found + " " + quiet(consumer);
        });
        part("a batch in parts", () -> {
            String topic = topic("parts");
            Producer<String> producer = client.newProducer(Schema.STRING).topic(topic)
                    .batchingMaxPublishDelay(1, TimeUnit.SECONDS).create();
            Consumer<String> consumer = consumer(topic, SubscriptionType.Shared);
            for (int i = 0; i < 6; i++) {
                producer.sendAsync("" + i);
            }
            producer.flush();
            Transaction commit = begin(60);
            Transaction abort = begin(60);
            for (int i = 0; i < 6; i++) {
                Message<String> message = consumer.receive(30, TimeUnit.SECONDS);
                if (i % 3 == 0) {
                    consumer.acknowledgeAsync(message.getMessageId(), commit).get();
                } else if (i % 3 == 1) {
                    consumer.acknowledgeAsync(message.getMessageId(), abort).get();
                }
            }
            commit.commit().get();
            abort.abort().get();
            consumer.close();
            consumer = consumer(topic, SubscriptionType.Shared);
            return take(consumer, 4) + " " + quiet(consumer);
        });
        part("all up to a message", () -> {
            String topic = topic("cumulative");
            Producer<String> producer = producer(topic);
            for (int i = 0; i < 6; i++) {
                producer.send("" + i);
            }
            List<Object> seen = new ArrayList<>();
            for (boolean commit : new boolean[] {false, true}) {
                Consumer<String> consumer = consumer(topic, SubscriptionType.Failover);
                Transaction txn = begin(60);
                for (int i = 0; i < 3; i++) {
                    Message<String> message = consumer.receive(30, TimeUnit.SECONDS);
                    seen.add(message.getValue());
                    consumer.acknowledgeCumulativeAsync(message.getMessageId(), txn).get();
                }
                (commit ? txn.commit() : txn.abort()).get();
                consumer.close();
            }
            Consumer<String> consumer = consumer(topic, SubscriptionType.Exclusive);
            seen.add(take(consumer, 3));
            seen.add(quiet(consumer));
            return seen;
        });
        part("conflict", () -> {
            String topic = topic("conflict");
            Producer<String> producer = producer(topic);
            Consumer<String> consumer = consumer(topic, SubscriptionType.Shared);
            producer.send("x");
            MessageId id = consumer.receive(30, TimeUnit.SECONDS).getMessageId();
            List<Object> seen = new ArrayList<>();
            Transaction one = begin(60);
            Transaction two = begin(60);
            seen.add(outcome(consumer.acknowledgeAsync(id, one)));
            seen.add(outcome(consumer.acknowledgeAsync(id, two)));
            seen.add(two.getState());
            seen.add(outcome(two.commit()));
            seen.add(two.getState());
            seen.add(outcome(one.abort()));
            Message<String> again = consumer.receive(30, TimeUnit.SECONDS);
            seen.add(again.getRedeliveryCount());
            consumer.acknowledge(again);
            // It goes out with others, a tenth of a second later.
            Thread.sleep(1000);
            Transaction three = begin(60);
            seen.add(outcome(consumer.acknowledgeAsync(id, three)));
            seen.add(outcome(three.abort()));
            return seen;
        });
        part("ended", () -> {
            String topic = topic("ended");
            Producer<String> producer = producer(topic);
            List<Object> seen = new ArrayList<>();
            Transaction txn = begin(60);
            producer.newMessage(txn).value("x").send();
            seen.add(outcome(txn.commit()));
            seen.add(outcome(txn.commit()));
            seen.add(outcome(txn.abort()));
            seen.add(outcome(producer.newMessage(txn).value("late").sendAsync()));
            seen.add(outcome(begin(60).commit()));
            seen.add(outcome(begin(60).abort()));
            return seen;
        });
        part("timeout", () -> {
            String topic = topic("timeout");
            Producer<String> producer = producer(topic);
            Consumer<String> consumer = consumer(topic, SubscriptionType.Shared);
            producer.send("before");
            Message<String> before = consumer.receive(30, TimeUnit.SECONDS);
            List<Object> seen = new ArrayList<>();
            Transaction txn = begin(5);
            producer.newMessage(txn).value("lost").send();
            consumer.acknowledgeAsync(before.getMessageId(), txn).get();
            producer.send("after");
            seen.add(quiet(consumer));
            Thread.sleep(8000);
            seen.add(new TreeSet<>(take(consumer, 2)));
            seen.add(outcome(txn.commit()));
            seen.add(txn.getState());
            seen.add(quiet(consumer));
            return seen;
        });
        part("a reader", () -> {
            String topic = topic("reader");
            Producer<String> producer = producer(topic);
            List<Object> seen = new ArrayList<>();
            producer.send("a");
            Transaction txn = begin(60);
            producer.newMessage(txn).value("t").send();
            producer.send("b");
            Reader<String> reader = client.newReader(Schema.STRING).topic(topic).startMessageId(MessageId.earliest).create();
            while (reader.hasMessageAvailable()) {
                seen.add(reader.readNext(10, TimeUnit.SECONDS).getValue());
            }
            txn.commit().get();
            while (reader.hasMessageAvailable()) {
                seen.add(reader.readNext(10, TimeUnit.SECONDS).getValue());
            }
            Transaction lost = begin(60);
            producer.newMessage(lost).value("lost").send();
            lost.abort().get();
            seen.add(reader.hasMessageAvailable());
            return seen;
        });
        part("partitions", () -> {
            String name = "txn-partitions-" + UNIQUE;
            List<Object> seen = new ArrayList<>();
            HttpRequest request = HttpRequest.newBuilder(URI.create(admin + "/admin/v2/persistent/public/default/" + name + "/partitions"))
                    .header("content-type", "application/json").PUT(HttpRequest.BodyPublishers.ofString("3")).build();
            seen.add(HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).statusCode());
            Producer<String> producer = producer(topic("partitions"));
            Consumer<String> consumer = consumer(topic("partitions"), SubscriptionType.Shared);
            for (boolean commit : new boolean[] {false, true}) {
                Transaction txn = begin(60);
                for (int i = 0; i < 9; i++) {
                    producer.newMessage(txn).value((commit ? "kept" : "lost") + i).send();
                }
                (commit ? txn.commit() : txn.abort()).get();
            }
            Transaction txn = begin(60);
            List<String> found = new ArrayList<>();
            for (int i = 0; i < 9; i++) {
                Message<String> message = consumer.receive(30, TimeUnit.SECONDS);
                found.add(message.getValue());
                consumer.acknowledgeAsync(message.getMessageId(), txn).get();
            }
            txn.commit().get();
            Collections.sort(found);
            seen.add(found);
            consumer.close();
            seen.add(quiet(consumer(topic("partitions"), SubscriptionType.Shared)));
            return seen;
        });
        part("unloaded", () -> {
            String topic = topic("unloaded");
            Producer<String> producer = producer(topic);
            Consumer<String> consumer = consumer(topic, SubscriptionType.Shared);
            List<Object> seen = new ArrayList<>();
            producer.send("a");
            Message<String> message = consumer.receive(30, TimeUnit.SECONDS);
            Transaction txn = begin(60);
            producer.newMessage(txn).value("t1").send();
            consumer.acknowledgeAsync(message.getMessageId(), txn).get();
            seen.add(call("PUT", topic.replace("persistent://", "persistent/") + "/unload"));
            producer.newMessage(txn).value("t2").send();
            producer.send("b");
            seen.add(quiet(consumer));
            seen.add(outcome(txn.commit()));
            seen.add(take(consumer, 3));
            consumer.close();
            consumer = consumer(topic, SubscriptionType.Shared);
            seen.add(take(consumer, 3));
            return seen;
        });
        part("chunks", () -> {
            String topic = topic("chunks");
            Producer<byte[]> producer = client.newProducer().topic(topic).sendTimeout(0, TimeUnit.SECONDS)
                    .enableChunking(true).enableBatching(false).create();
            Consumer<byte[]> consumer = client.newConsumer().topic(topic).subscriptionName("s").subscribe();
            List<Object> seen = new ArrayList<>();
            for (boolean commit : new boolean[] {false, true}) {
                Transaction txn = begin(60);
                producer.newMessage(txn).value(new byte[(commit ? 12 : 11) << 20]).send();
                (commit ? txn.commit() : txn.abort()).get();
            }
            seen.add(consumer.receive(20, TimeUnit.SECONDS).getValue().length);
            seen.add(consumer.receive(700, TimeUnit.MILLISECONDS) == null);
            return seen;
        });
        part("admin", () -> {
            String topic = topic("admin");
            Producer<String> producer = producer(topic);
            Consumer<String> consumer = consumer(topic, SubscriptionType.Shared);
            producer.send("a");
            Message<String> message = consumer.receive(30, TimeUnit.SECONDS);
            List<Object> seen = new ArrayList<>();
            try (PulsarAdmin calls = PulsarAdmin.builder().serviceHttpUrl(admin).build()) {
                Transaction txn = begin(60);
                TxnID id = txn.getTxnID();
                producer.newMessage(txn).value("t").send();
                consumer.acknowledgeAsync(message.getMessageId(), txn).get();
                seen.add(calls.transactions().listTransactionCoordinators().isEmpty());
                seen.add(calls.transactions().getCoordinatorStatsById((int) id.getMostSigBits()).state);
                TransactionMetadata metadata = calls.transactions().getTransactionMetadata(id);
                seen.add(metadata.status + " " + metadata.timeoutAt + " " + metadata.producedPartitions.size() + " "
                        + metadata.ackedPartitions.size());
                seen.add(calls.transactions().getTransactionBufferStats(topic).ongoingTxnSize);
                seen.add(calls.transactions().getTransactionInBufferStats(id, topic).aborted);
                seen.add(calls.transactions().getPendingAckStats(topic, "s").ongoingTxnSize);
                calls.transactions().abortTransaction(id);
                seen.add(calls.transactions().getTransactionInBufferStats(id, topic).aborted);
                try {
                    calls.transactions().getTransactionMetadata(id);
                } catch (PulsarAdminException error) {
                    seen.add(error.getStatusCode());
                }
                seen.add(take(consumer, 1));
                seen.add(outcome(txn.commit()));
            }
            return seen;
        });
        client.close();
        System.out.println("> done");
        System.exit(0);
    }
}
