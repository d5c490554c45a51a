//! Topics with and without partitions.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::reading::{texts, whole};
use super::route::{PARTITIONED, Route, Shape, route};
use super::{Answer, Ask, Result, error, namespaces, stats, subscriptions, together, unexpected, unreadable};
use crate::core::names::TopicName;
use crate::core::{AdminError, Broker, Form, Now, Peeked, TopicStats, iso_8601};

const GROUP: &str = "topics";
const FORCE: &[super::route::Parameter] = &[("force", Shape::Boolean, "Also when it is in use.")];

const LEFT_OUT: &[super::route::Parameter] = &[
    ("excludePublishers", Shape::Boolean, "Without producers."),
    ("excludeConsumers", Shape::Boolean, "Without consumers."),
    ("subscriptionBacklogSize", Shape::Boolean, "With the bytes of each backlog: so unless it is false."),
    ("getEarliestTimeInBacklog", Shape::Boolean, "With the time of the oldest message of each backlog."),
];
const OF_PARTITIONS: &[super::route::Parameter] = &[
    ("perPartition", Shape::Boolean, "Also of each partition: so unless it is false."),
    LEFT_OUT[0],
    LEFT_OUT[1],
    LEFT_OUT[2],
    LEFT_OUT[3],
];

pub(super) fn routes() -> Vec<Route> {
    let below = |method, rest: &str, summary, run| {
        route(method, &format!("{{domain}}/{{tenant}}/{{namespace}}{rest}"), GROUP, summary, run)
    };
    let at = |method, rest: &str, summary, run| below(method, &format!("/{{topic}}{rest}"), summary, run);
    vec![
        below("GET", "", "Topics of a namespace, partitions one by one.", |ask, broker, _| list(ask, broker))
            .asks(&[("bundle", Shape::Text, "Only those of a bundle.")])
            .gives(Shape::Texts),
        below("GET", "/partitioned", "Partitioned topics of a namespace.", |ask, broker, _| {
            let name = ask.namespace()?;
            broker.namespace(&name).map_err(|_| error(404, "Namespace does not exist"))?;
            Ok(Answer::Json(json!(broker.partitioned_topics(&name, ask.is_persistent()))))
        })
        .gives(Shape::Texts),
        route(
            "GET",
            "non-persistent/{tenant}/{namespace}/{bundle}",
            GROUP,
            "Topics of a bundle, as `0x00000000_0x40000000`, that store nothing.",
            |ask, broker, _| {
                let name = ask.namespace()?;
                broker.namespace(&name).map_err(|_| error(404, "Namespace does not exist"))?;
                let bundle = ask.part("bundle");
                Ok(Answer::Json(json!(namespaces::listed(ask.call, bundle, &name, false, broker))))
            },
        )
        .gives(Shape::Texts),
        at("PUT", "", "Makes a topic without partitions; the body is its properties.", |ask, broker, now| {
            let name = ask.topic()?;
            let properties = properties(&ask.call.json()?)?;
            has_namespace(&name, broker)?;
            broker.is_name_of_topic(&name)?;
            broker.create_topic(&name, properties, now)?;
            Ok(Answer::Nothing)
        })
        .takes(Shape::Object),
        at("DELETE", "", "Deletes a topic without partitions.", |ask, broker, now| {
            let name = ask.topic()?;
            if broker.partitions(&name) > 0 {
                return Err(error(409, format!(
                    "{name} is a partitioned topic, instead of calling delete topic, please call delete-partitioned-topic."
                )));
            }
            match broker.delete_topic(&name, ask.call.flag("force"), now) {
                // One that stores nothing and is not there is gone.
                Err(error) if error.status == 404 && !name.persistent => {}
                done => done?,
            }
            Ok(Answer::Nothing)
        })
        .asks(FORCE),
        at("PUT", "/partitions", "Makes a partitioned topic.", |ask, broker, now| {
            let name = ask.topic()?;
            if name.local.contains("-partition-") {
                return Err(error(412, "Partitioned Topic Name should not contain '-partition-'"));
            }
            let (count, properties) = partitioned(ask)?;
            let count = u32::try_from(count).map_err(|_| error(406, "Number of partitions should be more than 0"))?;
            has_namespace(&name, broker)?;
            broker.is_name_of_topic(&name)?;
            broker.create_partitioned_topic(&name, count, now)?;
            broker.set_properties(&name, properties)?;
            Ok(Answer::Nothing)
        })
        .takes(Shape::Partitions),
        at("POST", "/partitions", "Adds partitions to a topic.", |ask, broker, now| {
            let name = ask.topic()?;
            let (count, before) = (partitions(&ask.call.json()?)?, broker.partitions(&name));
            if count < 0 && before > 0 {
                let reason = format!("Desired partitions {count} can't be less than the current partitions {before}.");
                return Err(error(422, reason));
            }
            broker.update_partitions(&name, u32::try_from(count).unwrap_or(0), now)?;
            Ok(Answer::Nothing)
        })
        .takes(Shape::Number),
        at("GET", "/partitions", "How many partitions a topic has.", count)
            .asks(&[("checkAllowAutoCreation", Shape::Boolean, "Makes one that would be made by using it: with its partitions at once, otherwise 0 is answered.")]),
        at("DELETE", "/partitions", "Deletes a partitioned topic.", |ask, broker, now| {
            let name = ask.topic()?;
            if broker.partitions(&name) == 0 {
                return Err(match broker.stats(&name).is_ok() {
                    true => error(409, format!(
                        "{name} is a non-partitioned topic. Instead of calling delete-partitioned-topic please call delete."
                    )),
                    false => error(404, format!("Topic {name} not found.")),
                });
            }
            broker.delete_topic(&name, ask.call.flag("force"), now)?;
            Ok(Answer::Nothing)
        })
        .asks(FORCE),
        at("POST", "/createMissedPartitions", "Makes partitions that are not there.", |ask, broker, now| {
            let name = ask.topic()?;
            let count = broker.partitions(&name);
            if count == 0 {
                return Err(error(404, format!("Topic {name} does not exist")));
            }
            broker.update_partitions(&name, count, now)?;
            Ok(Answer::Nothing)
        }),
        at("GET", "/properties", "Properties of a topic.", |ask, broker, _| {
            let name = ask.topic()?;
            let all = broker.properties(&name)?;
            let none = all.is_empty() && broker.partitions(&name) > 0;
            Ok(if none { Answer::Empty } else { Answer::Json(json!(all)) })
        }),
        at("PUT", "/properties", "Sets properties of a topic; others stay.", |ask, broker, _| {
            broker.set_properties(&ask.topic()?, properties(&ask.call.json()?)?)?;
            Ok(Answer::Nothing)
        })
        .takes(Shape::Object),
        at("DELETE", "/properties", "Takes a property from a topic.", |ask, broker, _| {
            broker.remove_property(&ask.topic()?, ask.call.query("key").unwrap_or_default())?;
            Ok(Answer::Nothing)
        })
        .asks(&[("key", Shape::Text, "Which one.")]),
        at("PUT", "/unload", "Sends all clients of a topic back to look it up.", |ask, broker, now| {
            broker.unload_topic(&ask.topic()?, now)?;
            Ok(Answer::Nothing)
        }),
        at("POST", "/terminate", "Ends a topic: nothing more can be sent to it.", |ask, broker, now| {
            let name = ask.topic()?;
            if !name.persistent {
                return Err(error(406, "Need to provide a persistent topic name"));
            }
            let last = broker.terminate(&name, now)?;
            Ok(Answer::Json(id((last.ledger_id as i64, last.entry_id as i64), -1)))
        })
        .gives(Shape::Object),
        at("POST", "/terminate/partitions", "Ends all partitions of a topic.", |ask, broker, now| {
            let name = ask.topic()?;
            let count = broker.partitions(&name);
            if count == 0 {
                let reason = "Termination of a non-partitioned topic is not allowed using partitioned-terminate, \
                              please use terminate commands";
                return Err(error(405, reason));
            }
            let mut all = Map::new();
            for index in 0..count {
                let last = broker.terminate(&name.with_partition(index), now)?;
                all.insert(index.to_string(), id((last.ledger_id as i64, last.entry_id as i64), -1));
            }
            Ok(Answer::Json(Value::Object(all)))
        })
        .gives(Shape::Object),
        at("PUT", "/compaction", "Compacts a topic.", |ask, broker, now| {
            broker.compact(&ask.topic()?, now)?;
            Ok(Answer::Nothing)
        }),
        at("GET", "/compaction", "Whether a topic was compacted.", |ask, broker, _| {
            let name = ask.topic()?;
            if broker.partitions(&name) > 0 {
                return Err(error(404, format!("Topic {name} not found")));
            }
            let done = broker.is_compacted(&name)?;
            Ok(Answer::Json(json!({ "status": if done { "SUCCESS" } else { "NOT_RUN" }, "lastError": "" })))
        }),
        at("GET", "/offload", "Whether a topic was moved to other storage: there is none.", |ask, broker, _| {
            let name = ask.topic()?;
            broker.stats(&name)?;
            Ok(Answer::Json(json!({ "status": "NOT_RUN", "lastError": "", "firstUnoffloadedMessage": id((-1, -1), -1) })))
        }),
        at("PUT", "/offload", "Moves a topic to other storage: there is none, so nothing is done.", |ask, broker, _| {
            let name = ask.topic()?;
            if ask.call.json()?.is_null() {
                return Err(error(400, "messageId is null"));
            }
            broker.stats(&name)?;
            Ok(Answer::Nothing)
        })
        .takes(Shape::Object),
        at("GET", "/stats", "Statistics of a topic.", |ask, broker, _| {
            let name = ask.topic()?;
            let found = asked(broker.stats(&name)?, ask);
            let server = super::brokers::id(broker, ask.call.broker);
            Ok(told(stats::topic(&found, name.persistent, &server), ask))
        })
        .asks(LEFT_OUT),
        at("GET", "/internalStats", "What a topic stores, and where its subscriptions are.", |ask, broker, _| {
            let name = ask.topic()?;
            let found = broker.internal_stats(&name).map_err(|missing| match name.persistent {
                true => missing,
                false => error(404, "Topic not found"),
            })?;
            Ok(Answer::Json(match name.persistent {
                true => stats::internal(&found),
                false => stats::internal_of_what_is_not_stored(&found),
            }))
        }),
        at("GET", "/internal-info", "What is kept of a topic.", |ask, broker, now| {
            let name = ask.topic()?;
            has_namespace(&name, broker)?;
            let found = |name: &TopicName| {
                let failed = |_| AdminError { form: Form::Page, ..error(500, "Request failed.") };
                let found = broker.internal_stats(name).map_err(failed)?;
                let properties = broker.properties(name).unwrap_or_default();
                Ok(stats::internal_info(&found, json!(properties), now))
            };
            let count = broker.partitions(&name);
            if count == 0 {
                return found(&name).map(Answer::Json);
            }
            let part = |name: TopicName| found(&name).map(|info| (name.to_string(), info));
            let parts = (0..count).map(|index| part(name.with_partition(index))).collect::<Result<Map<_, _>>>()?;
            Ok(Answer::Json(json!({ "version": 0, "partitions": parts })))
        }),
        at("GET", "/partitioned-stats", "Statistics of a partitioned topic.", |ask, broker, _| {
            let (name, parts) = parts(ask, broker)?;
            let of = |part: &TopicName| Some((part.to_string(), asked(broker.stats(part).ok()?, ask)));
            let found: Vec<_> = parts.iter().filter_map(of).collect();
            let each = ask.call.query("perPartition") != Some("false");
            let mut told = together::partitioned(broker.partitions(&name), &found, each, &super::brokers::id(broker, ask.call.broker));
            if let Ok(properties) = broker.properties(&name)
                && !properties.is_empty()
            {
                told["metadata"]["properties"] = json!(properties);
            }
            Ok(self::told(told, ask))
        })
        .asks(OF_PARTITIONS),
        at("GET", "/partitioned-internalStats", "What the partitions of a topic store.", |ask, broker, _| {
            let (name, parts) = parts(ask, broker)?;
            let of = |part: &TopicName| Some((part.to_string(), stats::internal(&broker.internal_stats(part).ok()?)));
            let found: Map<String, Value> = parts.iter().filter_map(of).collect();
            let count = broker.partitions(&name);
            Ok(Answer::Json(json!({ "metadata": { "partitions": count, "deleted": false }, "partitions": found })))
        }),
        at("GET", "/lastMessageId", "The id of the last message.", |ask, broker, _| {
            let name = ask.topic()?;
            if !name.persistent {
                return Err(error(405, "GetLastMessageId on a non-persistent topic is not allowed"));
            }
            let last = broker.last_id(&name)?;
            Ok(Answer::Json(id(last, name.partition().map_or(-1, i64::from))))
        }),
        at("GET", "/messageid/{timestamp}", "The id of the first message of that time or later.", |ask, broker, _| {
            let name = ask.topic()?;
            let time = u64::try_from(ask.number::<i64>("timestamp")?).unwrap_or(0);
            if broker.partitions(&name) > 0 {
                let reason = "Get message ID by timestamp on a partitioned topic is not allowed, \
                              please try do it on specific topic partition";
                return Err(error(405, reason));
            }
            Ok(Answer::Json(id(broker.id_by_time(&name, time)?, name.partition().map_or(-1, i64::from))))
        }),
        at("GET", "/examinemessage", "A message by its place.", |ask, broker, _| {
            let from_start = ask.call.query("initialPosition") == Some("earliest");
            let position = ask.call.number::<i64>("messagePosition")?.unwrap_or(1);
            let position = u64::try_from(position).unwrap_or(1);
            broker.examine(&ask.topic()?, from_start, position).map(|found| message(&found)).map_err(as_unexpected)
        })
        .asks(&[
            ("initialPosition", Shape::Text, "Counted from: earliest, or latest."),
            ("messagePosition", Shape::Number, "From 1."),
        ])
        .gives(Shape::Bytes),
        at("GET", "/ledger/{ledger}/entry/{entry}", "A message by its id.", |ask, broker, _| {
            let (ledger, entry) = (ask.number::<i64>("ledger")?, ask.number::<i64>("entry")?);
            let name = ask.topic()?;
            if broker.partitions(&name) > 0 {
                return Err(error(405, "GetMessageById is not allowed on partitioned-topic"));
            }
            let found = broker.entry(&name, ledger as u64, entry as u64);
            found.map(|found| message(&found)).map_err(as_unexpected)
        })
        .gives(Shape::Bytes),
        at("GET", "/backlog", "What is stored of a topic that is closed, as a real broker estimates it: nothing.", |ask, broker, now| {
            let name = ask.topic()?;
            has_namespace(&name, broker)?;
            let domain = if name.persistent { "persistent" } else { "non-persistent" };
            let host = super::brokers::id(broker, ask.call.broker);
            Ok(Answer::Json(json!({
                "storageSize": 0,
                "totalMessages": 0,
                "messageBacklog": 0,
                "brokerName": host.rsplit_once(':').map_or(host.as_str(), |(host, _)| host),
                "topicName": format!("{}/{domain}/{}", name.namespace_name(), name.local),
                "dataLedgerDetails": [],
                "cursorDetails": {},
                "statGeneratedAt": now.wall_ms,
            })))
        }),
        at("PUT", "/backlogSize", "How many bytes are stored after a message id.", |ask, broker, _| {
            let (id, _) = subscriptions::message_id(&ask.call.json()?)?
                .ok_or_else(|| unreadable("The body must be a message id"))?;
            Ok(Answer::Json(json!(broker.backlog_size(&ask.topic()?, id.ledger_id, id.entry_id)?)))
        })
        .takes(Shape::Object)
        .gives(Shape::Number),
        at("DELETE", "/truncate", "Forgets all that is stored; subscriptions go to the end.", |ask, broker, now| {
            broker.truncate(&ask.topic()?, now)?;
            Ok(Answer::Nothing)
        }),
        at("POST", "/trim", "Forgets what all subscriptions have acknowledged and is not retained.", |ask, broker, now| {
            broker.trim(&ask.topic()?, now)?;
            Ok(Answer::Empty)
        }),
    ]
}

