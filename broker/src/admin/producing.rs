//! Messages that come by HTTP: `POST /topics/...`.

use pulsewire_proto::wire::{CompressionType, KeyValue, MessageMetadata, Schema, SchemaType};
use serde_json::{Map, Value, json};

use super::reading::whole;
use super::route::{Route, Shape, route};
use super::{Answer, Ask, Result, error, unreadable, values};
use crate::core::names::TopicName;
use crate::core::{AdminError, Broker, Now};
use crate::core::{join_key_value, key_value, type_name, type_of_name};

const GROUP: &str = "messages";

/// Who sends where nobody says so.
const NOBODY: &str = "RestProducer";

pub(super) fn routes() -> Vec<Route> {
    let at = |rest: &str, summary, run| {
        route(
            "POST",
            &format!("/topics/{{domain}}/{{tenant}}/{{namespace}}/{{topic}}{rest}"),
            GROUP,
            summary,
            run,
        )
        .takes(Shape::Object)
        .gives(Shape::Object)
    };
    vec![
        at("", "Publishes messages, over the partitions in turn.", |ask, broker, now| {
            produce(ask, None, broker, now)
        }),
        at("/partitions/{partition}", "Publishes messages to a partition.", |ask, broker, now| {
            produce(ask, Some(ask.number::<i32>("partition")?), broker, now)
        }),
    ]
}

fn failed(partition: Option<i32>, why: &str) -> AdminError {
    let what = match partition {
        Some(_) => "Fail to publish messageto single partition: ",
        None => "Fail to publish message:",
    };
    error(500, format!("{what}{why}"))
}

const NOT_OWNED: &str = "org.apache.pulsar.broker.service.BrokerServiceException$TopicNotFoundException: Topic not owned \
     by current broker.";

fn produce(ask: &Ask<'_>, partition: Option<i32>, broker: &mut Broker, now: Now) -> Result<Answer> {
    let name = ask.topic()?;
    if partition.is_some() && name.partition().is_some() {
        return Err(error(400, "Topic name can't contain '-partition-' suffix."));
    }
    let missing = |why: AdminError| error(500, format!("Fail to publish message: {}", why.reason));
    super::topics::has_namespace(&name, broker).map_err(missing)?;
    if broker.partitions(&name) == 0 {
        broker.stats(&name).map_err(missing)?;
    }
    let request = Request::of(&ask.call.json()?)?;
    let (schema, version) = schema(&name, &request, partition, broker, now)?;
    let messages = request.messages.as_ref().ok_or_else(|| {
        error(500, "Cannot invoke \"java.util.List.iterator()\" because \"messages\" is null")
    })?;
    let read = |message| read(message, &schema, &request.producer, now);
    let messages: Vec<_> = messages.iter().map(read).collect::<Result<_>>()?;
    let parts = parts(&name, partition, broker);
    let mut results = Vec::new();
    for ((metadata, payload), (index, part)) in messages.iter().zip(parts.iter().cycle()) {
        results.push(match broker.publish(part, metadata, payload, now) {
            Ok((ledger, entry)) => json!({
                "messageId": format!("{ledger}:{entry}:{index}"),
                "errorCode": 0,
                "schemaVersion": version,
            }),
            Err(why) => json!({
                "messageId": index.to_string(),
                "errorCode": 2,
                "errorMsg": if why.status == 404 { NOT_OWNED.to_owned() } else { why.reason },
                "schemaVersion": version,
            }),
        });
    }
    Ok(Answer::Json(json!({ "messagePublishResults": results, "schemaVersion": version })))
}

/// Where messages go in turn, and by which number that is told; -1 is a topic without partitions.
fn parts(name: &TopicName, partition: Option<i32>, broker: &Broker) -> Vec<(i64, TopicName)> {
    if let Some(index) = name.partition() {
        return vec![(i64::from(index), name.clone())];
    }
    let one = |index: i64| {
        let part = u32::try_from(index).map_or_else(|_| name.clone(), |index| name.with_partition(index));
        (index, part)
    };
    match (partition, broker.partitions(name)) {
        (Some(index), _) => vec![one(i64::from(index))],
        (None, 0) => vec![one(-1)],
        (None, count) => (0..i64::from(count)).map(one).collect(),
    }
}

