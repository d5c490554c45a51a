//! Which path does what.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Answer, Call, Urls, access, bundles, policies, stats};
use crate::core::names::{TopicName, is_entity, parse_namespace};
use crate::core::{AdminError, Broker, Now, Scope, bundle_range};
use crate::server::engine::Handle;

type Result<T> = std::result::Result<T, AdminError>;

fn error(status: u16, reason: impl Into<String>) -> AdminError {
    AdminError { status, reason: reason.into() }
}

/// Runs on the core.
pub(super) async fn ask<T: Send + 'static>(
    handle: &Handle,
    order: impl FnOnce(&mut Broker, Now) -> T + Send + 'static,
) -> Result<T> {
    handle.ask(order).await.ok_or_else(|| error(503, "The broker is stopping"))
}

pub(super) async fn route(call: &Call, urls: &Urls, handle: &Handle) -> Result<Answer> {
    let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["admin", "v2", "brokers", "health" | "ready"] => match call.method.as_str() {
            "GET" => ask(handle, |_, _| ()).await.map(|()| Answer::Text("ok".to_owned())),
            _ => Err(not_allowed(call)),
        },
        ["admin", "v2", "brokers", rest @ ..] => bundles::brokers(call, rest, urls, handle).await,
        ["admin", "v2", "clusters"] => get(call, json!([urls.cluster])),
        ["admin", "v2", "clusters", name] if *name == urls.cluster => get(call, cluster(urls)),
        ["admin", "v2", "clusters", _] => Err(error(404, "Cluster does not exist")),
        ["admin", "v2", "tenants", rest @ ..] => tenants(call, rest, urls, handle).await,
        ["admin", "v2", "namespaces", rest @ ..] => namespaces(call, rest, handle).await,
        ["admin", "v2", domain @ ("persistent" | "non-persistent"), tenant, namespace, rest @ ..] => {
            let namespace = namespace_name(tenant, namespace)?;
            topics(call, *domain == "persistent", namespace, rest, handle).await
        }
        [
            "lookup",
            "v2",
            "topic",
            domain @ ("persistent" | "non-persistent"),
            tenant,
            namespace,
            topic @ ..,
        ] if !topic.is_empty() => {
            lookup(call, *domain == "persistent", tenant, namespace, topic, urls.broker, handle).await
        }
        _ => Err(error(404, "No such call in this broker")),
    }
}

pub(super) fn not_allowed(call: &Call) -> AdminError {
    error(405, format!("{} is not for this path", call.method))
}

fn get(call: &Call, value: Value) -> Result<Answer> {
    if call.method == "GET" { Ok(Answer::Json(value)) } else { Err(not_allowed(call)) }
}

fn cluster(urls: &Urls) -> Value {
    json!({
        "serviceUrl": urls.admin,
        "serviceUrlTls": urls.admin_tls,
        "brokerServiceUrl": urls.service,
        "brokerServiceUrlTls": urls.service_tls,
    })
}

/// Where a topic is served; of `TOPIC/bundle`, to which bundle it belongs.
async fn lookup(
    call: &Call,
    persistent: bool,
    tenant: &str,
    namespace: &str,
    topic: &[&str],
    here: usize,
    handle: &Handle,
) -> Result<Answer> {
    if let [topic @ .., "bundle"] = topic
        && !topic.is_empty()
        && call.method == "GET"
    {
        let name = topic_name(persistent, tenant, namespace, &topic.join("/"))?;
        return Ok(Answer::Text(bundle_range(&name)));
    }
    let name = topic_name(persistent, tenant, namespace, &topic.join("/"))?;
    let node = ask(handle, move |broker, _| broker.find(&name, here)).await?;
    get(
        call,
        json!({
            "brokerUrl": node.service_url,
            "brokerUrlTls": node.service_url_tls,
            "httpUrl": node.admin_url,
            "httpUrlTls": node.admin_url_tls,
            "nativeUrl": node.service_url,
            "brokerUrlSsl": node.service_url_tls.as_deref().unwrap_or(""),
        }),
    )
}

fn namespace_name(tenant: &str, namespace: &str) -> Result<String> {
    let name = format!("{tenant}/{namespace}");
    if parse_namespace(&name).is_none() {
        return Err(error(412, format!("Invalid namespace: {name}")));
    }
    Ok(name)
}