/// Statistics without those that are not asked for.
fn asked(mut stats: TopicStats, ask: &Ask<'_>) -> TopicStats {
    if ask.call.flag("excludePublishers") {
        stats.publishers.clear();
    }
    let sizes = ask.call.query("subscriptionBacklogSize");
    let sizes = sizes.is_none_or(|asked| asked.is_empty() || asked.eq_ignore_ascii_case("true"));
    if !sizes && ask.is_persistent() {
        stats.subscriptions.iter_mut().for_each(|sub| sub.backlog_size = -1);
    }
    if !ask.call.flag("getEarliestTimeInBacklog") {
        stats.earliest_ms = 0;
        stats.subscriptions.iter_mut().for_each(|sub| sub.earliest_ms = 0);
    }
    stats
}

/// Consumers are left out last, as the sums over them stay.
fn told(mut stats: Value, ask: &Ask<'_>) -> Answer {
    if ask.call.flag("excludeConsumers") {
        stats::without_consumers(&mut stats);
    }
    Answer::Json(stats)
}

pub(super) fn has_namespace(name: &TopicName, broker: &Broker) -> Result<()> {
    if broker.is_in_namespace(name) { Ok(()) } else { Err(error(404, "Namespace not found")) }
}

fn list(ask: &Ask<'_>, broker: &Broker) -> Result<Answer> {
    let name = ask.namespace()?;
    broker.namespace(&name).map_err(|_| error(404, "Namespace does not exist"))?;
    Ok(Answer::Json(json!(namespaces::listed(ask.call, "", &name, ask.is_persistent(), broker))))
}

