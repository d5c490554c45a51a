import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;

/** Adds to one version's output what a newer one has more. What both have must agree, or the run stops. */
final class Merge {
    private static final ObjectMapper JSON = new ObjectMapper();

    private Merge() {
    }

    static void run(Path base, Path newer, Path target) throws IOException {
        Files.createDirectories(target);
        vectors(base, newer, target);
        ObjectNode into = (ObjectNode) JSON.readTree(base.resolve("schema.json").toFile());
        JsonNode from = JSON.readTree(newer.resolve("schema.json").toFile());
        members((ObjectNode) into.get("messages"), (ObjectNode) from.get("messages"), "fields");
        members((ObjectNode) into.get("enums"), (ObjectNode) from.get("enums"), "values");
        into.put("protocol_version", Math.max(into.get("protocol_version").asInt(), from.get("protocol_version").asInt()));
        StringBuilder text = new StringBuilder("{\n\"protocol_version\": " + into.get("protocol_version"));
        for (String part : new String[] {"messages", "enums"}) {
            text.append(",\n\"").append(part).append("\": {");
            String between = "\n";
            List<String> names = new ArrayList<>();
            into.get(part).fieldNames().forEachRemaining(names::add);
            names.sort(String::compareTo);
            for (String name : names) {
                JsonNode member = into.get(part).get(name);
                text.append(between).append('"').append(name).append("\": {");
                between = ",\n";
                String comma = "";
                Iterator<Map.Entry<String, JsonNode>> entries = member.fields();
                while (entries.hasNext()) {
                    Map.Entry<String, JsonNode> e = entries.next();
                    text.append(comma).append('"').append(e.getKey()).append("\": ");
                    comma = ", ";
                    if (e.getKey().equals("fields") || e.getKey().equals("values")) {
                        String line = "[\n  ";
                        for (JsonNode one : e.getValue()) {
                            text.append(line).append(JSON.writeValueAsString(one));
                            line = ",\n  ";
                        }
                        text.append(e.getValue().isEmpty() ? "[]" : "]");
                    } else {
                        text.append(JSON.writeValueAsString(e.getValue()));
                    }
                }
                text.append("}");
            }
            text.append("\n}");
        }
        Files.writeString(target.resolve("schema.json"), text.append("\n}\n"));
    }

    private static void members(ObjectNode into, ObjectNode from, String list) {
        Iterator<Map.Entry<String, JsonNode>> all = from.fields();
        while (all.hasNext()) {
            Map.Entry<String, JsonNode> e = all.next();
            JsonNode old = into.get(e.getKey());
            if (old == null) {
                e.getValue().get(list).forEach(Merge::dropZeroDefault);
                into.set(e.getKey(), e.getValue());
                continue;
            }
            if (e.getValue().has("wire_order")) {
                ((ObjectNode) old).set("newer_wire_order", e.getValue().get("wire_order"));
            }
            Map<Integer, JsonNode> known = new HashMap<>();
            old.get(list).forEach(field -> known.put(field.get("number").asInt(), field));
            for (JsonNode field : e.getValue().get(list)) {
                JsonNode same = known.get(field.get("number").asInt());
                if (same == null) {
                    dropZeroDefault(field);
                    ((ArrayNode) old.get(list)).add(field);
                } else {
                    ObjectNode a = same.deepCopy();
                    ObjectNode b = field.deepCopy();
                    String name = field.get("name").asText();
                    if (!name.equals(same.get("name").asText())) {
                        // The number is the fact; a newer name for it is noted beside the old one.
                        ((ObjectNode) same).put("newer_name", name);
                    }
                    a.remove(List.of("from", "default", "name"));
                    b.remove(List.of("from", "default", "name"));
                    if (!a.equals(b)) {
                        throw new IllegalStateException(e.getKey() + ": " + a + " became " + b);
                    }
                }
            }
        }
    }

    /** Newer generated classes answer zero where no default is declared, so a zero (or an enum's first value) says nothing. */
    private static void dropZeroDefault(JsonNode field) {
        String value = field.path("default").asText();
        if (field.path("type").asText().startsWith("enum") || value.isEmpty() || value.equals("0") || value.equals("false") || value.equals("0.0")) {
            ((ObjectNode) field).remove("default");
        }
    }

    private static void vectors(Path base, Path newer, Path target) throws IOException {
        List<JsonNode> all = new ArrayList<>();
        Map<String, String> known = new HashMap<>();
        for (JsonNode vector : JSON.readTree(base.resolve("vectors.json").toFile())) {
            known.put(vector.get("name").asText(), vector.get("hex").asText());
            all.add(vector);
        }
        for (JsonNode vector : JSON.readTree(newer.resolve("vectors.json").toFile())) {
            String hex = known.get(vector.get("name").asText());
            if (hex == null) {
                all.add(vector);
            } else if (!hex.equals(vector.get("hex").asText())) {
                ObjectNode renamed = vector.deepCopy();
                renamed.put("name", vector.get("name").asText() + "@" + vector.get("from").asText());
                all.add(renamed);
            }
        }
        Golden.write(target.resolve("vectors.json"), all);
        System.err.printf("%d vectors%n", all.size());
    }
}
