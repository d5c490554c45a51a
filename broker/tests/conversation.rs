//! What clients and the broker say to each other. As Apache Pulsar 4.0.8 was seen to say it, where
//! nothing else is noted.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::*;
use pulsewire_broker::BrokerConfig;
use pulsewire_broker::core::{DisconnectReason, Scope, names::TopicName};
use pulsewire_proto::wire::entry::Entry;
use pulsewire_proto::wire::*;

const TOPIC: &str = "persistent://public/default/t";

#[test]
fn the_handshake_agrees_on_the_lower_version() {
    let mut w = World::new();
    let old = w.stranger();
    let Command::Connected(connected) =
        w.ask(old, CommandConnect { protocol_version: Some(10), ..connect() })
    else {
        panic!()
    };
    assert_eq!(connected.protocol_version, Some(10));
    let new = w.stranger();
    let through_proxy = CommandConnect {
        protocol_version: Some(99),
        proxy_to_broker_url: Some("elsewhere:6650".to_owned()),
        ..connect()
    };
    let Command::Connected(connected) = w.ask(new, through_proxy) else { panic!() };
    assert_eq!(connected.protocol_version, Some(21));
    assert_eq!(connected.max_message_size, Some(5 * 1024 * 1024));
    let flags = connected.feature_flags.unwrap();
    assert_eq!(flags.supports_topic_watchers, Some(true));
    assert_eq!(flags.supports_auth_refresh, None);
}

#[test]
fn silence_is_asked_about_and_then_cut() {
    let mut w = World::new();
    let (quiet, alive, stranger) = (w.client(), w.client(), w.stranger());
    w.pass(Duration::from_secs(31));
    assert!(matches!(w.hear(quiet), Command::Ping(_)));
    assert!(matches!(w.hear(alive), Command::Ping(_)));
    w.say(alive, CommandPong::default());
    assert_eq!(w.cut(stranger), Some(&DisconnectReason::HandshakeTimeout));
    w.pass(Duration::from_secs(30));
    assert_eq!(w.cut(quiet), Some(&DisconnectReason::KeepAliveTimeout));
    assert_eq!(w.cut(alive), None);
    assert!(matches!(w.hear(alive), Command::Ping(_)));
    assert!(matches!(w.ask(alive, CommandPing::default()), Command::Pong(_)));
}

#[test]
fn a_message_travels() {
    let mut w = World::new();
    let (a, b) = (w.client(), w.client());
    let opened = w.produce(a, 1, TOPIC);
    assert_eq!((opened.producer_name.as_str(), opened.last_sequence_id), ("standalone-0-0", Some(-1)));
    w.consume(b, 7, TOPIC, "s", SubType::EXCLUSIVE);
    let id = w.publish(a, 1, 0, "hello");
    assert_eq!(id.entry_id, 0);
    assert!(w.silent(b), "no permits, no message");
    w.flow(b, 7, 10);
    let (command, entry) = w.hear_entry(b);
    let Command::Message(message) = command else { panic!() };
    assert_eq!((message.consumer_id, message.message_id.entry_id), (7, 0));
    assert_eq!(message.message_id.partition, Some(-1));
    let entry = Entry::parse(&entry).unwrap();
    let added = entry.broker.unwrap();
    assert_eq!((added.broker_timestamp, added.index), (Some(WALL), Some(0)));
    assert_eq!(&entry.payload[..], b"hello");
}

#[test]
fn broker_metadata_goes_only_to_those_who_understand_it() {
    let mut w = World::new();
    let a = w.client();
    w.produce(a, 1, TOPIC);
    w.publish(a, 1, 0, "x");
    let old = w.stranger();
    w.say(old, CommandConnect { feature_flags: None, ..connect() });
    w.hear(old);
    w.consume(old, 1, TOPIC, "s", SubType::EXCLUSIVE);
    w.flow(old, 1, 1);
    assert_eq!(Entry::parse(&w.hear_entry(old).1).unwrap().broker, None);
}

#[test]
fn permits_count_messages_not_entries() {
    let mut w = World::new();
    let a = w.client();
    w.produce(a, 1, TOPIC);
    w.consume(a, 1, TOPIC, "s", SubType::EXCLUSIVE);
    for n in 0..3 {
        w.send(a, 1, n, batch_of(10), &format!("b{n}"));
        w.receipt(a);
    }
    w.flow(a, 1, 11);
    assert_eq!(w.payloads(a), ["b0", "b1"]);
    w.flow(a, 1, 9);
    assert!(w.silent(a), "9 messages are still owed");
    w.flow(a, 1, 1);
    assert_eq!(w.payloads(a), ["b2"]);
}

