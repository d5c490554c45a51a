//! One socket's life: handshake, keepalive, endings.

use bytes::Bytes;
use pulsewire_proto::wire::*;
use pulsewire_proto::{Authentication, ClientConfig, ConnectionState, ErrorKind, Output, ProducerId};

use crate::talk::*;

#[test]
fn w01_connect_says_protocol_21_and_only_what_is_true() {
    let mut talk = Talk::with(ClientConfig {
        client_version: "pulsewire-test".to_owned(),
        authentication: Some(Authentication { method: "token".to_owned(), data: "secret".into() }),
        ..config(BROKER)
    });
    talk.client.partitions(topic(), talk.now);
    let conn = talk.answer(BROKER);
    let expected = CommandConnect {
        client_version: "pulsewire-test".to_owned(),
        auth_method_name: Some("token".to_owned()),
        auth_data: Some(Bytes::from_static(b"secret")),
        protocol_version: Some(21),
        feature_flags: Some(FeatureFlags {
            supports_auth_refresh: Some(true),
            supports_broker_entry_metadata: Some(true),
            supports_partial_producer: Some(true),
            supports_topic_watchers: Some(true),
            supports_get_partitioned_metadata_without_auto_creation: Some(true),
            ..Default::default()
        }),
        ..Default::default()
    };
    assert_eq!(hear!(talk, conn, Connect), expected);
    talk.quiet(conn);
}

#[test]
fn w01_nothing_is_said_before_connected() {
    let mut talk = Talk::new();
    let op = talk.client.partitions(topic(), talk.now);
    let conn = talk.answer(BROKER);
    hear!(talk, conn, Connect);
    talk.quiet(conn);
    talk.say(conn, connected(0));
    let asked = hear!(talk, conn, PartitionedTopicMetadata);
    talk.say(conn, partitions(asked.request_id, 4));
    assert_eq!(talk.ended(op), Ok(Output::Partitions(4)));
    let states: Vec<_> = talk.states.iter().map(|(_, state)| state.clone()).collect();
    assert_eq!(states, [ConnectionState::Connecting, ConnectionState::Connected]);
}

#[test]
fn w01_the_limits_of_connected_are_honoured() {
    let mut talk = Talk::new();
    let (_, _) = talk.client.create_producer(unbatched(), talk.now).expect("options");
    let conn = talk.accept_with(BROKER, 2000);
    talk.locate(conn);
    let open = hear!(talk, conn, Producer);
    talk.say(conn, producer_success(open.request_id, "p", -1));
    let producer = ProducerId(open.producer_id);
    talk.send(producer, &[7; 2000]);
    assert_eq!(talk.hear_send(conn).payload, vec![7; 2000]);
    assert_eq!(kind(talk.try_send(producer, &[7; 2001])), ErrorKind::MessageTooLarge);
    // A frame of the largest message and 10 KiB is read, one byte more is not.
    talk.say_bytes(conn, unknown_of_total(2000 + 10 * 1024));
    assert!(talk.is_open(conn));
    talk.say_bytes(conn, unknown_of_total(2000 + 10 * 1024 + 1));
    assert!(talk.hung_up(conn).contains("12241"), "the reason names the size");
}

/// A frame of an unknown command, `total` bytes after its first size.
fn unknown_of_total(total: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend_from_slice(&(total as u32).to_be_bytes());
    frame.extend_from_slice(&2u32.to_be_bytes());
    frame.extend_from_slice(&[0x08, 0x63]);
    frame.resize(total + 4, 0);
    frame
}

#[test]
fn a01_an_authentication_error_to_connect_is_final() {
    for error in [ServerError::AUTHENTICATION_ERROR, ServerError::AUTHORIZATION_ERROR] {
        let mut talk = Talk::new();
        let asked = talk.client.partitions(topic(), talk.now);
        let (_, created) = talk.client.create_producer(unbatched(), talk.now).expect("options");
        let conn = talk.answer(BROKER);
        talk.say(conn, failure(u64::MAX, error));
        for op in [asked, created] {
            let refused = talk.ended(op).expect_err("a failure");
            assert_eq!(refused.kind(), ErrorKind::Broker(error));
            assert!(!refused.is_retryable());
            assert!(refused.to_string().contains("the script says so"), "{refused}");
        }
        talk.hung_up(conn);
        talk.pass(secs(120));
        assert_eq!(talk.asked(), None, "nothing is tried again");
    }
}

