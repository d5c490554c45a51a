import com.fasterxml.jackson.databind.ObjectMapper;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.Unpooled;
import java.io.IOException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.jar.JarFile;
import org.apache.pulsar.common.api.AuthData;
import org.apache.pulsar.common.api.proto.BaseCommand;
import org.apache.pulsar.common.api.proto.CommandFlow;
import org.apache.pulsar.common.protocol.Commands;
import org.apache.pulsar.common.protocol.schema.BytesSchemaVersion;
import org.apache.pulsar.common.protocol.schema.SchemaVersion;
import org.apache.pulsar.common.schema.SchemaInfo;
import org.apache.pulsar.common.schema.SchemaType;

/**
 * Writes golden vectors and the shape of the protocol, as the classes on the class path have them.
 *
 * <pre>
 * java Golden generate VERSION DIRECTORY
 * java Golden merge BASE NEWER TARGET
 * </pre>
 */
public final class Golden {
    private static final ObjectMapper JSON = new ObjectMapper();

    private final String version;
    private final List<Map<String, Object>> vectors = new ArrayList<>();

    private Golden(String version) {
        this.version = version;
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments.length == 3 && arguments[0].equals("generate")) {
            new Golden(arguments[1]).generate(Path.of(arguments[2]));
        } else if (arguments.length == 4 && arguments[0].equals("merge")) {
            Merge.run(Path.of(arguments[1]), Path.of(arguments[2]), Path.of(arguments[3]));
        } else {
            System.err.println("usage: Golden generate VERSION DIRECTORY | Golden merge BASE NEWER TARGET");
            System.exit(2);
        }
    }

    /** Every message of the protocol, filled, without what else is made of them. */
    static List<Map<String, Object>> filled(String version) throws Exception {
        Golden golden = new Golden(version);
        for (String name : protocolClasses()) {
            Class<?> type = Class.forName(name);
            if (!type.isEnum() && !Shape.nameOf(type).startsWith("LightProtoCodec") && type != BaseCommand.class) {
                golden.message(type);
            }
        }
        golden.commands();
        return golden.vectors;
    }

    private void generate(Path target) throws Exception {
        Set<Class<?>> messages = new LinkedHashSet<>();
        Map<String, Class<?>> enums = new TreeMap<>();
        for (String name : protocolClasses()) {
            Class<?> type = Class.forName(name);
            String simple = Shape.nameOf(type);
            if (simple.startsWith("LightProtoCodec")) {
                continue;
            } else if (!type.isEnum()) {
                messages.add(type);
            } else if (!simple.endsWith("Case")) {
                enums.put(simple, type);
            }
        }
        for (Class<?> type : messages) {
            if (type != BaseCommand.class) {
                message(type);
            }
        }
        commands();
        wideUnsigned();
        helpers();
        Frames.add(this);
        Map<String, Object> schema = schema(messages, enums);
        Files.createDirectories(target);
        write(target.resolve("vectors.json"), vectors);
        JSON.writerWithDefaultPrettyPrinter().writeValue(target.resolve("schema.json").toFile(), schema);
        System.err.printf("%s: %d messages, %d enums, %d vectors%n", version, messages.size(), enums.size(), vectors.size());
    }

    private static Set<String> protocolClasses() throws Exception {
        Path jar = Path.of(BaseCommand.class.getProtectionDomain().getCodeSource().getLocation().toURI());
        String prefix = Shape.PACKAGE.replace('.', '/');
        Set<String> names = new TreeSet<>();
        try (JarFile file = new JarFile(jar.toFile())) {
            file.stream().map(e -> e.getName()).filter(n -> n.startsWith(prefix) && n.endsWith(".class"))
                    .forEach(n -> names.add(n.substring(0, n.length() - 6).replace('/', '.')));
        }
        return names;
    }

    void add(String name, String kind, String message, String variant, byte[] bytes, Object fields) {
        add(name, kind, message, variant, bytes, fields, false);
    }

    private void add(String name, String kind, String message, String variant, byte[] bytes, Object fields,
            boolean decodeOnly) {
        Map<String, Object> vector = new LinkedHashMap<>();
        vector.put("name", name);
        vector.put("kind", kind);
        vector.put("message", message);
        vector.put("variant", variant);
        vector.put("from", version);
        vector.put("hex", HexFormat.of().formatHex(bytes));
        if (decodeOnly) {
            vector.put("decode_only", true);
        }
        vector.put("fields", fields);
        vectors.add(vector);
    }

    private void addMessage(String name, String variant, Object message) {
        byte[] bytes = Filler.bytes(message);
        Object again = Filler.parse(message.getClass(), bytes);
        if (!Arrays.equals(bytes, Filler.bytes(again))) {
            throw new IllegalStateException(name + ": bytes change on a round trip");
        }
        add(name, "message", Shape.nameOf(message.getClass()), variant, bytes, Filler.tree(again),
                !Filler.ordered(message.getClass(), Unpooled.wrappedBuffer(bytes)));
    }

    private static String label(Filler.Variant variant, String choice) {
        return variant.name().toLowerCase(Locale.ROOT) + (choice == null ? "" : "_" + choice);
    }

    private void message(Class<?> type) {
        for (Filler.Variant variant : Filler.Variant.values()) {
            for (String choice : variant == Filler.Variant.MINIMAL ? Arrays.asList((String) null) : Filler.choices(type)) {
                String label = label(variant, choice);
                addMessage(Shape.nameOf(type) + "/" + label, label, Filler.filled(type, variant, choice));
            }
        }
    }

    /** One BaseCommand for every command type, each with its own nested command and nothing else. */
    private void commands() {
        Map<Integer, String> types = Shape.values(BaseCommand.Type.class);
        Map<Integer, Shape.Entry> byNumber = new TreeMap<>();
        for (Shape.Entry e : Shape.of(BaseCommand.class).entries) {
            byNumber.put(e.number, e);
        }
        for (Map.Entry<Integer, String> type : types.entrySet()) {
            Shape.Entry e = byNumber.get(type.getKey());
            if (e == null) {
                throw new IllegalStateException("no field for command " + type);
            }
            for (Filler.Variant variant : Filler.Variant.values()) {
                List<String> choices = variant == Filler.Variant.MINIMAL ? Arrays.asList((String) null)
                        : Filler.choices(e.type);
                for (String choice : choices) {
                    BaseCommand command = new BaseCommand();
                    command.setType(BaseCommand.Type.valueOf(type.getValue()));
                    Filler.fill(Filler.call(e.set, command), variant, choice, new ArrayDeque<>(), 0);
                    String label = label(variant, choice);
                    addMessage("BaseCommand." + type.getValue() + "/" + label, label, command);
                }
            }
        }
    }

    /** Java writes an unsigned 32-bit number above its signed range as a ten-byte varint. To be read, not written. */
    private void wideUnsigned() {
        CommandFlow flow = new CommandFlow().setConsumerId(1).setMessagePermits(-1);
        add("CommandFlow/wide_u32", "message", "CommandFlow", "wide_u32", flow.toByteArray(), Filler.tree(flow), true);
    }

    /** Every public static helper that makes a command, called with values that follow from the parameter's place. */
    private void helpers() throws Exception {
        List<Method> methods = new ArrayList<>();
        for (Method method : Commands.class.getMethods()) {
            boolean frame = method.getReturnType() == ByteBuf.class;
            if (Modifier.isStatic(method.getModifiers()) && method.getName().startsWith("new")
                    && (frame || method.getReturnType() == BaseCommand.class)) {
                methods.add(method);
            }
        }
        methods.sort(Comparator.comparing(Method::getName).thenComparing(Method::toGenericString));
        Map<String, Integer> seen = new TreeMap<>();
        for (Method method : methods) {
            Object[] values = new Object[method.getParameterCount()];
            Type[] types = method.getGenericParameterTypes();
            for (int i = 0; i < values.length; i++) {
                values[i] = argument(method.getName(), types[i], i);
            }
            // Overloads are told apart by the number of their arguments, or by a letter where that is equal.
            String name = "Commands." + method.getName() + "/" + values.length;
            int copy = seen.merge(name, 1, Integer::sum);
            name += copy == 1 ? "" : "" + (char) ('a' + copy - 1);
            byte[] frame;
            try {
                Object result = method.invoke(null, values);
                frame = result instanceof ByteBuf buffer ? ByteBufUtil.getBytes(buffer)
                        : ByteBufUtil.getBytes(Commands.serializeWithSize((BaseCommand) result));
            } catch (ReflectiveOperationException e) {
                System.err.println("skipped " + name + ": " + e.getCause());
                continue;
            }
            BaseCommand command = new BaseCommand();
            command.parseFrom(Unpooled.wrappedBuffer(frame, 8, frame.length - 8), frame.length - 8);
            add(name, "frame", "BaseCommand", "helper", frame, Filler.tree(command),
                    !Filler.ordered(BaseCommand.class, Unpooled.wrappedBuffer(frame, 8, frame.length - 8)));
        }
    }

    private static Object argument(String method, Type type, int index) throws Exception {
        if (type instanceof ParameterizedType generic) {
            Class<?> raw = (Class<?>) generic.getRawType();
            Type[] inner = generic.getActualTypeArguments();
            if (raw == Optional.class) {
                return Optional.of(argument(method, inner[0], index));
            } else if (raw == Map.class) {
                Object value = inner[1] == String[].class ? new String[] {"pulsar://b:6650", "pulsar+ssl://b:6651"}
                        : argument(method, inner[1], index);
                Object key = inner[0] == Integer.class ? (Object) index : "key-" + index;
                return Map.of(key, value);
            } else if (List.class.isAssignableFrom(raw) || raw.isAssignableFrom(List.class)) {
                return List.of(argument(method, inner[0], index), argument(method, inner[0], index + 100));
            } else if (raw.getSimpleName().equals("Triple")) {
                return org.apache.commons.lang3.tuple.Triple.of(7L, 8L,
                        org.apache.pulsar.common.util.collections.ConcurrentBitSetRecyclable.create());
            }
            return null;
        }
        Class<?> raw = (Class<?>) type;
        if (raw == String.class) {
            return method + "-" + index;
        } else if (raw == int.class || raw == Integer.class) {
            return 10 + index;
        } else if (raw == long.class || raw == Long.class) {
            return 1000L + index;
        } else if (raw == boolean.class || raw == Boolean.class) {
            return true;
        } else if (raw == long[].class) {
            return new long[] {-1L, index};
        } else if (raw == AuthData.class) {
            return AuthData.of(("auth-" + index).getBytes());
        } else if (SchemaVersion.class.isAssignableFrom(raw)) {
            return BytesSchemaVersion.of(new byte[] {0, 0, 0, 0, 0, 0, 0, (byte) index});
        } else if (raw == SchemaInfo.class) {
            return SchemaInfo.builder().name("schema").type(SchemaType.AVRO).schema("{}".getBytes())
                    .properties(Map.of("p", "q")).build();
        } else if (raw.getSimpleName().equals("BitSetRecyclable")) {
            org.apache.pulsar.common.util.collections.BitSetRecyclable set =
                    org.apache.pulsar.common.util.collections.BitSetRecyclable.create();
            set.set(0, 70);
            set.clear(3);
            return set;
        } else if (raw.getSimpleName().equals("KeySharedPolicy")) {
            return org.apache.pulsar.client.api.KeySharedPolicy.stickyHashRange()
                    .ranges(org.apache.pulsar.client.api.Range.of(0, 99));
        } else if (raw.getSimpleName().equals("TxnID")) {
            return new org.apache.pulsar.client.api.transaction.TxnID(index, index + 1L);
        } else if (raw.isEnum()) {
            Object[] constants = raw.getEnumConstants();
            return constants[Math.min(1, constants.length - 1)];
        } else if (raw.getName().startsWith(Shape.PACKAGE)) {
            return Filler.filled(raw, Filler.Variant.MAXIMAL, null);
        }
        return null;
    }

    private Map<String, Object> schema(Set<Class<?>> messages, Map<String, Class<?>> enums) {
        Map<String, Object> described = new TreeMap<>();
        for (Class<?> type : messages) {
            Shape shape = Shape.of(type);
            List<Object> fields = new ArrayList<>();
            for (Shape.Entry e : shape.entries) {
                Map<String, Object> field = new LinkedHashMap<>();
                field.put("name", e.name);
                field.put("number", e.number);
                field.put("type", shape.typeName(e));
                field.put("label", e.label.name().toLowerCase(Locale.ROOT));
                field.put("wire_type", e.tag & 7);
                Object value = e.label == Shape.Label.OPTIONAL && !e.message() ? defaultOf(shape, e) : null;
                if (value != null) {
                    field.put("default", value);
                }
                if (e.oneof != null) {
                    field.put("oneof", e.oneof);
                }
                field.put("from", version);
                fields.add(field);
            }
            Map<String, Object> message = new LinkedHashMap<>();
            message.put("from", version);
            List<Integer> order = order(type);
            List<Integer> sorted = order.stream().sorted().toList();
            if (!order.equals(sorted)) {
                message.put("wire_order", order);
            }
            message.put("fields", fields);
            described.put(Shape.nameOf(type), message);
        }
        Map<String, Object> listed = new TreeMap<>();
        for (Map.Entry<String, Class<?>> e : enums.entrySet()) {
            List<Object> values = new ArrayList<>();
            for (Map.Entry<Integer, String> value : Shape.values(e.getValue()).entrySet()) {
                Map<String, Object> one = new LinkedHashMap<>();
                one.put("name", value.getValue());
                one.put("number", value.getKey());
                one.put("from", version);
                values.add(one);
            }
            listed.put(e.getKey(), Map.of("values", values));
        }
        Map<String, Object> schema = new LinkedHashMap<>();
        schema.put("protocol_version", Commands.getCurrentProtocolVersion());
        schema.put("messages", described);
        schema.put("enums", listed);
        return schema;
    }

    /** The getter of a field that is not there answers its default, or throws where there is none. */
    private static Object defaultOf(Shape shape, Shape.Entry e) {
        try {
            Object message = Filler.create(shape.type);
            return Filler.leaf(shape, e, e.get.invoke(message));
        } catch (ReflectiveOperationException none) {
            return null;
        }
    }

    /** Field numbers in the order in which the Java classes write them. */
    private static List<Integer> order(Class<?> type) {
        Set<Integer> numbers = new LinkedHashSet<>();
        ByteBuf bytes = Unpooled.wrappedBuffer(Filler.bytes(Filler.filled(type, Filler.Variant.MAXIMAL, null)));
        while (bytes.isReadable()) {
            long tag = Filler.varint(bytes);
            numbers.add((int) (tag >>> 3));
            switch ((int) (tag & 7)) {
                case 0 -> Filler.varint(bytes);
                case 1 -> bytes.skipBytes(8);
                case 2 -> bytes.skipBytes((int) Filler.varint(bytes));
                default -> bytes.skipBytes(4);
            }
        }
        return new ArrayList<>(numbers);
    }

    static void write(Path file, List<?> vectors) throws IOException {
        StringBuilder text = new StringBuilder("[\n");
        for (int i = 0; i < vectors.size(); i++) {
            text.append(JSON.writeValueAsString(vectors.get(i))).append(i + 1 < vectors.size() ? ",\n" : "\n");
        }
        Files.writeString(file, text.append("]\n"));
    }
}
