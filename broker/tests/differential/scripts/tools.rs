//! What the users of `pulsar-admin` meet.

use super::admin::quiet;
use super::scripts;

const POLICY: &str = "\"policy\":\"producer_exception\"";

fn retention(minutes: i64, megabytes: i64) -> String {
    format!("{{\"retentionTimeInMinutes\":{minutes},\"retentionSizeInMB\":{megabytes}}}")
}

scripts! {
    fn what_is_retained_and_what_may_wait(s) {
        quiet(s);
        let path = format!("namespaces/public/{}", s.short());
        let topic = format!("persistent/public/{}/t", s.short());
        s.order("PUT", &path, "");
        s.order("PUT", &topic, "");
        let quotas = [(-1, 600), (-1, 599), (10_485_760, -1), (10_485_759, -1), (0, 0)];
        let retentions = [(10, 10), (10, -1), (-1, 10), (0, 0), (-1, -1)];
        let kinds = ["destination_storage", "message_age"];
        // Settings of topics take a while at the real broker.
        for (at, pause) in [(&path, 0), (&topic, 150)] {
            for (bytes, seconds) in quotas {
                for kind in kinds {
                    let quota = format!("{at}/backlogQuota?backlogQuotaType={kind}");
                    let body = format!("{{\"limitSize\":{bytes},\"limitTime\":{seconds},{POLICY}}}");
                    for (minutes, megabytes) in retentions {
                        s.note(format!("-- {kind} {bytes} {seconds}, retained {minutes} {megabytes}"));
                        s.order("POST", &quota, &body);
                        s.pause_if_real(pause);
                        s.inquire("POST", &format!("{at}/retention"), &retention(minutes, megabytes));
                        s.pause_if_real(pause);
                        s.order("DELETE", &quota, "");
                        s.pause_if_real(pause);
                        s.inquire("POST", &quota, &body);
                        s.pause_if_real(pause);
                        s.order("DELETE", &quota, "");
                        s.order("DELETE", &format!("{at}/retention"), "");
                        s.pause_if_real(pause);
                    }
                }
            }
        }
        s.note("-- a topic's and its namespace's");
        let quota = |at: &str, kind: &str| format!("{at}/backlogQuota?backlogQuotaType={kind}");
        s.order("POST", &quota(&path, kinds[1]), &format!("{{\"limitSize\":-1,\"limitTime\":600,{POLICY}}}"));
        s.order("POST", &quota(&path, kinds[0]), &format!("{{\"limitSize\":10485759,\"limitTime\":-1,{POLICY}}}"));
        s.inquire("POST", &format!("{topic}/retention"), &retention(10, 10));
        s.inquire("POST", &format!("{topic}/retention"), &retention(11, 10));
        s.pause_if_real(150);
        s.inquire("POST", &format!("{topic}/maxProducers"), "4");
        s.order("DELETE", &format!("{topic}/retention"), "");
        s.inquire("POST", &format!("{path}/retention"), &retention(20, 20));
        s.inquire("POST", &format!("{path}/maxProducersPerTopic"), "4");
        s.pause_if_real(150);
        s.inquire("POST", &quota(&topic, kinds[1]), &format!("{{\"limitSize\":104857590,\"limitTime\":1,{POLICY}}}"));
        s.inquire("POST", &quota(&topic, kinds[1]), &format!("{{\"limitSize\":1,\"limitTime\":1,{POLICY}}}"));
    }

    fn settings_of_a_topic_for_all_clusters(s) {
        quiet(s);
        let path = format!("namespaces/public/{}", s.short());
        let topic = format!("persistent/public/{}/t", s.short());
        s.order("PUT", &path, "");
        s.order("PUT", &topic, "");
        s.order("POST", &format!("{topic}/maxConsumers"), "7");
        let settings = [
            ("maxSubscriptionsPerTopic", "1"),
            ("maxProducers", "2"),
            ("deduplicationEnabled", "true"),
            ("publishRate", r#"{"publishThrottlingRateInMsg":1,"publishThrottlingRateInByte":2}"#),
            ("subscriptionTypesEnabled", r#"["Shared"]"#),
            ("backlogQuotaMap", r#"{"limitSize":100,"limitTime":5,"policy":"producer_exception"}"#),
            ("autoSubscriptionCreation", r#"{"allowAutoSubscriptionCreation":false}"#),
            ("dispatcherPauseOnAckStatePersistent", "true"),
            ("s/dispatchRate", r#"{"dispatchThrottlingRateInMsg":5,"ratePeriodInSecond":1}"#),
            ("schemaValidationEnforced", "true"),
            ("replication", r#"["standalone"]"#),
        ];
        for (name, body) in settings {
            let to = if name == "backlogQuotaMap" { "backlogQuota" } else { name };
            s.inquire("POST", &format!("{topic}/{to}?isGlobal=true"), body);
            s.pause_if_real(200);
            for query in ["", "?isGlobal=true", "?applied=true", "?applied=true&isGlobal=true"] {
                s.inquire("GET", &format!("{topic}/{name}{query}"), "");
            }
        }
        s.note("-- it holds where the topic's own says nothing");
        s.inquire("PUT", &format!("{topic}/subscription/a"), "");
        s.inquire("PUT", &format!("{topic}/subscription/b"), "");
        let most = format!("{topic}/maxSubscriptionsPerTopic");
        s.inquire("POST", &most, "2");
        s.pause_if_real(200);
        s.inquire("GET", &most, "");
        s.inquire("GET", &format!("{most}?isGlobal=true"), "");
        s.inquire("PUT", &format!("{topic}/subscription/b"), "");
        s.inquire("DELETE", &most, "");
        s.pause_if_real(200);
        s.inquire("GET", &format!("{most}?isGlobal=true"), "");
        s.inquire("PUT", &format!("{topic}/subscription/c"), "");
        s.inquire("DELETE", &format!("{most}?isGlobal=true"), "");
        s.pause_if_real(200);
        s.inquire("GET", &format!("{most}?isGlobal=true"), "");
        s.inquire("PUT", &format!("{topic}/subscription/c"), "");
        s.note("-- and goes with the topic");
        s.inquire("DELETE", &format!("{topic}?force=true"), "");
        s.inquire("PUT", &topic, "");
        s.pause_if_real(500);
        s.inquire("GET", &format!("{topic}/maxProducers?isGlobal=true"), "");
        s.inquire("POST", &format!("{topic}/maxProducers?isGlobal=true"), "3");
        s.pause_if_real(200);
        s.inquire("DELETE", &format!("{topic}/policies"), "");
        s.pause_if_real(500);
        s.inquire("GET", &format!("{topic}/maxProducers?isGlobal=true"), "");
    }

    fn a_look_at_a_message_makes_its_subscription(s) {
        quiet(s);
        let path = format!("namespaces/public/{}", s.short());
        let topic = format!("persistent/public/{}/t", s.short());
        s.order("PUT", &path, "");
        s.order("PUT", &topic, "");
        s.inquire("POST", &format!("{path}/autoSubscriptionCreation"), r#"{"allowAutoSubscriptionCreation":false}"#);
        s.inquire("GET", &format!("{topic}/subscription/x/position/1"), "");
        s.inquire("GET", &format!("{topic}/subscriptions"), "");
        s.inquire("GET", &format!("{topic}/subscription/x/properties"), "");
        s.inquire("POST", &format!("{path}/maxSubscriptionsPerTopic"), "1");
        s.pause_if_real(200);
        s.inquire("GET", &format!("{topic}/subscription/y/position/1"), "");
        s.inquire("GET", &format!("{topic}/subscriptions"), "");
        s.inquire("GET", &format!("{topic}-none/subscription/y/position/1"), "");
    }

    fn backlogs_that_nobody_wants_measured(s) {
        quiet(s);
        let topic = format!("persistent/public/default/{}", s.unique());
        s.order("PUT", &format!("{topic}/partitions"), "2");
        s.order("PUT", &format!("{topic}/subscription/s"), "");
        for said in ["true", "false", "", "yes"] {
            s.look(&format!("{topic}-partition-0/stats?subscriptionBacklogSize={said}"), &["backlogSize", "subscriptions.s.backlogSize"]);
            s.look(&format!("{topic}/partitioned-stats?subscriptionBacklogSize={said}"), &["backlogSize", "subscriptions.s.backlogSize"]);
        }
    }

    fn namespaces_say_all_that_was_set(s) {
        quiet(s);
        let path = format!("namespaces/public/{}", s.short());
        s.order("PUT", &path, "");
        let group = s.short();
        s.order("PUT", &format!("resourcegroups/{group}"), r#"{"publishRateInMsgs":1}"#);
        s.inquire("POST", &format!("{path}/resourcegroup/{group}"), "");
        s.inquire("POST", &format!("{path}/dispatcherPauseOnAckStatePersistent"), "");
        for said in [
            r#"{"allowAutoTopicCreation":false}"#,
            r#"{"allowAutoTopicCreation":false,"topicType":"non-partitioned"}"#,
            r#"{"allowAutoTopicCreation":false,"topicType":"partitioned"}"#,
            r#"{"allowAutoTopicCreation":false,"topicType":"partitioned","defaultNumPartitions":3}"#,
            r#"{"allowAutoTopicCreation":false,"topicType":"nope","defaultNumPartitions":0}"#,
            r#"{"allowAutoTopicCreation":true,"topicType":"non-partitioned"}"#,
        ] {
            s.inquire("POST", &format!("{path}/autoTopicCreation"), said);
            s.inquire("GET", &format!("{path}/autoTopicCreation"), "");
        }
        s.inquire("POST", &format!("{path}/autoTopicCreation"), r#"{"allowAutoTopicCreation":false,"topicType":"non-partitioned"}"#);
        s.inquire("GET", &path, "");
        s.inquire("DELETE", &format!("{path}/resourcegroup"), "");
        s.inquire("DELETE", &format!("{path}/dispatcherPauseOnAckStatePersistent"), "");
        s.inquire("DELETE", &format!("{path}/autoTopicCreation"), "");
        s.inquire("GET", &path, "");
    }

    fn rates_of_subscriptions_that_bound_nothing(s) {
        quiet(s);
        let topic = format!("persistent/public/default/{}", s.unique());
        s.order("PUT", &topic, "");
        let rate = |messages: i64, bytes: i64| {
            format!("{{\"dispatchThrottlingRateInMsg\":{messages},\"dispatchThrottlingRateInByte\":{bytes},\"ratePeriodInSecond\":1}}")
        };
        for (messages, bytes) in [(-1, -1), (5, -1), (0, 0), (-1, 5), (-1, -1)] {
            s.inquire("POST", &format!("{topic}/s/dispatchRate"), &rate(messages, bytes));
            s.pause_if_real(200);
            s.inquire("GET", &format!("{topic}/s/dispatchRate"), "");
            s.inquire("GET", &format!("{topic}/s/dispatchRate?applied=true"), "");
        }
        s.inquire("DELETE", &format!("{topic}/s/dispatchRate"), "");
    }

    fn properties_of_a_topic_are_kept_with_it(s) {
        quiet(s);
        s.replace(r#","index":"-1"|"index":"-1","#, "");
        let topic = format!("persistent/public/default/{}", s.unique());
        s.order("PUT", &topic, r#"{"a":"b"}"#);
        s.look(&format!("{topic}/internal-info"), &["properties"]);
        s.order("PUT", &format!("{topic}/properties"), r#"{"c":"d"}"#);
        s.look(&format!("{topic}/internal-info"), &["properties"]);
    }

    fn schemas_that_are_refused_with_pages(s) {
        quiet(s);
        let schema = format!("schemas/public/default/{}/schema", s.unique());
        s.order("PUT", &format!("persistent/public/default/{}", s.unique()), "");
        let of = |kind: &str, text: &str| serde_json::json!({ "type": kind, "schema": text, "properties": {} }).to_string();
        let record = |field: &str| format!("{{\"type\":\"record\",\"name\":\"R\",\"fields\":[{{\"name\":\"{field}\",\"type\":\"string\"}}]}}");
        s.order("POST", &schema, &of("AVRO", &record("a")));
        for body in [of("JSON", &record("a")), of("AVRO", "<no>"), of("PROTOBUF_NATIVE", "{}"), of("NOPE", "")] {
            for accept in ["application/json", "*/*"] {
                s.form("POST", &schema, &format!("content-type: application/json\r\naccept: {accept}\r\n"), &body);
            }
        }
    }
}