/// A partitioned topic and its partitions.
fn parts(ask: &Ask<'_>, broker: &Broker) -> Result<(TopicName, Vec<TopicName>)> {
    let name = ask.topic()?;
    let count = broker.partitions(&name);
    if count == 0 {
        return Err(error(
            404,
            match name.persistent {
                true => format!("Partitioned Topic {name} not found"),
                false => format!("Partitioned topic not found {name}"),
            },
        ));
    }
    let parts = (0..count).map(|index| name.with_partition(index)).collect();
    Ok((name, parts))
}

fn count(ask: &Ask<'_>, broker: &mut Broker, now: Now) -> Result<Answer> {
    let name = ask.topic()?;
    if let Some(count) = broker.coordinators_of(&name) {
        return Ok(Answer::Json(json!({ "partitions": count, "deleted": false })));
    }
    has_namespace(&name, broker)?;
    let made = ask.call.flag("checkAllowAutoCreation");
    let count = if made { broker.partitions_for_use(&name, now)? } else { broker.partitions(&name) };
    if count == 0 && !made && name.partition().is_none() && broker.stats(&name).is_err() {
        return Err(error(404, format!("Topic {name} not found")));
    }
    let mut told = json!({ "partitions": count, "deleted": false });
    if count > 0
        && let Ok(properties) = broker.properties(&name)
        && !properties.is_empty()
    {
        told["properties"] = json!(properties);
    }
    Ok(Answer::Json(told))
}

