//! The admin API: its description, and what it makes of calls that are wrong.
#![allow(clippy::unwrap_used)]
#![cfg(feature = "server")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use pulsewire_broker::{BrokerConfig, Server, ServerConfig};
use serde_json::Value;

/// A broker of its own: where its admin API is.
fn broker() -> String {
    broker_with(BrokerConfig::default())
}

fn broker_with(broker: BrokerConfig) -> String {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let any = ([127, 0, 0, 1], 0).into();
            let config =
                ServerConfig { listen: any, admin_listen: Some(any), broker, ..ServerConfig::default() };
            let server = Server::bind(config).await.unwrap();
            tell.send(server.admin_addr().unwrap().to_string()).unwrap();
            server.run(std::future::pending()).await.unwrap();
        });
    });
    told.recv().unwrap()
}

struct Heard {
    status: u16,
    head: String,
    body: String,
}

impl Heard {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    fn reason(&self) -> String {
        self.json()["reason"].as_str().unwrap_or_default().to_owned()
    }
}

fn send(at: &str, bytes: &[u8]) -> Heard {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // What is refused early need not be read to its end.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Heard { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

fn call_as(at: &str, method: &str, path: &str, kind: &str, body: &str) -> Heard {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n{kind}content-length: {length}\r\n\r\n"
    );
    send(at, format!("{head}{body}").as_bytes())
}

fn call(at: &str, method: &str, path: &str, body: &str) -> Heard {
    call_as(at, method, path, "content-type: application/json\r\n", body)
}

#[test]
fn what_is_added_to_messages_is_told_among_the_settings() {
    for (on, interceptors) in [(true, 2), (false, 0)] {
        let at = broker_with(BrokerConfig { entry_metadata: on, ..BrokerConfig::default() });
        let told = call(&at, "GET", "/admin/v2/brokers/configuration/runtime", "").json();
        let names = told["brokerEntryMetadataInterceptors"].as_str().unwrap();
        assert_eq!(
            names.matches("AppendBrokerTimestamp").count() + names.matches("AppendIndex").count(),
            interceptors
        );
        assert_eq!(told["exposingBrokerEntryMetadataToClientEnabled"], on.to_string());
    }
}

/// Every path of the description with its methods.
fn described(at: &str) -> Vec<(String, String)> {
    let description = call(at, "GET", "/openapi.json", "");
    assert_eq!(description.status, 200);
    let description = description.json();
    let paths = description["paths"].as_object().unwrap().clone();
    let all = paths.into_iter().flat_map(|(path, methods)| {
        let methods: Vec<String> = methods.as_object().unwrap().keys().cloned().collect();
        methods.into_iter().map(move |method| (path.clone(), method.to_uppercase()))
    });
    all.collect()
}

