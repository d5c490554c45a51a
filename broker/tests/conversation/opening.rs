//! Connections, and who may produce and consume.

use super::*;

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