fn topic_name(persistent: bool, tenant: &str, namespace: &str, local: &str) -> Result<TopicName> {
    TopicName::from_parts(persistent, tenant, namespace, local)
        .ok_or_else(|| error(412, "Topic name is not valid"))
}

async fn tenants(call: &Call, rest: &[&str], urls: &Urls, handle: &Handle) -> Result<Answer> {
    match (call.method.as_str(), rest) {
        ("GET", []) => Ok(Answer::Json(json!(ask(handle, |broker, _| broker.tenants()).await?))),
        ("GET", [tenant]) => {
            let known = ask(handle, |broker, _| broker.tenants()).await?;
            if !known.iter().any(|name| name == tenant) {
                return Err(error(404, "Tenant does not exist"));
            }
            Ok(Answer::Json(json!({ "adminRoles": [], "allowedClusters": [urls.cluster] })))
        }
        ("PUT", [tenant]) => {
            if !is_entity(tenant) {
                return Err(error(412, "Tenant name is not valid"));
            }
            let tenant = (*tenant).to_owned();
            match ask(handle, move |broker, _| broker.create_tenant(&tenant)).await? {
                true => Ok(Answer::Nothing),
                false => Err(error(409, "Tenant already exist")),
            }
        }
        ("POST", [_]) => Ok(Answer::Nothing),
        _ => Err(not_allowed(call)),
    }
}

async fn namespaces(call: &Call, rest: &[&str], handle: &Handle) -> Result<Answer> {
    match (call.method.as_str(), rest) {
        ("GET", [tenant]) => {
            let tenant = (*tenant).to_owned();
            Ok(Answer::Json(json!(ask(handle, move |broker, _| broker.namespaces(&tenant)).await?)))
        }
        (method, [tenant, namespace, rest @ ..]) => {
            let name = namespace_name(tenant, namespace)?;
            match (method, rest) {
                ("GET", []) => {
                    let (tenant, wanted) = ((*tenant).to_owned(), name);
                    let known = ask(handle, move |broker, _| broker.namespaces(&tenant)).await?;
                    if !known.contains(&wanted) {
                        return Err(error(404, "Namespace does not exist"));
                    }
                    Ok(Answer::Json(json!({ "bundles": bundles::data() })))
                }
                ("PUT", []) => match ask(handle, move |broker, _| broker.create_namespace(&name)).await? {
                    true => Ok(Answer::Nothing),
                    false => Err(error(409, "Namespace already exists")),
                },
                ("DELETE", []) => {
                    ask(handle, move |broker, _| broker.delete_namespace(&name)).await??;
                    Ok(Answer::Nothing)
                }
                ("GET", ["topics"]) => {
                    let mode = call.query("mode").unwrap_or("PERSISTENT").to_owned();
                    let list = ask(handle, move |broker, _| {
                        let mut list = Vec::new();
                        if mode != "NON_PERSISTENT" {
                            list.extend(broker.topics(&name, true));
                        }
                        if mode != "PERSISTENT" {
                            list.extend(broker.topics(&name, false));
                        }
                        list
                    });
                    Ok(Answer::Json(json!(list.await?)))
                }
                ("GET", ["bundles"]) => Ok(Answer::Json(bundles::data())),
                ("PUT", ["unload"]) => bundles::unload(call, name, None, handle).await,
                ("PUT", [range, "unload"]) => bundles::unload(call, name, Some(range), handle).await,
                (_, ["permissions", rest @ ..]) => {
                    let answer = access::permissions(call, name, rest, handle).await;
                    answer.unwrap_or_else(|| Err(not_allowed(call)))
                }
                (_, [setting]) => {
                    match policies::route(call, Scope::Namespace(name), setting, handle).await {
                        Some(answer) => answer,
                        None => Err(not_allowed(call)),
                    }
                }
                _ => Err(not_allowed(call)),
            }
        }
        _ => Err(not_allowed(call)),
    }
}