fn filled(path: &str) -> String {
    let segment = |segment: &str| {
        match segment {
            "{domain}" => "persistent",
            "{tenant}" => "public",
            "{namespace}" => "default",
            "{topic}" => "t",
            "{cluster}" => "standalone",
            "{bundle}" => "0x00000000_0x40000000",
            "{subscription}" => "s",
            place if place.starts_with('{') => "1",
            word => word,
        }
        .to_owned()
    };
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

#[test]
fn every_call_that_is_described_answers() {
    let at = broker();
    let all = described(&at);
    assert!(all.len() > 200, "{}", all.len());
    for (path, method) in &all {
        let heard = call(&at, method, &filled(path), "");
        let served = heard.status >= 200 && !heard.body.contains("<title>Error 404");
        let allowed = heard.status != 405 || !heard.head.contains("\r\nallow:");
        // These fail at the real broker as well for what is not there.
        let fails = ["{group}", "internal-info"].iter().any(|part| path.ends_with(part))
            || path.starts_with("/topics");
        let expected =
            fails || heard.status != 500 || heard.reason().contains("An unexpected error occurred");
        assert!(served && allowed && expected, "{method} {path}: {} {}", heard.status, heard.body);
    }
}

#[test]
fn what_is_served_is_described() {
    let at = broker();
    let all = described(&at);
    for path in all.iter().map(|(path, _)| path) {
        let mut methods: Vec<&str> = all
            .iter()
            .filter(|(other, _)| filled(other) == filled(path))
            .map(|(_, method)| &**method)
            .collect();
        methods.sort_unstable();
        methods.dedup();
        // A path is asked what it serves; several descriptions may stand for the same one.
        let heard = call(&at, "OPTIONS", &filled(path), "");
        let told: Vec<&str> = heard.body.split(", ").collect();
        assert_eq!(heard.status, 200, "{path}");
        assert!(methods.iter().all(|method| told.contains(method)), "{path}: {methods:?} {told:?}");
        let matching = |method: &&str| {
            let of = all.iter().filter(|(_, other)| other == *method).map(|(path, _)| path);
            of.into_iter().any(|other| fits(other, &filled(path)))
        };
        let told: Vec<&str> = told.into_iter().filter(|it| !["HEAD", "OPTIONS"].contains(it)).collect();
        assert!(told.iter().all(matching), "{path}: {told:?}");
    }
    for path in ["/", "/admin", "/admin/v2", "/admin/v2/nothing", "/admin/v3/transactions"] {
        assert_eq!(call(&at, "GET", path, "").status, 404, "{path}");
    }
}

/// Whether a described path stands for a real one.
fn fits(described: &str, path: &str) -> bool {
    let (a, b): (Vec<&str>, Vec<&str>) = (described.split('/').collect(), path.split('/').collect());
    a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.starts_with('{') || a == b)
}