#[test]
fn k05_an_error_to_connect_that_may_pass_is_tried_again() {
    let mut talk = Talk::new();
    let op = talk.client.partitions(topic(), talk.now);
    let conn = talk.answer(BROKER);
    talk.say(conn, failure(u64::MAX, ServerError::SERVICE_NOT_READY));
    talk.hung_up(conn);
    assert_eq!(talk.ended_yet(op), None);
    talk.pass(ms(100));
    let conn = talk.accept(BROKER);
    let asked = hear!(talk, conn, PartitionedTopicMetadata);
    talk.say(conn, partitions(asked.request_id, 0));
    assert_eq!(talk.ended(op), Ok(Output::Partitions(0)));
}

#[test]
fn a01_a_challenge_is_answered_with_the_credentials() {
    let authentication = Some(Authentication { method: "token".to_owned(), data: "secret".into() });
    let mut talk = Talk::with(ClientConfig { authentication, ..config(BROKER) });
    talk.client.partitions(topic(), talk.now);
    let conn = talk.answer(BROKER);
    hear!(talk, conn, Connect);
    for during_handshake in [true, false] {
        talk.say(conn, CommandAuthChallenge::default());
        let answer = hear!(talk, conn, AuthResponse).response.expect("credentials");
        assert_eq!(answer.auth_method_name.as_deref(), Some("token"));
        assert_eq!(answer.auth_data.as_deref(), Some(&b"secret"[..]));
        if during_handshake {
            talk.say(conn, connected(0));
            hear!(talk, conn, PartitionedTopicMetadata);
        }
    }
}

#[test]
fn k05_ping_is_answered_from_the_receive_path() {
    let mut talk = Talk::new();
    let (_, conn) = talk.producer();
    talk.say(conn, CommandPing::default());
    hear!(talk, conn, Pong);
    talk.quiet(conn);
}

#[test]
fn k05_a_quiet_connection_is_asked_after_30_s_and_dead_after_60() {
    let mut talk = Talk::new();
    let (_, conn) = talk.producer();
    talk.pass(secs(29));
    // Any frame begins the wait anew.
    talk.say(conn, CommandPong::default());
    talk.pass(secs(29));
    talk.quiet(conn);
    talk.pass(secs(1));
    hear!(talk, conn, Ping);
    talk.pass(secs(29));
    assert!(talk.is_open(conn));
    talk.quiet(conn);
    talk.pass(secs(1));
    assert!(talk.hung_up(conn).contains("nothing came for 60 s"));
    // What was on it is opened again.
    talk.come_back();
}

#[test]
fn k05_a_connection_that_answers_lives_on() {
    let mut talk = Talk::new();
    let (_, conn) = talk.producer();
    for _ in 0..20 {
        talk.pass(secs(30));
        hear!(talk, conn, Ping);
        talk.pass(secs(1));
        talk.say(conn, CommandPong::default());
    }
    assert!(talk.is_open(conn));
}

#[test]
fn k05_keepalive_is_refreshed_by_whole_frames_not_by_bytes() {
    let mut talk = Talk::new();
    let (_, conn) = talk.producer();
    let frame = unknown_of_total(1000);
    for byte in &frame[..59] {
        talk.pass(secs(1));
        talk.say_bytes(conn, vec![*byte]);
    }
    hear!(talk, conn, Ping);
    talk.pass(secs(1));
    talk.hung_up(conn);
}

#[test]
fn k05_a_handshake_that_takes_too_long_is_given_up_and_tried_again() {
    let mut talk = Talk::new();
    let op = talk.client.partitions(topic(), talk.now);
    let conn = talk.answer(BROKER);
    talk.pass(secs(10));
    talk.hung_up(conn);
    talk.pass(ms(100));
    let (second, _) = talk.asked().expect("another try");
    // The socket itself may take too long as well.
    talk.pass(secs(10));
    talk.hung_up(second);
    talk.pass(secs(30));
    assert_eq!(kind(talk.ended(op)), ErrorKind::Timeout);
}

#[test]
fn k01_the_addresses_of_a_service_are_tried_in_turn() {
    let mut talk = Talk::with(config("pulsar://a,b,c:1"));
    let op = talk.client.partitions(topic(), talk.now);
    for address in ["pulsar://a:6650", "pulsar://b:6650", "pulsar://c:1", "pulsar://a:6650"] {
        talk.refuse(address);
        talk.pass(secs(2));
    }
    assert_eq!(talk.ended_yet(op), None);
    talk.accept("pulsar://b:6650");
}

