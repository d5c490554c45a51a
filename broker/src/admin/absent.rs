//! What a real installation may have beside its brokers, and what one says that was started without: functions,
//! connectors, packages, racks of bookies.

use serde_json::json;

use super::route::{Parameter, Route, Shape, route};
use super::{Answer, Ask, Result, error};
use crate::core::{Broker, Now};

const GROUP: &str = "what is not there";

/// Below `functions/`, `sinks/` and so on.
const OF_WORKERS: &[(&str, &str)] = &[
    ("GET", "connectors"),
    ("GET", "builtins"),
    ("GET", "builtinsinks"),
    ("GET", "builtinsources"),
    ("GET", "builtinsinks/{name}/configdefinition"),
    ("GET", "builtinsources/{name}/configdefinition"),
    ("GET", "download"),
    ("POST", "builtins/reload"),
    ("POST", "reloadBuiltInSinks"),
    ("POST", "reloadBuiltInSources"),
    ("POST", "upload"),
    ("GET", "{tenant}/{namespace}"),
    ("GET", "{tenant}/{namespace}/{name}"),
    ("PUT", "{tenant}/{namespace}/{name}"),
    ("POST", "{tenant}/{namespace}/{name}"),
    ("DELETE", "{tenant}/{namespace}/{name}"),
    ("GET", "{tenant}/{namespace}/{name}/{what}"),
    ("POST", "{tenant}/{namespace}/{name}/{what}"),
    ("GET", "{tenant}/{namespace}/{name}/{instance}/{what}"),
    ("POST", "{tenant}/{namespace}/{name}/{instance}/{what}"),
];

const WORKERS: &[(&str, &str)] = &[
    ("GET", "worker/cluster"),
    ("GET", "worker/cluster/leader"),
    ("GET", "worker/cluster/leader/ready"),
    ("GET", "worker/assignments"),
    ("GET", "worker/connectors"),
    ("GET", "worker/drain"),
    ("PUT", "worker/drain"),
    ("GET", "worker/leader/drain"),
    ("PUT", "worker/leader/drain"),
    ("PUT", "worker/rebalance"),
    ("GET", "worker-stats/metrics"),
    ("GET", "worker-stats/functionsmetrics"),
];

const PACKAGES: &[(&str, &str)] = &[
    ("GET", ""),
    ("GET", "/{package}"),
    ("GET", "/{package}/{version}"),
    ("POST", "/{package}/{version}"),
    ("DELETE", "/{package}/{version}"),
    ("GET", "/{package}/{version}/metadata"),
    ("PUT", "/{package}/{version}/metadata"),
];

const RACK: &[Parameter] = &[("group", Shape::Text, "Which group of bookies.")];

pub(super) fn routes() -> Vec<Route> {
    let mut routes = Vec::new();
    let mut add =
        |method, path: &str, summary: &str, run| routes.push(route(method, path, GROUP, summary, run));
    for base in ["/admin/v2/functions", "/admin/v3/functions", "/admin/v3/sink", "/admin/v3/sinks"]
        .into_iter()
        .chain(["/admin/v3/source", "/admin/v3/sources"])
    {
        for (method, rest) in OF_WORKERS {
            add(
                method,
                &format!("{base}/{rest}"),
                "There is no worker for functions and connectors.",
                no_worker,
            );
        }
    }
    for (method, path) in WORKERS {
        add(method, path, "There is no worker for functions and connectors.", no_worker);
    }
    for (method, rest) in PACKAGES {
        let path = format!("/admin/v3/packages/{{type}}/{{tenant}}/{{namespace}}{rest}");
        add(method, &path, "There are no packages.", no_packages);
    }
    add("GET", "bookies/racks-info/{bookie}", "The rack of a bookie: there are none.", no_rack);
    add("DELETE", "bookies/racks-info/{bookie}", "Forgets the rack of a bookie: there are none.", no_rack);
    let none = |_: &Ask<'_>, _: &mut Broker, _: Now| Ok(Answer::Json(json!({})));
    add("GET", "broker-stats/bookieops", "What bookies have to do: nothing.", none);
    add(
        "GET",
        "broker-stats/broker-resource-availability/{tenant}/{namespace}",
        "What a load manager knows: there is none.",
        |_, _, _| {
            let reason =
                "org.apache.pulsar.broker.loadbalance.NoopLoadManager does not support this operation";
            Err(error(409, reason))
        },
    );
    routes.push(
        route(
            "POST",
            "bookies/racks-info/{bookie}",
            GROUP,
            "Says in which rack a bookie is: it is not kept.",
            rack,
        )
        .asks(RACK)
        .takes(Shape::Object),
    );
    routes
}

fn no_worker(_: &Ask<'_>, _: &mut Broker, _: Now) -> Result<Answer> {
    Err(error(409, "Pulsar Function Worker is not enabled, probably functionsWorkerEnabled is set to false"))
}

fn no_packages(ask: &Ask<'_>, _: &mut Broker, _: Now) -> Result<Answer> {
    let kind = ask.part("type");
    if !["function", "sink", "source"].contains(&kind) {
        return Err(error(412, format!("Invalid package domain: '{kind}'")));
    }
    Err(error(503, "Package Management Service is not enabled in the broker."))
}

fn no_rack(ask: &Ask<'_>, _: &mut Broker, _: Now) -> Result<Answer> {
    let bookie = ask.part("bookie");
    Err(error(404, format!("Bookie rack placement configuration not found: {bookie}")))
}

fn rack(ask: &Ask<'_>, _: &mut Broker, _: Now) -> Result<Answer> {
    match ask.call.query("group") {
        Some(_) => Ok(Answer::Nothing),
        None => Err(error(412, "Bookie 'group' parameters is missing")),
    }
}
