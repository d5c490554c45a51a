//! What the admin API shows of the inside of topics and transactions, and publishing by it.

use pulsewire_proto::wire::*;

use super::admin::{quiet, shape_of};
use super::scripts;
use super::transactions::*;
use crate::common::{batch_of, subscribe};
use crate::side::Side;

/// A publishing call. When things came, and what the real one says of its classes, is not compared.
fn produce(s: &mut Side, path: &str, body: &str) {
    s.inquire("POST", &format!("/topics/{path}"), body);
}

scripts! {
    fn transactions_from_within(s) {
        let topic = s.topic();
        let unique = s.unique().to_owned();
        let tc = attached(s);
        s.replace(r"/0/\d+", "/0/TXN");
        s.replace(r"\b\d+:(-?\d+)", "LEDGER:$1");
        s.replace(r"(?s)\\n\\nStacktrace.*", "\"}");
        let of = |call: &str, rest: &str| format!("/admin/v3/transactions/{call}{rest}");
        let here = format!("/public/default/{unique}");
        let a = both(s, &topic, SubType::SHARED);
        let ids: Vec<_> = (0..3).map(|n| plain(s, a, n, &format!("m{n}"))).collect();
        let batch = s.publish(a, 1, 3, batch_of(4), "x");
        shape_of(s, &of("pendingAckStats", &format!("{here}/s")));
        s.inquire("GET", &of("pendingAckInternalStats", &format!("{here}/s")), "");
        s.inquire("GET", &of("positionStatsInPendingAck", &format!("{here}/s/0/0")), "");
        let txn = begin(s, tc, 60_000);
        s.ask_amid(tc, with_topic(txn, &topic));
        s.ask_amid(tc, with_sub(txn, &topic, "s"));
        send(s, a, 4, txn, MessageMetadata::default(), "t4");
        s.ask_amid(a, ack(1, AckType::INDIVIDUAL, Some(txn), &[&ids[1]]));
        s.ask_amid(a, ack(1, AckType::INDIVIDUAL, Some(txn), &[&bits(&batch, 0b1101, 4)]));
        shape_of(s, &of("transactionMetadata", &format!("/0/{}", txn.1)));
        shape_of(s, &of("transactionBufferStats", &format!("{here}?lowWaterMarks=true")));
        shape_of(s, &of("pendingAckStats", &format!("{here}/s?lowWaterMarks=true")));
        s.look(&of("pendingAckStats", &format!("{here}/s")), &["state", "ongoingTxnSize"]);
        shape_of(s, &of("pendingAckInternalStats", &format!("{here}/s")));
        let inside = "singleSnapshotSystemTopicInternalStats.managedLedgerInternalStats";
        let name = "singleSnapshotSystemTopicInternalStats.managedLedgerName";
        s.look(&of("transactionBufferInternalStats", &here), &["snapshotType", name, &format!("{inside}.state")]);
        s.look(&of("coordinatorInternalStats", "/0"), &["transactionLogStats.managedLedgerName"]);
        s.look(&of("pendingAckInternalStats", &format!("{here}/s")), &["pendingAckLogStats.managedLedgerName"]);
        shape_of(s, &of("coordinatorInternalStats", "/0"));
        shape_of(s, &of("coordinatorStats", "?coordinatorId=0"));
        for (id, batch_index) in [(&ids[0], ""), (&ids[1], ""), (&batch, ""), (&batch, "?batchIndex=0"), (&batch, "?batchIndex=1"), (&batch, "?batchIndex=9")] {
            let at = format!("{here}/s/{}/{}{batch_index}", id.ledger_id, id.entry_id);
            let (status, answer) = s.admin("GET", &of("positionStatsInPendingAck", &at), "");
            s.note(format!("{} {batch_index} -> {status} {answer}", id.entry_id));
        }
        s.inquire("GET", &of("positionStatsInPendingAck", &format!("{here}/none/0/0")), "");
        s.inquire("GET", &of("pendingAckStats", &format!("{here}/none")), "");
        s.inquire("GET", &of("pendingAckInternalStats", &format!("{here}/none")), "");
        s.inquire("GET", &of("pendingAckInternalStats", "/public/default/not-there/s"), "");
        s.inquire("GET", &of("transactionBufferInternalStats", "/public/default/not-there"), "");
        s.inquire("GET", &of("coordinatorInternalStats", "/77"), "");
        s.inquire("GET", &of("coordinatorInternalStats", "/abc"), "");
        s.inquire("GET", &of("slowTransactions", "/abc"), "");
        s.inquire("GET", &of("transactionMetadata", "/abc/1"), "");
        s.inquire("GET", &of("transactionInBufferStats", &format!("{here}/abc/1")), "");
        s.inquire("POST", &of("abortTransaction", "/0/99999999"), "");
        s.inquire("POST", &of("transactionCoordinator/replicas", ""), "");
        s.inquire("POST", &of("transactionCoordinator/replicas", ""), "0");
        s.ask_amid(tc, end(txn, COMMIT));
        s.look(&of("pendingAckStats", &format!("{here}/s")), &["state", "ongoingTxnSize"]);
    }

    /// Only of topics that are not there: one that is has its ledger taken away by being asked.
    fn the_backlog_of_what_is_offline(s) {
        quiet(s);
        s.replace(r#""statGeneratedAt":\d+"#, r#""statGeneratedAt":WHEN"#);
        let unique = s.unique().to_owned();
        let path = format!("persistent/public/default/{unique}");
        s.inquire("GET", &format!("{path}/backlog"), "");
        s.inquire("GET", &format!("persistent/public/{unique}/t/backlog"), "");
        s.inquire("GET", &format!("persistent/{unique}/default/t/backlog"), "");
        s.inquire("GET", &format!("non-{path}/backlog"), "");
        s.inquire("GET", &format!("{path}-2/backlog?authoritative=true"), "");
    }

    fn messages_by_http(s) {
        quiet(s);
        let topic = s.topic();
        let unique = s.unique().to_owned();
        let short = s.short();
        s.replace(r"\b\d+:(-?\d+:-?\d+)", "LEDGER:$1");
        s.replace(r"(?s)\\n\\nStacktrace.*", "\"}");
        s.replace(r#""timestamp":\d+"#, r#""timestamp":WHEN"#);
        s.replace(r"timestamp=\d+|hash=-?\d+|@[0-9a-f]{6,8}", "X");
        let path = format!("persistent/public/default/{unique}");
        produce(s, &path, r#"{"messages":[{"payload":"a"}]}"#);
        s.order("PUT", &path, "");
        let a = s.client();
        s.find(a, &topic);
        s.ask(a, subscribe(1, &topic, "s", SubType::EXCLUSIVE));
        s.flow(a, 1, 1000);
        produce(s, &path, r#"{"messages":[{"payload":"a"},{"payload":"b","key":"k","sequenceId":7,"properties":{"p":"q"},"eventTime":"5","replicationClusters":["x"]}]}"#);
        produce(s, &path, r#"{"producerName":"me","messages":[{"payload":"c","disableReplication":true},{"payload":"","deliverAt":5,"eventTime":"7"},{"payload":"d","deliverAfterMs":1,"eventTime":"9"}]}"#);
        produce(s, &path, r#"{"messages":[]}"#);
        produce(s, &path, r#"{}"#);
        produce(s, &path, "");
        produce(s, &path, "{");
        produce(s, &path, "[]");
        produce(s, &path, r#"{"messages":[{"payload":5,"x":1}],"more":1}"#);
        produce(s, &path, r#"{"messages":[{"payload":"a","eventTime":"x"}]}"#);
        produce(s, &path, r#"{"messages":[{"key":"k"}]}"#);
        produce(s, &path, r#"{"schemaVersion":0,"messages":[{"payload":"v0"}]}"#);
        produce(s, &path, r#"{"schemaVersion":9,"messages":[{"payload":"v9"}]}"#);
        produce(s, &path, r#"{"valueSchema":"{\"type\":\"INT32\",\"schema\":\"\"}","messages":[{"payload":"5"}]}"#);
        produce(s, &path, r#"{"valueSchema":"nothing","messages":[{"payload":"5"}]}"#);
        produce(s, &path, r#"{"valueSchema":"{\"type\":\"NOTHING\",\"schema\":\"\"}","messages":[{"payload":"5"}]}"#);
        s.hear_all(a);
        s.inquire("GET", &format!("schemas/public/default/{unique}/schema"), "");
        produce(s, &format!("{path}-none"), r#"{"messages":[{"payload":"a"}]}"#);
        produce(s, &format!("persistent/public/{short}-none/t"), r#"{"messages":[{"payload":"a"}]}"#);
        produce(s, &format!("persistent/{short}-none/n/t"), r#"{"messages":[{"payload":"a"}]}"#);
        produce(s, &format!("{path}/partitions/0"), r#"{"messages":[{"payload":"a"}]}"#);
        produce(s, &format!("{path}/partitions/x"), r#"{"messages":[{"payload":"a"}]}"#);
        s.order("PUT", &format!("{path}-p/partitions"), "2");
        produce(s, &format!("{path}-p/partitions/1"), r#"{"messages":[{"payload":"a"}]}"#);
        produce(s, &format!("{path}-p/partitions/2"), r#"{"messages":[{"payload":"a"}]}"#);
        produce(s, &format!("{path}-p-partition-0"), r#"{"messages":[{"payload":"a"}]}"#);
        produce(s, &format!("{path}-p-partition-0/partitions/1"), r#"{"messages":[{"payload":"a"}]}"#);
        s.inquire("GET", &format!("/topics/{path}"), "");
        s.order("PUT", &format!("non-{path}"), "");
        produce(s, &format!("non-{path}"), r#"{"messages":[{"payload":"a"}]}"#);
    }

    fn values_by_http(s) {
        quiet(s);
        let unique = s.unique().to_owned();
        s.replace(r#""timestamp":\d+"#, r#""timestamp":WHEN"#);
        s.replace(r"\b\d+:(-?\d+:-?\d+)", "LEDGER:$1");
        let json = "eyJ0eXBlIjoicmVjb3JkIiwibmFtZSI6IlIiLCJmaWVsZHMiOlt7Im5hbWUiOiJhIiwidHlwZSI6ImludCJ9XX0=";
        for (n, (kind, schema, payload)) in [
            ("INT8", "", "-7"), ("INT16", "", "300"), ("INT32", "", "70000"), ("INT64", "", "5000000000"), ("FLOAT", "", "1.5"), ("DOUBLE", "", " 2.5d"),
            ("BOOLEAN", "", "TRUE"), ("BYTES", "", "raw"), ("TIME", "", "12345"), ("TIMESTAMP", "", "12345"), ("INSTANT", "", "2026-11-21T10:11:12.5Z"),
            ("LOCAL_DATE", "", "2026-11-21"), ("LOCAL_TIME", "", "10:11:12.000000005"), ("LOCAL_DATE_TIME", "", "2026-11-21T10:11"), ("INT8", "", "300"),
            ("JSON", json, "{ \\\"a\\\": 5 }"), ("JSON", json, "{"), ("STRING", "", "text"),
        ].into_iter().enumerate() {
            let path = format!("persistent/public/default/{unique}-{n}");
            let topic = format!("persistent://public/default/{unique}-{n}");
            s.order("PUT", &path, "");
            let a = s.client();
            s.find(a, &topic);
            s.ask(a, subscribe(1, &topic, "s", SubType::EXCLUSIVE));
            s.flow(a, 1, 10);
            produce(s, &path, &format!(r#"{{"valueSchema":"{{\"type\":\"{kind}\",\"schema\":\"{schema}\"}}","messages":[{{"payload":"{payload}"}}]}}"#));
            let heard = s.hear(a);
            s.leave(a);
            if heard.is_none() {
                s.note("nothing");
            }
        }
        let path = format!("persistent/public/default/{unique}-kv");
        let topic = format!("persistent://public/default/{unique}-kv");
        s.order("PUT", &path, "");
        let a = s.client();
        s.find(a, &topic);
        s.ask(a, subscribe(1, &topic, "s", SubType::EXCLUSIVE));
        s.flow(a, 1, 10);
        produce(s, &path, r#"{"keySchema":"{\"type\":\"INT32\",\"schema\":\"\"}","valueSchema":"{\"type\":\"STRING\",\"schema\":\"\"}","messages":[{"key":"5","payload":"v"}]}"#);
        s.hear_all(a);
        s.inquire("GET", &format!("schemas/public/default/{unique}-kv/schema"), "");
    }

    /// Pulsar, what reads bodies for it, and what reads requests for it: each refuses in its own form.
    fn forms_of_answers(s) {
        let short = s.short();
        let json = "content-type: application/json\r\n";
        for method in ["OPTIONS", "PATCH", "GET", "HEAD", "FOO"] {
            for path in ["clusters", "tenants/none", "/admin/v2/nowhere", "persistent/public/default/t", "/lookup/v2/topic/persistent/public/default/t"] {
                s.form(method, path, "", "");
            }
        }
        for accept in ["application/json", "text/plain", "text/html", "text/*", "application/xml", "application/json;q=0", "a/b, */*"] {
            for path in ["clusters", "clusters/none", "/admin/v2/nowhere"] {
                s.form("GET", path, &format!("accept: {accept}\r\n"), "");
            }
            s.form("DELETE", "tenants/none", &format!("accept: {accept}\r\n"), "");
        }
        let tenant = format!("tenants/{short}");
        for kind in ["text/plain", "text/json", "*/*", "garbage", "application/json; charset=utf-8", "application/x-www-form-urlencoded"] {
            let kind = format!("content-type: {kind}\r\n");
            s.form("PUT", &tenant, &kind, r#"{"allowedClusters":["standalone"]}"#);
            s.form("POST", "namespaces/public/none/messageTTL", &kind, "5");
            s.form("PUT", "persistent/public/none/t/partitions", &kind, "5");
        }
        s.form("DELETE", &tenant, "", "");
        for body in ["", "{", "[]", "\"x\"", "7", "null"] {
            s.form("POST", "namespaces/public/none/retention", json, body);
            s.form("POST", "namespaces/public/none/replication", json, body);
            s.form("POST", "namespaces/public/none/messageTTL", json, body);
            s.form("POST", "namespaces/public/none/deduplication", json, body);
            s.form("PUT", "namespaces/public/none/0x00000000_0xffffffff/split", json, body);
        }
        s.form("GET", "namespaces/public/default/topics?mode=", "", "");
        s.form("GET", "namespaces/public/default/topics?mode=x", "", "");
        s.form("GET", "persistent/public/default/t/messageid/x", "", "");
        s.form("GET", "clusters/", "", "");
        s.form("GET", "//admin/v2/clusters", "", "");
        s.form("GET", "clusters?x=%zz", "", "");
        s.form("GET", "persistent/public/none/%ff/stats", "", "");
    }

    fn names_as_they_are_written(s) {
        quiet(s);
        let short = s.short();
        s.order("PUT", &format!("namespaces/public/{short}"), "");
        for name in ["a+b", "a%2Bb", "a%20b", "a;b=c", "a%2Fb", "a:b", "%e4%b8%ad", "a%25b"] {
            let path = format!("persistent/public/{short}/{name}");
            s.order("PUT", &path, "");
            s.sorted(&format!("persistent/public/{short}"));
            s.order("PUT", &format!("{path}/subscription/{name}"), "");
            s.sorted(&format!("{path}/subscriptions"));
            s.order("DELETE", &path, "");
        }
        s.order("DELETE", &format!("namespaces/public/{short}"), "");
    }

    fn tenants_and_clusters_that_cannot_be(s) {
        quiet(s);
        let short = s.short();
        let tenant = format!("tenants/{short}");
        for body in [
            "", r#"{"allowedClusters":["standalone"],"adminRoles":[" a"]}"#, r#"{"allowedClusters":["standalone"]}"#,
            r#"{"allowedClusters":["standalone"],"adminRoles":null}"#, r#"{"allowedClusters":["standalone"],"adminRoles":[]}"#,
            r#"{"allowedClusters":["standalone"],"adminRoles":["b","a"]}"#,
        ] {
            s.inquire("PUT", &tenant, body);
            s.inquire("POST", &tenant, body);
            s.inquire("GET", &tenant, "");
            s.order("DELETE", &tenant, "");
        }
        let cluster = format!("clusters/c{short}");
        for body in [
            "", r#"{"serviceUrl":"x"}"#, r#"{"serviceUrl":"https://a:1"}"#, r#"{"serviceUrlTls":"http://a:1"}"#, r#"{"brokerServiceUrl":"http://a:1"}"#,
            r#"{"brokerServiceUrlTls":"pulsar://a:1"}"#, r#"{"proxyServiceUrl":"http://a:1"}"#, r#"{"serviceUrl":"http://a b"}"#,
            r#"{"serviceUrl":"http://a:1,b:2","authenticationPlugin":5}"#,
        ] {
            s.inquire("PUT", &cluster, body);
            s.order("DELETE", &cluster, "");
        }
        let path = format!("namespaces/public/{short}");
        s.order("PUT", &path, "");
        for setting in ["messageTTL", "maxProducersPerTopic", "deduplication", "encryptionRequired", "subscriptionExpirationTime"] {
            let unset = if setting.starts_with("dedup") || setting.starts_with("encr") { "true" } else { "5" };
            for body in [unset, "null", ""] {
                s.order("POST", &format!("{path}/{setting}"), body);
                s.inquire("GET", &format!("{path}/{setting}"), "");
            }
        }
        s.inquire("GET", &format!("{path}/property/none"), "");
        s.inquire("POST", &format!("{path}/permissions/r"), "");
        s.inquire("POST", &format!("{path}-none/permissions/r"), "[\"produce\"]");
        s.inquire("DELETE", &format!("{path}-none/permissions/r"), "");
        s.inquire("POST", &format!("{path}/replication"), "null");
        s.order("DELETE", &path, "");
        let lookup = "/lookup/v2/topic/persistent/public/default/t";
        s.replace(r"(?s)\\n\\nStacktrace.*", "\"}");
        s.inquire("GET", &format!("{lookup}?listenerName=x"), "");
        s.form("GET", lookup, "x-pulsar-listenername: x\r\n", "");
        s.form("GET", lookup, "x-pulsar-listenername: \r\n", "");
        let (_, told) = s.admin("GET", "brokers/configuration/runtime", "");
        let told: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&told).unwrap_or_default();
        for name in told.keys() {
            s.note(name);
        }
    }
}