#[test]
fn exclusive_takes_one_consumer_and_says_so() {
    let mut w = World::new();
    let (a, b) = (w.client(), w.client());
    w.consume(a, 1, TOPIC, "s", SubType::EXCLUSIVE);
    w.say(b, subscribe(1, TOPIC, "s", SubType::EXCLUSIVE));
    assert!(matches!(w.hear(a), Command::Ping(_)), "the one that is there is asked whether it lives");
    w.say(a, CommandPong::default());
    let (code, text) = refusal(w.hear(b));
    assert_eq!(
        (code, text.as_str()),
        (ServerError::CONSUMER_BUSY, "Exclusive consumer is already connected")
    );
    let (code, text) = refusal(w.ask(b, subscribe(1, TOPIC, "s", SubType::SHARED)));
    assert_eq!(code, ServerError::CONSUMER_BUSY);
    assert!(text.starts_with("Subscription is of different type"), "{text}");
    w.leave(a);
    w.consume(b, 1, TOPIC, "s", SubType::SHARED);
}

#[test]
fn a_producer_name_is_taken_until_its_producer_goes() {
    let mut w = World::new();
    let (a, b) = (w.client(), w.client());
    let named = |epoch| CommandProducer {
        producer_name: Some("n".to_owned()),
        epoch: Some(epoch),
        ..producer_on(1, TOPIC)
    };
    assert!(matches!(w.ask(a, named(0)), Command::ProducerSuccess(_)));
    w.say(b, named(1));
    assert!(matches!(w.hear(a), Command::Ping(_)));
    assert!(w.silent(b), "it waits for the other's answer");
    w.say(a, CommandPong::default());
    let (code, text) = refusal(w.hear(b));
    assert_eq!(code, ServerError::PRODUCER_BUSY);
    assert!(text.contains("Producer with name 'n' is already connected to topic"), "{text}");
    w.say(a, CommandCloseProducer { producer_id: 1, request_id: 5, ..CommandCloseProducer::default() });
    assert!(matches!(w.hear(a), Command::Success(_)));
    assert!(matches!(w.ask(b, named(0)), Command::ProducerSuccess(_)));
}

#[test]
fn a_name_held_by_the_dead_is_freed() {
    let mut w = World::new();
    let (a, b, c) = (w.client(), w.client(), w.client());
    let named = CommandProducer { producer_name: Some("n".to_owned()), ..producer_on(1, TOPIC) };
    assert!(matches!(w.ask(a, named.clone()), Command::ProducerSuccess(_)));
    w.say(b, named.clone());
    w.say(c, named.clone());
    assert!(matches!(w.hear(a), Command::Ping(_)) && w.silent(a), "it is asked once");
    assert_eq!(refusal(w.ask(b, named)).0, ServerError::SERVICE_NOT_READY);
    w.leave(c);
    w.pass(Duration::from_secs(5));
    assert_eq!(w.cut(a), Some(&DisconnectReason::LivenessTimeout));
    assert!(matches!(w.hear(b), Command::ProducerSuccess(_)));
}

#[test]
fn a_place_held_by_the_dead_is_freed() {
    let mut w = World::new();
    let (a, b) = (w.client(), w.client());
    w.consume(a, 1, TOPIC, "s", SubType::EXCLUSIVE);
    w.say(b, subscribe(1, TOPIC, "s", SubType::EXCLUSIVE));
    assert!(matches!(w.hear(a), Command::Ping(_)));
    w.leave(a);
    assert!(matches!(w.hear(b), Command::Success(_)));
}

#[test]
fn exclusive_producers_fence_and_wait() {
    let mut w = World::new();
    let a = w.client();
    let with = |id, access| CommandProducer { producer_access_mode: Some(access), ..producer_on(id, TOPIC) };
    let Command::ProducerSuccess(first) = w.ask(a, with(1, ProducerAccessMode::EXCLUSIVE)) else { panic!() };
    assert_eq!(first.topic_epoch, Some(0));
    assert_eq!(refusal(w.ask(a, with(2, ProducerAccessMode::SHARED))).0, ServerError::PRODUCER_BUSY);
    assert_eq!(refusal(w.ask(a, with(2, ProducerAccessMode::EXCLUSIVE))).0, ServerError::PRODUCER_FENCED);
    let Command::ProducerSuccess(waits) = w.ask(a, with(3, ProducerAccessMode::WAIT_FOR_EXCLUSIVE)) else {
        panic!()
    };
    assert_eq!(waits.producer_ready, Some(false));
    w.say(a, CommandCloseProducer { producer_id: 1, request_id: 9, ..CommandCloseProducer::default() });
    assert!(matches!(w.hear(a), Command::Success(_)));
    let Command::ProducerSuccess(turn) = w.hear(a) else { panic!() };
    assert_eq!((turn.request_id, turn.producer_ready, turn.topic_epoch), (103, Some(true), Some(1)));
    w.say(a, with(4, ProducerAccessMode::EXCLUSIVE_WITH_FENCING));
    assert!(matches!(w.hear(a), Command::ProducerSuccess(_)));
    // The fenced one is not told; what it sends ends its connection.
    w.send(a, 3, 0, MessageMetadata::default(), "late");
    assert!(w.silent(a) && w.cut(a).is_some());
}

