import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Fills any generated message with values that follow from the field's name alone, and reads any message back. */
final class Filler {
    enum Variant {
        /** Required fields only. */
        MINIMAL,
        /** Every field, two entries where repeated, values that tell fields apart. */
        MAXIMAL,
        /** Every field, at the far ends: high bits, negative numbers, empty bytes, text that is not ASCII. */
        EXTREME,
        /** Every field present and zero, false or empty: presence must survive. */
        ZERO
    }

    private Filler() {
    }

    static Object create(Class<?> type) {
        try {
            return type.getDeclaredConstructor().newInstance();
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(type.getName(), e);
        }
    }

    static Object filled(Class<?> type, Variant variant, String oneofChoice) {
        Object message = create(type);
        fill(message, variant, oneofChoice, new ArrayDeque<>(), 0);
        return message;
    }

    /** The members of the type's oneof, or one null where it has none. */
    static List<String> choices(Class<?> type) {
        List<String> choices = new ArrayList<>();
        for (Shape.Entry e : Shape.of(type).entries) {
            if (e.oneof != null) {
                choices.add(e.name);
            }
        }
        if (choices.isEmpty()) {
            choices.add(null);
        }
        return choices;
    }

    /** The salt tells the entries of a repeated message apart. */
    static void fill(Object message, Variant variant, String oneofChoice, Deque<Class<?>> path, int salt) {
        Shape shape = Shape.of(message.getClass());
        path.push(message.getClass());
        for (Shape.Entry e : shape.entries) {
            if (variant == Variant.MINIMAL && e.label != Shape.Label.REQUIRED) {
                continue;
            }
            if (e.oneof != null && oneofChoice != null && !e.name.equals(oneofChoice)) {
                continue;
            }
            int times = e.label == Shape.Label.REPEATED && variant != Variant.ZERO ? 2 : 1;
            for (int i = 0; i < times; i++) {
                if (e.message()) {
                    // A message that holds itself (a chunk's first id) is nested once.
                    if (path.stream().filter(c -> c == e.type).count() < 2) {
                        fill(call(e.set, message), variant, null, path, salt + i);
                    }
                } else {
                    call(e.set, message, value(shape, e, variant, salt + i));
                }
            }
        }
        path.pop();
    }

    private static Object value(Shape shape, Shape.Entry e, Variant variant, int index) {
        long hash = hash(shape.type.getSimpleName() + "." + e.name + "#" + index);
        boolean zero = variant == Variant.ZERO;
        boolean extreme = variant == Variant.EXTREME;
        if (e.type == boolean.class) {
            return !zero && (!extreme || (hash & 1) == 0);
        } else if (e.type == String.class) {
            return zero ? "" : extreme ? "\u00e9\u4e16\ud83c\udf0a-" + e.number + "-" + index : e.name + "-" + index;
        } else if (e.type == byte[].class) {
            byte[] bytes = new byte[zero || extreme ? 0 : 3 + index];
            for (int i = 0; i < bytes.length; i++) {
                bytes[i] = (byte) (hash >>> (8 * i) | (i == 0 ? 0x80 : 0));
            }
            return bytes;
        } else if (e.type == double.class) {
            return zero ? 0.0 : (extreme ? -1e300 : 1) * ((hash & 0xffff) + 0.125);
        } else if (e.type == int.class) {
            if (zero) {
                return 0;
            }
            return extreme ? (shape.signed(e) ? Integer.MIN_VALUE + index : Integer.MAX_VALUE - index)
                    : (int) (hash & 0x7fffff) + 1;
        } else if (e.type == long.class) {
            if (zero) {
                return 0L;
            }
            return extreme ? (Long.MIN_VALUE | (hash & 0xffffffffffL)) : (hash & 0x3fffffffffffL) + 1;
        } else if (e.type.isEnum()) {
            List<Integer> numbers = new ArrayList<>(Shape.values(e.type).keySet());
            int pick = zero ? 0 : extreme ? numbers.size() - 1 : Math.min(1, numbers.size() - 1);
            String name = Shape.values(e.type).get(numbers.get(pick));
            for (Object constant : e.type.getEnumConstants()) {
                if (((Enum<?>) constant).name().equals(name)) {
                    return constant;
                }
            }
        }
        throw new IllegalStateException("no value for " + shape.type.getSimpleName() + "." + e.name);
    }