/// What is to be published.
struct Request {
    producer: String,
    key_schema: String,
    value_schema: String,
    version: i64,
    messages: Option<Vec<Map<String, Value>>>,
}

impl Request {
    fn of(body: &Value) -> Result<Self> {
        let wrong = |what: &str| unreadable(format!("The body must be messages: {what}"));
        let fields = body.as_object().ok_or_else(|| {
            let class = "org.apache.pulsar.websocket.data.ProducerMessages";
            let why = format!("Cannot invoke \"{class}.getKeySchema()\" because \"request\" is null");
            error(500, format!("Fail to publish message: {why}"))
        })?;
        let text = |name: &str| match fields.get(name) {
            None | Some(Value::Null) => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(_) => Err(wrong(&format!("{name} must be a text"))),
        };
        let version = match fields.get("schemaVersion") {
            None | Some(Value::Null) => -1,
            Some(version) => whole(version).ok_or_else(|| wrong("schemaVersion must be a number"))?,
        };
        let messages = match fields.get("messages") {
            None | Some(Value::Null) => None,
            Some(Value::Array(all)) => {
                let object = |message: &Value| message.as_object().cloned();
                let all: Option<Vec<_>> = all.iter().map(object).collect();
                Some(all.ok_or_else(|| wrong("messages must be objects"))?)
            }
            Some(_) => return Err(wrong("messages must be a list")),
        };
        Ok(Self {
            producer: Some(text("producerName")?)
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| NOBODY.to_owned()),
            key_schema: text("keySchema")?,
            value_schema: text("valueSchema")?,
            version,
            messages,
        })
    }
}