#[test]
fn shared_consumers_take_turns_and_get_back_what_others_leave() {
    let mut w = World::new();
    let (p, a, b) = (w.client(), w.client(), w.client());
    w.produce(p, 1, TOPIC);
    w.consume(a, 1, TOPIC, "s", SubType::SHARED);
    w.consume(b, 1, TOPIC, "s", SubType::SHARED);
    w.flow(a, 1, 100);
    w.flow(b, 1, 100);
    let ids: Vec<_> = (0..6).map(|n| w.publish(p, 1, n, &format!("m{n}"))).collect();
    assert_eq!(w.payloads(a), ["m0", "m2", "m4"]);
    assert_eq!(w.payloads(b), ["m1", "m3", "m5"]);
    w.ack(a, 1, AckType::INDIVIDUAL, &[ids[2].clone()]);
    w.leave(a);
    assert_eq!(w.messages(b), [(1, "m0".to_owned(), 0), (1, "m4".to_owned(), 0)]);
}

#[test]
fn nacks_come_again_with_their_count() {
    let mut w = World::new();
    let (p, c) = (w.client(), w.client());
    w.produce(p, 1, TOPIC);
    w.consume(c, 1, TOPIC, "s", SubType::SHARED);
    w.flow(c, 1, 100);
    let ids: Vec<_> = (0..3).map(|n| w.publish(p, 1, n, &format!("m{n}"))).collect();
    assert_eq!(w.payloads(c).len(), 3);
    let again = |ids: &[MessageIdData]| CommandRedeliverUnacknowledgedMessages {
        consumer_id: 1,
        message_ids: ids.to_vec(),
        consumer_epoch: None,
    };
    w.say(c, again(&ids[1..2]));
    assert_eq!(w.messages(c), [(1, "m1".to_owned(), 1)]);
    w.ack(c, 1, AckType::INDIVIDUAL, &ids[0..1]);
    w.say(c, again(&[]));
    assert_eq!(w.messages(c), [(1, "m1".to_owned(), 2), (1, "m2".to_owned(), 1)]);
    w.say(c, again(&[id(99, 99), ids[0].clone()]));
    assert!(w.silent(c), "neither unknown nor acknowledged ones come again");
}

#[test]
fn exclusive_redelivery_rewinds_and_carries_the_epoch() {
    let mut w = World::new();
    let (p, c) = (w.client(), w.client());
    w.produce(p, 1, TOPIC);
    w.consume(c, 1, TOPIC, "s", SubType::EXCLUSIVE);
    let ids: Vec<_> = (0..4).map(|n| w.publish(p, 1, n, &format!("m{n}"))).collect();
    w.flow(c, 1, 100);
    assert_eq!(w.payloads(c), ["m0", "m1", "m2", "m3"]);
    w.ack(c, 1, AckType::CUMULATIVE, &ids[0..1]);
    w.ack(c, 1, AckType::INDIVIDUAL, &ids[2..3]);
    w.say(
        c,
        CommandRedeliverUnacknowledgedMessages {
            consumer_id: 1,
            consumer_epoch: Some(5),
            ..CommandRedeliverUnacknowledgedMessages::default()
        },
    );
    let again = w.deliveries(c);
    assert_eq!(again.iter().map(|(_, p)| p.as_str()).collect::<Vec<_>>(), ["m1", "m3"]);
    assert!(again.iter().all(|(m, _)| m.consumer_epoch == Some(5) && m.redelivery_count.is_none()));
}

#[test]
fn a_batch_acknowledged_in_part_comes_again_in_part() {
    let mut w = World::new();
    let (p, c) = (w.client(), w.client());
    w.produce(p, 1, TOPIC);
    w.send(p, 1, 0, batch_of(10), "batch");
    let at = w.receipt(p);
    for kind in [SubType::SHARED, SubType::EXCLUSIVE] {
        let sub = format!("{kind:?}");
        w.consume(c, 1, TOPIC, &sub, kind);
        w.flow(c, 1, 1);
        assert_eq!(w.deliveries(c)[0].0.ack_set, Vec::<i64>::new());
        let how = if kind == SubType::SHARED { AckType::INDIVIDUAL } else { AckType::CUMULATIVE };
        w.ack(c, 1, how, &[MessageIdData { ack_set: vec![0b11_1110_0000], ..at.clone() }]);
        w.say(c, CommandCloseConsumer { consumer_id: 1, request_id: 1, ..CommandCloseConsumer::default() });
        w.hear(c);
        w.consume(c, 2, TOPIC, &sub, kind);
        w.flow(c, 2, 5);
        assert_eq!(w.deliveries(c)[0].0.ack_set, [0b11_1110_0000], "{sub}");
        w.ack(c, 2, how, &[MessageIdData { ack_set: vec![0], ..at.clone() }]);
        w.say(c, CommandCloseConsumer { consumer_id: 2, request_id: 1, ..CommandCloseConsumer::default() });
        w.hear(c);
        w.consume(c, 3, TOPIC, &sub, kind);
        w.flow(c, 3, 5);
        assert!(w.silent(c), "{sub}: all of it is acknowledged");
        w.say(c, CommandCloseConsumer { consumer_id: 3, request_id: 1, ..CommandCloseConsumer::default() });
        w.hear(c);
    }
}