fn properties(body: &Value) -> Result<BTreeMap<String, String>> {
    if body.is_null() {
        return Ok(BTreeMap::new());
    }
    let all = texts(body).ok_or_else(|| unreadable("The body must be an object of texts"))?;
    Ok(all.into_iter().filter_map(|(key, value)| Some((key, value.as_str()?.to_owned()))).collect())
}

/// How many partitions a topic gets, and its properties, where the body has these.
fn partitioned(ask: &Ask<'_>) -> Result<(i32, BTreeMap<String, String>)> {
    if !ask.call.says(PARTITIONED) {
        return Ok((partitions(&ask.call.json()?)?, BTreeMap::new()));
    }
    let body = ask.call.json()?;
    if body.is_number() {
        return Ok((partitions(&body)?, BTreeMap::new()));
    }
    if body.is_null() {
        return Err(unexpected("Cannot read field \"partitions\" because \"metadata\" is null"));
    }
    let field = |name| body.get(name).cloned();
    let count = field("partitions").filter(|count| !count.is_null()).unwrap_or(json!(0));
    Ok((partitions(&count)?, properties(&field("properties").unwrap_or_default())?))
}

/// Nothing is 0.
fn partitions(count: &Value) -> Result<i32> {
    if count.is_null() || count.as_str().is_some_and(str::is_empty) {
        return Ok(0);
    }
    let count = whole(count).and_then(|count| i32::try_from(count).ok());
    count.ok_or_else(|| unreadable("The body must be the number of partitions"))
}