/// The schema that messages are encoded by, and its version.
fn schema(
    name: &TopicName,
    request: &Request,
    partition: Option<i32>,
    broker: &mut Broker,
    now: Now,
) -> Result<(Schema, i64)> {
    let described = |said: &str| match described(said) {
        Described::Schema(schema) => Ok(schema),
        Described::Nothing => Err(error(500, "Fail to add or retrieve schema.")),
        Described::OfNoType => Err(error(
            500,
            "Fail to publish message: Cannot invoke \"org.apache.pulsar.common.schema.SchemaType.toString()\" because \
             the return value of \"org.apache.pulsar.client.impl.schema.SchemaInfoImpl.getType()\" is null",
        )),
    };
    let value = match request.value_schema.as_str() {
        "" => {
            let charset = KeyValue { key: "__charset".to_owned(), value: "UTF-8".to_owned() };
            Schema { r#type: SchemaType::STRING, properties: vec![charset], ..Schema::default() }
        }
        said => described(said)?,
    };
    let schema = match request.key_schema.as_str() {
        "" => value,
        said => together(&described(said)?, &value),
    };
    if let Some(version) = Some(request.version).filter(|version| *version != -1) {
        let found = u64::try_from(version).ok().and_then(|version| broker.stored_schema(name, version));
        let why = "java.lang.NullPointerException: Cannot read field \"schema\" because \"schemaAndMetadata\" is null";
        return Ok((found.ok_or_else(|| failed(partition, why))?, version));
    }
    let added = broker.add_schema(name, &schema, now);
    let version = added.map_err(|_| {
        let data: Vec<i8> = schema.schema_data.iter().map(|byte| byte.cast_signed()).collect();
        let pairs: Vec<String> = schema.properties.iter().map(|p| format!("{}={}", p.key, p.value)).collect();
        let said = format!(
            "SchemaData(type={}, isDeleted=false, timestamp={}, user=Rest Producer, data={data:?}, props={{{}}})",
            type_name(schema.r#type),
            now.wall_ms,
            pairs.join(", ")
        );
        let class = "org.apache.pulsar.broker.service.schema.exceptions.SchemaException";
        let why = format!("Unable to add schema {said} to topic {}", name.base());
        failed(partition, &format!("java.util.concurrent.ExecutionException: {class}: {why}"))
    })?;
    Ok((schema, version as i64))
}

/// What is written as a schema.
enum Described {
    Schema(Schema),
    OfNoType,
    Nothing,
}

/// A schema that is written as JSON, its definition in base64.
fn described(said: &str) -> Described {
    let Ok(Value::Object(said)) = serde_json::from_str::<Value>(said) else { return Described::Nothing };
    let Some(kind) = said.get("type").and_then(Value::as_str).and_then(type_of_name) else {
        return Described::OfNoType;
    };
    let data = match said.get("schema") {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(data) => data.as_str().and_then(values::from_base64),
    };
    let Some(data) = data else { return Described::Nothing };
    let pair = |(key, value): (String, Value)| Some(KeyValue { key, value: value.as_str()?.to_owned() });
    let all = said.get("properties").and_then(super::reading::texts).unwrap_or_default();
    let properties = all.into_iter().filter_map(pair).collect();
    let name = said.get("name").and_then(Value::as_str).map_or_else(|| type_name(kind), str::to_owned);
    Described::Schema(Schema { name, schema_data: data.into(), r#type: kind, properties })
}

/// The schema of a key beside its value.
fn together(key: &Schema, value: &Schema) -> Schema {
    let mut properties = vec![KeyValue { key: "kv.encoding.type".to_owned(), value: "SEPARATED".to_owned() }];
    for (part, schema) in [("key", key), ("value", value)] {
        let all: Map<String, Value> =
            schema.properties.iter().map(|pair| (pair.key.clone(), json!(pair.value))).collect();
        for (what, value) in [
            ("name", schema.name.clone()),
            ("type", type_name(schema.r#type)),
            ("properties", Value::Object(all).to_string()),
        ] {
            properties.push(KeyValue { key: format!("{part}.schema.{what}"), value });
        }
    }
    let schema_data = join_key_value(&key.schema_data, &value.schema_data);
    Schema { name: String::new(), schema_data, r#type: SchemaType::KEY_VALUE, properties }
}

/// A message as it is stored.
fn read(
    message: &Map<String, Value>,
    schema: &Schema,
    producer: &str,
    now: Now,
) -> Result<(MessageMetadata, Vec<u8>)> {
    let text = |name: &str| match message.get(name) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(one @ (Value::Number(_) | Value::Bool(_))) => Some(one.to_string()),
        _ => None,
    };
    let number = |name: &str| message.get(name).and_then(whole).unwrap_or(0);
    let pair = |(key, value): (&String, &Value)| KeyValue {
        key: key.clone(),
        value: value.as_str().map_or_else(|| value.to_string(), str::to_owned),
    };
    let texts = |name: &str| message.get(name).and_then(Value::as_array).into_iter().flatten();
    // Its key is encoded too where the schema says how.
    let both = Some(schema).filter(|schema| schema.r#type == SchemaType::KEY_VALUE).and_then(key_value);
    let kind = both.as_ref().map_or(schema.r#type, |(_, value)| value.r#type);
    let key = text("key").map(|key| match &both {
        Some((of_key, _)) => values::base64(&values::encoded(of_key.r#type, &key).unwrap_or_default()),
        None => key,
    });
    let event = text("eventTime").filter(|time| !time.is_empty());
    let read =
        |time: String| time.parse::<i64>().map_err(|_| error(500, format!("For input string: \"{time}\"")));
    let event = event.map(read).transpose()?.map(|time| time as u64);
    let deliver = match (number("deliverAt"), number("deliverAfterMs")) {
        (at, _) if at != 0 && event.is_some() => Some(at),
        (_, 0) => None,
        (_, after) => Some(after.saturating_add(event.unwrap_or(0) as i64)),
    };
    // What is no value of the schema is sent as nothing.
    let payload = match text("payload") {
        Some(text) => values::encoded(kind, &text).unwrap_or_default(),
        None => return Err(error(500, "Cannot read the array length because \"array\" is null")),
    };
    let metadata = MessageMetadata {
        producer_name: producer.to_owned(),
        publish_time: now.wall_ms,
        sequence_id: number("sequenceId") as u64,
        properties: message
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(pair)
            .collect(),
        replicate_to: match message.get("disableReplication") == Some(&Value::Bool(true)) {
            true => vec!["__local__".to_owned()],
            false => texts("replicationClusters").filter_map(Value::as_str).map(str::to_owned).collect(),
        },
        partition_key_b64_encoded: key.is_some().then_some(both.is_some()),
        partition_key: key,
        event_time: event,
        deliver_at_time: deliver,
        compression: Some(CompressionType::NONE),
        uncompressed_size: u32::try_from(payload.len()).ok(),
        ..MessageMetadata::default()
    };
    Ok((metadata, payload))
}