#[test]
fn wrong_calls_are_refused_with_a_reason_and_others_do_not_notice() {
    let at = broker();
    let topic = "/admin/v2/persistent/public/default/t";
    assert_eq!(call(&at, "PUT", topic, "").status, 204);
    let deep = "[".repeat(100_000);
    let long = "x".repeat(200_000);
    for (method, path, body, status) in [
        ("PUT", "/admin/v2/tenants/a", "{bad", 400),
        ("PUT", "/admin/v2/tenants/a", "[]", 400),
        ("PUT", "/admin/v2/tenants/a", r#"{"allowedClusters":[1]}"#, 400),
        ("PUT", "/admin/v2/tenants/a", r#"{"allowedClusters":"standalone"}"#, 400),
        ("PUT", "/admin/v2/tenants/a", &deep, 400),
        ("PUT", "/admin/v2/namespaces/public/n", "7", 400),
        ("PUT", "/admin/v2/namespaces/public/n", r#"{"bundles":{"numBundles":2000000000}}"#, 412),
        ("PUT", "/admin/v2/persistent/public/default/p/partitions", "\"x\"", 400),
        ("PUT", "/admin/v2/persistent/public/default/p/partitions", "99999999999999", 500),
        ("PUT", "/admin/v2/persistent/public/default/p/partitions", "2000000000", 409),
        ("PUT", "/admin/v2/persistent/public/default/p/partitions", "", 400),
        ("PUT", "/admin/v2/persistent/public/default/q", "[1]", 400),
        ("POST", "/admin/v2/persistent/public/default/t/retention", "true", 400),
        ("POST", "/admin/v2/persistent/public/default/t/persistence", r#"{"bookkeeperEnsemble":"x"}"#, 400),
        ("POST", "/admin/v2/persistent/public/default/t/maxProducers", "-1", 412),
        ("POST", "/admin/v2/namespaces/public/default/subscriptionAuthMode", "\"Some\"", 400),
        ("POST", "/admin/v2/namespaces/public/default/permissions/r", "\"produce\"", 400),
        ("POST", "/admin/v2/schemas/public/default/t/schema", "", 500),
        ("POST", "/admin/v2/schemas/public/default/t/schema", "{", 400),
        ("POST", "/admin/v2/schemas/public/default/t/schema", r#"{"type":"NOTHING","schema":""}"#, 500),
        ("POST", "/admin/v2/schemas/public/default/t/schema", r#"{"type":"AVRO","schema":"{"}"#, 422),
        ("POST", "/admin/v2/schemas/public/default/t/schema", r#"{"type":"KEY_VALUE","schema":"x"}"#, 422),
        ("GET", "/admin/v2/schemas/public/default/t/schema/x", "", 500),
        ("GET", "/admin/v2/schemas/public/default/t/schema/-1", "", 404),
        ("GET", "/admin/v2/persistent/public/default/%zz/stats", "", 400),
        ("GET", "/admin/v2/persistent/public/default/%ff/stats", "", 404),
        ("GET", "/admin/v2/persistent/public/default/t%", "", 400),
        ("GET", "/admin/v2/persistent/public/default/t/examinemessage?messagePosition=x", "", 404),
        (
            "GET",
            "/admin/v2/persistent/public/default/t/subscription/s/position/99999999999999999999",
            "",
            404,
        ),
        ("GET", "/admin/v2/persistent/public/default/t/ledger/-1/entry/-1", "", 404),
        ("POST", "/admin/v2/persistent/public/default/t/subscription/s/skip/x", "", 404),
        ("GET", "/admin/v2/persistent/a%20b/c", "", 412),
        ("GET", "/admin/v2/persistent/public/default/%2F/stats", "", 412),
        ("GET", "/admin/v2/sideways/public/default/t/stats", "", 404),
        ("PATCH", topic, "", 405),
        ("BREW", topic, "", 405),
    ] {
        let heard = call(&at, method, path, body);
        assert_eq!(heard.status, status, "{method} {path} {:.80}: {}", body, heard.body);
        // Whoever refuses says why in its own way: Pulsar as JSON, what reads bodies as text, what reads paths as
        // a page, where a method may have one.
        let kind =
            heard.head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap_or_default();
        match kind {
            "application/json" => {
                let told = !heard.reason().is_empty() || heard.body == "The request entity cannot be empty.";
                assert!(told, "{method} {path}: {}", heard.body);
            }
            "text/plain" => {
                assert!(status == 400 && !heard.body.is_empty(), "{method} {path}: {}", heard.body)
            }
            "text/html;charset=iso-8859-1" => {
                assert!(
                    heard.body.contains(&format!("<title>Error {status} ")),
                    "{method} {path}: {}",
                    heard.body
                );
            }
            _ => assert!(
                heard.body.is_empty() && !["GET", "POST"].contains(&method),
                "{method} {path}: {kind}"
            ),
        }
    }
    assert!(call(&at, "PATCH", topic, "").head.contains("allow: delete,options,put"));
    assert_eq!(call(&at, "GET", &format!("/{long}"), "").status, 414);
    let form = call_as(
        &at,
        "PUT",
        "/admin/v2/tenants/a",
        "content-type: application/x-www-form-urlencoded\r\n",
        "a=b",
    );
    assert_eq!((form.status, form.body.as_str()), (415, ""));
    let quiet = call_as(&at, "PUT", "/admin/v2/tenants/a", "", r#"{"allowedClusters":["standalone"]}"#);
    assert_eq!(quiet.status, 415, "a client that does not say what it sends");
    assert_eq!(call(&at, "GET", topic, "").status, 405);
    assert_eq!(call(&at, "GET", "/admin/v2/persistent/public/default/t/subscriptions", "").body, "[]");
}

#[test]
fn all_that_a_namespace_has_goes_with_it_where_the_broker_allows_it() {
    let at = broker();
    let (namespace, other) = ("/admin/v2/namespaces/public/n", "/admin/v2/namespaces/mine/n");
    let tenant = r#"{"allowedClusters":["standalone"]}"#;
    assert_eq!(call(&at, "PUT", "/admin/v2/tenants/mine", tenant).status, 204);
    assert_eq!(call(&at, "PUT", namespace, "").status, 204);
    assert_eq!(call(&at, "PUT", other, "").status, 204);
    assert_eq!(call(&at, "PUT", "/admin/v2/persistent/public/n/t", "").status, 204);
    let forced = [format!("{namespace}?force=true"), "/admin/v2/tenants/mine?force=true".to_owned()];
    for path in &forced {
        assert_eq!(call(&at, "DELETE", path, "").status, 405, "{path}");
    }
    for setting in ["forceDeleteNamespaceAllowed", "forceDeleteTenantAllowed"] {
        let path = format!("/admin/v2/brokers/configuration/{setting}/true");
        assert_eq!(call(&at, "POST", &path, "").status, 200, "{path}");
    }
    for path in &forced {
        assert_eq!(call(&at, "DELETE", path, "").status, 204, "{path}");
    }
    assert_eq!(call(&at, "GET", other, "").status, 404);
}

#[test]
fn prometheus_is_told_of_every_topic() {
    let at = broker();
    assert_eq!(call(&at, "PUT", "/admin/v2/persistent/public/default/t%22t", "").status, 204);
    let told = call(&at, "GET", "/metrics", "");
    assert_eq!((told.status, told.head.contains("text/plain")), (200, true));
    assert_eq!(call(&at, "GET", "/metrics/", "").body, told.body);
    let line = r#"pulsar_msg_backlog{cluster="standalone",namespace="public/default",topic="persistent://public/default/t\"t"} 0"#;
    assert!(told.body.lines().any(|told| told == line), "{}", told.body);
    let sub = "/admin/v2/persistent/public/default/t%22t/subscription/s";
    assert_eq!(call(&at, "PUT", sub, "").status, 204);
    let told = call(&at, "GET", "/metrics", "").body;
    let topic = r#"cluster="standalone",namespace="public/default",topic="persistent://public/default/t\"t""#;
    for line in [
        format!(r#"pulsar_subscription_back_log{{{topic},subscription="s"}} 0"#),
        format!(r#"pulsar_subscription_consumers_count{{{topic},subscription="s"}} 0"#),
        format!(r#"pulsar_out_messages_total{{{topic},subscription="s"}} 0"#),
        format!("pulsar_subscriptions_count{{{topic}}} 1"),
        format!("pulsar_consumers_count{{{topic}}} 0"),
        format!("pulsar_rate_in{{{topic}}} 0"),
        r#"pulsar_topics_count{cluster="standalone",namespace="public/default"} 1"#.to_owned(),
        r#"pulsar_broker_topics_count{cluster="standalone"} 1"#.to_owned(),
    ] {
        assert!(told.lines().any(|told| told == line), "{line}\n{told}");
    }
    let list = call(&at, "GET", "/admin/v2/broker-stats/metrics", "").json();
    assert_eq!(list[0]["dimensions"]["namespace"], "public/default");
    assert_eq!(list[0]["metrics"]["brk_no_of_subscriptions"], 1);
    let topics = call(&at, "GET", "/admin/v2/broker-stats/topics", "").json();
    let bundles: Vec<&Value> = topics["public/default"].as_object().unwrap().values().collect();
    let found = &bundles[0]["persistent"]["persistent://public/default/t\"t"]["msgInCounter"];
    assert_eq!((bundles.len(), found), (1, &Value::from(0)));
}

#[test]
fn huge_bodies_and_what_is_no_http_are_refused() {
    let at = broker();
    let huge = vec![b'1'; 3 << 20];
    let head = "PUT /admin/v2/persistent/public/default/t HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\
                content-type: application/json\r\n";
    let whole = [format!("{head}content-length: {}\r\n\r\n", huge.len()).as_bytes(), &huge].concat();
    let heard = send(&at, &whole);
    assert_eq!((heard.status, heard.body.as_str()), (413, ""));
    for nonsense in [&b"\0\0\0\x10hello"[..], b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", &[0xff; 4096]] {
        let heard = send(&at, &[nonsense, b"\r\n\r\n"].concat());
        assert!(heard.status == 0 || heard.status == 400, "{}", heard.status);
    }
    // Half a call and silence holds nobody up.
    let mut silent = TcpStream::connect(&at).unwrap();
    silent.write_all(format!("{head}content-length: 100\r\n\r\n{{").as_bytes()).unwrap();
    assert_eq!(call(&at, "GET", "/admin/v2/brokers/health", "").body, "ok");
    let answers = call(&at, "HEAD", "/admin/v2/clusters", "");
    assert_eq!((answers.status, answers.body.as_str()), (200, ""));
}

/// What clients of others send that `pulsar-admin` does not.
#[test]
fn calls_as_other_clients_make_them() {
    let at = broker();
    let topic = "/admin/v2/persistent/public/default/parts";
    let described = "content-type: application/vnd.partitioned-topic-metadata+json\r\n";
    let json = "content-type: application/json\r\n";
    let ask = |method: &str, path: &str, kind: &str, body: &str| {
        let heard = call_as(&at, method, path, kind, body);
        (heard.status, heard.body)
    };
    let made =
        ask("PUT", &format!("{topic}/partitions"), described, r#"{"partitions":2,"properties":{"a":"b"}}"#);
    assert_eq!(made.0, 204);
    let (_, told) = ask("GET", &format!("{topic}/partitions"), "", "");
    assert!(told.contains(r#""partitions":2"#) && told.contains(r#"{"a":"b"}"#), "{told}");
    assert_eq!(ask("PUT", &format!("{topic}/properties"), json, r#"{"c":"d"}"#).0, 204);
    assert_eq!(ask("DELETE", &format!("{topic}/properties?key=a"), "", "").0, 204);
    assert_eq!(ask("POST", &format!("{topic}/partitions"), json, "\"3\"").0, 204);
    assert_eq!(ask("GET", &format!("{topic}/properties"), "", ""), (200, r#"{"c":"d"}"#.to_owned()));
    let bound = format!("{topic}-1/maxConsumers");
    assert_eq!(ask("PUT", &format!("{topic}-1"), "", "").0, 204);
    assert_eq!(ask("POST", &format!("{bound}?isGlobal=TRUE"), json, "4").0, 204);
    let told = [&bound, &format!("{bound}?isGlobal=true")].map(|path| ask("GET", path, "", "").1);
    assert_eq!(told, ["", "4"], "of the topic in all clusters, not its own");
    // A status line is no place for all of a reason.
    let schema = format!(r#"{{"type":"AVRO","schema":"{}"}}"#, "x".repeat(100_000));
    let heard = call_as(&at, "POST", "/admin/v2/schemas/public/default/s/schema", json, &schema);
    assert!(heard.status == 422 && heard.head.lines().next().is_some_and(|line| line.len() < 1100));
    for (body, status) in [("true", 400), ("\"x\"", 400), ("null", 406), ("\" 3 \"", 204)] {
        assert_eq!(ask("PUT", &format!("{topic}-2/partitions"), json, body).0, status, "{body}");
    }

    let place = "/admin/v2/namespaces/public/suites";
    let body = r#"{"auth_policies":{"namespace_auth":{"joe":["produce"]}}}"#;
    assert_eq!(ask("PUT", place, json, body).0, 204);
    assert_eq!(
        ask("GET", &format!("{place}/permissions"), "", ""),
        (200, r#"{"joe":["produce"]}"#.to_owned())
    );
    assert_eq!(ask("POST", &format!("{place}/permissions/subscription/s"), json, r#"["a","b"]"#).0, 204);
    assert_eq!(ask("DELETE", &format!("{place}/permissions/s/a"), "", "").0, 204);
    let (_, all) = ask("GET", place, "", "");
    assert!(
        all.contains(r#""subscription_auth_roles":{"s":["b"]}"#) && all.contains(r#"{"joe":["produce"]}"#),
        "{all}"
    );
    assert_eq!(ask("PUT", &format!("{place}/offloadThresholdInSeconds"), json, "60"), (200, String::new()));
    for (method, setting, body, heard) in [
        ("POST", "backlogQuota", r#"{"limit":"1024","policy":"producer_request_hold"}"#, ""),
        ("POST", "subscriptionExpirationTime", "-1", "Invalid value for subscription expiration time"),
        ("POST", "messageTTL", "-1", "Invalid value for message TTL"),
        (
            "POST",
            "offloadPolicies",
            r#"{"managedLedgerOffloadDriver":"aws-s3"}"#,
            "The bucket must be specified",
        ),
        (
            "POST",
            "offloadPolicies",
            r#"{"managedLedgerOffloadDriver":"aws-s3","managedLedgerOffloadBucket":"b"}"#,
            "",
        ),
        ("POST", "persistence/bookieAffinity", r#"{"bookkeeperAffinityGroupPrimary":"a"}"#, ""),
        ("POST", "replication", r#"["nowhere"]"#, "Invalid cluster id: nowhere"),
        (
            "POST",
            "0x00000000_0x40000000/clearBacklog",
            "",
            "Failed to find ownership for ServiceUnit:public/suites/0x00000000_0x40000000",
        ),
        ("POST", "1_2/clearBacklog", "", "Invalid bundle range: 1_2"),
    ] {
        let (status, said) = ask(method, &format!("{place}/{setting}"), json, body);
        assert!(said.contains(heard) && heard.is_empty() == (status == 204), "{setting}: {status} {said}");
    }
    assert_eq!(ask("GET", &format!("{place}/offloadThresholdInSeconds"), "", "").1, "60");
    assert!(ask("GET", &format!("{place}/backlogQuotaMap"), "", "").1.contains(r#""limitSize":1024"#));
    assert!(ask("GET", &format!("{place}/offloadPolicies"), "", "").1.contains("aws-s3"));
    assert_eq!(ask("DELETE", &format!("{place}/removeOffloadPolicies"), "", "").0, 204);
    assert_eq!(ask("GET", &format!("{place}/offloadPolicies"), "", ""), (200, String::new()));

    let settings = "/admin/v2/brokers/configuration";
    assert_eq!(ask("POST", &format!("{settings}/maxTenants/7"), "", "").0, 200);
    assert_eq!(ask("GET", &format!("{settings}/values"), "", "").1, r#"{"maxTenants":"7"}"#);
    assert_eq!(ask("DELETE", &format!("{settings}/maxTenants"), "", "").0, 200);
    assert_eq!(ask("POST", &format!("{settings}/clusterName/x"), "", "").0, 412);

    // Transaction coordinators are found as partitions of a topic that is not there.
    let assign = "persistent/pulsar/system/transaction_coordinator_assign";
    assert!(ask("GET", &format!("/admin/v2/{assign}/partitions"), "", "").1.contains(r#""partitions":16"#));
    assert_eq!(ask("GET", &format!("/lookup/v2/topic/{assign}-partition-3"), "", "").0, 200);
    assert_eq!(ask("GET", "/status.html", "", ""), (200, "OK".to_owned()));
    let none = "/admin/v2/non-persistent/public/default/none";
    assert_eq!(ask("PUT", none, "", "").0, 204);
    assert_eq!(ask("GET", &format!("{none}/lastMessageId"), "", "").0, 405);
}

#[test]
fn settings_that_are_only_kept_are_named_as_such() {
    let description = call(&broker(), "GET", "/openapi.json", "").json();
    let mut told = std::collections::BTreeSet::new();
    for (path, calls) in description["paths"].as_object().unwrap() {
        let kept =
            |call: &Value| call["summary"].as_str().is_some_and(|text| text.ends_with("It is only kept."));
        if calls.as_object().unwrap().values().any(kept) {
            told.insert(path.rsplit('/').next().unwrap().to_owned());
        }
    }
    let readme = include_str!("../README.md");
    let (_, list) = readme.split_once("Kept and read back, and nothing else: ").unwrap();
    let (list, _) = list.split_once(". There is").unwrap();
    let named = list.split(',').map(|name| name.trim().trim_matches('`').to_owned()).collect();
    assert_eq!(told, named);
}
