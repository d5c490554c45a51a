//! Where consumers begin and what they ask.

use super::*;

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
        initial_position: Some(InitialPosition::LATEST),
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
