import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import java.io.PrintWriter;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.apache.pulsar.client.api.BatchReceivePolicy;
import org.apache.pulsar.client.api.DeadLetterPolicy;
import org.apache.pulsar.client.impl.MultiplierRedeliveryBackoff;
import org.apache.pulsar.client.impl.conf.ClientConfigurationData;
import org.apache.pulsar.client.impl.conf.ConsumerConfigurationData;
import org.apache.pulsar.client.impl.conf.ProducerConfigurationData;
import org.apache.pulsar.client.impl.conf.ReaderConfigurationData;
import org.apache.pulsar.client.util.RetryMessageUtil;

/**
 * Writes what the Java client's options are when nobody sets them.
 *
 * <pre>
 * java Defaults FILE
 * </pre>
 */
public final class Defaults {
    /** These are as many as the machine has processors. */
    private static final Set<String> OF_THE_MACHINE = Set.of("numIoThreads", "numListenerThreads");

    public static void main(String[] arguments) throws Exception {
        Map<String, Object> all = new TreeMap<>();
        all.put("client", fields(new ClientConfigurationData()));
        all.put("producer", fields(new ProducerConfigurationData()));
        all.put("consumer", fields(new ConsumerConfigurationData<byte[]>()));
        all.put("reader", fields(new ReaderConfigurationData<byte[]>()));
        all.put("batch_receive_policy", fields(BatchReceivePolicy.DEFAULT_POLICY));
        all.put("redelivery_backoff", fields(MultiplierRedeliveryBackoff.builder().build()));
        all.put("dead_letter_policy", fields(DeadLetterPolicy.builder().build()));
        all.put("retry", Map.of("maxReconsumeTimes", RetryMessageUtil.MAX_RECONSUMETIMES));
        ObjectMapper json = new ObjectMapper()
                .enable(SerializationFeature.INDENT_OUTPUT, SerializationFeature.ORDER_MAP_ENTRIES_BY_KEYS);
        try (PrintWriter out = new PrintWriter(
                Files.newBufferedWriter(Path.of(arguments[0]), StandardCharsets.UTF_8))) {
            // As the formatter of this repository has it.
            out.println(json.writeValueAsString(all).replace("\" : ", "\": ").replace("[ ]", "[]").replace("{ }", "{}"));
        }
    }

    private static Map<String, Object> fields(Object of) throws Exception {
        Map<String, Object> fields = new TreeMap<>();
        for (Class<?> type = of.getClass(); type != Object.class; type = type.getSuperclass()) {
            for (Field field : type.getDeclaredFields()) {
                if (Modifier.isStatic(field.getModifiers())) {
                    continue;
                }
                field.setAccessible(true);
                boolean machine = OF_THE_MACHINE.contains(field.getName());
                fields.put(field.getName(), machine ? "as many as processors" : value(field.get(of)));
            }
        }
        return fields;
    }

    private static Object value(Object value) throws Exception {
        if (value == null || value instanceof Number || value instanceof Boolean || value instanceof String) {
            return value;
        }
        if (value instanceof Enum<?> one) {
            return one.name();
        }
        if (value instanceof Map<?, ?> map) {
            return map;
        }
        if (value instanceof Collection<?> many) {
            List<Object> values = new ArrayList<>();
            for (Object one : many) {
                values.add(value(one));
            }
            return values;
        }
        return "a " + value.getClass().getSimpleName();
    }
}
