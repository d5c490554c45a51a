//! Namespaces, and what is done to all their topics.

use serde_json::{Map, Value, json};

use super::homes::Homes;
use super::route::{Parameter, Route, Shape, route};
use super::{Answer, Ask, Call, Result, access, brokers, error, homes, reading, settings, unreadable};
use crate::core::names::TopicName;
use crate::core::{AdminError, BUNDLES, Broker, Grants, Now, Policies, Scope, bundle_hash};

const GROUP: &str = "namespaces";
const MODE: &[Parameter] = &[
    ("mode", Shape::Text, "PERSISTENT (the default), NON_PERSISTENT or ALL."),
    ("includeSystemTopic", Shape::Boolean, "There are none."),
];

const DESTINATION: &[Parameter] =
    &[("destinationBroker", Shape::Text, "Which of several brokers is to serve it.")];

pub(super) fn routes() -> Vec<Route> {
    let at = |method, rest: &str, summary, run| {
        route(method, &format!("namespaces/{{tenant}}/{{namespace}}{rest}"), GROUP, summary, run)
    };
    let mut routes = vec![
        route("GET", "namespaces/{tenant}", GROUP, "Namespaces of a tenant.", |ask, broker, _| {
            let tenant = ask.part("tenant");
            broker.tenant(tenant).ok_or_else(|| error(404, "Tenant not found"))?;
            Ok(Answer::Json(json!(broker.namespaces(tenant))))
        })
        .gives(Shape::Texts),
        route(
            "GET",
            "/admin/namespaces/{tenant}/{cluster}",
            GROUP,
            "Namespaces of a tenant that have that cluster in their names, as those of the first version had.",
            |ask, broker, _| {
                let (tenant, cluster) = (ask.part("tenant"), ask.part("cluster"));
                broker.tenant(tenant).ok_or_else(|| error(404, "Tenant does not exist"))?;
                if broker.config().cluster != cluster {
                    return Err(error(404, "Cluster does not exist"));
                }
                let prefix = format!("{tenant}/{cluster}/");
                let of_cluster = broker.namespaces(tenant).into_iter().filter(|name| name.starts_with(&prefix));
                Ok(Answer::Json(of_cluster.collect()))
            },
        )
        .gives(Shape::Texts),
        at("GET", "", "Settings of a namespace.", |ask, broker, _| {
            let name = ask.namespace()?;
            Ok(Answer::Json(described(&broker.namespace(&name)?, broker, &name)))
        }),
        at("PUT", "", "Makes a namespace.", create).takes(Shape::Object),
        at("DELETE", "", "Deletes a namespace without topics.", |ask, broker, now| {
            let name = ask.namespace()?;
            let force = forced(ask, broker, "forceDeleteNamespaceAllowed", "namespaces")?;
            if broker.namespace(&name).is_err() {
                return Err(error(404, format!("Namespace {name} does not exist.")));
            }
            if let Some(elsewhere) = homes::deleted_elsewhere(&name, ask, broker)? {
                return Ok(elsewhere);
            }
            match force {
                true => broker.delete_namespace_with_topics(&name, now)?,
                false => broker.delete_namespace(&name, now)?,
            }
            Ok(Answer::Nothing)
        })
        .asks(&[(
            "force",
            Shape::Boolean,
            "With its topics, where the broker's setting forceDeleteNamespaceAllowed is true.",
        )]),
        at("GET", "/topics", "Topics of a namespace, partitions one by one.", topics)
            .asks(MODE)
            .gives(Shape::Texts),
        at("GET", "/bundles", "Bundles of a namespace.", |ask, broker, _| {
            let name = ask.namespace()?;
            broker.namespace(&name)?;
            Ok(Answer::Json(bundles(broker, &name)))
        }),
        at("PUT", "/unload", "Sends all clients of a namespace back to look their topics up.", unload)
            .asks(DESTINATION),
        at("PUT", "/{bundle}/unload", "The same for the topics of one bundle.", unload).asks(DESTINATION),
        at("DELETE", "/{bundle}", "Deletes the topics of a bundle.", delete_bundle).asks(&[(
            "force",
            Shape::Boolean,
            "Also topics that are in use.",
        )]),
        at("GET", "/{bundle}/topicHashPositions", "By which numbers topics are in a bundle.", hashes)
            .asks(&[("topics", Shape::Text, "Only these.")]),
        at("PUT", "/{bundle}/split", "Splits a bundle in two halves.", split).takes(Shape::List).asks(&[
            ("unload", Shape::Boolean, "Send its clients away."),
            ("splitAlgorithmName", Shape::Text, "Bundles are split in two halves by any."),
        ]),
        at("GET", "/property/{key}", "A property of a namespace.", |ask, broker, _| {
            let all = reading::kept(&broker.namespace(&ask.namespace()?)?, "properties", json!({}));
            Ok(match all.get(ask.part("key")).and_then(Value::as_str) {
                Some(value) => Answer::Raw(value.to_owned()),
                None => Answer::Empty,
            })
        })
        .gives(Shape::Text),
        at("PUT", "/property/{key}/{value}", "Sets a property of a namespace.", |ask, broker, now| {
            let scope = Scope::Namespace(ask.namespace()?);
            let (key, value) = (ask.part("key").to_owned(), json!(ask.part("value")));
            change(&scope, "properties", broker, now, |all| drop(all.insert(key, value)))
        }),
        at(
            "DELETE",
            "/property/{key}",
            "Takes a property from a namespace; answers what it was.",
            |ask, broker, now| {
                let scope = Scope::Namespace(ask.namespace()?);
                let mut was = None;
                change(&scope, "properties", broker, now, |all| was = all.remove(ask.part("key")))?;
                Ok(match was {
                    Some(Value::String(was)) => Answer::Raw(was),
                    _ => Answer::Empty,
                })
            },
        )
        .gives(Shape::Text),
    ];
    // Of all its topics, or of those of one bundle.
    for bundle in ["", "/{bundle}"] {
        let of_all = |rest: &str, summary, run| at("POST", &format!("{bundle}{rest}"), summary, run);
        routes.extend([
            of_all("/clearBacklog", "All subscriptions pass over all messages.", |ask, broker, now| {
                each_topic(ask, broker, |broker, topic| {
                    let subs = broker.subscriptions(topic)?;
                    subs.iter().try_for_each(|sub| broker.skip_all(topic, sub, now))
                })
            }),
            of_all(
                "/clearBacklog/{subscription}",
                "Subscriptions of that name pass over all messages.",
                |ask, broker, now| {
                    let sub = ask.part("subscription").to_owned();
                    each_topic(ask, broker, |broker, topic| broker.skip_all(topic, &sub, now))
                },
            ),
            of_all(
                "/unsubscribe/{subscription}",
                "Deletes subscriptions of that name.",
                |ask, broker, now| {
                    let sub = ask.part("subscription").to_owned();
                    each_topic(ask, broker, |broker, topic| {
                        match broker.delete_subscription(topic, &sub, false, now) {
                            Err(error) if error.status == 404 => Ok(()),
                            done => done,
                        }
                    })
                },
            ),
        ]);
    }
    routes
}