#[test]
fn without_batch_index_acks_an_entry_is_whole_or_nothing() {
    let mut w = World::with(BrokerConfig { batch_index_ack: false, ..BrokerConfig::default() });
    let c = w.client();
    w.produce(c, 1, TOPIC);
    w.send(c, 1, 0, batch_of(4), "batch");
    let at = w.receipt(c);
    w.consume(c, 1, TOPIC, "s", SubType::SHARED);
    w.ack(c, 1, AckType::INDIVIDUAL, &[MessageIdData { ack_set: vec![0b1110], ..at.clone() }]);
    w.flow(c, 1, 4);
    assert!(w.deliveries(c)[0].0.ack_set.is_empty());
    w.ack(c, 1, AckType::INDIVIDUAL, &[at]);
    let stats = w.broker.stats(&TopicName::parse(TOPIC).unwrap()).unwrap();
    assert_eq!(stats.subscriptions[0].backlog, 0);
}

#[test]
fn an_ack_with_a_request_gets_its_receipt() {
    let mut w = World::new();
    let c = w.client();
    w.produce(c, 1, TOPIC);
    let at = w.publish(c, 1, 0, "m");
    w.consume(c, 1, TOPIC, "s", SubType::EXCLUSIVE);
    let ack = CommandAck {
        consumer_id: 1,
        ack_type: AckType::INDIVIDUAL,
        message_id: vec![at],
        request_id: Some(77),
        ..CommandAck::default()
    };
    let Command::AckResponse(response) = w.ask(c, ack.clone()) else { panic!() };
    assert_eq!((response.request_id, response.error), (Some(77), None));
    let Command::AckResponse(response) = w.ask(c, CommandAck { txnid_most_bits: Some(1), ..ack.clone() })
    else {
        panic!()
    };
    assert_eq!(response.error, Some(ServerError::NOT_ALLOWED_ERROR));
    w.say(c, CommandAck { consumer_id: 99, ..ack });
    assert!(w.silent(c));
}

#[test]
fn failover_has_one_active_consumer_and_tells() {
    let mut w = World::new();
    let topic = "persistent://public/default/f-partition-1";
    let (p, a, b) = (w.client(), w.client(), w.client());
    w.produce(p, 1, topic);
    let told = |w: &mut World, conn| match w.hear(conn) {
        Command::ActiveConsumerChange(change) => change.is_active == Some(true),
        other => panic!("{other:?}"),
    };
    w.consume(a, 1, topic, "s", SubType::FAILOVER);
    assert!(w.silent(a), "it waits in case others come");
    w.pass(Duration::from_secs(1));
    assert!(told(&mut w, a));
    // By name, partition 1 is the second's.
    w.consume(b, 2, topic, "s", SubType::FAILOVER);
    w.pass(Duration::from_secs(1));
    assert!(told(&mut w, b) && !told(&mut w, a));
    w.flow(a, 1, 10);
    w.flow(b, 2, 10);
    w.publish(p, 1, 0, "m0");
    assert_eq!(w.messages(b), [(2, "m0".to_owned(), 0)]);
    assert!(w.silent(a));
    w.leave(b);
    assert!(w.silent(a));
    w.pass(Duration::from_secs(1));
    assert!(told(&mut w, a));
    assert_eq!(w.payloads(a), ["m0"]);
}

#[test]
fn keys_stay_with_their_consumer_and_in_order() {
    let mut w = World::new();
    let (p, a, b) = (w.client(), w.client(), w.client());
    w.produce(p, 1, TOPIC);
    w.consume(a, 1, TOPIC, "s", SubType::KEY_SHARED);
    w.flow(a, 1, 1000);
    let mut ids = Vec::new();
    for n in 0..40 {
        w.send(p, 1, n, key(&format!("k{}", n % 10)), &format!("{n}"));
        ids.push(w.receipt(p));
    }
    assert_eq!(w.payloads(a).len(), 40);
    w.consume(b, 2, TOPIC, "s", SubType::KEY_SHARED);
    w.flow(b, 2, 1000);
    for n in 40..80 {
        w.send(p, 1, n, key(&format!("k{}", n % 10)), &format!("{n}"));
        ids.push(w.receipt(p));
    }
    assert!(w.silent(b), "keys that changed hands wait until the old consumer is done with them");
    let kept = w.payloads(a);
    w.ack(a, 1, AckType::INDIVIDUAL, &ids[..40]);
    let moved = w.payloads(b);
    assert!(!kept.is_empty() && !moved.is_empty());
    assert_eq!(kept.len() + moved.len(), 40);
    let key_of = |text: &String| text.parse::<u64>().unwrap() % 10;
    assert!(kept.iter().all(|k| moved.iter().all(|m| key_of(k) != key_of(m))));
    assert!(moved.iter().map(|m| m.parse::<u64>().unwrap()).is_sorted());
}

#[test]
fn sticky_consumers_name_their_hashes() {
    let mut w = World::new();
    let c = w.client();
    let sticky = |consumer, start, end| CommandSubscribe {
        key_shared_meta: Some(KeySharedMeta {
            key_shared_mode: KeySharedMode::STICKY,
            hash_ranges: vec![IntRange { start, end }],
            allow_out_of_order_delivery: None,
        }),
        ..subscribe(consumer, TOPIC, "s", SubType::KEY_SHARED)
    };
    assert!(matches!(w.ask(c, sticky(1, 0, 100)), Command::Success(_)));
    assert_eq!(refusal(w.ask(c, sticky(2, 100, 200))).0, ServerError::CONSUMER_ASSIGN_ERROR);
    assert!(matches!(w.ask(c, sticky(2, 101, 65535)), Command::Success(_)));
}