async fn topics(
    call: &Call,
    persistent: bool,
    namespace: String,
    rest: &[&str],
    handle: &Handle,
) -> Result<Answer> {
    match (call.method.as_str(), rest) {
        ("GET", []) => {
            let list = ask(handle, move |broker, _| broker.topics(&namespace, persistent)).await?;
            Ok(Answer::Json(json!(list)))
        }
        ("GET", ["partitioned"]) => {
            let list =
                ask(handle, move |broker, _| broker.partitioned_topics(&namespace, persistent)).await?;
            Ok(Answer::Json(json!(list)))
        }
        (_, [local, rest @ ..]) => {
            let (tenant, namespace) = namespace.split_once('/').unwrap_or_default();
            let name = topic_name(persistent, tenant, namespace, local)?;
            topic(call, name, rest, handle).await
        }
        _ => Err(not_allowed(call)),
    }
}

async fn topic(call: &Call, name: TopicName, rest: &[&str], handle: &Handle) -> Result<Answer> {
    let force = call.flag("force");
    match (call.method.as_str(), rest) {
        ("PUT", []) => {
            let properties = properties(call)?;
            ask(handle, move |broker, now| broker.create_topic(&name, properties, now)).await??;
        }
        ("GET", ["properties"]) => {
            let found = ask(handle, move |broker, _| broker.properties(&name)).await??;
            return Ok(Answer::Json(json!(found)));
        }
        ("PUT", ["properties"]) => {
            let properties = properties(call)?;
            ask(handle, move |broker, _| broker.set_properties(&name, properties)).await??;
        }
        ("DELETE", []) => {
            ask(handle, move |broker, now| {
                if broker.partitions(&name) > 0 {
                    let reason = format!(
                        "{name} is a partitioned topic, instead of calling delete topic, please call \
                         delete-partitioned-topic."
                    );
                    return Err(error(409, reason));
                }
                broker.delete_topic(&name, force, now)
            })
            .await??;
        }
        ("DELETE", ["partitions"]) => {
            ask(handle, move |broker, now| broker.delete_topic(&name, force, now)).await??;
        }
        ("PUT", ["partitions"]) => {
            let count = partitions(call)?;
            ask(handle, move |broker, now| broker.create_partitioned_topic(&name, count, now)).await??;
        }
        ("POST", ["partitions"]) => {
            let count = partitions(call)?;
            ask(handle, move |broker, now| broker.update_partitions(&name, count, now)).await??;
        }
        ("GET", ["partitions"]) => {
            let lenient = call.flag("checkAllowAutoCreation");
            let full = name.to_string();
            let missing = || error(404, format!("Topic {full} not found"));
            let count = ask(handle, move |broker, _| {
                let count = broker.partitions(&name);
                let known = count > 0 || broker.stats(&name).is_ok() || name.partition().is_some();
                (known || (lenient && broker.config().auto_create_topics)).then_some(count)
            })
            .await?
            .ok_or_else(missing)?;
            return Ok(Answer::Json(json!({ "partitions": count, "deleted": false })));
        }
        ("GET", ["stats"]) => {
            let found = ask(handle, move |broker, _| broker.stats(&name)).await??;
            return Ok(Answer::Json(stats::topic(&found)));
        }
        ("GET", ["internalStats"]) => {
            let found = ask(handle, move |broker, _| broker.internal_stats(&name)).await??;
            return Ok(Answer::Json(stats::internal(&found)));
        }
        ("GET", ["partitioned-stats"]) => {
            let found = ask(handle, move |broker, _| {
                let count = broker.partitions(&name);
                let parts: Vec<_> = (0..count).map(|index| name.with_partition(index)).collect();
                let stats = |part: TopicName| Some((part.to_string(), broker.stats(&part).ok()?));
                (count, parts.into_iter().filter_map(stats).collect::<Vec<_>>())
            });
            let (count, parts) = found.await?;
            if count == 0 {
                return Err(error(404, "Partitioned Topic not found"));
            }
            return Ok(Answer::Json(stats::partitioned(count, &parts)));
        }
        ("GET", ["subscriptions"]) => {
            let list = ask(handle, move |broker, _| broker.subscriptions(&name)).await??;
            return Ok(Answer::Json(json!(list)));
        }
        ("PUT", ["unload"]) => {
            ask(handle, move |broker, now| broker.unload_topic(&name, now)).await??;
        }
        ("POST", ["terminate"]) => {
            let last = ask(handle, move |broker, now| broker.terminate(&name, now)).await??;
            return Ok(Answer::Json(json!({
                "ledgerId": last.ledger_id as i64,
                "entryId": last.entry_id as i64,
                "partitionIndex": -1,
                "batchIndex": -1,
                "batchSize": 0,
            })));
        }
        ("PUT", ["compaction"]) => {
            ask(handle, move |broker, _| broker.compact(&name)).await??;
        }
        ("GET", ["compaction"]) => {
            let done = ask(handle, move |broker, _| broker.is_compacted(&name)).await??;
            let status = if done { "SUCCESS" } else { "NOT_RUN" };
            return Ok(Answer::Json(json!({ "status": status, "lastError": "" })));
        }
        (_, ["permissions", rest @ ..]) => {
            let answer = access::permissions(call, name.to_string(), rest, handle).await;
            return answer.unwrap_or_else(|| Err(not_allowed(call)));
        }
        (_, ["subscription", sub, rest @ ..]) => {
            return subscription(call, name, (*sub).to_owned(), rest, handle).await;
        }
        (_, [setting]) => {
            let answer = policies::route(call, Scope::Topic(name), setting, handle).await;
            return answer.unwrap_or_else(|| Err(not_allowed(call)));
        }
        _ => return Err(not_allowed(call)),
    }
    Ok(Answer::Nothing)
}