/// Whether all that is inside goes with it: asked for, and allowed by a setting of the broker.
pub(super) fn forced(ask: &Ask<'_>, broker: &Broker, setting: &str, what: &str) -> Result<bool> {
    let force = ask.call.flag("force");
    if force && broker.dynamic_settings().get(setting).is_none_or(|allowed| allowed != "true") {
        return Err(error(405, format!("Broker doesn't allow forced deletion of {what}")));
    }
    Ok(force)
}

fn change(
    scope: &Scope,
    name: &str,
    broker: &mut Broker,
    now: Now,
    change: impl FnOnce(&mut Map<String, Value>),
) -> Result<Answer> {
    let mut all = match reading::kept(&broker.policies(scope)?, name, json!({})) {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    change(&mut all);
    let json = Value::Object(all).to_string();
    broker.set_policies(scope, |policies| drop(policies.kept.insert(name.to_owned(), json)), now)?;
    Ok(Answer::Nothing)
}

fn create(ask: &Ask<'_>, broker: &mut Broker, now: Now) -> Result<Answer> {
    let name = ask.namespace()?;
    let body = ask.call.json()?;
    if !body.is_object() && !body.is_null() {
        return Err(unreadable("The body must be the settings of a namespace"));
    }
    let tenant = broker.tenant(ask.part("tenant")).ok_or_else(|| error(404, "Tenant does not exist"))?;
    let homes = Homes::read(&body, &name, &tenant, broker)?;
    let bundles = match body.get("bundles").and_then(|bundles| bundles.get("numBundles")) {
        None | Some(Value::Null) => BUNDLES,
        Some(count) => {
            let count = count.as_u64().and_then(|count| u32::try_from(count).ok());
            let count = count.filter(|count| *count <= 128);
            count.ok_or_else(|| {
                error(412, "Invalid number of bundles. Number of bundles has to be in the range of (0, 2^7]")
            })?
        }
    };
    let grants = match body.get("auth_policies").and_then(|policies| policies.get("namespace_auth")) {
        Some(Value::Object(roles)) => roles
            .iter()
            .map(|(role, actions)| Ok((role.clone(), access::actions(actions)?)))
            .collect::<Result<Grants>>()?,
        _ => Grants::new(),
    };
    broker.make_namespace(&name, if bundles == 0 { BUNDLES } else { bundles })?;
    for (role, actions) in grants {
        broker.grant(&name, &role, actions, now);
    }
    let scope = Scope::Namespace(name);
    settings::take_over(&body, &scope, broker, now)?;
    homes.keep(&scope, broker, now)?;
    Ok(Answer::Nothing)
}

fn unload(ask: &Ask<'_>, broker: &mut Broker, now: Now) -> Result<Answer> {
    let destination = match ask.call.query("destinationBroker") {
        None => None,
        Some(wanted) => {
            let at = brokers::ids(broker).iter().position(|id| id == wanted);
            let reason = "Not allowed unload namespace bundle to inactive destination broker";
            Some(at.ok_or_else(|| error(409, reason))?)
        }
    };
    let range = Some(ask.part("bundle")).filter(|range| !range.is_empty());
    broker.unload_bundles(&ask.namespace()?, range, destination, now)?;
    Ok(Answer::Nothing)
}

fn split(ask: &Ask<'_>, broker: &mut Broker, now: Now) -> Result<Answer> {
    const ALGORITHMS: [&str; 4] = [
        "range_equally_divide",
        "topic_count_equally_divide",
        "specified_positions_divide",
        "flow_or_qps_equally_divide",
    ];
    let algorithm =
        ask.call.query("splitAlgorithmName").filter(|name| !name.is_empty()).unwrap_or(ALGORITHMS[0]);
    if !ALGORITHMS.contains(&algorithm) {
        let all = ALGORITHMS.join(", ");
        let reason =
            format!("Unsupported namespace bundle split algorithm, supported algorithms are [{all}]");
        return Err(error(412, reason));
    }
    let name = ask.namespace()?;
    broker.namespace(&name).map_err(|_| error(404, "Namespace not found"))?;
    let bundle = ask.part("bundle");
    let range = match bundle {
        "HOT" => return Err(error(404, "Bundle range HOT not found")),
        "LARGEST" => largest(broker, &name),
        range => range.to_owned(),
    };
    if !range.contains('_') {
        return Err(error(412, format!("Invalid bundle range: {range}")));
    }
    // By the others, a bundle with next to nothing in it stays whole.
    if algorithm == ALGORITHMS[0] {
        broker.split_bundle(&name, &range, ask.call.flag("unload"), now)?;
    }
    Ok(Answer::Nothing)
}

/// The bundle with the most topics.
fn largest(broker: &Broker, name: &str) -> String {
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    let topics = [true, false].into_iter().flat_map(|persistent| broker.topics(name, persistent));
    for topic in topics.filter_map(|topic| TopicName::parse(&topic).ok()) {
        *counts.entry(broker.bundle_of(&topic)).or_default() += 1;
    }
    let texts = broker.bundles(name).texts();
    let first = || texts.first_chunk::<2>().map(|[begin, end]| format!("{begin}_{end}")).unwrap_or_default();
    counts.into_iter().max_by_key(|(_, count)| *count).map_or_else(first, |(range, _)| range)
}

fn topics(ask: &Ask<'_>, broker: &mut Broker, _: Now) -> Result<Answer> {
    let name = ask.namespace()?;
    broker.namespace(&name)?;
    let mode = ask.call.one_of("mode", &["PERSISTENT", "NON_PERSISTENT", "ALL"])?.unwrap_or("PERSISTENT");
    let mut list = Vec::new();
    if mode != "NON_PERSISTENT" {
        list.extend(broker.topics(&name, true));
    }
    if mode != "PERSISTENT" {
        list.extend(broker.topics(&name, false));
    }
    Ok(Answer::Json(json!(list)))
}

/// Topics of a namespace, those of one bundle when the call names one.
pub(super) fn listed(
    call: &Call,
    bundle: &str,
    name: &str,
    persistent: bool,
    broker: &Broker,
) -> Vec<String> {
    let mut list = broker.topics(name, persistent);
    let bundle = if bundle.is_empty() { call.query("bundle").unwrap_or_default() } else { bundle };
    if !bundle.is_empty() {
        let within =
            |topic: &String| TopicName::parse(topic).is_ok_and(|topic| broker.bundle_of(&topic) == bundle);
        list.retain(within);
    }
    list
}

/// A bundle of a namespace belongs to somebody as soon as it has topics.
fn owned(call: &Call, bundle: &str, name: &str, broker: &Broker) -> Result<Vec<String>> {
    broker.has_bundle(name, bundle)?;
    let mut inside = listed(call, bundle, name, true, broker);
    inside.extend(listed(call, bundle, name, false, broker));
    if inside.is_empty() {
        return Err(error(412, format!("Failed to find ownership for ServiceUnit:{name}/{bundle}")));
    }
    Ok(inside)
}

/// Deletes the topics of a bundle.
fn delete_bundle(ask: &Ask<'_>, broker: &mut Broker, now: Now) -> Result<Answer> {
    let (name, bundle) = (ask.namespace()?, ask.part("bundle"));
    broker.namespace(&name)?;
    let inside = owned(ask.call, bundle, &name, broker)?;
    if !ask.call.flag("force") {
        return Err(error(409, format!("Cannot delete non empty bundle {name}/{bundle}")));
    }
    for topic in inside {
        if let Ok(topic) = TopicName::parse(&topic) {
            broker.delete_topic(&topic, true, now)?;
        }
    }
    Ok(Answer::Nothing)
}

/// By which numbers topics are in a bundle.
fn hashes(ask: &Ask<'_>, broker: &mut Broker, _: Now) -> Result<Answer> {
    let (name, bundle) = (ask.namespace()?, ask.part("bundle"));
    broker.namespace(&name)?;
    owned(ask.call, bundle, &name, broker)?;
    let asked = |topic: &String| {
        let mut wanted =
            ask.call.query.iter().filter(|(key, value)| key == "topics" && !value.is_empty()).peekable();
        wanted.peek().is_none() || wanted.any(|(_, names)| names.split(',').any(|name| name == topic))
    };
    let inside = listed(ask.call, bundle, &name, true, broker);
    let hash = |topic: String| {
        let hash = bundle_hash(&TopicName::parse(&topic).ok()?);
        Some((topic, json!(hash)))
    };
    let all: Map<String, Value> = inside.into_iter().filter(asked).filter_map(hash).collect();
    Ok(Answer::Json(json!({ "namespace": name, "bundle": bundle, "topicHashPositions": all })))
}

fn each_topic(
    ask: &Ask<'_>,
    broker: &mut Broker,
    mut order: impl FnMut(&mut Broker, &TopicName) -> std::result::Result<(), AdminError>,
) -> Result<Answer> {
    let name = ask.namespace()?;
    broker.namespace(&name)?;
    let bundle = ask.part("bundle");
    if !bundle.is_empty() {
        owned(ask.call, bundle, &name, broker)?;
    }
    for persistent in [true, false] {
        for topic in listed(ask.call, bundle, &name, persistent, broker) {
            let Ok(topic) = TopicName::parse(&topic) else { continue };
            match order(broker, &topic) {
                // One that has not what is asked for is passed over.
                Err(error) if error.status != 404 => return Err(error),
                _ => {}
            }
        }
    }
    Ok(Answer::Nothing)
}

fn bundles(broker: &Broker, name: &str) -> Value {
    let boundaries = broker.bundles(name).texts();
    json!({ "boundaries": boundaries, "numBundles": boundaries.len() - 1 })
}

/// All that is said of a namespace.
fn described(policies: &Policies, broker: &Broker, name: &str) -> Value {
    let of_topics: Map<String, Value> =
        broker.topic_grants(name).into_iter().map(|(topic, grants)| (topic, access::roles(grants))).collect();
    let mut all = json!({
        "auth_policies": {
            "namespace_auth": access::roles(broker.grants(name)),
            "destination_auth": of_topics,
            "subscription_auth_roles": broker.subscription_grants(name),
        },
        "bundles": bundles(broker, name),
        "clusterDispatchRate": {},
        "clusterSubscribeRate": {},
        "publishMaxMessageRate": {},
        "latency_stats_sample_rate": {},
        "topicDispatchRate": {},
        "subscriptionDispatchRate": {},
        "replicatorDispatchRate": {},
        "deleted": false,
        "migrated": false,
        "offload_threshold_in_seconds": -1,
    });
    let Some(fields) = all.as_object_mut() else { return Value::Null };
    settings::describe(policies, broker, fields);
    let allowed = reading::kept(policies, "allowedClusters", Value::Null);
    let allowed = if allowed.is_null() { json!([]) } else { allowed };
    fields.insert("allowed_clusters".to_owned(), allowed);
    if let Some(only) = homes::deletes(policies, broker) {
        fields.insert("clusterThatCanDeleteNamespace".to_owned(), json!(only));
    }
    all
}
