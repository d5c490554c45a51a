//! Where cursors are, in which state, and where admin calls take them.

use pulsewire_proto::wire::*;

use super::scripts;

use crate::common::{batch_of, key, producer_on, subscribe};
use crate::side::{Side, Who};

fn ack(s: &mut Side, a: Who, consumer: u64, id: &MessageIdData) {
    s.say(a, CommandAck { consumer_id: consumer, message_id: vec![id.clone()], ..CommandAck::default() });
    s.pause(300);
}

scripts! {
    fn cursors_reset_into_a_batch(s) {
        s.replace(r#""ledgerId":\d+"#, r#""ledgerId":LEDGER"#);
        let topic = s.topic();
        let path = format!("persistent/public/default/{}/subscription/s", s.unique());
        let a = s.client();
        s.ask(a, producer_on(1, &topic));
        s.ask(a, subscribe(1, &topic, "s", SubType::SHARED));
        s.publish(a, 1, 0, MessageMetadata::default(), "one");
        let batch = s.publish(a, 1, 1, batch_of(4), "x");
        s.publish(a, 1, 5, MessageMetadata::default(), "last");
        s.ask(a, super::close_consumer(1));
        for (entry, rest) in [
            (1, r#""batchIndex":2"#), (1, r#""batchIndex":2,"excluded":true"#), (1, r#""batchIndex":0"#),
            (1, r#""batchIndex":0,"excluded":true"#), (1, r#""batchIndex":3"#), (1, r#""batchIndex":3,"excluded":true"#),
            (1, r#""batchIndex":9"#), (1, r#""batchIndex":9,"excluded":true"#), (1, r#""batchIndex":-1,"excluded":true"#),
            (1, r#""batchIndex":-5"#), (0, r#""batchIndex":0,"excluded":true"#), (0, r#""batchIndex":3"#), (2, r#""batchIndex":0"#),
            (9, r#""batchIndex":1"#), (9, r#""batchIndex":1,"excluded":true"#), (1, r#""batchIndex":"1""#), (1, r#""batchIndex":null"#),
        ] {
            s.order("POST", &format!("{path}/resetcursor"), &format!(r#"{{"ledgerId":{},"entryId":{entry},{rest}}}"#, batch.ledger_id));
            s.pause_if_real(100);
            s.ask(a, subscribe(1, &topic, "s", SubType::SHARED));
            s.flow(a, 1, 100);
            s.hear_all(a);
            s.ask(a, super::close_consumer(1));
        }
    }

    fn states_of_cursors(s) {
        s.replace(r"cursorsLedgerId = \d+", "cursorsLedgerId = LEDGER");
        s.replace(r#""\d+:(-?\d+)""#, r#""LEDGER:$1""#);
        super::admin::quiet(s);
        s.replace(r#""(modificationDate|creationDate)":"[^"]*"|"(timestamp)":\d+"#, r#""$1":WHEN"#);
        let topic = s.topic();
        let path = format!("persistent/public/default/{}", s.unique());
        let a = s.client();
        let fields: Vec<String> = ["acked", "upto", "part", "beyond", "none", "reset", "skipped", "expired", "n"]
            .iter()
            .flat_map(|sub| ["state", "cursorLedgerLastEntry"].map(|field| format!("cursors.{sub}.{field}")))
            .collect();
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let see = |s: &mut Side| s.look(&format!("{path}/internalStats"), &fields);
        s.ask(a, producer_on(1, &topic));
        for (consumer, sub) in [(1, "acked"), (2, "upto"), (3, "part"), (4, "beyond"), (5, "none"), (6, "reset"), (7, "skipped"), (8, "expired")] {
            s.ask(a, subscribe(consumer, &topic, sub, SubType::SHARED));
        }
        s.ask(a, CommandSubscribe { durable: Some(false), ..subscribe(9, &topic, "n", SubType::EXCLUSIVE) });
        see(s);
        let first = s.publish(a, 1, 0, MessageMetadata::default(), "x");
        let batch = s.publish(a, 1, 1, batch_of(4), "x");
        s.publish(a, 1, 5, MessageMetadata::default(), "x");
        for consumer in 1..=9 {
            s.flow(a, consumer, 100);
        }
        while s.next_within(a, 300).is_some() {}
        see(s);
        ack(s, a, 1, &first);
        s.say(a, CommandAck { consumer_id: 2, ack_type: AckType::CUMULATIVE, message_id: vec![first.clone()], ..CommandAck::default() });
        ack(s, a, 3, &MessageIdData { ack_set: vec![0b1110], batch_size: Some(4), ..batch.clone() });
        ack(s, a, 4, &batch);
        ack(s, a, 9, &first);
        see(s);
        s.order("POST", &format!("{path}/subscription/reset/resetcursor/0"), "");
        s.order("POST", &format!("{path}/subscription/skipped/skip_all"), "");
        s.pause(1100);
        s.order("POST", &format!("{path}/subscription/expired/expireMessages/1"), "");
        s.pause(500);
        see(s);
        s.look(&format!("{path}/internal-info"), &["cursors.none", "cursors.acked.cursorsLedgerId"]);
        s.order("PUT", &format!("{path}/subscription/later"), "");
        s.look(&format!("{path}/internalStats"), &["cursors.later.state"]);
        s.order("PUT", &format!("{path}/unload"), "");
        s.pause(500);
        let anew = s.client();
        s.find(anew, &topic);
        s.ask(anew, producer_on(2, &topic));
        see(s);
        s.ask(anew, subscribe(1, &topic, "acked", SubType::SHARED));
        ack(s, anew, 1, &batch);
        see(s);
    }

    fn the_cursor_of_compaction(s) {
        s.replace(r#""\d+:(-?\d+)""#, r#""LEDGER:$1""#);
        super::admin::quiet(s);
        s.replace(r#""(modificationDate|creationDate)":"[^"]*"|"(timestamp)":\d+"#, r#""$1":WHEN"#);
        let topic = s.topic();
        let path = format!("persistent/public/default/{}", s.unique());
        let a = s.client();
        s.ask(a, producer_on(1, &topic));
        for n in 0..4 {
            s.publish(a, 1, n, key(&format!("k{}", n % 2)), "x");
        }
        let fields = ["cursors.__compaction.state", "cursors.__compaction.markDeletePosition", "cursors.__compaction.readPosition"];
        s.replace(r#""lastConsumedFlowTimestamp":[1-9]\d+"#, r#""lastConsumedFlowTimestamp":0"#);
        let see = |s: &mut Side| {
            s.sorted(&format!("{path}/subscriptions"));
            s.look(&format!("{path}/stats"), &["subscriptions.__compaction"]);
            s.look(&format!("{path}/internalStats"), &fields);
        };
        see(s);
        s.compact(&path);
        see(s);
        s.order("DELETE", &format!("{path}/subscription/__compaction"), "");
        s.order("POST", &format!("{path}/subscription/__compaction/skip_all"), "");
        s.order("POST", &format!("{path}/subscription/__compaction/resetcursor/0"), "");
        s.pause(300);
        see(s);
        s.publish(a, 1, 5, key("k1"), "y");
        s.compact(&path);
        see(s);
        s.order("PUT", &format!("{path}/unload"), "");
        s.pause(500);
        let anew = s.client();
        s.find(anew, &topic);
        s.ask(anew, producer_on(2, &topic));
        see(s);
    }

    /// Where one has nothing to pass over, the others do all the same.
    fn old_messages_of_some_partitions(s) {
        let path = format!("persistent/public/default/{}", s.unique());
        s.order("PUT", &format!("{path}/partitions"), "3");
        for sub in ["r", "s"] {
            s.order("PUT", &format!("{path}/subscription/{sub}"), r#""earliest""#);
        }
        let a = s.client();
        for part in 0..2 {
            let topic = format!("{}-partition-{part}", s.topic());
            s.find(a, &topic);
            s.say(a, producer_on(part, &topic));
            s.quietly(a);
            s.publish(a, part, 0, key("k"), "x");
        }
        s.pause(3000);
        let see = |s: &mut Side| {
            for part in 0..3 {
                let backlogs = ["subscriptions.r.msgBacklog", "subscriptions.s.msgBacklog"];
                s.look(&format!("{path}-partition-{part}/stats"), &backlogs);
            }
        };
        see(s);
        s.inquire("POST", &format!("{path}/subscription/s/expireMessages/1"), "");
        s.pause(500);
        see(s);
        s.inquire("POST", &format!("{path}/subscription/s/expireMessages/1"), "");
        s.order("POST", &format!("{path}/all_subscription/expireMessages/1"), "");
        s.pause(500);
        see(s);
    }

    fn when_consumers_did_what(s) {
        s.replace(r"Timestamp = [1-9]\d+", "Timestamp = WHEN");
        let topic = s.topic();
        let path = format!("persistent/public/default/{}/stats", s.unique());
        let a = s.client();
        let fields: Vec<String> = ["s", "e"]
            .iter()
            .flat_map(|sub| {
                ["lastConsumedFlowTimestamp", "lastConsumedTimestamp", "lastAckedTimestamp", "lastMarkDeleteAdvancedTimestamp", "consumers.0.lastConsumedTimestamp", "consumers.0.lastAckedTimestamp"]
                    .map(|field| format!("subscriptions.{sub}.{field}"))
            })
            .collect();
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        s.ask(a, producer_on(1, &topic));
        s.ask(a, subscribe(1, &topic, "s", SubType::SHARED));
        s.ask(a, subscribe(2, &topic, "e", SubType::EXCLUSIVE));
        s.look(&path, &fields);
        s.flow(a, 1, 10);
        s.flow(a, 2, 10);
        s.pause(200);
        s.look(&path, &fields);
        let ids: Vec<_> = (0..3).map(|n| s.publish(a, 1, n, MessageMetadata::default(), "x")).collect();
        while s.next_within(a, 300).is_some() {}
        s.look(&path, &fields);
        ack(s, a, 1, &ids[1]);
        s.look(&path, &fields);
        ack(s, a, 1, &ids[0]);
        s.say(a, CommandAck { consumer_id: 2, ack_type: AckType::CUMULATIVE, message_id: vec![ids[2].clone()], ..CommandAck::default() });
        s.pause(300);
        s.look(&path, &fields);
        s.ask(a, super::close_consumer(1));
        s.ask(a, super::close_consumer(2));
        s.look(&path, &fields);
    }

    fn shadow_topics(s) {
        s.replace(r"localhost:\d+", "HERE");
        let topic = s.topic();
        let unique = s.unique().to_owned();
        let path = format!("persistent/public/default/{unique}");
        let shadow = format!("{topic}-shadow");
        let a = s.client();
        s.ask(a, producer_on(1, &topic));
        s.order("PUT", &format!("{path}-shadow"), &format!(r#"{{"PULSAR.SHADOW_SOURCE":"{topic}"}}"#));
        s.order("PUT", &format!("{path}/shadowTopics"), &format!(r#"["{shadow}"]"#));
        s.inquire("GET", &format!("{path}/shadowTopics"), "");
        s.pause(1500);
        s.ask(a, subscribe(1, &shadow, "s", SubType::SHARED));
        s.flow(a, 1, 100);
        s.publish(a, 1, 1, key("k"), "one");
        s.publish(a, 1, 2, batch_of(3), "x");
        s.hear_long(a);
        s.ask(a, producer_on(2, &shadow));
        let early = CommandSubscribe { initial_position: Some(InitialPosition::EARLIEST), ..subscribe(2, &shadow, "early", SubType::SHARED) };
        s.ask(a, early);
        s.flow(a, 2, 100);
        s.hear_long(a);
        s.look(&format!("{path}-shadow/stats"), &["msgInCounter", "subscriptions.s.msgBacklog", "subscriptions.early.msgBacklog"]);
        s.look(&format!("{path}-shadow/internalStats"), &["numberOfEntries", "state"]);
        s.sorted(&format!("{path}/subscriptions"));
        s.send(a, 2, 0, MessageMetadata::default(), "to the shadow");
        s.hear_answer(a);
        s.publish(a, 1, 5, MessageMetadata::default(), "after");
        s.hear_in_any_order(a);
    }

    fn subscriptions_that_some_partitions_have(s) {
        let unique = s.unique().to_owned();
        let path = format!("persistent/public/default/{unique}");
        s.order("PUT", &format!("{path}/partitions"), "3");
        let part = |n: u32| format!("{path}-partition-{n}");
        s.inquire("PUT", &format!("{}/subscription/s", part(1)), "");
        s.inquire("PUT", &format!("{}/subscription/s", part(1)), "");
        s.inquire("PUT", &format!("{path}/subscription/s"), "");
        (0..3).for_each(|n| s.sorted(&format!("{}/subscriptions", part(n))));
        s.inquire("PUT", &format!("{path}/subscription/s"), "");
    }

    fn partitions_without_storage_that_were_used(s) {
        let short = s.short();
        let path = format!("non-persistent/public/{short}");
        s.order("PUT", &format!("namespaces/public/{short}"), r#"{"bundles":{"numBundles":1}}"#);
        s.order("PUT", &format!("{path}/t/partitions"), "3");
        let bundle = format!("{path}/0x00000000_0xffffffff");
        let a = s.client();
        for n in [0, 2] {
            let topic = format!("non-persistent://public/{short}/t-partition-{n}");
            s.find(a, &topic);
            s.ask(a, producer_on(n, &topic));
            s.ask(a, super::close_producer(n));
        }
        s.sorted(&bundle);
        s.sorted(&path);
    }

    fn shadows_of_what_is_stored(s) {
        let topic = s.topic();
        let path = format!("persistent/public/default/{}", s.unique());
        let shadow = format!("{topic}-shadow");
        let text = Schema { name: "s".into(), schema_data: "".into(), r#type: SchemaType::STRING, properties: Vec::new() };
        let a = s.client();
        s.ask(a, CommandProducer { schema: Some(text.clone()), ..producer_on(1, &topic) });
        (0..3).for_each(|n| drop(s.publish(a, 1, n, key("k"), "x")));
        // The real one sees all of a ledger only when it is closed.
        s.order("PUT", &format!("{path}/unload"), "");
        s.pause(500);
        let a = s.client();
        s.find(a, &topic);
        s.order("PUT", &format!("{path}-shadow"), &format!(r#"{{"PULSAR.SHADOW_SOURCE":"{topic}"}}"#));
        let early = CommandSubscribe { initial_position: Some(InitialPosition::EARLIEST), schema: Some(text), ..subscribe(2, &shadow, "early", SubType::SHARED) };
        s.ask(a, early);
        s.flow(a, 2, 100);
        s.hear_long(a);
    }
}