#[test]
fn delayed_messages_wait_on_shared_subscriptions_only() {
    let mut w = World::new();
    let (p, a, b) = (w.client(), w.client(), w.client());
    w.produce(p, 1, TOPIC);
    w.consume(a, 1, TOPIC, "shared", SubType::SHARED);
    w.consume(b, 1, TOPIC, "exclusive", SubType::EXCLUSIVE);
    w.flow(a, 1, 10);
    w.flow(b, 1, 10);
    let later = MessageMetadata { deliver_at_time: Some(WALL as i64 + 5000), ..MessageMetadata::default() };
    w.send(p, 1, 0, later, "late");
    w.receipt(p);
    w.publish(p, 1, 1, "now");
    assert_eq!(w.payloads(a), ["now"]);
    assert_eq!(w.payloads(b), ["late", "now"]);
    w.pass(Duration::from_millis(4900));
    assert!(w.silent(a));
    w.pass(Duration::from_millis(200));
    assert_eq!(w.messages(a), [(1, "late".to_owned(), 0)]);
}

#[test]
fn seek_sends_consumers_away_and_moves() {
    let mut w = World::new();
    let (p, c) = (w.client(), w.client());
    w.produce(p, 1, TOPIC);
    let mut ids = Vec::new();
    for n in 0..6 {
        ids.push(w.publish(p, 1, n, &format!("m{n}")));
        w.pass(Duration::from_millis(10));
    }
    let seek =
        |to, time| CommandSeek { consumer_id: 1, request_id: 9, message_id: to, message_publish_time: time };
    for (to, time, first) in [
        (Some(ids[4].clone()), None, Some("m4")),
        (Some(id(-1, -1)), None, Some("m0")),
        (Some(id(i64::MAX, i64::MAX)), None, None),
        (None, Some(WALL + 20), Some("m2")),
        (None, Some(0), Some("m0")),
    ] {
        w.consume(c, 1, TOPIC, "s", SubType::SHARED);
        w.say(c, seek(to, time));
        let Command::CloseConsumer(close) = w.hear(c) else { panic!() };
        assert_eq!((close.consumer_id, close.request_id), (1, u64::MAX));
        assert!(matches!(w.hear(c), Command::Success(_)));
        w.flow(c, 1, 1);
        assert!(w.silent(c), "the consumer is gone");
        w.consume(c, 1, TOPIC, "s", SubType::SHARED);
        w.flow(c, 1, 1);
        assert_eq!(w.payloads(c).first().map(String::as_str), first);
        w.say(c, CommandCloseConsumer { consumer_id: 1, request_id: 1, ..CommandCloseConsumer::default() });
        w.hear(c);
    }
    assert_eq!(refusal(w.ask(c, seek(None, Some(0)))).1, "Consumer not found");
}

#[test]
fn a_reader_begins_where_it_says_and_leaves_nothing() {
    let mut w = World::new();
    let (p, c) = (w.client(), w.client());
    w.produce(p, 1, TOPIC);
    let ids: Vec<_> = (0..4).map(|n| w.publish(p, 1, n, &format!("m{n}"))).collect();
    let reader = |start| CommandSubscribe {
        durable: Some(false),
        start_message_id: start,
        ..subscribe(1, TOPIC, "reader", SubType::EXCLUSIVE)
    };
    for (start, first) in [(Some(id(-1, -1)), Some("m0")), (Some(ids[2].clone()), Some("m2")), (None, None)] {
        assert!(matches!(w.ask(c, reader(start)), Command::Success(_)));
        w.flow(c, 1, 1);
        assert_eq!(w.payloads(c).first().map(String::as_str), first);
        w.say(c, CommandCloseConsumer { consumer_id: 1, request_id: 1, ..CommandCloseConsumer::default() });
        w.hear(c);
        assert_eq!(w.broker.subscriptions(&TopicName::parse(TOPIC).unwrap()).unwrap(), Vec::<String>::new());
    }
    // A seek by time holds although the reader comes back with a start of its own.
    w.ask(c, reader(None));
    w.say(
        c,
        CommandSeek {
            consumer_id: 1,
            request_id: 1,
            message_publish_time: Some(0),
            ..CommandSeek::default()
        },
    );
    assert!(matches!(w.hear(c), Command::CloseConsumer(_)));
    assert!(matches!(w.hear(c), Command::Success(_)));
    w.ask(c, reader(None));
    w.flow(c, 1, 1);
    assert_eq!(w.payloads(c), ["m0"]);
}

