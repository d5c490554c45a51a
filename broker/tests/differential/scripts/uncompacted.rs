//! What compaction has not seen keeps a topic, and counts against its quotas.

use pulsewire_proto::wire::*;
use serde_json::json;

use super::scripts;
use crate::common::producer_on;
use crate::side::{Side, Who};

/// So large that no topic is compacted by itself.
const NEVER: &str = "1000000000";

fn keyed(n: u64) -> MessageMetadata {
    MessageMetadata { partition_key: Some(format!("k{}", n % 2)), ..MessageMetadata::default() }
}

/// Opens a producer, publishes and closes it.
fn publish(s: &mut Side, who: Who, topic: &str, count: u64, payload: &str) {
    s.find(who, topic);
    s.say(who, producer_on(1, topic));
    s.quietly(who);
    for n in 0..count {
        s.publish(who, 1, n, keyed(n), payload);
    }
    s.say(who, super::close_producer(1));
    s.quietly(who);
}

scripts! {
    fn what_is_not_compacted_is_a_backlog(s) {
        let topic = s.topic();
        let path = format!("persistent/public/default/{}", s.unique());
        let (a, b) = (s.client(), s.client());
        let big = "x".repeat(4000);
        s.order("PUT", &path, "");
        s.order("POST", &format!("{path}/compactionThreshold"), NEVER);
        s.pause(500);
        publish(s, a, &topic, 3, &big);
        s.replace(r"(earliestMsgPublishTimeInBacklogs?) = [1-9]\d+", "$1 = WHEN");
        let times = ["earliestMsgPublishTimeInBacklogs", "subscriptions.__compaction.earliestMsgPublishTimeInBacklog", "subscriptions.__compaction.msgBacklog"];
        let look = |s: &mut Side| s.look(&format!("{path}/stats?getEarliestTimeInBacklog=true"), &times);
        look(s);
        for (n, policy) in [(2, "producer_request_hold"), (3, "producer_exception")] {
            let quota = json!({ "limitSize": 5000, "limitTime": -1, "policy": policy }).to_string();
            s.order("POST", &format!("{path}/backlogQuota"), &quota);
            s.pause(500);
            s.ask(b, producer_on(n, &topic));
        }
        s.compact(&path);
        look(s);
        s.ask(b, producer_on(5, &topic));
        s.order("DELETE", &format!("{path}/backlogQuota"), "");
    }

    /// Of an open ledger the real one counts nothing by age.
    fn what_is_not_compacted_gets_too_old(s) {
        for threshold in [false, true] {
            s.note(format!("-- {threshold}"));
            let topic = format!("{}-{threshold}", s.topic());
            let path = format!("persistent/public/default/{}-{threshold}", s.unique());
            let (a, b) = (s.client(), s.client());
            s.order("PUT", &path, "");
            match threshold {
                true => s.order("POST", &format!("{path}/compactionThreshold"), NEVER),
                false => s.order("PUT", &format!("{path}/subscription/s"), ""),
            };
            s.pause(500);
            publish(s, a, &topic, 3, "x");
            let quota = json!({ "limitSize": -1, "limitTime": 1, "policy": "producer_exception" }).to_string();
            s.order("POST", &format!("{path}/backlogQuota?backlogQuotaType=message_age"), &quota);
            s.order("PUT", &format!("{path}/unload"), "");
            s.pause(500);
            s.find(b, &topic);
            s.ask(b, producer_on(1, &topic));
            s.pause(3000);
            s.order("GET", "brokers/backlog-quota-check", "");
            s.hear(b);
            s.ask(b, producer_on(2, &topic));
        }
    }
}

/// The real one with `brokerDeleteInactiveTopicsEnabled=true` and `brokerDeleteInactiveTopicsFrequencySeconds=2`.
#[test]
fn what_is_not_compacted_keeps_its_topic() {
    fn script(s: &mut Side) {
        let namespace = format!("public/{}", s.short());
        s.order("PUT", &format!("namespaces/{namespace}"), "");
        let a = s.client();
        for (short, mode) in
            [("no", "delete_when_no_subscriptions"), ("caught", "delete_when_subscriptions_caught_up")]
        {
            for (kind, threshold, messages, compacted, more) in [
                ("plain", false, 1, false, 0),
                ("threshold", true, 0, false, 0),
                ("waiting", true, 1, false, 0),
                ("compacted", false, 1, true, 0),
                ("more", false, 1, true, 1),
            ] {
                let (topic, path) = (
                    format!("persistent://{namespace}/{kind}-{short}"),
                    format!("persistent/{namespace}/{kind}-{short}"),
                );
                s.order("PUT", &path, "");
                if threshold {
                    s.order("POST", &format!("{path}/compactionThreshold"), NEVER);
                    s.pause(500);
                }
                if messages > 0 {
                    publish(s, a, &topic, messages, "x");
                }
                if compacted {
                    s.compact(&path);
                    publish(s, a, &topic, more, "y");
                }
                s.sorted(&format!("{path}/subscriptions"));
                let policies = json!({
                    "inactiveTopicDeleteMode": mode,
                    "maxInactiveDurationSeconds": 10,
                    "deleteWhileInactive": true,
                });
                s.order("POST", &format!("{path}/inactiveTopicPolicies"), &policies.to_string());
            }
        }
        s.pause(100_000);
        s.replace(r"%3A|__change_events", "");
        s.replace(r#""persistent://public/SHORT/-partition-\d", "#, "");
        s.sorted(&format!("persistent/{namespace}"));
    }
    crate::play_alone("what_is_not_compacted_keeps_its_topic", script);
}
