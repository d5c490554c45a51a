import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Properties;
import org.apache.pulsar.admin.cli.PulsarAdminTool;
import org.apache.pulsar.client.api.Producer;
import org.apache.pulsar.client.api.PulsarClient;

/** What the commands of pulsar-admin say of a broker: Admin SERVICE_URL ADMIN_URL. */
public class Admin extends PulsarAdminTool {
    static final String UNIQUE = "x" + System.nanoTime();
    static final PrintStream OUT = System.out;
    static String admin;

    Admin(Properties properties) throws Exception {
        super(properties);
    }

    /** Runs one command; what it prints is told, with what differs from run to run left out. */
    static void say(String command) throws Exception {
        List<String> words = new ArrayList<>(Arrays.asList(command.replace("UNIQUE", UNIQUE).split(" ")));
        words.replaceAll(word -> word.replace('~', ' '));
        ByteArrayOutputStream told = new ByteArrayOutputStream();
        PrintStream both = new PrintStream(told, true, "UTF-8");
        Properties properties = new Properties();
        properties.setProperty("webServiceUrl", admin);
        boolean done;
        System.setOut(both);
        System.setErr(both);
        try {
            done = new Admin(properties).run(words.toArray(new String[0]));
        } finally {
            System.setOut(OUT);
        }
        OUT.println("> " + command + " -> " + done);
        String text = told.toString("UTF-8").replace(UNIQUE, "UNIQUE");
        for (String line : text.split("\n")) {
            line = line.replaceAll("\\d{4}-\\d\\d-\\d\\d[T ][\\d:.,Z+-]+", "WHEN")
                    .replaceAll("localhost:\\d+|127\\.0\\.0\\.1:\\d+", "HERE")
                    .replaceAll("\"(ledgerId|timestamp)\" : \\d+", "\"$1\" : N")
                    .replaceAll("\\b\\d+:(-?\\d+)(:-?\\d+)?", "LEDGER:$1")
                    .replaceAll("0x[0-9a-f]{8}_0x[0-9a-f]{8}", "BUNDLE")
                    .replaceAll("\"timestamp\": ?\\d+", "\"timestamp\":N")
                    .replaceAll("(Publish time|Broker entry metadata timestamp): \\d+", "$1: WHEN")
                    .replace("[consume, produce]", "[produce, consume]")
                    .stripTrailing();
            boolean log = line.contains(" WARN ") || line.contains(" ERROR ") || line.contains(" INFO ")
                    || line.startsWith("\tat ") || line.startsWith("SLF4J") || line.startsWith("Caused by");
            if (!line.isEmpty() && !log) {
                OUT.println("> | " + line);
            }
        }
    }

    static String file(String name, String text) throws Exception {
        File file = File.createTempFile(name, ".json");
        file.deleteOnExit();
        Files.write(file.toPath(), text.getBytes(StandardCharsets.UTF_8));
        return file.getPath();
    }

