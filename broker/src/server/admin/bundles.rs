//! Which broker serves what, and moving it.

use serde_json::{Map, Value, json};

use super::routes::{ask, not_allowed};
use super::{Answer, Call, Urls};
use crate::core::AdminError;
use crate::core::bundle_boundaries;
use crate::server::engine::Handle;

/// What a namespace says of its bundles.
pub(super) fn data() -> Value {
    let boundaries = bundle_boundaries();
    json!({ "numBundles": boundaries.len() - 1, "boundaries": boundaries })
}

/// How one of several brokers is called: by host and port of its admin API.
fn broker_id(admin: Option<&str>, service: &str) -> String {
    let url = admin.unwrap_or(service);
    url.split_once("://").map_or(url, |(_, id)| id).to_owned()
}

/// Ids of all brokers, in order.
async fn ids(handle: &Handle) -> Result<Vec<String>, AdminError> {
    ask(handle, |broker, _| {
        let nodes = (0..=broker.config().more_brokers.len()).map(|at| broker.config().node(at));
        nodes.map(|node| broker_id(node.admin_url.as_deref(), &node.service_url)).collect()
    })
    .await
}

/// Unloads one bundle of a namespace, or all.
pub(super) async fn unload(
    call: &Call,
    namespace: String,
    range: Option<&str>,
    handle: &Handle,
) -> Result<Answer, AdminError> {
    let destination = match call.query("destinationBroker") {
        None => None,
        Some(wanted) => {
            let at = ids(handle).await?.iter().position(|id| id == wanted);
            let reason = "Not allowed unload namespace bundle to inactive destination broker";
            Some(at.ok_or_else(|| AdminError { status: 400, reason: reason.to_owned() })?)
        }
    };
    let range = range.map(str::to_owned);
    ask(handle, move |broker, now| broker.unload_bundles(&namespace, range.as_deref(), destination, now))
        .await??;
    Ok(Answer::Nothing)
}

/// Below `admin/v2/brokers`: who there is, and who has what.
pub(super) async fn brokers(
    call: &Call,
    rest: &[&str],
    urls: &Urls,
    handle: &Handle,
) -> Result<Answer, AdminError> {
    if call.method != "GET" {
        return Err(not_allowed(call));
    }
    match rest {
        [] => Ok(Answer::Json(json!(ids(handle).await?))),
        ["leaderBroker"] => {
            let leader = ask(handle, |broker, _| broker.config().node(0)).await?;
            let id = broker_id(leader.admin_url.as_deref(), &leader.service_url);
            Ok(Answer::Json(json!({ "brokerId": id, "serviceUrl": leader.admin_url })))
        }
        ["version"] => Ok(Answer::Text(env!("CARGO_PKG_VERSION").to_owned())),
        [cluster] if *cluster == urls.cluster => Ok(Answer::Json(json!(ids(handle).await?))),
        [cluster, id, "ownedNamespaces"] if *cluster == urls.cluster => {
            let Some(at) = ids(handle).await?.iter().position(|it| it == id) else {
                return Err(AdminError { status: 404, reason: format!("Broker {id} not found") });
            };
            let owned = ask(handle, move |broker, _| broker.owned_by(at)).await?;
            let state = json!({ "broker_assignment": "shared", "is_controlled": false, "is_active": true });
            let owned: Map<String, Value> = owned.into_iter().map(|name| (name, state.clone())).collect();
            Ok(Answer::Json(Value::Object(owned)))
        }
        _ => Err(AdminError { status: 404, reason: "No such call in this broker".to_owned() }),
    }
}
