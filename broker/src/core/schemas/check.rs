//! Whether a schema is one, whether it is another one, and whether it may follow another one.

use bytes::{Buf, Bytes};
use pulsewire_proto::wire::{Schema, SchemaType};
use serde_json::{Map, Value};

use super::avro::{Definition, Kind};
use super::resolve::can_read;
use super::strategy::SchemaStrategy;

/// The longest definition that is read.
const MAX_DEFINITION: usize = 1 << 20;

/// Why a schema is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::core) enum BadSchema {
    /// It is none, and of what kind the fault is.
    Invalid(String, Option<String>),
    /// It does not go with those that are there.
    Incompatible(String),
}

type Checked = Result<(), BadSchema>;

fn invalid(message: impl Into<String>) -> BadSchema {
    BadSchema::Invalid(message.into(), None)
}

fn incompatible(message: impl Into<String>) -> BadSchema {
    BadSchema::Incompatible(message.into())
}

/// A type's name, as Pulsar writes it.
pub(crate) fn type_name(kind: SchemaType) -> String {
    match kind {
        SchemaType::BOOL => "BOOLEAN".to_owned(),
        kind => format!("{kind:?}"),
    }
}

/// The type of that name.
pub(crate) fn type_of_name(name: &str) -> Option<SchemaType> {
    // -1 is BYTES, -2 AUTO, -3 AUTO_CONSUME, -4 AUTO_PUBLISH: they are not stored.
    match name {
        "BYTES" => Some(SchemaType::NONE),
        "AUTO_PUBLISH" | "AUTO" => Some(SchemaType::AUTO_CONSUME),
        name => (-1..=SchemaType::PROTOBUF_NATIVE.0)
            .map(SchemaType)
            .chain([SchemaType::AUTO_CONSUME])
            .find(|kind| type_name(*kind) == name),
    }
}

/// Definitions that are read by Avro's parser.
fn is_avro(kind: SchemaType) -> bool {
    matches!(kind, SchemaType::AVRO | SchemaType::JSON | SchemaType::PROTOBUF)
}

