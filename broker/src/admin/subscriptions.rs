//! Subscriptions: making, moving, looking, deleting.

use pulsewire_proto::wire::MessageIdData;
use serde_json::{Map, Value, json};

use super::reading::{texts, whole};
use super::route::{Route, Shape, route};
use super::{Answer, Ask, Result, error, stats, topics, unexpected, unreadable};
use crate::core::names::TopicName;
use crate::core::{Broker, Now, Start};

const GROUP: &str = "subscriptions";

pub(super) fn routes() -> Vec<Route> {
    let at = |method, rest: &str, summary, run| {
        route(method, &format!("{{domain}}/{{tenant}}/{{namespace}}/{{topic}}{rest}"), GROUP, summary, run)
    };
    let of = |method, rest: &str, summary, run| {
        at(method, &format!("/subscription/{{subscription}}{rest}"), summary, run)
    };
    vec![
        at("GET", "/subscriptions", "Names of a topic's subscriptions.", |ask, broker, _| {
            Ok(Answer::Json(json!(broker.cursors(&ask.topic()?)?)))
        })
        .gives(Shape::Texts),
        of("PUT", "", "Makes a subscription at a message id; without one, at the end.", create)
            .takes(Shape::Object)
            .asks(&[("replicated", Shape::Boolean, "Only remembered.")]),
        of("DELETE", "", "Deletes a subscription.", |ask, broker, now| {
            let force = ask.call.flag("force");
            let name = ask.topic()?;
            let whole = broker.partitions(&name) > 0;
            broker.delete_subscription(&name, ask.part("subscription"), force, now).map_err(|why| {
                let missing = whole && why.status == 404;
                if missing { error(404, "Subscription not found") } else { why }
            })?;
            Ok(Answer::Nothing)
        })
        .asks(&[("force", Shape::Boolean, "Also when it has consumers.")]),
        of("POST", "/skip_all", "Passes over all messages.", |ask, broker, now| {
            broker.skip_all(&ask.topic()?, ask.part("subscription"), now)?;
            Ok(Answer::Nothing)
        }),
        of("POST", "/skip/{messages}", "Passes over so many messages.", |ask, broker, now| {
            let (name, count) = (ask.topic()?, ask.number::<i32>("messages")?);
            if broker.partitions(&name) > 0 {
                return Err(error(405, "Skip messages on a partitioned topic is not allowed"));
            }
            broker.skip(&name, ask.part("subscription"), u64::try_from(count).unwrap_or(0), now)?;
            Ok(Answer::Nothing)
        }),
        of(
            "POST",
            "/expireMessages/{seconds}",
            "Passes over messages older than that.",
            |ask, broker, now| expire(ask, broker, ask.part("subscription"), now),
        ),
        of("POST", "/expireMessages", "Passes over messages up to an id.", |ask, broker, now| {
            let (id, _) =
                message_id(&ask.call.json()?)?.ok_or_else(|| unreadable("The body must be a message id"))?;
            broker.expire_to(&ask.topic()?, ask.part("subscription"), id, now)?;
            Ok(Answer::Nothing)
        })
        .takes(Shape::Object),
        at(
            "POST",
            "/all_subscription/expireMessages/{seconds}",
            "The same for all subscriptions.",
            |ask, broker, now| {
                let all = broker.subscriptions(&ask.topic()?)?;
                let done: Vec<_> = all.iter().map(|sub| expire(ask, broker, sub, now)).collect();
                done.into_iter().find(Result::is_err).unwrap_or(Ok(Answer::Nothing))
            },
        ),
        of(
            "POST",
            "/resetcursor/{timestamp}",
            "Moves to the first message of that time or later.",
            |ask, broker, now| {
                let time = ask.number::<i64>("timestamp")?;
                let time = u64::try_from(time).unwrap_or(0);
                broker.reset_to_time(&ask.topic()?, ask.part("subscription"), time, now)?;
                Ok(Answer::Nothing)
            },
        ),
        of("POST", "/resetcursor", "Moves to a message id.", reset).takes(Shape::Object),
        of("GET", "/properties", "Properties of a subscription.", |ask, broker, _| {
            let found = broker.subscription_properties(&ask.topic()?, ask.part("subscription"))?;
            let all: Map<String, Value> = found.into_iter().map(|(key, value)| (key, json!(value))).collect();
            Ok(Answer::Json(Value::Object(all)))
        }),
        of("PUT", "/properties", "Sets all properties of a subscription.", |ask, broker, _| {
            let body = ask.call.json()?;
            let all = texts(&body).ok_or_else(|| unreadable("The body must be an object of texts"))?;
            broker.set_subscription_properties(&ask.topic()?, ask.part("subscription"), &pairs(&all))?;
            Ok(Answer::Nothing)
        })
        .takes(Shape::Object),
        of("POST", "/analyzeBacklog", "Counts what is not acknowledged.", |ask, broker, _| {
            Ok(Answer::Json(stats::backlog(&broker.backlog(&ask.topic()?, ask.part("subscription"))?)))
        })
        .gives(Shape::Object),
        of(
            "GET",
            "/position/{position}",
            "The message that comes as that, from 1. Makes the subscription if it is not there.",
            |ask, broker, now| {
                let position = ask.number::<i32>("position")?;
                let name = ask.topic()?;
                if broker.partitions(&name) > 0 {
                    return Err(error(405, "Peek messages on a partitioned topic is not allowed"));
                }
                let sub = ask.part("subscription");
                // One that is not there comes into being, whatever is said of subscriptions that do so by themselves.
                if name.persistent && broker.cursors(&name)?.iter().all(|known| known != sub) {
                    let missing = |_| error(404, format!("Subscription {sub} not found for topic {name}"));
                    let start = Start::At(MessageIdData::default());
                    broker.create_subscription(&name, sub, &start, &[], now).map_err(missing)?;
                }
                let position = u64::try_from(position).ok().filter(|position| *position > 0);
                let position = position.ok_or_else(|| unexpected("null"))?;
                Ok(super::topics::message(&broker.peek(&name, sub, position)?))
            },
        )
        .gives(Shape::Bytes),
        of("GET", "/replicatedSubscriptionStatus", "Whether it is replicated.", |ask, broker, _| {
            let name = ask.topic()?;
            let parts = match broker.partitions(&name) {
                0 => vec![name],
                count => (0..count).map(|index| name.with_partition(index)).collect(),
            };
            let mut all = Map::new();
            for part in parts {
                all.insert(part.to_string(), json!(broker.is_replicated(&part, ask.part("subscription"))?));
            }
            Ok(Answer::Json(Value::Object(all)))
        }),
        of(
            "POST",
            "/replicatedSubscriptionStatus",
            "Sets whether it is replicated; only remembered.",
            |ask, broker, _| {
                let body = ask.call.json()?;
                let on = body.as_bool().ok_or_else(|| error(400, "Boolean type request body is required"))?;
                broker.set_replicated(&ask.topic()?, ask.part("subscription"), on)?;
                Ok(Answer::Nothing)
            },
        )
        .takes(Shape::Boolean),
    ]
}

