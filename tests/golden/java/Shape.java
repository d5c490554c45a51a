import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/**
 * What one generated protocol class looks like, read by reflection: its fields with numbers, types and labels.
 * Every accessor is looked up here, so that a field that cannot be filled stops the run instead of being missed.
 */
final class Shape {
    static final String PACKAGE = "org.apache.pulsar.common.api.proto.";

    /**
     * Java has no unsigned integers, so the generated classes do not say which fields are signed. The wire is the
     * same for both; only the reading of a value differs. These fields are the signed ones, all others are unsigned.
     */
    private static final Set<String> SIGNED = Set.of(
            "MessageIdData.partition", "MessageIdData.batch_index", "MessageIdData.ack_set", "MessageIdData.batch_size",
            "IntRange.start", "IntRange.end", "MessageMetadata.num_messages_in_batch", "MessageMetadata.deliver_at_time",
            "MessageMetadata.marker_type", "MessageMetadata.num_chunks_from_msg", "MessageMetadata.total_chunk_msg_size",
            "MessageMetadata.chunk_id", "MessageMetadata.compacted_batch_indexes", "SingleMessageMetadata.payload_size",
            "CommandConnect.protocol_version", "CommandConnected.protocol_version", "CommandConnected.max_message_size",
            "CommandAuthResponse.protocol_version", "CommandAuthChallenge.protocol_version",
            "CommandSubscribe.priority_level", "CommandSend.num_messages", "CommandMessage.ack_set",
            "CommandProducerSuccess.last_sequence_id");

    enum Label { REQUIRED, OPTIONAL, REPEATED }

    static final class Entry {
        String name;
        int number;
        int tag;
        Label label;
        Class<?> type;
        String oneof;
        Method has;
        Method get;
        Method count;
        Method set;

        boolean message() {
            return type.getName().startsWith(PACKAGE) && !type.isEnum();
        }
    }

    final Class<?> type;
    final List<Entry> entries = new ArrayList<>();
    private final String oneof;

    private static final Map<Class<?>, Shape> KNOWN = new LinkedHashMap<>();

    static Shape of(Class<?> type) {
        Shape known = KNOWN.get(type);
        if (known == null) {
            known = new Shape(type);
            KNOWN.put(type, known);
        }
        return known;
    }

    private Shape(Class<?> type) {
        this.type = type;
        String oneofName = null;
        for (Class<?> inner : type.getDeclaredClasses()) {
            if (inner.isEnum() && inner.getSimpleName().endsWith("Case")) {
                String simple = inner.getSimpleName();
                oneofName = simple.substring(0, simple.length() - 4).toLowerCase(Locale.ROOT);
            }
        }
        this.oneof = oneofName;
        try {
            for (Field field : type.getDeclaredFields()) {
                if (field.getName().endsWith("_FIELD_NUMBER") && Modifier.isStatic(field.getModifiers())) {
                    entries.add(entry(field));
                }
            }
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(type.getName(), e);
        }
        entries.sort(Comparator.comparingInt(e -> e.number));
    }

    private int constant(String name) throws ReflectiveOperationException {
        Field field = type.getDeclaredField(name);
        field.setAccessible(true);
        return field.getInt(null);
    }

    private boolean declares(String name) {
        for (Field field : type.getDeclaredFields()) {
            if (field.getName().equals(name)) {
                return true;
            }
        }
        return false;
    }

    private Entry entry(Field numberField) throws ReflectiveOperationException {
        String upper = numberField.getName().substring(1, numberField.getName().length() - "_FIELD_NUMBER".length());
        Entry e = new Entry();
        e.name = upper.toLowerCase(Locale.ROOT);
        e.number = constant("_" + upper + "_FIELD_NUMBER");
        e.tag = constant("_" + upper + "_TAG");
        List<String> names = spellings(e.name);
        e.count = find("get", "Count", names, false);
        if (e.count != null) {
            e.label = Label.REPEATED;
            e.get = find("get", "At", names, true);
            e.set = writer("add", names);
        } else {
            e.has = find("has", "", List.of(plain(e.name)), false);
            e.get = find("get", "", List.of(plain(e.name)), false);
            if (e.get == null) {
                e.get = find("is", "", List.of(plain(e.name)), false);
            }
            e.set = writer("set", List.of(plain(e.name)));
            if (!declares("_" + upper + "_MASK")) {
                e.oneof = oneof;
                e.label = Label.OPTIONAL;
            } else {
                e.label = required(upper) ? Label.REQUIRED : Label.OPTIONAL;
            }
        }
        if (e.get == null || e.set == null) {
            throw new IllegalStateException("no accessor for " + type.getSimpleName() + "." + e.name);
        }
        e.type = e.get.getReturnType();
        return e;
    }

