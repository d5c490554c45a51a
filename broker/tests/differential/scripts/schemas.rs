//! The schema registry: versions, compatibility, and what clients are told.

use pulsewire_proto::wire::*;

use super::{close_consumer, close_producer, scripts};
use crate::common::{producer_on, subscribe};
use crate::side::{Side, Who};

/// Definitions of records, from which pairs are made.
const SHAPES: &[(&str, &str)] = &[
    ("one", r#"{"type":"record","name":"R","namespace":"n","fields":[{"name":"a","type":"int"}]}"#),
    (
        "docs",
        r#"{"type":"record","name":"R","namespace":"n","doc":"same","fields":[{"name":"a","type":"int","doc":"x"}]}"#,
    ),
    ("spaces", r#"{ "name":"R", "namespace":"n", "type":"record", "fields":[ {"type":"int","name":"a"} ] }"#),
    ("other-name", r#"{"type":"record","name":"S","namespace":"m","fields":[{"name":"a","type":"int"}]}"#),
    ("wider", r#"{"type":"record","name":"R","namespace":"n","fields":[{"name":"a","type":"long"}]}"#),
    ("text", r#"{"type":"record","name":"R","namespace":"n","fields":[{"name":"a","type":"string"}]}"#),
    ("bytes", r#"{"type":"record","name":"R","namespace":"n","fields":[{"name":"a","type":"bytes"}]}"#),
    (
        "nullable",
        r#"{"type":"record","name":"R","namespace":"n","fields":[{"name":"a","type":["null","int"],"default":null}]}"#,
    ),
    (
        "two",
        r#"{"type":"record","name":"R","namespace":"n","fields":[{"name":"a","type":"int"},{"name":"b","type":"string"}]}"#,
    ),
    (
        "two-default",
        r#"{"type":"record","name":"R","namespace":"n","fields":[{"name":"a","type":"int"},{"name":"b","type":"string","default":""}]}"#,
    ),
    (
        "alias",
        r#"{"type":"record","name":"R","namespace":"n","fields":[{"name":"z","aliases":["a"],"type":"int"}]}"#,
    ),
    (
        "enum",
        r#"{"type":"record","name":"R","namespace":"n","fields":[{"name":"e","type":{"type":"enum","name":"E","symbols":["A","B"]}}]}"#,
    ),
    (
        "enum-less",
        r#"{"type":"record","name":"R","namespace":"n","fields":[{"name":"e","type":{"type":"enum","name":"E","symbols":["A"]}}]}"#,
    ),
    (
        "enum-other",
        r#"{"type":"record","name":"R","namespace":"n","fields":[{"name":"e","type":{"type":"enum","name":"F","symbols":["A","B"]}}]}"#,
    ),
    (
        "list",
        r#"{"type":"record","name":"R","namespace":"n","fields":[{"name":"l","type":{"type":"array","items":"int"}}]}"#,
    ),
    (
        "list-long",
        r#"{"type":"record","name":"R","namespace":"n","fields":[{"name":"l","type":{"type":"array","items":"long"}}]}"#,
    ),
    (
        "map",
        r#"{"type":"record","name":"R","namespace":"n","fields":[{"name":"l","type":{"type":"map","values":"float"}}]}"#,
    ),
    (
        "fixed",
        r#"{"type":"record","name":"R","namespace":"n","fields":[{"name":"f","type":{"type":"fixed","name":"F","size":4}}]}"#,
    ),
    (
        "fixed-8",
        r#"{"type":"record","name":"R","namespace":"n","fields":[{"name":"f","type":{"type":"fixed","name":"F","size":8}}]}"#,
    ),
    (
        "tree",
        r#"{"type":"record","name":"T","fields":[{"name":"v","type":"int"},{"name":"next","type":["null","T"],"default":null}]}"#,
    ),
    (
        "tree-more",
        r#"{"type":"record","name":"T","fields":[{"name":"v","type":"long"},{"name":"next","type":["null","T"],"default":null},{"name":"w","type":"int","default":1}]}"#,
    ),
    (
        "union-of-records",
        r#"{"type":"record","name":"U","fields":[{"name":"u","type":["null",{"type":"record","name":"X","fields":[{"name":"x","type":"int"}]},{"type":"record","name":"Y","fields":[{"name":"y","type":"int"}]}]}]}"#,
    ),
    (
        "union-of-fewer",
        r#"{"type":"record","name":"U","fields":[{"name":"u","type":["null",{"type":"record","name":"X","fields":[{"name":"x","type":"long"}]}]}]}"#,
    ),
    (
        "union-renamed",
        r#"{"type":"record","name":"U","fields":[{"name":"u","type":["null",{"type":"record","name":"Z","fields":[{"name":"x","type":"long"}]},{"type":"record","name":"Y","fields":[{"name":"y","type":"int"}]}]}]}"#,
    ),
    (
        "logical",
        r#"{"type":"record","name":"R","namespace":"n","fields":[{"name":"a","type":{"type":"int","logicalType":"date"}}]}"#,
    ),
];

fn payload(kind: &str, schema: &str) -> String {
    serde_json::json!({ "type": kind, "schema": schema, "properties": {} }).to_string()
}

fn shape(name: &str) -> &'static str {
    SHAPES.iter().find(|(other, _)| *other == name).unwrap().1
}

fn schema(kind: SchemaType, data: &str) -> Schema {
    Schema {
        name: "s".to_owned(),
        schema_data: data.as_bytes().to_vec().into(),
        r#type: kind,
        properties: Vec::new(),
    }
}

fn producer_with(id: u64, topic: &str, schema: Schema) -> CommandProducer {
    CommandProducer { schema: Some(schema), producer_name: Some(format!("p{id}")), ..producer_on(id, topic) }
}

fn consumer_with(id: u64, topic: &str, schema: Schema) -> CommandSubscribe {
    CommandSubscribe { schema: Some(schema), ..subscribe(id, topic, &format!("s{id}"), SubType::SHARED) }
}

/// What differs and does not matter.
fn quiet(s: &mut Side) {
    s.replace(r#""timestamp":\d+"#, r#""timestamp":WHEN"#);
    // The library prints both schemas in full.
    s.replace(r"(?s)(SchemaValidationException|SchemaParseException|AvroRuntimeException|JsonParseException|deserialize ProtobufNative Schema failed).*", "$1: ..");
    // How the real one fails is of no use to a client.
    s.replace(r"\\n\\nStacktrace.*", "\"}");
    s.replace(r"(?s)caused by (org\.apache\.avro|com\.fasterxml).*", "caused by ..");
}

/// A namespace with a strategy.
fn namespace(s: &mut Side, strategy: &str) -> String {
    let name = format!("public/{}-{}", s.short(), strategy.to_lowercase().replace('_', "-"));
    s.admin("PUT", &format!("namespaces/{name}"), "");
    if !strategy.is_empty() {
        s.admin("PUT", &format!("namespaces/{name}/schemaCompatibilityStrategy"), &format!("\"{strategy}\""));
    }
    name
}

/// Whether each shape may follow each other one.
fn pairs(s: &mut Side, strategy: &str, kind: &str) {
    quiet(s);
    let namespace = namespace(s, strategy);
    for (from, schema) in SHAPES {
        let path = format!("schemas/{namespace}/{from}");
        s.admin("PUT", &format!("persistent/{namespace}/{from}"), "");
        let (status, _) = s.admin("POST", &format!("{path}/schema"), &payload(kind, schema));
        assert_eq!(status, 200);
        let mut line = format!("{from}:");
        for (to, schema) in SHAPES {
            let (status, answer) = s.admin("POST", &format!("{path}/compatibility"), &payload(kind, schema));
            let json: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
            let verdict = match (status, json["compatibility"].as_bool()) {
                (200, Some(true)) => "yes".to_owned(),
                (200, Some(false)) => "no".to_owned(),
                (status, _) => format!("{status}"),
            };
            line += &format!(" {to}={verdict}");
        }
        s.note(line);
    }
}

/// Opens a producer and closes it again.
fn produce(s: &mut Side, who: Who, topic: &str, with: Schema) {
    s.ask(who, producer_with(1, topic, with));
    s.say(who, close_producer(1));
    s.hear(who);
}

fn consume(s: &mut Side, who: Who, topic: &str, with: Schema) {
    s.ask(who, consumer_with(1, topic, with));
    s.say(who, close_consumer(1));
    s.hear(who);
}

scripts! {
    fn schemas_that_may_follow_each_other_backward(s) {
        pairs(s, "BACKWARD", "AVRO");
    }

    fn schemas_that_may_follow_each_other_forward(s) {
        pairs(s, "FORWARD", "AVRO");
    }

    fn schemas_that_may_follow_each_other_full(s) {
        pairs(s, "FULL", "JSON");
    }

    fn schemas_over_the_wire(s) {
        quiet(s);
        let topic = s.topic();
        let a = s.client();
        let get = |version: Option<Vec<u8>>| CommandGetSchema { request_id: 7, topic: topic.clone(), schema_version: version.map(Into::into) };
        s.ask(a, get(None));
        s.ask(a, CommandGetOrCreateSchema { request_id: 8, topic: topic.clone(), schema: schema(SchemaType::STRING, ""), producer_name: None });
        s.find(a, &topic);
        s.ask(a, producer_with(1, &topic, schema(SchemaType::AVRO, shape("one"))));
        s.ask(a, get(None));
        s.ask(a, producer_with(2, &topic, schema(SchemaType::AVRO, shape("docs"))));
        s.ask(a, producer_with(3, &topic, schema(SchemaType::AVRO, shape("spaces"))));
        s.ask(a, producer_with(4, &topic, schema(SchemaType::AVRO, shape("two"))));
        s.ask(a, producer_with(4, &topic, schema(SchemaType::AVRO, shape("two-default"))));
        s.ask(a, producer_with(5, &topic, schema(SchemaType::JSON, shape("one"))));
        s.ask(a, producer_with(5, &topic, schema(SchemaType::STRING, "")));
        s.ask(a, producer_with(5, &topic, schema(SchemaType::NONE, "")));
        s.ask(a, producer_on(6, &topic));
        s.ask(a, producer_with(7, &topic, schema(SchemaType::AUTO_CONSUME, "")));
        s.ask(a, producer_with(7, &topic, schema(SchemaType::AVRO, "this is none")));
        s.ask(a, producer_with(7, &topic, schema(SchemaType::AVRO, "\"int\"")));
        s.ask(a, CommandGetOrCreateSchema { request_id: 9, topic: topic.clone(), schema: schema(SchemaType::AVRO, shape("one")), producer_name: None });
        s.ask(a, CommandGetOrCreateSchema { request_id: 10, topic: topic.clone(), schema: schema(SchemaType::AVRO, shape("text")), producer_name: None });
        s.ask(a, get(Some(vec![0; 8])));
        s.ask(a, get(Some(vec![0, 0, 0, 0, 0, 0, 0, 1])));
        s.ask(a, get(Some(vec![0, 0, 0, 0, 0, 0, 0, 9])));
        s.ask(a, consumer_with(1, &topic, schema(SchemaType::AVRO, shape("two"))));
        s.ask(a, consumer_with(2, &topic, schema(SchemaType::AVRO, shape("one"))));
        s.ask(a, consumer_with(3, &topic, schema(SchemaType::AUTO_CONSUME, "")));
        s.ask(a, subscribe(4, &topic, "plain", SubType::SHARED));
        s.ask(a, consumer_with(5, &topic, schema(SchemaType::STRING, "")));
        s.ask(a, consumer_with(6, &topic, schema(SchemaType::AVRO, shape("text"))));
        s.ask(a, consumer_with(7, &topic, schema(SchemaType::NONE, "")));
        s.ask(a, CommandGetSchema { request_id: 11, topic: "no://such/topic".to_owned(), schema_version: None });
    }

    fn schemas_that_consumers_bring(s) {
        quiet(s);
        let topic = s.topic();
        let a = s.client();
        s.find(a, &topic);
        // The first one to come brings it; another one has to fit.
        s.ask(a, consumer_with(1, &topic, schema(SchemaType::AUTO_CONSUME, "")));
        s.ask(a, consumer_with(2, &topic, schema(SchemaType::JSON, shape("one"))));
        s.ask(a, consumer_with(3, &topic, schema(SchemaType::JSON, shape("two"))));
        s.ask(a, producer_with(1, &topic, schema(SchemaType::JSON, shape("one"))));
        // Where messages are but no schema is, none is brought.
        let other = format!("{topic}-other");
        s.ask(a, producer_on(2, &other));
        s.publish(a, 2, 0, MessageMetadata::default(), "x");
        s.ask(a, consumer_with(4, &other, schema(SchemaType::JSON, shape("one"))));
        s.ask(a, producer_with(3, &other, schema(SchemaType::JSON, shape("one"))));
        s.ask(a, consumer_with(5, &other, schema(SchemaType::JSON, shape("one"))));
    }

    /// A topic in use that has none takes consumers with any, where any may follow any; none is kept.
    fn schemas_that_consumers_bring_too_late(s) {
        quiet(s);
        let a = s.client();
        for (n, strategy) in ["ALWAYS_COMPATIBLE", "ALWAYS_INCOMPATIBLE", "FULL"].into_iter().enumerate() {
            s.note(format!("-- {strategy}"));
            let name = namespace(s, strategy);
            for kind in ["persistent", "non-persistent"] {
                let n = n as u64 * 10 + if kind == "persistent" { 0 } else { 5 };
                let topic = format!("{kind}://{name}/t");
                s.find(a, &topic);
                s.ask(a, producer_on(n, &topic));
                s.ask(a, consumer_with(n, &topic, schema(SchemaType::STRING, "")));
                s.ask(a, consumer_with(n + 1, &topic, schema(SchemaType::JSON, shape("one"))));
                s.ask(a, CommandGetSchema { request_id: 7, topic: topic.clone(), ..CommandGetSchema::default() });
                s.ask(a, producer_with(n + 2, &topic, schema(SchemaType::JSON, shape("one"))));
                s.ask(a, consumer_with(n + 3, &topic, schema(SchemaType::STRING, "")));
            }
        }
    }

    /// A topic and the one without storage of that name have the same.
    fn schemas_are_of_a_name(s) {
        quiet(s);
        let a = s.client();
        let name = namespace(s, "FULL");
        let (stored, not) = (format!("persistent://{name}/t"), format!("non-persistent://{name}/t"));
        let get = |topic: &str| CommandGetSchema { request_id: 7, topic: topic.to_owned(), ..CommandGetSchema::default() };
        s.find(a, &stored);
        s.find(a, &not);
        s.ask(a, producer_with(1, &not, schema(SchemaType::JSON, shape("one"))));
        s.ask(a, get(&stored));
        s.ask(a, get(&not));
        s.ask(a, producer_with(2, &stored, schema(SchemaType::STRING, "")));
        s.ask(a, producer_with(3, &stored, schema(SchemaType::JSON, shape("one"))));
        s.order("DELETE", &format!("non-persistent/{name}/t?force=true"), "");
        s.hear_all(a);
        s.ask(a, get(&stored));
        s.ask(a, get(&not));
        s.order("DELETE", &format!("persistent/{name}/t?force=true"), "");
        s.hear_all(a);
        s.ask(a, get(&stored));
        s.ask(a, get(&not));
    }

    fn schemas_of_all_types(s) {
        quiet(s);
        let a = s.client();
        let native = |root: &str| format!(r#"{{"fileDescriptorSet":"Ch4KB2EucHJvdG8SAXAiAwoBQSIDCgFCYgZwcm90bzM=","rootMessageTypeName":"{root}","rootFileDescriptorName":"a.proto"}}"#);
        let topic = s.topic();
        s.find(a, &topic);
        for (n, (kind, data)) in [
            (SchemaType::STRING, ""), (SchemaType::INT8, ""), (SchemaType::INT64, ""), (SchemaType::BOOL, ""), (SchemaType::DATE, ""),
            (SchemaType::INSTANT, ""), (SchemaType::LOCAL_DATE_TIME, ""), (SchemaType::STRING, "data"), (SchemaType::INT32, "data"),
            (SchemaType::PROTOBUF, shape("one")), (SchemaType::PROTOBUF, "nothing"), (SchemaType::JSON, "nothing"), (SchemaType::JSON, r#"["null","int"]"#),
            (SchemaType::AVRO, r#"["null","int"]"#), (SchemaType::JSON, r#"{"type":"object","id":"x","properties":{}}"#),
            (SchemaType::AVRO, r#"{"type":"record","name":"1a","fields":[]}"#), (SchemaType::AVRO, r#"{"type":"record","name":"a","fields":[{"name":"b","type":"nope"}]}"#),
            (SchemaType::AVRO, r#"{"type":"record","name":"a","fields":[{"name":"b","type":"int","default":"text"}]}"#),
            (SchemaType::AVRO, r#"{"type":"record","name":"a","fields":[{"name":"b","type":"int"},{"name":"b","type":"int"}]}"#),
            (SchemaType::AVRO, r#"{"type":"record","name":"a"}"#), (SchemaType::PROTOBUF_NATIVE, "nothing"),
        ].into_iter().enumerate() {
            let topic = format!("{topic}-{n}");
            produce(s, a, &topic, schema(kind, data));
        }
        for root in ["p.A", "p.A", "p.B"] {
            produce(s, a, &format!("{topic}-native"), schema(SchemaType::PROTOBUF_NATIVE, &native(root)));
        }
        let primitive = format!("{topic}-0");
        produce(s, a, &primitive, schema(SchemaType::STRING, ""));
        produce(s, a, &primitive, schema(SchemaType::INT8, ""));
        consume(s, a, &primitive, schema(SchemaType::STRING, ""));
        consume(s, a, &primitive, schema(SchemaType::INT8, ""));
    }

    fn schemas_of_keys_and_values(s) {
        quiet(s);
        let a = s.client();
        let topic = s.topic();
        let join = |key: &str, value: &str| {
            let mut data = Vec::new();
            for part in [key, value] {
                data.extend_from_slice(&(part.len() as u32).to_be_bytes());
                data.extend_from_slice(part.as_bytes());
            }
            data
        };
        let pair = |kinds: (&str, &str), key: &str, value: &str| {
            let property = |key: &str, value: &str| KeyValue { key: key.to_owned(), value: value.to_owned() };
            Schema {
                name: "kv".to_owned(),
                schema_data: join(key, value).into(),
                r#type: SchemaType::KEY_VALUE,
                properties: vec![
                    property("key.schema.name", ""), property("key.schema.type", kinds.0), property("key.schema.properties", "{}"),
                    property("value.schema.name", ""), property("value.schema.type", kinds.1), property("value.schema.properties", "{}"),
                    property("kv.encoding.type", "INLINE"),
                ],
            }
        };
        s.find(a, &topic);
        produce(s, a, &topic, pair(("STRING", "AVRO"), "", shape("one")));
        produce(s, a, &topic, pair(("STRING", "AVRO"), "", shape("two-default")));
        produce(s, a, &topic, pair(("STRING", "AVRO"), "", shape("two")));
        produce(s, a, &topic, pair(("STRING", "JSON"), "", shape("one")));
        produce(s, a, &topic, pair(("INT32", "AVRO"), "", shape("one")));
        produce(s, a, &topic, pair(("STRING", "AVRO"), "", "nothing"));
        consume(s, a, &topic, pair(("STRING", "AVRO"), "", shape("one")));
        consume(s, a, &topic, pair(("STRING", "AVRO"), "", shape("text")));
        let unique = s.unique().to_owned();
        s.inquire("GET", &format!("schemas/public/default/{unique}/schema"), "");
        s.inquire("GET", &format!("schemas/public/default/{unique}/schemas"), "");
    }

    fn schemas_by_admin_calls(s) {
        quiet(s);
        let a = s.client();
        let topic = s.topic();
        let unique = s.unique().to_owned();
        let path = format!("schemas/public/default/{unique}");
        s.inquire("GET", &format!("{path}/schema"), "");
        s.inquire("GET", &format!("{path}/schemas"), "");
        s.inquire("POST", &format!("{path}/schema"), &payload("AVRO", shape("one")));
        s.admin("PUT", &format!("persistent/public/default/{unique}"), "");
        s.inquire("GET", &format!("{path}/schema"), "");
        s.inquire("POST", &format!("{path}/compatibility"), &payload("AVRO", shape("two-default")));
        s.inquire("POST", &format!("{path}/compatibility"), &payload("AVRO", shape("two")));
        s.inquire("POST", &format!("{path}/compatibility"), &payload("JSON", shape("one")));
        s.inquire("POST", &format!("{path}/schema"), &payload("AVRO", shape("two-default")));
        s.inquire("POST", &format!("{path}/schema"), &payload("AVRO", shape("one")));
        s.inquire("POST", &format!("{path}/schema"), &payload("AVRO", shape("text")));
        s.inquire("POST", &format!("{path}/schema"), &payload("AVRO", "nothing"));
        s.inquire("POST", &format!("{path}/schema"), &payload("STRING", ""));
        s.inquire("POST", &format!("{path}/version"), &payload("AVRO", shape("two-default")));
        s.inquire("POST", &format!("{path}/version"), &payload("AVRO", shape("wider")));
        s.inquire("GET", &format!("{path}/schema"), "");
        s.inquire("GET", &format!("{path}/schema/0"), "");
        s.inquire("GET", &format!("{path}/schema/1"), "");
        s.inquire("GET", &format!("{path}/schema/2"), "");
        s.inquire("GET", &format!("{path}/schemas"), "");
        s.inquire("DELETE", &format!("{path}/schema"), "");
        s.inquire("GET", &format!("{path}/schema"), "");
        s.inquire("GET", &format!("{path}/schemas"), "");
        s.inquire("GET", &format!("{path}/schema/0"), "");
        s.ask(a, CommandGetSchema { request_id: 1, topic: topic.clone(), schema_version: None });
        s.inquire("POST", &format!("{path}/schema"), &payload("STRING", ""));
        s.inquire("POST", &format!("{path}/schema"), &payload("INT32", ""));
        s.inquire("GET", &format!("{path}/schemas"), "");
        s.inquire("DELETE", &format!("{path}/schema?force=true"), "");
        s.inquire("GET", &format!("{path}/schema"), "");
        s.inquire("POST", &format!("{path}/schema"), &payload("STRING", ""));
        // A topic's schemas end with it.
        s.order("DELETE", &format!("persistent/public/default/{unique}"), "");
        s.inquire("GET", &format!("{path}/schema"), "");
        s.inquire("POST", &format!("{path}/schema"), &payload("BYTES", ""));
        s.inquire("POST", &format!("{path}/schema"), &payload("AUTO_CONSUME", ""));
        // Of a partition, they are the whole topic's.
        s.order("PUT", &format!("persistent/public/default/{unique}-p/partitions"), "2");
        s.inquire("POST", &format!("{path}-p-partition-1/schema"), &payload("STRING", ""));
        s.inquire("GET", &format!("{path}-p/schema"), "");
        s.order("DELETE", &format!("persistent/public/default/{unique}-p-partition-1"), "");
        s.inquire("GET", &format!("{path}-p/schema"), "");
        s.order("DELETE", &format!("persistent/public/default/{unique}-p/partitions"), "");
        s.inquire("GET", &format!("{path}-p/schema"), "");
    }

    fn schemas_by_strategy(s) {
        quiet(s);
        let a = s.client();
        for strategy in [
            "", "ALWAYS_COMPATIBLE", "ALWAYS_INCOMPATIBLE", "BACKWARD", "FORWARD", "FULL", "BACKWARD_TRANSITIVE", "FORWARD_TRANSITIVE", "FULL_TRANSITIVE",
            "AUTO_UPDATE_DISABLED", "UNDEFINED",
        ] {
            let namespace = namespace(s, strategy);
            s.note(strategy);
            let topic = format!("persistent://{namespace}/t");
            s.find(a, &topic);
            // What is read from the first one, from the last one only, and what changes all.
            for name in ["two", "one", "two-default", "two", "text", "two"] {
                s.note(name);
                produce(s, a, &topic, schema(SchemaType::AVRO, shape(name)));
            }
            produce(s, a, &topic, schema(SchemaType::STRING, ""));
            for name in ["one", "two", "text", "alias"] {
                s.note(name);
                consume(s, a, &topic, schema(SchemaType::AVRO, shape(name)));
            }
            let strings = format!("persistent://{namespace}/strings");
            s.find(a, &strings);
            produce(s, a, &strings, schema(SchemaType::STRING, ""));
            produce(s, a, &strings, schema(SchemaType::STRING, ""));
            produce(s, a, &strings, schema(SchemaType::INT32, ""));
        }
    }

    fn schemas_that_are_settled(s) {
        quiet(s);
        let a = s.client();
        let namespace = namespace(s, "");
        let path = format!("namespaces/{namespace}");
        let topic = format!("persistent://{namespace}/t");
        s.inquire("GET", &format!("{path}/isAllowAutoUpdateSchema"), "");
        s.inquire("GET", &format!("{path}/schemaValidationEnforced"), "");
        s.inquire("GET", &format!("{path}/schemaCompatibilityStrategy"), "");
        s.inquire("GET", &format!("{path}/schemaAutoUpdateCompatibilityStrategy"), "");
        s.find(a, &topic);
        produce(s, a, &topic, schema(SchemaType::AVRO, shape("one")));
        s.order("POST", &format!("{path}/isAllowAutoUpdateSchema"), "false");
        s.inquire("GET", &format!("{path}/isAllowAutoUpdateSchema"), "");
        s.pause(500);
        produce(s, a, &topic, schema(SchemaType::AVRO, shape("two-default")));
        produce(s, a, &topic, schema(SchemaType::AVRO, shape("one")));
        produce(s, a, &topic, schema(SchemaType::AVRO, shape("docs")));
        consume(s, a, &topic, schema(SchemaType::AVRO, shape("two-default")));
        s.inquire("POST", &format!("schemas/{namespace}/t/schema"), &payload("AVRO", shape("two-default")));
        s.order("POST", &format!("{path}/schemaValidationEnforced"), "true");
        s.inquire("GET", &format!("{path}/schemaValidationEnforced"), "");
        s.pause(500);
        s.ask(a, producer_on(1, &topic));
        s.ask(a, subscribe(1, &topic, "plain", SubType::SHARED));
        s.ask(a, consumer_with(2, &topic, schema(SchemaType::AUTO_CONSUME, "")));
        s.find(a, &format!("{topic}-none"));
        s.ask(a, producer_on(2, &format!("{topic}-none")));
        s.order("PUT", &format!("{path}/schemaCompatibilityStrategy"), "\"NONSENSE\"");
        s.order("PUT", &format!("{path}/schemaCompatibilityStrategy"), "\"FORWARD\"");
        s.inquire("GET", &format!("{path}/schemaCompatibilityStrategy"), "");
        // A topic's own.
        let own = format!("persistent/{namespace}/t");
        s.inquire("GET", &format!("{own}/schemaCompatibilityStrategy"), "");
        s.order("PUT", &format!("{own}/schemaCompatibilityStrategy"), "\"ALWAYS_COMPATIBLE\"");
        s.pause(500);
        s.inquire("GET", &format!("{own}/schemaCompatibilityStrategy"), "");
        s.inquire("GET", &format!("{own}/schemaCompatibilityStrategy?applied=true"), "");
        s.inquire("POST", &format!("schemas/{namespace}/t/compatibility"), &payload("AVRO", shape("text")));
        s.order("DELETE", &format!("{own}/schemaCompatibilityStrategy"), "");
        s.inquire("GET", &format!("{own}/schemaValidationEnforced"), "");
        s.order("POST", &format!("{own}/schemaValidationEnforced"), "false");
        s.pause(500);
        s.inquire("GET", &format!("{own}/schemaValidationEnforced"), "");
    }

    fn schemas_of_a_message_are_its_producers(s) {
        quiet(s);
        let topic = s.topic();
        let a = s.client();
        s.find(a, &topic);
        s.ask(a, consumer_with(1, &topic, schema(SchemaType::AVRO, shape("one"))));
        s.flow(a, 1, 10);
        s.ask(a, producer_with(1, &topic, schema(SchemaType::AVRO, shape("one"))));
        let version = MessageMetadata { schema_version: Some(vec![0; 8].into()), ..MessageMetadata::default() };
        s.publish(a, 1, 0, version, "x");
        s.hear_all(a);
    }
}
