import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.apache.pulsar.client.impl.Hash;
import org.apache.pulsar.client.impl.JavaStringHash;
import org.apache.pulsar.client.impl.Murmur3Hash32;

/**
 * Writes keys with the hashes by which the Java client chooses their partitions.
 *
 * <pre>
 * java Keys FILE
 * </pre>
 */
public final class Keys {
    private static final int COUNT = 10_000;

    /** Letters of one, two, three and four bytes, and control characters. */
    private static final String[] ALPHABETS = {
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_:/.",
        "äöüßéèñçøåžščřğıłœæðþ",
        "абвгдежзийклмнопрстуфхцчшщыэюя",
        "日本語中文字符한국어กขคงจ",
        "😀🦀🚀𝔘𝕊🇩🇪👩‍👩‍👧",
        "\u0000\u0001\t\n\u007f\u0080\u00ff\u0100\uffff \"\\",
    };

    public static void main(String[] arguments) throws Exception {
        ObjectMapper json = new ObjectMapper();
        Hash java = JavaStringHash.getInstance();
        Hash murmur = Murmur3Hash32.getInstance();
        try (PrintWriter out = new PrintWriter(
                Files.newBufferedWriter(Path.of(arguments[0]), StandardCharsets.UTF_8))) {
            String separator = "[\n";
            for (String key : keys()) {
                List<Object> row = List.of(key, java.makeHash(key), murmur.makeHash(key));
                out.print(separator + json.writeValueAsString(row));
                separator = ",\n";
            }
            out.println("\n]");
        }
    }

    private static Set<String> keys() {
        Random random = new Random(4);
        Set<String> keys = new LinkedHashSet<>();
        // Such whose hash is Integer.MIN_VALUE, which has no positive counterpart, among them.
        keys.addAll(List.of("", "a", "key", "polygenelubricants", "GydZG_", "DESIGNING WORKHOUSES"));
        for (int number = 0; keys.size() < 2_000; number++) {
            keys.add("key-" + number);
        }
        while (keys.size() < COUNT) {
            StringBuilder key = new StringBuilder();
            int length = 1 + random.nextInt(random.nextInt(10) == 0 ? 100 : 12);
            int[] letters = ALPHABETS[random.nextInt(ALPHABETS.length)].codePoints().toArray();
            for (int at = 0; at < length; at++) {
                if (random.nextInt(8) == 0) {
                    letters = ALPHABETS[random.nextInt(ALPHABETS.length)].codePoints().toArray();
                }
                key.appendCodePoint(letters[random.nextInt(letters.length)]);
            }
            keys.add(key.toString());
        }
        return keys;
    }
}