/// Whether a schema is one.
pub(super) fn validate(schema: &Schema) -> Checked {
    let data = &schema.schema_data;
    let of = |what: &str| format!("Invalid schema definition data for {what} schema");
    if data.len() > MAX_DEFINITION {
        return Err(BadSchema::Invalid(of(&type_name(schema.r#type)), Some("It is too long".to_owned())));
    }
    match schema.r#type {
        SchemaType::NONE => Ok(()),
        // The Python client writes a definition that is none as JSON.
        SchemaType::STRING if data.is_empty() || data.as_ref() == b"null" => Ok(()),
        SchemaType::STRING => {
            let text = String::from_utf8_lossy(data);
            Err(invalid(format!("{} : '{text}'", of("string"))))
        }
        kind if is_avro(kind) => match Definition::parse(data) {
            Ok(found) if kind == SchemaType::AVRO && matches!(found.kind(found.root), Kind::Union(_)) => {
                Err(invalid("Avro schema typed [UNION] is not supported"))
            }
            Ok(_) => Ok(()),
            Err(_) if kind == SchemaType::JSON && is_json_schema(data) => Ok(()),
            Err(why) => Err(BadSchema::Invalid(
                of(&type_name(kind)),
                Some(format!("org.apache.avro.SchemaParseException: {why}")),
            )),
        },
        SchemaType::PROTOBUF_NATIVE => match root_message(data) {
            Some(_) => Ok(()),
            None => Err(BadSchema::Invalid(
                "deserialize ProtobufNative Schema failed".to_owned(),
                Some("the definition is not that of a protobuf message".to_owned()),
            )),
        },
        SchemaType::KEY_VALUE => {
            let (key, value) = key_value(schema).ok_or_else(|| invalid(of("KEY_VALUE")))?;
            validate(&key)?;
            validate(&value)
        }
        kind if (SchemaType::BOOL.0..=SchemaType::LOCAL_DATE_TIME.0).contains(&kind.0) => {
            if data.is_empty() {
                return Ok(());
            }
            let length = data.len();
            Err(invalid(format!(
                "Invalid schema definition data for primitive schemas :length of schema data should be zero, \
                 but {length} bytes is found"
            )))
        }
        SchemaType::AUTO_CONSUME => Err(invalid("Schema AUTO_CONSUME is a client-side schema type")),
        kind => Err(invalid(format!("Unknown schema type : {}", type_name(kind)))),
    }
}

/// What was a JSON schema before it became an Avro definition.
fn is_json_schema(data: &[u8]) -> bool {
    let read: Option<Map<String, Value>> = serde_json::from_slice(data).ok();
    read.is_some_and(|fields| fields.get("type").is_some_and(Value::is_string))
}

/// The message that a PROTOBUF_NATIVE schema is of.
fn root_message(data: &[u8]) -> Option<String> {
    let read: Map<String, Value> = serde_json::from_slice(data).ok()?;
    let text = |key: &str| read.get(key).and_then(Value::as_str);
    let base64 = |c: char| c.is_ascii_alphanumeric() || "+/=-_".contains(c);
    let whole = text("rootFileDescriptorName").is_some()
        && text("fileDescriptorSet").is_some_and(|set| set.chars().all(base64));
    text("rootMessageTypeName").filter(|_| whole).map(str::to_owned)
}

/// The two parts of a KEY_VALUE schema.
pub(crate) fn key_value(schema: &Schema) -> Option<(Schema, Schema)> {
    let mut data = schema.schema_data.clone();
    let mut part = |name: &str| {
        let length = usize::try_from(data.try_get_u32().ok()?).ok()?;
        // -1 is none.
        let length = if length == u32::MAX as usize { 0 } else { length };
        let schema_data = (length <= data.len()).then(|| data.split_to(length))?;
        let key = format!("{name}.schema.type");
        let kind = schema.properties.iter().find(|pair| pair.key == key);
        let kind = kind.map_or(Some(SchemaType::NONE), |pair| type_of_name(&pair.value))?;
        Some(Schema { name: name.to_owned(), schema_data, r#type: kind, properties: Vec::new() })
    };
    Some((part("key")?, part("value")?))
}

/// A KEY_VALUE schema's data, put together.
pub(crate) fn join_key_value(key: &[u8], value: &[u8]) -> Bytes {
    let length = |part: &[u8]| (part.len() as u32).to_be_bytes();
    [&length(key)[..], key, &length(value), value].concat().into()
}

/// Whether both are the same schema: it then has the same version.
pub(super) fn same(a: &Schema, b: &Schema) -> bool {
    if a.r#type != b.r#type {
        return false;
    }
    if a.schema_data == b.schema_data {
        return true;
    }
    is_avro(a.r#type)
        && matches!((Definition::parse(&a.schema_data), Definition::parse(&b.schema_data)), (Ok(a), Ok(b)) if a.same(&b))
}

/// Whether a schema may follow those, oldest first. They are of the topic, none of them deleted.
pub(super) fn may_follow(before: &[&Schema], new: &Schema, strategy: SchemaStrategy) -> Checked {
    if strategy == SchemaStrategy::AlwaysCompatible {
        return Ok(());
    }
    let before = if strategy.is_transitive() { before } else { &before[before.len().saturating_sub(1)..] };
    if let Some(other) = before.iter().find(|schema| schema.r#type != new.r#type) {
        return Err(incompatible(format!(
            "Incompatible schema: exists schema type {}, new schema type {}",
            type_name(other.r#type),
            type_name(new.r#type)
        )));
    }
    for old in before.iter().rev() {
        if strategy.is_transitive() || old.schema_data != new.schema_data {
            pair(old, new, strategy)?;
        }
    }
    Ok(())
}

/// Whether a consumer's schema goes with all, also with itself: with the strategy that refuses all, none does.
pub(super) fn follows_any(before: &[&Schema], new: &Schema, strategy: SchemaStrategy) -> Checked {
    before.iter().rev().try_for_each(|old| pair(old, new, strategy))
}

fn pair(old: &Schema, new: &Schema, strategy: SchemaStrategy) -> Checked {
    match new.r#type {
        SchemaType::KEY_VALUE => {
            let parts = (key_value(old), key_value(new));
            let (Some((key, value)), Some((new_key, new_value))) = parts else {
                return Err(incompatible("The schema of a key or a value cannot be read"));
            };
            for (old, new, what) in [(key, new_key, "key"), (value, new_value, "value")] {
                if old.r#type != new.r#type {
                    return Err(incompatible(format!(
                        "{what} schemas are different schema type, from {what} schema type is {} and to {what} \
                         schema is type {}",
                        type_name(old.r#type),
                        type_name(new.r#type)
                    )));
                }
                pair(&old, &new, strategy)?;
            }
            Ok(())
        }
        SchemaType::PROTOBUF_NATIVE => match strategy {
            SchemaStrategy::AlwaysIncompatible => Err(incompatible("Unknown SchemaCompatibilityStrategy.")),
            strategy => {
                let name = |schema: &Schema| root_message(&schema.schema_data).unwrap_or_default();
                let (old, new) = (name(old), name(new));
                if old == new {
                    return Ok(());
                }
                Err(incompatible(format!(
                    "Protobuf root message change is not allowed under the '{}' strategy. Original message name: \
                     '{old}', new message name: '{new}'.",
                    strategy.name()
                )))
            }
        },
        kind if is_avro(kind) => {
            let read = |schema: &Schema| Definition::parse(&schema.schema_data);
            match (read(old), read(new)) {
                (Ok(old), Ok(new)) => avro(&old, &new, strategy),
                // A JSON schema of the older form may become a definition.
                (Err(_), Ok(_)) if kind == SchemaType::JSON => Ok(()),
                (Err(_), Err(_)) if kind == SchemaType::JSON => json_schemas(old, new),
                (_, Err(why)) | (Err(why), _) => {
                    Err(incompatible(format!("org.apache.avro.SchemaParseException: {why}")))
                }
            }
        }
        _ if strategy == SchemaStrategy::AlwaysIncompatible => {
            Err(incompatible("Schema is incompatible by the strategy ALWAYS_INCOMPATIBLE"))
        }
        _ => Ok(()),
    }
}

fn json_schemas(old: &Schema, new: &Schema) -> Checked {
    let id = |schema: &Schema| {
        let fields: Map<String, Value> = serde_json::from_slice(&schema.schema_data).unwrap_or_default();
        fields.get("id").cloned()
    };
    if id(old) == id(new) { Ok(()) } else { Err(incompatible("The id of the JSON schema is another one")) }
}

fn avro(old: &Definition, new: &Definition, strategy: SchemaStrategy) -> Checked {
    let fails = |writer: &Definition, reader: &Definition| {
        let text = |of: &Definition| serde_json::to_string_pretty(&of.source).unwrap_or_default();
        Err(incompatible(format!(
            "Error during schema compatibility check with strategy {}: \
             org.apache.avro.SchemaValidationException: Unable to read schema: \n{}\nusing schema:\n{}",
            strategy.name(),
            text(writer),
            text(reader)
        )))
    };
    let (backward, forward) = strategy.wants();
    if strategy == SchemaStrategy::AlwaysIncompatible {
        return fails(old, new);
    }
    if forward && !can_read(new, old) {
        return fails(new, old);
    }
    if backward && !can_read(old, new) {
        return fails(old, new);
    }
    Ok(())
}
