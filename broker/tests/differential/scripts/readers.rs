//! Consumers as Java's readers and its users' tests bring them.

use pulsewire_proto::wire::*;

use super::scripts;
use crate::common::{producer_on, subscribe};

fn ranges(mode: KeySharedMode, ranges: &[(i32, i32)]) -> KeySharedMeta {
    KeySharedMeta {
        key_shared_mode: mode,
        hash_ranges: ranges.iter().map(|(start, end)| IntRange { start: *start, end: *end }).collect(),
        ..KeySharedMeta::default()
    }
}

scripts! {
    /// All or none of a subscription let a key's messages overtake one another.
    fn consumers_that_keep_no_order(s) {
        let topic = s.topic();
        let a = s.client();
        let with = |id, free| CommandSubscribe {
            key_shared_meta: Some(KeySharedMeta {
                allow_out_of_order_delivery: Some(free),
                ..ranges(KeySharedMode::AUTO_SPLIT, &[])
            }),
            ..subscribe(id, &topic, "s", SubType::KEY_SHARED)
        };
        s.ask(a, with(1, false));
        s.ask(a, with(2, true));
        s.ask(a, with(3, false));
        let other = |id, free| CommandSubscribe { subscription: "t".to_owned(), ..with(id, free) };
        s.ask(a, other(4, true));
        s.ask(a, other(5, false));
    }

    /// That there are too many consumers is seen before what else is wrong with one more.
    fn too_many_consumers_are_seen_first(s) {
        let (topic, path) = (s.topic(), format!("persistent/public/default/{}", s.unique()));
        let a = s.client();
        s.ask(a, subscribe(1, &topic, "s", SubType::SHARED));
        s.order("POST", &format!("{path}/maxConsumers"), "1");
        s.order("POST", &format!("{path}/subscriptionTypesEnabled"), r#"["Shared"]"#);
        s.pause(500);
        s.ask(a, subscribe(2, &topic, "s", SubType::EXCLUSIVE));
        s.ask(a, subscribe(3, &topic, "new", SubType::KEY_SHARED));
        s.inquire("DELETE", &path, "");
        s.ask(a, producer_on(1, &topic));
        s.inquire("DELETE", &path, "");
    }

    /// What a client is told of where it is after it sought a time.
    fn marks_after_seeking_a_time(s) {
        let topic = s.topic();
        let a = s.client();
        s.ask(a, producer_on(1, &topic));
        s.ask(a, subscribe(1, &topic, "s", SubType::EXCLUSIVE));
        for n in 0..3 {
            s.publish(a, 1, n, MessageMetadata::default(), &format!("m{n}"));
        }
        for time in [1, 4_000_000_000_000] {
            s.ask(a, CommandSeek { consumer_id: 1, request_id: 30, message_publish_time: Some(time), ..CommandSeek::default() });
            s.hear_all(a);
            s.ask(a, subscribe(1, &topic, "s", SubType::EXCLUSIVE));
            s.ask(a, CommandGetLastMessageId { consumer_id: 1, request_id: 31 });
        }
        let reader = CommandSubscribe { durable: Some(false), ..subscribe(2, &topic, "r", SubType::EXCLUSIVE) };
        s.ask(a, reader.clone());
        for time in [1, 4_000_000_000_000] {
            s.ask(a, CommandSeek { consumer_id: 2, request_id: 32, message_publish_time: Some(time), ..CommandSeek::default() });
            s.hear_all(a);
            s.ask(a, reader.clone());
            s.ask(a, CommandGetLastMessageId { consumer_id: 2, request_id: 33 });
        }
        let ends = CommandSeek {
            consumer_id: 2,
            request_id: 34,
            message_id: Some(crate::common::id(i64::MAX, i64::MAX)),
            ..CommandSeek::default()
        };
        let late = CommandSeek {
            consumer_id: 2,
            request_id: 35,
            message_publish_time: Some(4_000_000_000_000),
            ..CommandSeek::default()
        };
        for target in [ends.clone(), late.clone(), late, ends] {
            s.ask(a, target);
            s.hear_all(a);
            s.ask(a, reader.clone());
            s.ask(a, CommandGetLastMessageId { consumer_id: 2, request_id: 36 });
        }
    }

    /// A subscription that is there begins anew, too, where it is said how far back.
    fn subscriptions_begin_some_time_ago(s) {
        let topic = s.topic();
        let a = s.client();
        s.ask(a, producer_on(1, &topic));
        s.ask(a, subscribe(1, &topic, "s", SubType::EXCLUSIVE));
        let ids: Vec<MessageIdData> =
            (0..3).map(|n| s.publish(a, 1, n, MessageMetadata::default(), &format!("m{n}"))).collect();
        s.flow(a, 1, 10);
        s.hear_all(a);
        let all = CommandAck {
            consumer_id: 1,
            ack_type: AckType::CUMULATIVE,
            message_id: ids[2..].to_vec(),
            ..CommandAck::default()
        };
        s.say(a, all);
        s.ask(a, super::close_consumer(1));
        let back = CommandSubscribe {
            start_message_rollback_duration_sec: Some(3600),
            ..subscribe(1, &topic, "s", SubType::EXCLUSIVE)
        };
        s.ask(a, back);
        s.flow(a, 1, 10);
        s.hear_all(a);
    }
}