    public static void main(String[] args) throws Exception {
        admin = args[1];
        PulsarClient client = PulsarClient.builder().serviceUrl(args[0]).build();
        String topic = "persistent://UNIQUE/ns/t";
        for (String command : new String[] {
            "clusters list", "clusters get none", "brokers healthcheck", "brokers list standalone",
            "tenants create UNIQUE --allowed-clusters standalone --admin-roles a", "tenants get UNIQUE",
            "tenants update UNIQUE --allowed-clusters standalone --admin-roles b", "tenants get UNIQUE", "tenants get UNIQUE-none",
            "tenants create UNIQUE --allowed-clusters nowhere", "tenants create UNIQUE",
            "namespaces create UNIQUE/ns --bundles 2", "namespaces list UNIQUE", "namespaces bundles UNIQUE/ns", "namespaces create UNIQUE/ns",
            "namespaces set-retention UNIQUE/ns --size 20G --time 1h", "namespaces get-retention UNIQUE/ns", "namespaces remove-retention UNIQUE/ns",
            "namespaces get-retention UNIQUE/ns", "namespaces set-message-ttl UNIQUE/ns --messageTTL 60", "namespaces get-message-ttl UNIQUE/ns",
            "namespaces set-backlog-quota UNIQUE/ns --limit 10G --policy producer_request_hold", "namespaces get-backlog-quotas UNIQUE/ns",
            "namespaces remove-backlog-quota UNIQUE/ns", "namespaces set-deduplication UNIQUE/ns --enable", "namespaces get-deduplication UNIQUE/ns",
            "namespaces remove-deduplication UNIQUE/ns", "namespaces set-schema-compatibility-strategy UNIQUE/ns -c BACKWARD",
            "namespaces get-schema-compatibility-strategy UNIQUE/ns", "namespaces get-schema-validation-enforce UNIQUE/ns",
            "namespaces set-is-allow-auto-update-schema UNIQUE/ns --enable", "namespaces get-is-allow-auto-update-schema UNIQUE/ns",
            "namespaces set-auto-topic-creation UNIQUE/ns --enable --type partitioned --num-partitions 2", "namespaces get-auto-topic-creation UNIQUE/ns",
            "namespaces remove-auto-topic-creation UNIQUE/ns", "namespaces set-persistence UNIQUE/ns -e 1 -w 1 -a 1 -r 0", "namespaces get-persistence UNIQUE/ns",
            "namespaces set-delayed-delivery UNIQUE/ns --enable --time 2s", "namespaces get-delayed-delivery UNIQUE/ns",
            "namespaces set-compaction-threshold UNIQUE/ns --threshold 1M", "namespaces get-compaction-threshold UNIQUE/ns", "namespaces remove-compaction-threshold UNIQUE/ns",
            "namespaces set-max-producers-per-topic UNIQUE/ns -p 10", "namespaces get-max-producers-per-topic UNIQUE/ns",
            "namespaces grant-permission UNIQUE/ns --role r --actions produce,consume", "namespaces permissions UNIQUE/ns",
            "namespaces revoke-permission UNIQUE/ns --role r", "namespaces set-property UNIQUE/ns -k a -v b", "namespaces get-properties UNIQUE/ns",
            "namespaces policies UNIQUE/none", "topics create " + topic, "topics create " + topic, "topics list UNIQUE/ns",
            "topics create-partitioned-topic persistent://UNIQUE/ns/p -p 2", "topics update-partitioned-topic persistent://UNIQUE/ns/p -p 3",
            "topics get-partitioned-topic-metadata persistent://UNIQUE/ns/p", "topics list-partitioned-topics UNIQUE/ns",
            "topics lookup " + topic, "topics bundle-range " + topic, "topics create-subscription " + topic + " -s s -m earliest",
            "topics subscriptions " + topic,
        }) {
            say(command);
        }
        Producer<byte[]> producer = client.newProducer().topic(topic.replace("UNIQUE", UNIQUE)).enableBatching(false).producerName("p").create();
        for (int n = 0; n < 4; n++) {
            producer.newMessage().key("k" + n).property("n", "" + n).value(("m" + n).getBytes()).send();
        }
        producer.close();
        for (String command : new String[] {
            "topics peek-messages " + topic + " -s s -n 2", "topics examine-messages " + topic + " -i earliest -m 2", "topics last-message-id " + topic,
            "topics skip " + topic + " -s s -n 1", "topics peek-messages " + topic + " -s s -n 1", "topics analyze-backlog " + topic + " -s s",
            "topics reset-cursor " + topic + " -s s -m earliest", "topics skip " + topic + " -s none -n 1", "topics clear-backlog " + topic + " -s s",
            "topics peek-messages " + topic + " -s s -n 1", "topics expire-messages " + topic + " -s s -t 1",
            "topics update-subscription-properties " + topic + " -s s -p a=b", "topics get-subscription-properties " + topic + " -s s",
            "topics compact " + topic, "topics unload " + topic, "topics set-message-ttl " + topic + " -t 10", "topics get-message-ttl " + topic,
            "topicPolicies set-max-producers " + topic + " -p 3", "topicPolicies get-max-producers " + topic, "topicPolicies remove-max-producers " + topic,
            "topicPolicies get-max-producers " + topic, "topicPolicies set-retention " + topic + " -s 20G -t 2h", "topicPolicies get-retention " + topic,
            "topics unsubscribe " + topic + " -s s", "topics unsubscribe " + topic + " -s s", "topics terminate " + topic,
            "topics partitioned-terminate persistent://UNIQUE/ns/p", "topics delete persistent://UNIQUE/ns/none", "topics delete persistent://UNIQUE/ns/p",
            "topics stats persistent://UNIQUE/ns/none", "topics delete-partitioned-topic persistent://UNIQUE/ns/p", "topics list-partitioned-topics UNIQUE/ns",
        }) {
            say(command);
        }
        String one = file("one", "{\"type\":\"AVRO\",\"schema\":\"{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"R\\\",\\\"fields\\\":[{\\\"name\\\":\\\"a\\\",\\\"type\\\":\\\"int\\\"}]}\",\"properties\":{}}");
        String two = file("two", "{\"type\":\"AVRO\",\"schema\":\"{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"R\\\",\\\"fields\\\":[{\\\"name\\\":\\\"a\\\",\\\"type\\\":\\\"int\\\"},{\\\"name\\\":\\\"b\\\",\\\"type\\\":\\\"int\\\",\\\"default\\\":1}]}\",\"properties\":{}}");
        schema("persistent://UNIQUE/ns/s", one, two);
        for (String command : new String[] {
            "topics delete " + topic, "topics delete persistent://UNIQUE/ns/s", "namespaces delete UNIQUE/ns", "tenants delete UNIQUE", "tenants delete UNIQUE",
        }) {
            say(command);
        }
        client.close();
        OUT.println("> done");
        System.exit(0);
    }

    static void schema(String topic, String one, String two) throws Exception {
        say("topics create " + topic);
        say("schemas get " + topic);
        for (String each : new String[] {one, two, one}) {
            upload(topic, each);
        }
        say("schemas get " + topic);
        say("schemas get " + topic + " -v 0");
        say("schemas delete " + topic);
        say("schemas get " + topic);
    }

    static void upload(String topic, String file) throws Exception {
        Properties properties = new Properties();
        properties.setProperty("webServiceUrl", admin);
        boolean done = new Admin(properties).run(new String[] {"schemas", "upload", topic.replace("UNIQUE", UNIQUE), "-f", file});
        OUT.println("> schemas upload -> " + done);
    }
}
