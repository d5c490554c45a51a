//! What consumers get, and get again.

use super::*;

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

/// As Pulsar has it: a consumer whose connection is busy with something large is given its share, one by one.
#[test]
fn those_who_read_fast_do_not_get_all_of_a_shared_subscription() {
    let mut w = World::with(BrokerConfig { connection_window: 10_000, ..BrokerConfig::default() });
    let (p, busy, fast) = (w.client(), w.client(), w.client());
    let large = "persistent://public/default/large";
    w.produce(p, 1, large);
    w.produce(p, 2, TOPIC);
    w.consume(busy, 1, large, "s", SubType::EXCLUSIVE);
    for (who, id, permits) in [(busy, 2, 20), (fast, 1, 10_000)] {
        w.consume(who, id, TOPIC, "s", SubType::SHARED);
        w.flow(who, id, permits);
    }
    w.flow(busy, 1, 1000);
    w.deaf.push(busy);
    for n in 0..4 {
        w.publish(p, 1, n, &"x".repeat(9_000));
    }
    for n in 0..600 {
        w.publish(p, 2, n, &n.to_string());
    }
    assert_eq!(w.payloads(fast).len(), 580);
    // There is an end to it, however many it asked for.
    w.flow(busy, 2, 1_000_000);
    for n in 600..2000 {
        w.publish(p, 2, n, &"x".repeat(1000));
    }
    let fast = w.payloads(fast).len();
    assert!((1330..1400).contains(&fast), "{fast}");
    assert!(w.cut(busy).is_none());
    assert!(w.broker.wants_bytes(busy), "what it says is heard, or it would be cut as one that is silent");
}