fn properties(call: &Call) -> Result<BTreeMap<String, String>> {
    let wrong = || error(400, "The body must be an object of texts");
    match call.json()? {
        Value::Null => Ok(BTreeMap::new()),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(key, value)| Some((key, value.as_str()?.to_owned())))
            .collect::<Option<_>>()
            .ok_or_else(wrong),
        _ => Err(wrong()),
    }
}

fn partitions(call: &Call) -> Result<u32> {
    let count = call.json()?.as_u64().and_then(|count| u32::try_from(count).ok());
    count.ok_or_else(|| error(400, "The body must be the number of partitions"))
}

async fn subscription(
    call: &Call,
    name: TopicName,
    sub: String,
    rest: &[&str],
    handle: &Handle,
) -> Result<Answer> {
    let force = call.flag("force");
    match (call.method.as_str(), rest) {
        ("PUT", []) => {
            // The body is a message id; earliest is -1:-1. Without one it is the end.
            let body = call.json()?;
            let earliest = body.get("entryId").and_then(Value::as_i64) == Some(-1);
            ask(handle, move |broker, now| broker.create_subscription(&name, &sub, earliest, now)).await??;
        }
        ("DELETE", []) => {
            ask(handle, move |broker, now| broker.delete_subscription(&name, &sub, force, now)).await??;
        }
        ("POST", ["skip_all"]) => {
            ask(handle, move |broker, now| broker.skip_all(&name, &sub, now)).await??;
        }
        ("POST", ["skip", count]) => {
            let count = count.parse().map_err(|_| error(400, "The number of messages must be one"))?;
            ask(handle, move |broker, now| broker.skip(&name, &sub, count, now)).await??;
        }
        ("POST", ["expireMessages", seconds]) => {
            let seconds = seconds.parse().map_err(|_| error(400, "The time must be in seconds"))?;
            let any = ask(handle, move |broker, now| broker.expire_messages(&name, &sub, seconds, now));
            if !any.await?? {
                return Err(error(409, "There is nothing to expire"));
            }
        }
        ("POST", ["resetcursor", time]) => {
            let time = time.parse().map_err(|_| error(400, "The time must be in milliseconds"))?;
            ask(handle, move |broker, now| broker.reset_to_time(&name, &sub, time, now)).await??;
        }
        ("POST", ["resetcursor"]) => {
            let body = call.json()?;
            let part = |key: &str| body.get(key).and_then(Value::as_i64);
            let (Some(ledger), Some(entry)) = (part("ledgerId"), part("entryId")) else {
                return Err(error(400, "The body must be a message id: ledgerId and entryId"));
            };
            ask(handle, move |broker, now| broker.reset_to_id(&name, &sub, ledger as u64, entry as u64, now))
                .await??;
        }
        _ => return Err(not_allowed(call)),
    }
    Ok(Answer::Nothing)
}
