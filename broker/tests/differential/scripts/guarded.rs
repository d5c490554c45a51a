//! Brokers that ask who is there: tokens, their refresh, and what roles may do.

use bytes::Bytes;
use jsonwebtoken::{EncodingKey, Header, encode};
use pulsewire_proto::wire::*;
use serde_json::json;

use super::transactions::{attach_to, begin, end, with_sub, with_topic};
use crate::SECRET;
use crate::common::{connect, producer_on, subscribe};
use crate::side::{Side, Who};

/// Declares scripts as tests.
macro_rules! scripts {
    ($($(#[$doc:meta])* fn $name:ident($side:ident) $body:block)*) => {$(
        $(#[$doc])*
        #[test]
        fn $name() {
            fn script($side: &mut crate::side::Side) $body
            crate::play_guarded(stringify!($name), script);
        }
    )*};
}
pub(super) use scripts;

/// So many seconds from now, as tokens have it.
fn after(s: &Side, seconds: i64) -> Option<i64> {
    Some(s.wall_ms() / 1000 + seconds)
}

/// A token of that role, until then, or for ever.
fn token(role: Option<&str>, until: Option<i64>, key: &[u8]) -> String {
    let mut claims = serde_json::Map::new();
    claims.extend(role.map(|role| ("sub".to_owned(), json!(role))));
    claims.extend(until.map(|until| ("exp".to_owned(), json!(until))));
    encode(&Header::default(), &claims, &EncodingKey::from_secret(key)).unwrap()
}

pub(super) fn good(role: &str) -> String {
    token(Some(role), None, SECRET)
}

fn connect_with(method: Option<&str>, data: &str, refreshes: bool) -> CommandConnect {
    CommandConnect {
        auth_method_name: method.map(str::to_owned),
        auth_data: Some(Bytes::copy_from_slice(data.as_bytes())),
        feature_flags: Some(FeatureFlags {
            supports_auth_refresh: Some(refreshes),
            ..FeatureFlags::default()
        }),
        ..connect()
    }
}

fn answer(token: &str) -> CommandAuthResponse {
    CommandAuthResponse {
        client_version: Some("test".to_owned()),
        protocol_version: Some(21),
        response: Some(AuthData {
            auth_method_name: Some("token".to_owned()),
            auth_data: Some(Bytes::copy_from_slice(token.as_bytes())),
        }),
    }
}

/// A client that says so and writes down what it hears.
fn client(s: &mut Side, connect: CommandConnect) -> Who {
    let who = s.stranger();
    s.say(who, connect);
    s.hear(who);
    who
}

/// Times of tokens that are taken or not, as JSON.
const TIMES: &[(&str, &str)] = &[
    ("exp", r#""2099-01-01T00:00:00Z""#),
    ("exp", r#""2099-01-01T00:00:00.000Z""#),
    ("exp", r#""2099-01-01T00:00:00.5Z""#),
    ("exp", r#""2099-01-01T00:00:00.123456789Z""#),
    ("exp", r#""2099-01-01T00:00:00,5Z""#),
    ("exp", r#""2001-01-01T00:00:00Z""#),
    ("exp", r#""2001-01-01T00:00:00.999Z""#),
    ("exp", r#""2099-01-01T00:00:00z""#),
    ("exp", r#""2099-01-01T00:00:00""#),
    ("exp", r#""2099-01-01T00:00:00+01:00""#),
    ("exp", r#""2099-01-01T00:00:00+0100""#),
    ("exp", r#""2099-01-01T00:00:00Z and more""#),
    ("exp", r#""2099-01-01T00:00:00Z.""#),
    ("exp", r#""2099-01-01T00:00:00.1Z.9""#),
    ("exp", r#""2099-01-01T00:00Z""#),
    ("exp", r#""2099-01-01""#),
    ("exp", r#""2099-01-01 00:00:00Z""#),
    ("exp", r#""2099-01-01t00:00:00Z""#),
    ("exp", r#"" 2099-01-01T00:00:00Z""#),
    ("exp", r#""2099 -01-01T00:00:00Z""#),
    ("exp", r#""2099- 1-01T00: 0:00Z""#),
    ("exp", r#""2099-1-1T0:0:0Z""#),
    ("exp", r#""99-01-01T00:00:00Z""#),
    ("exp", r#""0099-01-01T00:00:00Z""#),
    ("exp", r#""12099-01-01T00:00:00Z""#),
    ("exp", r#""+2099-01-01T00:00:00Z""#),
    ("exp", r#""-2099-01-01T00:00:00Z""#),
    ("exp", r#""2099--1-01T00:00:00Z""#),
    ("exp", r#""2099-13-45T25:61:61Z""#),
    ("exp", r#""2000-1200-01T00:00:00Z""#),
    ("exp", r#""2000-01-40000T00:00:00Z""#),
    ("exp", r#""2000-00-00T00:00:00Z""#),
    ("exp", r#""2000-01-01T00:00:99999999999Z""#),
    ("exp", r#""2000-01-01T00:00:4000000000Z""#),
    ("exp", r#""2000-01-01T00:00:2147483647Z""#),
    ("exp", r#""2099-01-01T00:00:00.Z""#),
    ("exp", r#""2099-01-01T00:00:00. 5Z""#),
    ("exp", r#""2099-01-01T00:00:00.-5Z""#),
    ("exp", r#""4000000000""#),
    ("exp", r#""+4000000000""#),
    ("exp", r#"" 4000000000""#),
    ("exp", r#""4000000000.5""#),
    ("exp", r#""-1""#),
    ("exp", r#""99999999999999999999""#),
    ("exp", r#""9223372036854775807""#),
    ("exp", "4000000000"),
    ("exp", "4000000000.7"),
    ("exp", "4e9"),
    ("exp", "-1"),
    ("exp", "0"),
    ("exp", "9223372036854775807"),
    ("exp", "9300000000000000"),
    ("exp", "99999999999999999999"),
    ("exp", "1e300"),
    ("exp", "null"),
    ("exp", "true"),
    ("exp", "[]"),
    ("exp", "{}"),
    ("exp", r#""""#),
    ("nbf", r#""2001-01-01T00:00:00Z""#),
    ("nbf", r#""2099-01-01T00:00:00Z""#),
    ("nbf", r#""2099-01-01""#),
    ("nbf", "-1"),
    ("nbf", "99999999999999999999"),
    ("nbf", "true"),
    ("iat", r#""2099-01-01T00:00:00Z""#),
    ("iat", r#""whenever""#),
    ("iat", "true"),
    ("iat", "4000000000"),
];

fn masks(s: &mut Side) {
    s.replace(r#"server_version: (Some\()?"[^"]*""#, "server_version: ${1}VERSION");
}

scripts! {
    /// Each call has words of its own for who may not, and asks for something of its own.
    fn who_may_not_is_told_what(s) {
        s.replace(r"on broker \[[^\]]*\]", "on broker [HERE]");
        let topic = format!("persistent/public/default/{}", s.unique());
        s.token = Some(good("admin"));
        s.order("PUT", &topic, "");
        s.order("PUT", &format!("{topic}/subscription/s"), r#""earliest""#);
        for (role, granted) in [("nobody", None), ("producing", Some("produce")), ("consuming", Some("consume"))] {
            s.note(format!("-- {role}"));
            let permissions = format!("namespaces/public/default/permissions/{role}");
            if let Some(action) = granted {
                s.token = Some(good("admin"));
                s.order("POST", &permissions, &format!("[{action:?}]"));
            }
            s.token = Some(good(role));
            let of_topic = |path: &str| format!("{topic}/{path}");
            for (method, path, body) in [
                ("GET", "tenants".to_owned(), ""),
                ("GET", "tenants/public".to_owned(), ""),
                ("PUT", "tenants/other".to_owned(), "{}"),
                ("GET", "namespaces/public".to_owned(), ""),
                ("PUT", "namespaces/public/other".to_owned(), ""),
                ("DELETE", "namespaces/public/other".to_owned(), ""),
                ("GET", "namespaces/public/default".to_owned(), ""),
                ("POST", "namespaces/public/default/retention".to_owned(), "{}"),
                ("GET", "namespaces/public/default/messageTTL".to_owned(), ""),
                ("PUT", "namespaces/public/default/unload".to_owned(), ""),
                ("GET", "namespaces/public/default/properties".to_owned(), ""),
                ("POST", "namespaces/public/default/permissions/joe".to_owned(), "[]"),
                ("GET", "brokers/health".to_owned(), ""),
                ("GET", "brokers/configuration/runtime".to_owned(), ""),
                ("GET", "clusters/standalone".to_owned(), ""),
                ("POST", "clusters/standalone/migrate".to_owned(), "{}"),
                ("GET", "broker-stats/topics".to_owned(), ""),
                ("GET", "worker/cluster".to_owned(), ""),
                ("PUT", format!("{topic}2"), ""),
                ("POST", of_topic("retention"), "{}"),
                ("GET", of_topic("maxProducers"), ""),
                ("GET", of_topic("permissions"), ""),
                ("POST", of_topic("terminate"), ""),
                ("PUT", of_topic("compaction"), ""),
                ("PUT", of_topic("unload"), ""),
                ("DELETE", of_topic("properties?key=k"), ""),
                ("GET", format!("schemas/public/default/{}/versions", s.unique()), ""),
                ("POST", format!("/topics/persistent/public/default/{}", s.unique()), "{}"),
            ] {
                s.inquire(method, &path, body);
            }
            for (method, path, body) in [
                ("GET", of_topic("stats"), ""),
                ("PUT", of_topic("backlogSize"), r#"{"ledgerId":0,"entryId":0}"#),
                ("GET", of_topic("lastMessageId"), ""),
                ("GET", of_topic("messageid/1"), ""),
                ("GET", of_topic("subscriptions"), ""),
                ("POST", of_topic("subscription/s/skip_all"), ""),
                ("GET", "namespaces/public/default/bundles".to_owned(), ""),
                ("GET", "persistent/public/default".to_owned(), ""),
            ] {
                s.order(method, &path, body);
            }
            s.token = Some(good("admin"));
            s.order("DELETE", &permissions, "");
        }
    }

    /// What cannot be read is told to those too who may do nothing.
    fn calls_that_cannot_be_read_by_whom_they_are(s) {
        let here = format!("t{}", s.short());
        for role in [Some("admin"), Some("nobody"), None] {
            s.note(format!("-- {role:?}"));
            s.token = role.map(good);
            for (method, path) in [
                ("GET", "nosuch".to_owned()),
                ("GET", "/nosuch".to_owned()),
                ("GET", "/metrics/".to_owned()),
                ("PUT", "nosuch".to_owned()),
                ("GET", "schemas/public/default/".to_owned()),
                ("GET", "brokers/nosuch/x/y".to_owned()),
                ("GET", "persistent/public/default/a/b/c/d".to_owned()),
                ("DELETE", "clusters".to_owned()),
                ("PATCH", format!("tenants/{here}")),
                ("DELETE", "brokers/health".to_owned()),
                ("POST", "persistent/public/default/t".to_owned()),
            ] {
                s.form(method, &path, "", "");
            }
            for (method, path, headers, body) in [
                ("PUT", format!("tenants/{here}"), "content-type: text/plain\r\n", "{}"),
                ("PUT", format!("tenants/{here}"), "content-type: application/json\r\n", "{"),
                ("PUT", format!("tenants/{here}"), "content-type: application/json\r\n", "[1]"),
                ("PUT", format!("namespaces/{here}/n"), "content-type: text/plain\r\n", "{}"),
                ("PUT", format!("namespaces/{here}/n"), "content-type: application/json\r\n", "{\"nosuch\":"),
                ("POST", "namespaces/public/default/retention".to_owned(), "content-type: text/plain\r\n", "{}"),
                ("POST", "namespaces/public/default/retention".to_owned(), "content-type: application/json\r\n", "["),
                ("PUT", format!("persistent/public/default/{here}/partitions"), "content-type: application/json\r\n", "x"),
                ("GET", "tenants".to_owned(), "accept: text/plain\r\n", ""),
            ] {
                s.form(method, &path, headers, body);
            }
        }
    }

    fn proofs_that_do_not_hold(s) {
        masks(s);
        let expired = token(Some("admin"), after(s, -10), SECRET);
        let forged = token(Some("admin"), None, b"another-key-that-has-32-bytes!!!");
        for (method, data) in [
            (None, ""),
            (Some("none"), ""),
            (Some("token"), ""),
            (Some("token"), "nonsense"),
            (Some("token"), &expired),
            (Some("token"), &forged),
            (Some("dance"), "x"),
            (Some("tls"), ""),
        ] {
            let who = client(s, connect_with(method, data, true));
            s.hear(who);
        }
        let who = s.stranger();
        s.ask(who, answer(&good("admin")));
        let who = s.stranger();
        s.ask(who, producer_on(1, "persistent://public/default/x"));
        client(s, connect_with(Some("token"), &good("admin"), true));
    }

    fn times_of_tokens(s) {
        masks(s);
        for (name, time) in TIMES {
            let claims = json!({ "sub": "admin", *name: serde_json::from_str::<serde_json::Value>(time).unwrap() });
            let token = encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET)).unwrap();
            s.note(format!("-- {name} {time}"));
            client(s, connect_with(Some("token"), &token, false));
        }
    }

    fn tokens_are_refreshed_in_band(s) {
        masks(s);
        let until = after(s, 3);
        let (a, b) = (
            client(s, connect_with(Some("token"), &token(Some("admin"), until, SECRET), true)),
            client(s, connect_with(Some("token"), &token(Some("admin"), until, SECRET), false)),
        );
        s.hear(a);
        s.hear(b);
        let until = after(s, 3);
        s.ask(a, answer(&token(Some("admin"), until, SECRET)));
        let topic = s.topic();
        s.find(a, &topic);
        s.ask(a, producer_on(1, &topic));
        // Nobody answers this time.
        s.hear(a);
    }

    fn wrong_answers_to_a_challenge(s) {
        masks(s);
        for wrong in [
            answer(&token(Some("admin"), after(s, -5), SECRET)),
            answer("nonsense"),
            answer(&good("joe")),
            CommandAuthResponse { response: None, ..answer("") },
        ] {
            let until = after(s, 1);
            let who = client(s, connect_with(Some("token"), &token(Some("admin"), until, SECRET), true));
            s.hear(who);
            s.ask(who, wrong);
            s.hear(who);
        }
    }

    fn an_answer_that_nobody_asked_for(s) {
        masks(s);
        let who = client(s, connect_with(Some("token"), &good("admin"), true));
        s.say(who, answer(&good("admin")));
        let topic = s.topic();
        s.find(who, &topic);
        s.ask(who, producer_on(1, &topic));
        s.ask(who, answer(&good("joe")));
    }

    fn roles_may_do_what_they_are_granted(s) {
        masks(s);
        s.replace(r" for originalPrincipal \[null\] and clientAppId \[joe\]", "");
        let topic = s.topic();
        let boss = client(s, connect_with(Some("token"), &good("admin"), true));
        s.find(boss, &topic);
        let joe = client(s, connect_with(Some("token"), &good("joe"), true));
        let questions: [fn(&str) -> Command; 4] = [
            |topic| CommandLookupTopic { topic: topic.to_owned(), request_id: 1, ..Default::default() }.into(),
            |topic| {
                CommandPartitionedTopicMetadata { topic: topic.to_owned(), request_id: 2, ..Default::default() }
                    .into()
            },
            |topic| producer_on(3, topic).into(),
            |topic| subscribe(4, topic, "s", SubType::SHARED).into(),
        ];
        let lists = || CommandGetTopicsOfNamespace {
            request_id: 5,
            namespace: "public/default".to_owned(),
            topics_pattern: Some("public/default/none".to_owned()),
            ..CommandGetTopicsOfNamespace::default()
        };
        s.replace(r#"broker_service_url\w*: Some\("[^"]*"\),? ?"#, "");
        s.replace(r#"topics_hash: [^,}]*"#, "HASH");
        let path = format!("persistent/public/default/{}/permissions/joe", s.unique());
        s.token = Some(good("admin"));
        s.order("PUT", &format!("persistent/public/default/{}", s.unique().to_owned()), "");
        for granted in ["", r#"["produce"]"#, r#"["consume"]"#] {
            if !granted.is_empty() {
                s.order("POST", &path, granted);
                s.pause(500);
            }
            for question in questions {
                s.ask(joe, question(&topic));
            }
            s.ask(joe, lists());
            s.say(joe, super::close_producer(3));
            s.say(joe, super::close_consumer(4));
            s.hear_all(joe);
        }
        s.order("DELETE", &path, "");
        s.pause(500);
        s.ask(joe, questions[0](&topic));
    }

    fn statistics_name_the_role_of_a_consumer(s) {
        masks(s);
        let topic = s.topic();
        s.token = Some(good("admin"));
        let boss = client(s, connect_with(Some("token"), &good("admin"), true));
        s.find(boss, &topic);
        s.ask(boss, producer_on(1, &topic));
        s.ask(boss, subscribe(1, &topic, "s", SubType::SHARED));
        s.look(&format!("persistent/public/default/{}/stats", s.unique()), &[
            "subscriptions.s.consumers.0.appId", "publishers.0.appId", "publishers.0.role",
        ]);
    }

    fn transactions_are_their_owners(s) {
        masks(s);
        let topic = s.topic();
        let boss = client(s, connect_with(Some("token"), &good("admin"), true));
        s.find(boss, &topic);
        s.ask(boss, producer_on(1, &topic));
        s.ask(boss, subscribe(1, &topic, "s", SubType::SHARED));
        let joe = client(s, connect_with(Some("token"), &good("joe"), true));
        attach_to(s, boss, 0);
        s.ask(joe, CommandTcClientConnectRequest { request_id: 1, tc_id: 0, ..Default::default() });
        let (theirs, his) = (begin(s, boss, 60_000), begin(s, joe, 60_000));
        for txn in [theirs, his] {
            s.ask(joe, with_topic(txn, &topic));
            s.ask(joe, with_sub(txn, &topic, "s"));
        }
        s.ask(joe, end(theirs, TxnAction::COMMIT));
        for sub in ["s", "none"] {
            s.ask(
                joe,
                CommandEndTxnOnSubscription {
                    request_id: 8,
                    txnid_most_bits: Some(theirs.0),
                    txnid_least_bits: Some(theirs.1),
                    subscription: Some(Subscription { topic: topic.clone(), subscription: sub.to_owned() }),
                    txn_action: Some(TxnAction::COMMIT),
                    txnid_least_bits_of_low_watermark: Some(0),
                },
            );
        }
        for place in [topic.clone(), format!("{topic}-none")] {
            s.ask(
                joe,
                CommandEndTxnOnPartition {
                    request_id: 9,
                    txnid_most_bits: Some(theirs.0),
                    txnid_least_bits: Some(theirs.1),
                    topic: Some(place),
                    txn_action: Some(TxnAction::COMMIT),
                    txnid_least_bits_of_low_watermark: Some(0),
                },
            );
        }
        s.ask(joe, end(his, TxnAction::ABORT));
        s.ask(boss, end(theirs, TxnAction::ABORT));
    }

    fn schemas_are_for_everybody_who_is_known(s) {
        masks(s);
        let topic = s.topic();
        let boss = client(s, connect_with(Some("token"), &good("admin"), true));
        s.find(boss, &topic);
        let schema = Schema { name: "s".to_owned(), r#type: SchemaType::STRING, ..Schema::default() };
        s.ask(boss, CommandProducer { schema: Some(schema.clone()), ..producer_on(1, &topic) });
        let joe = client(s, connect_with(Some("token"), &good("joe"), true));
        s.ask(joe, CommandGetSchema { request_id: 1, topic: topic.clone(), schema_version: None });
        s.ask(joe, CommandGetOrCreateSchema { request_id: 2, topic: topic.clone(), schema, ..Default::default() });
        s.ask(joe, CommandWatchTopicList {
            request_id: 3,
            watcher_id: 3,
            namespace: "public/default".to_owned(),
            topics_pattern: "public/default/none".to_owned(),
            ..CommandWatchTopicList::default()
        });
        s.ask(joe, CommandSeek { request_id: 4, consumer_id: 9, message_publish_time: Some(1), ..CommandSeek::default() });
        s.ask(joe, CommandGetLastMessageId { request_id: 5, consumer_id: 9 });
    }

    fn subscriptions_can_be_for_some_roles_only(s) {
        // A set, in any order.
        s.replace(r#"\{"joe":\["produce","consume"\]\}"#, r#"{"joe":["consume","produce"]}"#);
        masks(s);
        let namespace = format!("public/{}", s.short());
        let topic = format!("persistent://{namespace}/t");
        s.token = Some(good("admin"));
        s.order("PUT", &format!("namespaces/{namespace}"), "");
        let boss = client(s, connect_with(Some("token"), &good("admin"), true));
        s.find(boss, &topic);
        s.ask(boss, producer_on(1, &topic));
        let permissions = format!("namespaces/{namespace}/permissions");
        s.order("POST", &format!("{permissions}/joe"), r#"["produce","consume"]"#);
        s.order("POST", &format!("{permissions}/subscription/s"), r#"["ann"]"#);
        s.inquire("GET", &format!("{permissions}/subscription"), "");
        s.inquire("GET", &permissions, "");
        s.pause(500);
        let joe = client(s, connect_with(Some("token"), &good("joe"), true));
        s.ask(joe, subscribe(1, &topic, "s", SubType::SHARED));
        s.ask(joe, subscribe(2, &topic, "free", SubType::SHARED));
        s.ask(boss, subscribe(3, &topic, "s", SubType::SHARED));
        s.ask(joe, CommandProducer { initial_subscription_name: Some("s".to_owned()), ..producer_on(4, &topic) });
        s.order("DELETE", &format!("{permissions}/s/ann"), "");
        s.order("POST", &format!("namespaces/{namespace}/subscriptionAuthMode"), r#""Prefix""#);
        s.pause(1000);
        s.hear_all(joe);
        s.ask(joe, subscribe(5, &topic, "s", SubType::SHARED));
        s.ask(joe, subscribe(6, &topic, "joe-s", SubType::SHARED));
    }

    fn who_loses_a_permission_loses_what_is_open(s) {
        masks(s);
        let namespace = format!("public/{}", s.short());
        let topic = format!("persistent://{namespace}/t");
        s.token = Some(good("admin"));
        s.order("PUT", &format!("namespaces/{namespace}"), "");
        let boss = client(s, connect_with(Some("token"), &good("admin"), true));
        s.find(boss, &topic);
        s.order("POST", &format!("namespaces/{namespace}/permissions/joe"), r#"["produce","consume"]"#);
        s.pause(500);
        let joe = client(s, connect_with(Some("token"), &good("joe"), true));
        s.ask(joe, producer_on(1, &topic));
        s.ask(joe, subscribe(2, &topic, "s", SubType::SHARED));
        s.order("DELETE", &format!("namespaces/{namespace}/permissions/joe"), "");
        s.pause(1000);
        s.hear_all(joe);
        s.ask(joe, producer_on(3, &topic));
    }

    fn admin_calls_are_for_those_who_may(s) {
        // A set, in any order.
        s.replace(r#"\{"joe":\["produce","consume"\]\}"#, r#"{"joe":["consume","produce"]}"#);
        let namespace = format!("public/{}", s.short());
        s.token = Some(good("admin"));
        s.order("PUT", &format!("namespaces/{namespace}"), "");
        for token in [None, Some("nonsense".to_owned()), Some(good("joe")), Some(good("admin"))] {
            s.note(format!("-- {}", token.as_ref().map_or(0, String::len)));
            s.token = token;
            for (method, path) in [
                ("GET", "brokers/health"),
                ("GET", "brokers/ready"),
                ("GET", "clusters"),
                ("GET", "tenants"),
                ("GET", "namespaces/public"),
                ("GET", &format!("namespaces/{namespace}/topics")),
                ("GET", &format!("namespaces/{namespace}/permissions")),
                ("PUT", &format!("persistent/{namespace}/made")),
                ("GET", &format!("persistent/{namespace}/made/subscriptions")),
                ("GET", &format!("persistent/{namespace}/made/stats")),
                ("DELETE", &format!("persistent/{namespace}/made")),
            ] {
                s.order(method, path, "");
            }
        }
        s.order("POST", &format!("namespaces/{namespace}/permissions/joe"), r#"["produce","consume"]"#);
        s.inquire("GET", &format!("namespaces/{namespace}/permissions"), "");
        s.order("PUT", &format!("persistent/{namespace}/made"), "");
        s.pause(500);
        s.token = Some(good("joe"));
        for (method, path) in [
            ("GET", "namespaces/public"),
            ("GET", &format!("namespaces/{namespace}/topics")),
            ("GET", &format!("persistent/{namespace}/made/subscriptions")),
            ("GET", &format!("persistent/{namespace}/made/stats")),
            ("PUT", &format!("persistent/{namespace}/made/subscription/s")),
            ("PUT", &format!("persistent/{namespace}/more")),
            ("DELETE", &format!("persistent/{namespace}/made")),
        ] {
            s.order(method, path, "");
        }
        s.token = Some(good("admin"));
        s.order("DELETE", &format!("namespaces/{namespace}/permissions/joe"), "");
        s.inquire("GET", &format!("namespaces/{namespace}/permissions"), "");
    }
}

#[test]
fn an_answer_to_a_broker_that_asks_nobody() {
    fn script(s: &mut Side) {
        let who = s.client();
        s.ask(who, answer("x"));
        s.hear(who);
        let who = s.stranger();
        s.ask(who, answer("x"));
    }
    crate::play("an_answer_to_a_broker_that_asks_nobody", script);
}