fn pairs(all: &Map<String, Value>) -> Vec<(String, String)> {
    all.iter().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// A message id of a body, and whether it is that one that is meant or the one after it.
pub(super) fn message_id(body: &Value) -> Result<Option<(MessageIdData, bool)>> {
    let fields = match body {
        Value::Null => return Ok(None),
        Value::Object(fields) => fields,
        // The ends of a topic have names.
        Value::String(end) if end == "earliest" || end == "latest" => {
            let end = if end == "earliest" { u64::MAX } else { i64::MAX as u64 };
            let id = MessageIdData { ledger_id: end, entry_id: end, ..MessageIdData::default() };
            return Ok(Some((id, false)));
        }
        _ => return Err(unreadable("The body must be a message id: ledgerId and entryId")),
    };
    let number = |name: &str, unset: i64| match fields.get(name) {
        None | Some(Value::Null) => Ok(unset),
        Some(value) => whole(value).ok_or_else(|| unreadable(format!("{name} must be a number"))),
    };
    let id = MessageIdData {
        ledger_id: number("ledgerId", 0)? as u64,
        entry_id: number("entryId", 0)? as u64,
        batch_index: i32::try_from(number("batchIndex", -1)?).ok(),
        ..MessageIdData::default()
    };
    let excluded = fields.get("excluded").and_then(Value::as_bool);
    Ok(Some((id, excluded.unwrap_or(false))))
}

fn create(ask: &Ask<'_>, broker: &mut Broker, now: Now) -> Result<Answer> {
    let name = ask.topic()?;
    if !name.persistent {
        return Err(error(
            400,
            "Create subscription on non-persistent topic can only be done through client",
        ));
    }
    let body = ask.call.json()?;
    let start = match message_id(&body)? {
        Some((id, _)) if body.is_string() || body.get("ledgerId").is_some() => Start::At(id),
        _ => Start::End,
    };
    let properties = match body.get("properties") {
        None | Some(Value::Null) => Vec::new(),
        Some(all) => pairs(&texts(all).ok_or_else(|| unreadable("properties must be an object of texts"))?),
    };
    if name.partition().is_none() && broker.partitions(&name) == 0 {
        topics::has_namespace(&name, broker)?;
    }
    broker.create_subscription(&name, ask.part("subscription"), &start, &properties, now)?;
    if ask.call.flag("replicated") {
        broker.set_replicated(&name, ask.part("subscription"), true)?;
    }
    Ok(Answer::Nothing)
}

fn reset(ask: &Ask<'_>, broker: &mut Broker, now: Now) -> Result<Answer> {
    let (name, sub) = (ask.topic()?, ask.part("subscription"));
    let id = message_id(&ask.call.json()?)?;
    let (id, excluded) = id.ok_or_else(|| {
        let what = "org.apache.pulsar.client.impl.ResetCursorData.getLedgerId()";
        unexpected(&format!("Cannot invoke \"{what}\" because \"resetCursorData\" is null"))
    })?;
    if broker.partitions(&name) > 0 {
        return Err(error(405, "Reset-cursor at position is not allowed for partitioned-topic"));
    }
    broker.reset_to_id(&name, sub, &id, excluded, now)?;
    Ok(Answer::Nothing)
}

fn expire(ask: &Ask<'_>, broker: &mut Broker, sub: &str, now: Now) -> Result<Answer> {
    let name: TopicName = ask.topic()?;
    let seconds = u64::try_from(ask.number::<i32>("seconds")?).unwrap_or(0);
    let Some(name) = broker.expire_messages(&name, sub, seconds, now)? else {
        return Ok(Answer::Nothing);
    };
    Err(error(
        409,
        format!(
            "Expire message by timestamp not issued on topic {name} for subscription {sub} due to ongoing message \
             expiration not finished or subscription almost catch  up. If it's performed on a partitioned topic \
             operation might succeeded on other partitions, please check stats of individual partition."
        ),
    ))
}
