//! The end of a topic: when consumers hear of it, and how often.

use pulsewire_proto::wire::*;

use super::{close_consumer, scripts};
use crate::common::{producer_on, subscribe};
use crate::side::{Side, Who};

fn acked(consumer: u64, id: &MessageIdData) -> CommandAck {
    CommandAck {
        consumer_id: consumer,
        ack_type: AckType::INDIVIDUAL,
        message_id: vec![id.clone()],
        ..CommandAck::default()
    }
}

/// All that comes in seventeen seconds: the real one looks again after fifteen.
fn hear_later(s: &mut Side, who: Who) {
    s.pause_if_real(17_000);
    s.hear_all(who);
}

/// One consumer from the end of a topic to long after, with the reasons to hear of it one by one.
fn of_type(s: &mut Side, kind: SubType) {
    let topic = s.topic();
    let path = format!("persistent/public/default/{}", s.unique());
    s.replace(r#""ledgerId":\d+"#, "LEDGER");
    let (a, b, c) = (s.client(), s.client(), s.client());
    s.ask(a, producer_on(1, &topic));
    s.ask(b, subscribe(1, &topic, "s", kind));
    let ids: Vec<_> =
        (0..3).map(|n| s.publish(a, 1, n, MessageMetadata::default(), &format!("m{n}"))).collect();
    s.hear_long(b);
    s.flow(b, 1, 10);
    s.hear_all(b);
    s.say(b, acked(1, &ids[0]));
    s.note("the end");
    s.inquire("POST", &format!("{path}/terminate"), "");
    s.hear_all(b);
    s.note("the last but one is acknowledged");
    s.say(b, acked(1, &ids[1]));
    s.hear_all(b);
    s.note("permits");
    s.flow(b, 1, 1);
    s.hear_all(b);
    s.note("the last one is acknowledged");
    s.say(b, acked(1, &ids[2]));
    s.hear_all(b);
    s.note("and again");
    s.say(b, acked(1, &ids[2]));
    s.hear_all(b);
    s.note("permits");
    for _ in 0..2 {
        s.flow(b, 1, 1);
        s.hear_all(b);
    }
    s.note("much later");
    hear_later(s, b);
    s.note("to be delivered again");
    s.say(b, CommandRedeliverUnacknowledgedMessages { consumer_id: 1, ..Default::default() });
    s.hear_all(b);
    // Who is active of a failover subscription depends on the topic's name.
    if kind != SubType::FAILOVER {
        s.note("another one comes");
        s.ask(c, subscribe(2, &topic, "s", kind));
        s.hear_long(c);
        s.hear_all(b);
        s.note("with permits");
        s.flow(c, 2, 5);
        s.hear_long(c);
        s.hear_all(b);
    }
    s.note("and again, and both go");
    s.ask(b, close_consumer(1));
    s.hear_long(b);
    s.ask(c, close_consumer(2));
    s.hear_long(c);
    s.note("one comes back");
    s.ask(b, subscribe(1, &topic, "s", kind));
    s.hear_long(b);
    s.note("with permits");
    s.flow(b, 1, 5);
    s.hear_long(b);
    s.note("the end once more");
    s.inquire("POST", &format!("{path}/terminate"), "");
    s.hear_all(b);
}

scripts! {
    fn the_end_of_an_exclusive_subscription(s) {
        of_type(s, SubType::EXCLUSIVE);
    }

    fn the_end_of_a_failover_subscription(s) {
        of_type(s, SubType::FAILOVER);
    }

    fn the_end_of_a_shared_subscription(s) {
        of_type(s, SubType::SHARED);
    }

    fn the_end_of_a_key_shared_subscription(s) {
        of_type(s, SubType::KEY_SHARED);
    }

    fn the_end_of_a_reader(s) {
        let topic = s.topic();
        let path = format!("persistent/public/default/{}", s.unique());
        s.replace(r#""ledgerId":\d+"#, "LEDGER");
        let (a, b) = (s.client(), s.client());
        s.ask(a, producer_on(1, &topic));
        let id = s.publish(a, 1, 0, MessageMetadata::default(), "m");
        let reader = || CommandSubscribe { durable: Some(false), ..subscribe(1, &topic, "reader", SubType::EXCLUSIVE) };
        s.ask(b, reader());
        s.flow(b, 1, 10);
        s.hear_all(b);
        s.inquire("POST", &format!("{path}/terminate"), "");
        s.hear_all(b);
        s.say(b, acked(1, &id));
        s.hear_all(b);
        s.ask(b, close_consumer(1));
        s.ask(b, reader());
        s.flow(b, 1, 10);
        s.hear_all(b);
        s.flow(b, 1, 10);
        s.hear_all(b);
        s.say(b, CommandAck { ack_type: AckType::CUMULATIVE, ..acked(1, &id) });
        s.hear_all(b);
    }

    fn the_end_of_what_is_skipped_and_sought(s) {
        let topic = s.topic();
        let path = format!("persistent/public/default/{}", s.unique());
        s.replace(r#""ledgerId":\d+"#, "LEDGER");
        let (a, b) = (s.client(), s.client());
        s.ask(a, producer_on(1, &topic));
        for n in 0..2 {
            s.publish(a, 1, n, MessageMetadata::default(), "m");
        }
        for (n, kind) in [(1, SubType::EXCLUSIVE), (2, SubType::SHARED)] {
            s.ask(b, subscribe(n, &topic, &format!("s{n}"), kind));
        }
        s.inquire("POST", &format!("{path}/terminate"), "");
        for n in 1..=2 {
            s.order("POST", &format!("{path}/subscription/s{n}/skip_all"), "");
            s.hear_all(b);
            s.flow(b, n, 10);
            s.hear_all(b);
            s.say(b, CommandSeek { consumer_id: n, request_id: 7, message_id: Some(crate::common::id(-1, -1)), ..CommandSeek::default() });
            s.hear_all(b);
            s.ask(b, subscribe(n, &topic, &format!("s{n}"), if n == 1 { SubType::EXCLUSIVE } else { SubType::SHARED }));
            s.flow(b, n, 10);
            s.hear_all(b);
            s.order("POST", &format!("{path}/subscription/s{n}/expireMessages/0"), "");
            s.order("POST", &format!("{path}/subscription/s{n}/expireMessages/1"), "");
            s.hear_all(b);
            s.order("POST", &format!("{path}/subscription/s{n}/skip_all"), "");
            s.hear_all(b);
            s.flow(b, n, 10);
            s.hear_all(b);
        }
    }
}