#[test]
fn w05_unknown_commands_are_skipped() {
    let mut talk = Talk::new();
    let (producer, conn) = talk.producer();
    let mut bytes = Vec::new();
    for number in [1, 69, 99, 127, 128, 100_000, -1] {
        bytes.extend_from_slice(&frame(Command::Unknown(number)));
    }
    // Known, but nothing of ours depends on them.
    bytes.extend_from_slice(&frame(CommandReachedEndOfTopic { consumer_id: 5 }));
    bytes.extend_from_slice(&frame(CommandActiveConsumerChange { consumer_id: 5, is_active: Some(true) }));
    bytes.extend_from_slice(&frame(connected(10)));
    talk.say_bytes(conn, bytes);
    talk.send(producer, b"lives");
    assert_eq!(&talk.hear_send(conn).payload[..], b"lives");
    talk.receipt(conn, producer, 0);
    assert!(talk.outcome().expect("an outcome").1.is_ok());
    assert_eq!(talk.client.skipped_commands(), 10);
}

#[test]
fn w05_an_unknown_command_during_the_handshake_is_skipped() {
    let mut talk = Talk::new();
    talk.client.partitions(topic(), talk.now);
    let conn = talk.answer(BROKER);
    hear!(talk, conn, Connect);
    talk.say(conn, Command::Unknown(99));
    talk.say(conn, connected(0));
    hear!(talk, conn, PartitionedTopicMetadata);
}

#[test]
fn k11_close_ends_everything_in_order() {
    let mut talk = Talk::new();
    let (producer, conn) = talk.producer();
    let (consumer, _) = talk.consumer();
    let token = talk.send(producer, b"last");
    let op = talk.client.close(talk.now);
    assert!(talk.client.is_closed() && !talk.client.is_done());
    assert_eq!(&talk.hear_send(conn).payload[..], b"last");
    let close_producer = hear!(talk, conn, CloseProducer);
    let close_consumer = hear!(talk, conn, CloseConsumer);
    assert_eq!((close_producer.producer_id, close_consumer.consumer_id), (producer.0, consumer.0));
    talk.receipt(conn, producer, 0);
    assert_eq!(talk.outcome().map(|(t, r)| (t, r.is_ok())), Some((token, true)));
    talk.say(conn, success(close_producer.request_id));
    assert_eq!(talk.ended_yet(op), None);
    talk.say(conn, success(close_consumer.request_id));
    assert_eq!(talk.ended(op), Ok(Output::Done));
    talk.hung_up(conn);
    assert!(talk.client.is_done());
    assert_eq!(talk.client.next_deadline(), None);
    // All that is asked for now is refused.
    let late = talk.client.partitions(topic(), talk.now);
    assert_eq!(kind(talk.ended(late)), ErrorKind::AlreadyClosed);
    assert_eq!(kind(talk.try_send(producer, b"x")), ErrorKind::AlreadyClosed);
    assert_eq!(kind(talk.client.take(consumer)), ErrorKind::AlreadyClosed);
    let again = talk.client.close(talk.now);
    assert_eq!(talk.ended(again), Ok(Output::Done));
}

#[test]
fn k11_close_ends_what_is_under_way_each_exactly_once() {
    let mut talk = Talk::new();
    let (producer, conn) = talk.producer();
    let (consumer, _) = talk.consumer();
    let asked = talk.client.partitions(topic(), talk.now);
    let last = talk.client.last_message_id(consumer, talk.now);
    let (_, created) = talk.client.create_producer(unbatched(), talk.now).expect("options");
    let token = talk.send(producer, b"never receipted");
    let op = talk.client.close(talk.now);
    assert_eq!(kind(talk.ended(asked)), ErrorKind::AlreadyClosed);
    assert_eq!(kind(talk.ended(created)), ErrorKind::AlreadyClosed);
    // The broker says nothing more; the socket answers no one.
    talk.pass(secs(60));
    talk.ended(op).ok();
    assert!(talk.ended(last).is_err());
    let (settled, result) = talk.outcome().expect("the send has ended");
    assert_eq!(settled, token);
    assert!(result.is_err());
    assert!(talk.client.is_done());
    assert!(!talk.is_open(conn));
    assert_eq!(talk.client.next_deadline(), None);
}

#[test]
fn k11_a_client_is_not_done_before_its_outcomes_are_taken() {
    let mut talk = Talk::new();
    let (producer, conn) = talk.producer();
    talk.send(producer, b"x");
    talk.client.close(talk.now);
    talk.pump();
    talk.hear_send(conn);
    let close = hear!(talk, conn, CloseProducer);
    talk.client.received(conn, frame(success(close.request_id)), talk.now);
    while talk.client.poll_action().is_some() {}
    while talk.client.poll_event().is_some() {}
    assert!(!talk.client.is_done(), "a send has ended and nobody has looked");
    assert!(talk.client.poll_sent().is_some());
    assert!(talk.client.is_done());
}