#[test]
fn the_last_message_id_knows_batches_and_emptiness() {
    let mut w = World::new();
    let c = w.client();
    let topic = "persistent://public/default/l-partition-3";
    w.consume(c, 1, topic, "s", SubType::EXCLUSIVE);
    let ask = CommandGetLastMessageId { consumer_id: 1, request_id: 3 };
    let Command::GetLastMessageIdResponse(none) = w.ask(c, ask.clone()) else { panic!() };
    assert_eq!((none.last_message_id.ledger_id, none.last_message_id.entry_id), (u64::MAX, u64::MAX));
    w.produce(c, 1, topic);
    w.send(c, 1, 0, batch_of(3), "b");
    let at = w.receipt(c);
    let Command::GetLastMessageIdResponse(last) = w.ask(c, ask.clone()) else { panic!() };
    assert_eq!(
        (last.last_message_id.entry_id, last.last_message_id.batch_index, last.last_message_id.partition),
        (0, Some(2), Some(3))
    );
    assert_eq!(last.consumer_mark_delete_position.unwrap().entry_id, u64::MAX);
    w.ack(c, 1, AckType::CUMULATIVE, &[at]);
    let Command::GetLastMessageIdResponse(last) = w.ask(c, ask) else { panic!() };
    assert_eq!(last.consumer_mark_delete_position.unwrap().entry_id, 0);
}

#[test]
fn unsubscribing_needs_to_be_alone() {
    let mut w = World::new();
    let c = w.client();
    w.consume(c, 1, TOPIC, "s", SubType::SHARED);
    w.consume(c, 2, TOPIC, "s", SubType::SHARED);
    let leave = |consumer| CommandUnsubscribe { consumer_id: consumer, request_id: 1, force: None };
    assert_eq!(refusal(w.ask(c, leave(1))).0, ServerError::METADATA_ERROR);
    w.say(c, CommandCloseConsumer { consumer_id: 2, request_id: 1, ..CommandCloseConsumer::default() });
    w.hear(c);
    assert!(matches!(w.ask(c, leave(1)), Command::Success(_)));
    assert!(w.broker.subscriptions(&TopicName::parse(TOPIC).unwrap()).unwrap().is_empty());
}

#[test]
fn lookups_lead_here_or_once_elsewhere() {
    let mut w = World::with(BrokerConfig {
        service_url_tls: Some("pulsar+ssl://localhost:6651".to_owned()),
        ..BrokerConfig::default()
    });
    let c = w.client();
    let ask = |authoritative| CommandLookupTopic {
        topic: TOPIC.to_owned(),
        request_id: 1,
        authoritative: Some(authoritative),
        ..CommandLookupTopic::default()
    };
    let Command::LookupTopicResponse(found) = w.ask(c, ask(false)) else { panic!() };
    assert_eq!(found.response, Some(LookupResult::CONNECT));
    assert_eq!(found.broker_service_url.as_deref(), Some("pulsar://localhost:6650"));
    assert_eq!(found.broker_service_url_tls.as_deref(), Some("pulsar+ssl://localhost:6651"));
    assert_eq!(found.proxy_through_service_url, Some(true));
    let mut w = World::with(BrokerConfig {
        redirect_lookups: Some("pulsar://other:1".to_owned()),
        ..BrokerConfig::default()
    });
    let c = w.client();
    let Command::LookupTopicResponse(found) = w.ask(c, ask(false)) else { panic!() };
    assert_eq!(found.response, Some(LookupResult::REDIRECT));
    assert_eq!(found.broker_service_url.as_deref(), Some("pulsar://other:1"));
    let Command::LookupTopicResponse(found) = w.ask(c, ask(true)) else { panic!() };
    assert_eq!(found.response, Some(LookupResult::CONNECT));
}

#[test]
fn partitions_are_told_and_bound() {
    let mut w = World::new();
    let c = w.client();
    let name = TopicName::parse("parted").unwrap();
    w.broker.create_partitioned_topic(&name, 3, w.now).unwrap();
    let mut ask = |topic: &str, create| {
        let ask = CommandPartitionedTopicMetadata {
            topic: topic.to_owned(),
            request_id: 1,
            metadata_auto_creation_enabled: Some(create),
            ..CommandPartitionedTopicMetadata::default()
        };
        let Command::PartitionedTopicMetadataResponse(r) = w.ask(c, ask) else { panic!() };
        (r.partitions, r.error)
    };
    assert_eq!(ask("persistent://public/default/parted", true), (Some(3), None));
    assert_eq!(ask("persistent://public/default/new", true), (Some(0), None));
    assert_eq!(ask("persistent://public/default/new", false), (None, Some(ServerError::TOPIC_NOT_FOUND)));
    assert_eq!(ask("kafka://x", true), (None, Some(ServerError::INVALID_TOPIC_NAME)));
    let beyond = "persistent://public/default/parted-partition-3";
    assert_eq!(refusal(w.ask(c, producer_on(1, beyond))).0, ServerError::TOPIC_NOT_FOUND);
    w.produce(c, 2, "persistent://public/default/parted-partition-2");
}

#[test]
fn partitions_on_demand_when_told_so() {
    let mut w = World::with(BrokerConfig { default_partitions: 2, ..BrokerConfig::default() });
    let c = w.client();
    let ask = CommandPartitionedTopicMetadata {
        topic: TOPIC.to_owned(),
        request_id: 1,
        ..CommandPartitionedTopicMetadata::default()
    };
    let Command::PartitionedTopicMetadataResponse(r) = w.ask(c, ask) else { panic!() };
    assert_eq!(r.partitions, Some(2));
    assert_eq!(w.broker.topics("public/default", true).len(), 2);
}