/// The real broker has no answer of its own for what its storage says.
fn as_unexpected(why: AdminError) -> AdminError {
    if why.status == 500 { unexpected(&why.reason) } else { why }
}

/// A message id, as JSON.
fn id((ledger, entry): (i64, i64), partition: i64) -> Value {
    json!({ "ledgerId": ledger, "entryId": entry, "partitionIndex": partition, "batchIndex": -1, "batchSize": 0 })
}

/// A message, with what is said of it in the headers.
pub(super) fn message(peeked: &Peeked) -> Answer {
    let metadata = &peeked.metadata;
    let mut headers = vec![("x-pulsar-message-id", format!("{}:{}", peeked.id.0, peeked.id.1))];
    let all: Map<String, Value> =
        metadata.properties.iter().map(|pair| (pair.key.clone(), json!(pair.value))).collect();
    headers.push(("x-pulsar-property", Value::Object(all).to_string()));
    if let Some((time, index)) = peeked.added {
        headers.push(("x-pulsar-broker-entry-metadata-timestamp", iso_8601(time)));
        headers.push(("x-pulsar-broker-entry-metadata-index", index.to_string()));
    }
    headers.push(("x-pulsar-publish-time", iso_8601(metadata.publish_time)));
    headers.push(("x-pulsar-is-encrypted", (!metadata.encryption_keys.is_empty()).to_string()));
    headers.push(("x-pulsar-txn-uncommitted", peeked.waits.to_string()));
    if let (Some(most), Some(least)) = (metadata.txnid_most_bits, metadata.txnid_least_bits) {
        headers.push(("x-pulsar-txnid-most-bits", (most as i64).to_string()));
        headers.push(("x-pulsar-txnid-least-bits", (least as i64).to_string()));
        headers.push(("x-pulsar-txn-aborted", peeked.aborted.to_string()));
    }
    if let Some(time) = metadata.event_time.filter(|time| *time > 0) {
        headers.push(("x-pulsar-event-time", iso_8601(time)));
    }
    if let Some(time) = metadata.deliver_at_time.and_then(|time| u64::try_from(time).ok()) {
        headers.push(("x-pulsar-deliver-at-time", iso_8601(time)));
    }
    if let Some(count) = metadata.num_messages_in_batch {
        headers.push(("x-pulsar-num-batch-message", count.to_string()));
        headers.push(("x-pulsar-batch-size", peeked.size.to_string()));
    }
    let texts = [
        ("x-pulsar-producer-name", Some(metadata.producer_name.clone()).filter(|name| !name.is_empty())),
        ("x-pulsar-sequence-id", Some((metadata.sequence_id as i64).to_string())),
        ("x-pulsar-partition-key", metadata.partition_key.clone()),
        ("x-pulsar-marker-type", metadata.marker_type.map(|kind| kind.to_string())),
        ("x-pulsar-replicated-from", metadata.replicated_from.clone()),
        ("x-pulsar-uuid", metadata.uuid.clone()),
        ("x-pulsar-null-value", metadata.null_value.map(|null| null.to_string())),
        ("x-pulsar-null-partition-key", metadata.null_partition_key.map(|null| null.to_string())),
        ("x-pulsar-partition-key-b64-encoded", metadata.partition_key_b64_encoded.map(|on| on.to_string())),
        ("x-pulsar-chunk-id", metadata.chunk_id.map(|id| id.to_string())),
        ("x-pulsar-num-chunks-from-msg", metadata.num_chunks_from_msg.map(|count| count.to_string())),
        ("x-pulsar-total-chunk-msg-size", metadata.total_chunk_msg_size.map(|size| size.to_string())),
    ];
    headers.extend(texts.into_iter().filter_map(|(name, value)| Some((name, value?))));
    Answer::Message(headers, peeked.payload.clone())
}
