//! The broker itself, and where topics are served.

use serde_json::{Map, Value, json};

use super::dynamic::DYNAMIC;
use super::route::{Route, Shape, route};
use super::{Answer, Ask, Result, error, topics, unexpected};
use crate::core::{AdvertisedListener, Broker, Now};

const GROUP: &str = "brokers";
const LOOKUP: &str = "lookup";

/// Clients ask for it to see what they may use.
const PULSAR: &str = "4.0.8";

/// Settings of a real broker. What is set here goes before them.
const RUNTIME: &str = include_str!("runtime.txt");
/// What the real one takes for `loadManagerClassName`: a class that is there.
const LOAD_MANAGERS: &[&str] = &[
    "org.apache.pulsar.broker.loadbalance.LoadManager",
    "org.apache.pulsar.broker.loadbalance.ModularLoadManager",
    "org.apache.pulsar.broker.loadbalance.NoopLoadManager",
    "org.apache.pulsar.broker.loadbalance.extensions.ExtensibleLoadManager",
    "org.apache.pulsar.broker.loadbalance.extensions.ExtensibleLoadManagerImpl",
    "org.apache.pulsar.broker.loadbalance.extensions.ExtensibleLoadManagerWrapper",
    "org.apache.pulsar.broker.loadbalance.impl.ModularLoadManagerImpl",
    "org.apache.pulsar.broker.loadbalance.impl.ModularLoadManagerWrapper",
    "org.apache.pulsar.broker.loadbalance.impl.SimpleLoadManagerImpl",
];
const METADATA: &str = "memory:local";

fn dynamic<'a>(ask: &'a Ask<'_>, what: &str) -> Result<&'a str> {
    let name = ask.part("setting");
    match DYNAMIC.contains(&name) {
        true => Ok(name),
        false => Err(error(412, format!("Can't {what} non-dynamic configuration"))),
    }
}

pub(super) fn routes() -> Vec<Route> {
    let get = |path, summary, run| route("GET", path, GROUP, summary, run);
    let ok = |ask: &Ask<'_>, broker: &mut Broker, _: Now| {
        ask.call.one_of("topicVersion", &["V1", "V2"])?;
        if let Some(id) = ask.call.query("brokerId").filter(|id| !id.is_empty()) {
            known(id, broker)?;
        }
        Ok(Answer::Raw("ok".to_owned()))
    };
    let at = "/lookup/v2/topic/{domain}/{tenant}/{namespace}/{topic}";
    vec![
        get("brokers/health", "Whether it works.", ok)
            .asks(&[
                ("topicVersion", Shape::Text, "V1 or V2: means nothing here."),
                ("brokerId", Shape::Text, "Which one."),
            ])
            .gives(Shape::Text),
        get("brokers/ready", "Whether it works.", ok).gives(Shape::Text),
        get("brokers", "Brokers that are there.", list).gives(Shape::Texts),
        get("brokers/{cluster}", "Brokers that are there, whatever the cluster.", list).gives(Shape::Texts),
        get("brokers/leaderBroker", "The one that decides.", |_, broker, _| {
            let leader = broker.config().node(0);
            let service = leader.admin_url_tls.as_ref().or(leader.admin_url.as_ref());
            Ok(Answer::Json(json!({ "serviceUrl": service, "brokerId": id(broker, 0) })))
        }),
        get("brokers/{cluster}/{broker}/ownedNamespaces", "Bundles that a broker serves.", owned),
        get("brokers/version", "The version of Apache Pulsar that it does as.", |_, _, _| {
            Ok(Answer::Raw(PULSAR.to_owned()))
        })
        .gives(Shape::Text),
        get("brokers/internal-configuration", "Where it keeps what it knows.", |_, _, _| {
            Ok(Answer::Json(json!({
                "metadataStoreUrl": METADATA,
                "configurationMetadataStoreUrl": METADATA,
                "zookeeperServers": METADATA,
                "configurationStoreServers": METADATA,
                "ledgersRootPath": "/ledgers",
            })))
        }),
        get("/status.html", "Whether it works.", |_, _, _| Ok(Answer::Text("OK".to_owned())))
            .gives(Shape::Text),
        get(
            "brokers/configuration",
            "Settings that can be changed while it runs. Those about topics, subscriptions and namespaces being made have an effect here.",
            |_, _, _| Ok(Answer::Json(json!(DYNAMIC))),
        )
        .gives(Shape::Texts),
        get("brokers/configuration/values", "Settings that were changed while it runs.", |_, broker, _| {
            Ok(Answer::Json(json!(broker.dynamic_settings())))
        }),
        route(
            "POST",
            "brokers/configuration/{setting}/{value}",
            GROUP,
            "Changes a setting while it runs.",
            |ask, broker, _| {
                let value = ask.part("value").to_owned();
                let name = dynamic(ask, "update")?;
                if name == "loadManagerClassName" && !LOAD_MANAGERS.contains(&value.as_str()) {
                    return Err(error(412, " Invalid dynamic-config value"));
                }
                broker.set_dynamic(name, Some(value));
                Ok(Answer::Empty)
            },
        ),
        route("DELETE", "brokers/configuration/{setting}", GROUP, "Takes that back.", |ask, broker, _| {
            broker.set_dynamic(dynamic(ask, "delete")?, None);
            Ok(Answer::Empty)
        }),
        get("brokers/configuration/runtime", "Settings as they are.", |_, broker, _| {
            Ok(Answer::Json(configuration(broker)))
        }),
        route("GET", at, LOOKUP, "Who serves a topic.", find).asks(&[(
            "listenerName",
            Shape::Text,
            "By which advertised listener; by none is the usual one.",
        )]),
        route(
            "GET",
            &format!("{at}/bundle"),
            LOOKUP,
            "The bundle that a topic belongs to.",
            |ask, broker, _| Ok(Answer::Raw(broker.bundle_of(&ask.topic()?))),
        )
        .gives(Shape::Text),
    ]
}