#[test]
fn topics_are_listed_filtered_and_watched() {
    let mut w = World::new();
    let (c, watcher) = (w.client(), w.client());
    for (n, name) in ["b", "a1", "a2"].iter().enumerate() {
        w.produce(c, n as u64, &format!("persistent://public/default/{name}"));
    }
    let list = |pattern: Option<&str>, hash: Option<String>| CommandGetTopicsOfNamespace {
        request_id: 1,
        namespace: "public/default".to_owned(),
        topics_pattern: pattern.map(str::to_owned),
        topics_hash: hash,
        ..CommandGetTopicsOfNamespace::default()
    };
    let Command::GetTopicsOfNamespaceResponse(all) = w.ask(c, list(None, None)) else { panic!() };
    assert_eq!((all.topics.len(), all.filtered, all.changed), (3, Some(false), Some(true)));
    let pattern = "persistent://public/default/a.*";
    let Command::GetTopicsOfNamespaceResponse(some) = w.ask(c, list(Some(pattern), None)) else { panic!() };
    assert_eq!((some.topics.len(), some.filtered), (2, Some(true)));
    let Command::GetTopicsOfNamespaceResponse(same) = w.ask(c, list(Some(pattern), some.topics_hash.clone()))
    else {
        panic!()
    };
    assert_eq!((same.topics.len(), same.changed), (0, Some(false)));

    let watch = CommandWatchTopicList {
        request_id: 1,
        watcher_id: 4,
        namespace: "public/default".to_owned(),
        topics_pattern: pattern.to_owned(),
        topics_hash: None,
    };
    let Command::WatchTopicListSuccess(now) = w.ask(watcher, watch) else { panic!() };
    assert_eq!((now.topic.len(), Some(&now.topics_hash)), (2, some.topics_hash.as_ref()));
    w.produce(c, 7, "persistent://public/default/c");
    assert!(w.silent(watcher));
    w.produce(c, 8, "persistent://public/default/a3");
    let Command::WatchTopicUpdate(update) = w.hear(watcher) else { panic!() };
    assert_eq!((update.watcher_id, update.new_topics.len()), (4, 1));
    w.say(watcher, CommandWatchTopicListClose { request_id: 2, watcher_id: 4 });
    assert!(matches!(w.hear(watcher), Command::Success(_)));
    w.produce(c, 9, "persistent://public/default/a4");
    assert!(w.silent(watcher));
}