    /** FNV-1a, 64 bits. */
    static long hash(String text) {
        long hash = 0xcbf29ce484222325L;
        for (byte b : text.getBytes(StandardCharsets.UTF_8)) {
            hash = (hash ^ (b & 0xff)) * 0x100000001b3L;
        }
        return hash ^ (hash >>> 29);
    }

    static Object call(Method method, Object target, Object... arguments) {
        try {
            method.setAccessible(true);
            return method.invoke(target, arguments);
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(method.toString(), e);
        }
    }

    static byte[] bytes(Object message) {
        try {
            return (byte[]) call(message.getClass().getMethod("toByteArray"), message);
        } catch (NoSuchMethodException e) {
            throw new IllegalStateException(e);
        }
    }

    static Object parse(Class<?> type, byte[] bytes) {
        Object message = create(type);
        try {
            // An empty array is not read at all by some generated classes; a buffer with a length always is.
            ByteBuf buffer = Unpooled.wrappedBuffer(bytes);
            call(type.getMethod("parseFrom", ByteBuf.class, int.class), message, buffer, bytes.length);
        } catch (NoSuchMethodException e) {
            throw new IllegalStateException(e);
        }
        return message;
    }

    /** Whether the bytes hold their fields in the order of their numbers, all the way down. */
    static boolean ordered(Class<?> type, ByteBuf bytes) {
        Map<Integer, Shape.Entry> fields = new LinkedHashMap<>();
        Shape.of(type).entries.forEach(e -> fields.put(e.number, e));
        int last = 0;
        while (bytes.isReadable()) {
            long tag = varint(bytes);
            int number = (int) (tag >>> 3);
            if (number < last) {
                return false;
            }
            last = number;
            switch ((int) (tag & 7)) {
                case 0 -> varint(bytes);
                case 1 -> bytes.skipBytes(8);
                case 2 -> {
                    ByteBuf nested = bytes.readSlice((int) varint(bytes));
                    if (fields.get(number).message() && !ordered(fields.get(number).type, nested)) {
                        return false;
                    }
                }
                default -> bytes.skipBytes(4);
            }
        }
        return true;
    }

    static long varint(ByteBuf bytes) {
        long value = 0;
        for (int shift = 0; ; shift += 7) {
            byte b = bytes.readByte();
            value |= (long) (b & 0x7f) << shift;
            if (b >= 0) {
                return value;
            }
        }
    }

    static Map<String, Object> tree(Object message) {
        Shape shape = Shape.of(message.getClass());
        Map<String, Object> tree = new LinkedHashMap<>();
        for (Shape.Entry e : shape.entries) {
            if (e.label == Shape.Label.REPEATED) {
                int count = (Integer) call(e.count, message);
                if (count > 0) {
                    List<Object> list = new ArrayList<>();
                    for (int i = 0; i < count; i++) {
                        list.add(leaf(shape, e, call(e.get, message, i)));
                    }
                    tree.put(e.name, list);
                }
            } else if ((Boolean) call(e.has, message)) {
                tree.put(e.name, leaf(shape, e, call(e.get, message)));
            }
        }
        return tree;
    }

    static Object leaf(Shape shape, Shape.Entry e, Object value) {
        if (e.message()) {
            return tree(value);
        } else if (value instanceof byte[] bytes) {
            return HexFormat.of().formatHex(bytes);
        } else if (value instanceof Long number) {
            return shape.signed(e) ? Long.toString(number) : Long.toUnsignedString(number);
        } else if (value instanceof Integer number) {
            return shape.signed(e) ? (Object) number : (Object) Integer.toUnsignedLong(number);
        } else if (value instanceof Enum<?> constant) {
            return constant.name();
        }
        return value;
    }
}