/// How one of several brokers is called: by host and port of its admin API.
pub(super) fn id(broker: &Broker, at: usize) -> String {
    let node = broker.config().node(at);
    let url = node.admin_url.unwrap_or(node.service_url);
    url.split_once("://").map_or(url.as_str(), |(_, id)| id).to_owned()
}

/// Ids of all brokers, in order.
pub(super) fn ids(broker: &Broker) -> Vec<String> {
    (0..=broker.config().more_brokers.len()).map(|at| id(broker, at)).collect()
}

fn owned(ask: &Ask<'_>, broker: &mut Broker, _: Now) -> Result<Answer> {
    let at = known(ask.part("broker"), broker)?;
    let state = json!({ "broker_assignment": "shared", "is_controlled": false, "is_active": true });
    let owned = broker.owned_by(at).into_iter().map(|name| (name, state.clone()));
    Ok(Answer::Json(Value::Object(owned.collect())))
}

/// Which of several brokers is called so.
fn known(id: &str, broker: &Broker) -> Result<usize> {
    let at = ids(broker).iter().position(|it| it == id);
    at.ok_or_else(|| error(404, format!("Broker id '{id}' not found in available brokers.")))
}

fn list(_: &Ask<'_>, broker: &mut Broker, _: Now) -> Result<Answer> {
    Ok(Answer::Json(json!(ids(broker))))
}

fn configuration(broker: &Broker) -> Value {
    let config = broker.config();
    let texts = [
        ("clusterName", config.cluster.clone()),
        ("advertisedListeners", AdvertisedListener::setting(&config.advertised_listeners)),
        ("maxMessageSize", config.max_message_size.to_string()),
        ("allowAutoTopicCreation", config.auto_create_topics.to_string()),
        (
            "allowAutoTopicCreationType",
            if config.partitions() > 0 { "partitioned" } else { "non-partitioned" }.to_owned(),
        ),
        ("defaultNumPartitions", config.default_partitions.max(1).to_string()),
        ("exposingBrokerEntryMetadataToClientEnabled", config.entry_metadata.to_string()),
        ("brokerDeduplicationEnabled", config.deduplication.to_string()),
        ("acknowledgmentAtBatchIndexLevelEnabled", config.batch_index_ack.to_string()),
        ("keepAliveIntervalSeconds", config.keep_alive.as_secs().to_string()),
        ("maxUnackedMessagesPerConsumer", config.max_unacked_per_consumer.to_string()),
        ("maxUnackedMessagesPerSubscription", config.max_unacked_per_subscription.to_string()),
    ];
    let port = |url: &str| match url.rsplit_once(':').map(|(_, port)| port.trim_end_matches('/')) {
        Some(port) if !url.is_empty() => format!("Optional[{port}]"),
        _ => "Optional.empty".to_owned(),
    };
    let node = config.node(0);
    let ports = [
        ("brokerServicePort", port(&node.service_url)),
        ("brokerServicePortTls", port(node.service_url_tls.as_deref().unwrap_or_default())),
        ("webServicePort", port(node.admin_url.as_deref().unwrap_or_default())),
        ("webServicePortTls", port(node.admin_url_tls.as_deref().unwrap_or_default())),
        ("metadataStoreUrl", METADATA.to_owned()),
        ("configurationMetadataStoreUrl", METADATA.to_owned()),
    ];
    let there = RUNTIME.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    let mut all: Map<String, Value> =
        there.map(|(key, value)| (key.to_owned(), Value::from(value))).collect();
    if !config.entry_metadata {
        all.insert("brokerEntryMetadataInterceptors".to_owned(), Value::from("[]"));
    }
    let own = texts.into_iter().chain(ports).map(|(key, value)| (key.to_owned(), value));
    let set = broker.running_settings().iter().map(|(key, value)| match key.as_str() {
        // A set, as Java shows one.
        "subscriptionTypesEnabled" => {
            (key.clone(), format!("[{}]", config.limits.subscription_types.join(", ")))
        }
        _ => (key.clone(), value.clone()),
    });
    all.extend(own.chain(set).map(|(key, value)| (key, Value::from(value))));
    Value::Object(all)
}

fn find(ask: &Ask<'_>, broker: &mut Broker, _: Now) -> Result<Answer> {
    let name = ask.topic()?;
    // Clients look for transaction coordinators as if they were partitions of a topic.
    if broker.coordinators_of(&name.base()).is_none() {
        topics::has_namespace(&name, broker)?;
    }
    let asked = ask.call.query("listenerName").filter(|listener| !listener.is_empty());
    let listener = asked.or(ask.call.listener.as_deref()).filter(|listener| !listener.is_empty());
    if !broker.config().advertises(listener) {
        let listener = listener.unwrap_or_default();
        return Err(unexpected(&format!("the broker do not have {listener} listener")));
    }
    if !broker.config().limits.lookups {
        return Err(error(503, "Service Unavailable"));
    }
    let node = broker.find(&name, ask.call.broker);
    let node = broker.config().advertised(node, listener);
    let (http, https) = (node.admin_url.clone(), node.admin_url_tls.clone());
    let (plain, tls) = node.service_urls();
    let mut told = json!({
        "brokerUrl": plain,
        "brokerUrlTls": tls,
        "httpUrl": http,
        "httpUrlTls": https,
        "nativeUrl": plain,
        // Only clients of old ask for it, and 4.0.8 never says.
        "brokerUrlSsl": "",
    });
    if let Some(fields) = told.as_object_mut() {
        fields.retain(|_, url| !url.is_null());
    }
    Ok(Answer::Json(told))
}