#[test]
fn schemas_are_kept_by_version() {
    let mut w = World::new();
    let here = Scope::Namespace("public/default".to_owned());
    let backward = Some(pulsewire_broker::core::SchemaStrategy::Backward);
    w.broker.set_policies(&here, |policies| policies.schema_strategy = backward, w.now).unwrap();
    let c = w.client();
    let schema = |kind, data: &'static [u8]| Schema {
        name: "s".to_owned(),
        schema_data: data.into(),
        r#type: kind,
        properties: Vec::new(),
    };
    let with = |id, schema| CommandProducer { schema: Some(schema), ..producer_on(id, TOPIC) };
    let Command::ProducerSuccess(first) = w.ask(c, with(1, schema(SchemaType::JSON, br#""int""#))) else {
        panic!()
    };
    assert_eq!(first.schema_version.as_deref(), Some(&[0, 0, 0, 0, 0, 0, 0, 0][..]));
    let create = CommandGetOrCreateSchema {
        request_id: 1,
        topic: TOPIC.to_owned(),
        schema: schema(SchemaType::JSON, br#""long""#),
        producer_name: None,
    };
    let Command::GetOrCreateSchemaResponse(second) = w.ask(c, create) else { panic!() };
    assert_eq!(second.schema_version.as_deref(), Some(&[0, 0, 0, 0, 0, 0, 0, 1][..]));
    let get = |version| CommandGetSchema { request_id: 1, topic: TOPIC.to_owned(), schema_version: version };
    let Command::GetSchemaResponse(old) = w.ask(c, get(first.schema_version)) else { panic!() };
    assert_eq!(&old.schema.unwrap().schema_data[..], br#""int""#);
    let Command::GetSchemaResponse(new) = w.ask(c, get(None)) else { panic!() };
    assert_eq!(&new.schema.unwrap().schema_data[..], br#""long""#);
    assert_eq!(
        refusal(w.ask(c, with(2, schema(SchemaType::INT32, b"")))).0,
        ServerError::INCOMPATIBLE_SCHEMA
    );
}

#[test]
fn transactions_are_refused_aloud() {
    let mut w = World::new();
    let c = w.client();
    let (code, text) =
        refusal(w.ask(c, CommandTcClientConnectRequest { request_id: 4, ..Default::default() }));
    assert_eq!((code, text.as_str()), (ServerError::NOT_ALLOWED_ERROR, "Transactions are not enabled."));
    assert_eq!(refusal(w.ask(c, CommandNewTxn::default())).0, ServerError::NOT_ALLOWED_ERROR);
}

#[test]
fn duplicates_are_dropped_where_that_is_on() {
    let mut w = World::new();
    let here = Scope::Namespace("public/default".to_owned());
    w.broker.set_policies(&here, |policies| policies.deduplication = Some(true), w.now).unwrap();
    let c = w.client();
    let named = |id| CommandProducer { producer_name: Some("n".to_owned()), ..producer_on(id, TOPIC) };
    w.ask(c, named(1));
    assert_eq!(w.publish(c, 1, 5, "a").entry_id, 0);
    assert_eq!(w.publish(c, 1, 5, "again").entry_id, u64::MAX);
    assert_eq!(w.publish(c, 1, 6, "b").entry_id, 1);
    w.leave(c);
    let c = w.client();
    let Command::ProducerSuccess(back) = w.ask(c, named(1)) else { panic!() };
    assert_eq!(back.last_sequence_id, Some(6));
}

#[test]
fn non_persistent_topics_hand_out_and_forget() {
    let mut w = World::new();
    let topic = "non-persistent://public/default/n";
    let (p, c) = (w.client(), w.client());
    w.produce(p, 1, topic);
    w.consume(c, 1, topic, "s", SubType::SHARED);
    w.flow(c, 1, 2);
    for n in 0..3 {
        w.publish(p, 1, n, &format!("m{n}"));
    }
    assert_eq!(w.payloads(c), ["m0", "m1"]);
    w.flow(c, 1, 5);
    assert!(w.silent(c), "m2 had nobody to go to");
    w.publish(p, 1, 3, "m3");
    assert_eq!(w.payloads(c), ["m3"]);
}

#[test]
fn memory_is_bounded_and_refuses_politely() {
    let mut w = World::with(BrokerConfig { max_stored_bytes: 20_000, ..BrokerConfig::default() });
    let c = w.client();
    w.produce(c, 1, TOPIC);
    w.consume(c, 1, TOPIC, "s", SubType::EXCLUSIVE);
    let payload = "x".repeat(1000);
    let mut ids = Vec::new();
    let refused = loop {
        w.send(c, 1, ids.len() as u64, MessageMetadata::default(), &payload);
        match w.hear(c) {
            Command::SendReceipt(receipt) => ids.push(receipt.message_id.unwrap()),
            Command::SendError(error) => break error,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused.error, ServerError::PERSISTENCE_ERROR);
    assert!((10..20).contains(&ids.len()), "{}", ids.len());
    let more = w.ask(c, producer_on(2, TOPIC));
    assert_eq!(refusal(more).0, ServerError::PRODUCER_BLOCKED_QUOTA_EXCEEDED_EXCEPTION);
    // What is consumed makes room.
    w.ack(c, 1, AckType::CUMULATIVE, &ids[ids.len() - 1..]);
    let at = w.publish(c, 1, 99, &payload);
    assert_eq!(at.entry_id, ids.len() as u64);
}

#[test]
fn a_slow_reader_is_not_flooded() {
    let mut w = World::with(BrokerConfig { connection_window: 10_000, ..BrokerConfig::default() });
    let (p, c) = (w.client(), w.client());
    w.produce(p, 1, TOPIC);
    w.consume(c, 1, TOPIC, "s", SubType::EXCLUSIVE);
    w.deaf.push(c);
    w.flow(c, 1, 1_000_000);
    let payload = "x".repeat(1000);
    for n in 0..1000 {
        w.publish(p, 1, n, &payload);
    }
    assert!(w.broker.wants_bytes(c), "the window holds about ten of a thousand");
    let stats = w.broker.stats(&TopicName::parse(TOPIC).unwrap()).unwrap();
    assert!(stats.subscriptions[0].messages_out < 20, "{}", stats.subscriptions[0].messages_out);
}

#[test]
fn unloading_a_topic_sends_everybody_back_to_lookup() {
    let mut w = World::new();
    let c = w.client();
    w.produce(c, 1, TOPIC);
    w.consume(c, 2, TOPIC, "s", SubType::SHARED);
    w.broker.unload_topic(&TopicName::parse(TOPIC).unwrap(), w.now).unwrap();
    w.say(c, CommandPing::default());
    assert!(matches!(w.hear(c), Command::CloseProducer(_)));
    assert!(matches!(w.hear(c), Command::CloseConsumer(_)));
    assert!(matches!(w.hear(c), Command::Pong(_)));
    w.produce(c, 1, TOPIC);
    w.consume(c, 2, TOPIC, "s", SubType::SHARED);
}

#[test]
fn the_same_facts_give_the_same_bytes() {
    let run = || {
        let mut w = World::new();
        let (p, a, b) = (w.client(), w.client(), w.client());
        w.produce(p, 1, TOPIC);
        w.consume(a, 1, TOPIC, "s", SubType::KEY_SHARED);
        w.consume(b, 1, TOPIC, "s", SubType::KEY_SHARED);
        w.flow(a, 1, 30);
        w.flow(b, 1, 30);
        for n in 0..60 {
            w.send(p, 1, n, key(&format!("k{n}")), &format!("m{n}"));
            w.receipt(p);
        }
        w.leave(a);
        (w.messages(b), w.broker.next_deadline())
    };
    assert_eq!(run(), run());
}