    /** Masks are numbered over all fields, 32 to a word, in the order in which the class declares them. */
    private boolean required(String upper) throws ReflectiveOperationException {
        int position = 0;
        for (Field field : type.getDeclaredFields()) {
            String name = field.getName();
            if (name.equals("_" + upper + "_FIELD_NUMBER")) {
                break;
            }
            if (name.endsWith("_FIELD_NUMBER")) {
                position++;
            }
        }
        String word = "_REQUIRED_FIELDS_MASK" + position / 32;
        return declares(word) && (constant(word) & constant("_" + upper + "_MASK")) != 0;
    }

    private static String plain(String name) {
        return name.replace("_", "").toLowerCase(Locale.ROOT);
    }

    /** The generator makes English singulars and plurals of the names of repeated fields. */
    private static List<String> spellings(String name) {
        String base = plain(name);
        List<String> all = new ArrayList<>(List.of(base, base + "s", base + "es"));
        if (base.endsWith("y")) {
            all.add(base.substring(0, base.length() - 1) + "ies");
        }
        if (base.endsWith("ies")) {
            all.add(base.substring(0, base.length() - 3) + "y");
        }
        if (base.endsWith("es")) {
            all.add(base.substring(0, base.length() - 2));
        }
        if (base.endsWith("s")) {
            all.add(base.substring(0, base.length() - 1));
        }
        return all;
    }

    private Method find(String before, String after, List<String> names, boolean indexed) {
        for (Method method : type.getMethods()) {
            String name = method.getName();
            if (method.isSynthetic() || !name.startsWith(before) || !name.endsWith(after)
                    || name.length() <= before.length() + after.length()
                    || method.getParameterCount() != (indexed ? 1 : 0)) {
                continue;
            }
            String middle = name.substring(before.length(), name.length() - after.length());
            if (names.contains(middle.toLowerCase(Locale.ROOT))) {
                return method;
            }
        }
        return null;
    }

    private Method writer(String before, List<String> names) {
        Method found = null;
        for (Method method : type.getMethods()) {
            String name = method.getName();
            if (method.isSynthetic() || !name.startsWith(before) || method.getParameterCount() > 1
                    || !names.contains(name.substring(before.length()).toLowerCase(Locale.ROOT))) {
                continue;
            }
            // Of the two setters for bytes, the one that takes an array.
            if (method.getParameterCount() == 0 || !method.getParameterTypes()[0].getName().startsWith("io.netty")) {
                found = method;
            }
        }
        return found;
    }

    String typeName(Entry e) {
        if (e.type == boolean.class) {
            return "bool";
        } else if (e.type == String.class) {
            return "string";
        } else if (e.type == byte[].class) {
            return "bytes";
        } else if (e.type == double.class) {
            return "double";
        } else if (e.type == float.class) {
            return "float";
        } else if (e.type == int.class) {
            return signed(e) ? "int32" : "uint32";
        } else if (e.type == long.class) {
            return signed(e) ? "int64" : "uint64";
        } else if (e.type.isEnum()) {
            return "enum " + nameOf(e.type);
        }
        return "message " + nameOf(e.type);
    }

    boolean signed(Entry e) {
        return SIGNED.contains(type.getSimpleName() + "." + e.name);
    }

    static String nameOf(Class<?> type) {
        return type.getName().substring(PACKAGE.length()).replace('$', '.');
    }

    static Map<Integer, String> values(Class<?> type) {
        Map<Integer, String> values = new TreeMap<>();
        try {
            Method value = type.getMethod("getValue");
            for (Object constant : type.getEnumConstants()) {
                values.put((Integer) value.invoke(constant), ((Enum<?>) constant).name());
            }
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(type.getName(), e);
        }
        return values;
    }
}
