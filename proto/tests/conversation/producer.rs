//! Producers: opening, sending, receipts, replay, limits, closing.

use bytes::Bytes;
use pulsewire_proto::wire::*;
use pulsewire_proto::{
    ClientConfig, ConnId, ErrorKind, Event, Key, MessageId, Outgoing, Output, Payload, ProducerConfig,
    ProducerId, SendToken,
};

use crate::talk::*;

/// Opens a producer up to PRODUCER, which stays unanswered.
fn opening(talk: &mut Talk) -> (ProducerId, pulsewire_proto::OpId, ConnId, CommandProducer) {
    let (id, op) = talk.client.create_producer(unbatched(), talk.now).expect("options");
    let conn = talk.accept(BROKER);
    talk.locate(conn);
    let open = hear!(talk, conn, Producer);
    (id, op, conn, open)
}

fn stored(n: u64) -> MessageId {
    MessageId { ledger_id: 3, entry_id: n, partition: -1, batch_index: -1, batch_size: 0, first_chunk: None }
}

#[test]
fn p01_no_send_before_producer_success() {
    let mut talk = Talk::new();
    let (id, op, conn, open) = opening(&mut talk);
    let expected = CommandProducer {
        topic: TOPIC.to_owned(),
        producer_id: id.0,
        request_id: open.request_id,
        epoch: Some(0),
        user_provided_producer_name: Some(false),
        ..Default::default()
    };
    assert_eq!(open, expected);
    assert!(talk.try_send(id, b"early").is_err());
    talk.quiet(conn);
    talk.say(conn, producer_success(open.request_id, "made-up", -1));
    assert_eq!(talk.ended(op), Ok(Output::Producer { name: "made-up".to_owned() }));
    talk.send(id, b"now");
    let heard = talk.hear_send(conn);
    assert_eq!(heard.metadata.producer_name, "made-up");
    assert_eq!(&heard.payload[..], b"now");
}

#[test]
fn p06_no_early_send_even_with_sequence_ids_of_its_own() {
    let mut talk = Talk::new();
    let config = ProducerConfig { initial_sequence_id: Some(39), ..unbatched() };
    let (id, _) = talk.client.create_producer(config, talk.now).expect("options");
    assert!(talk.try_send(id, b"early").is_err(), "its metadata would lack the producer's name");
    let own = Outgoing { sequence_id: Some(3), ..Default::default() };
    assert!(talk.client.send(id, &own, talk.now).is_err());
    let conn = talk.accept(BROKER);
    talk.locate(conn);
    let open = hear!(talk, conn, Producer);
    talk.say(conn, producer_success(open.request_id, "p", 99));
    talk.send(id, b"x");
    assert_eq!(talk.hear_send(conn).metadata.sequence_id, 40);
}

#[test]
fn p26_producer_ready_false_means_wait() {
    let mut talk = Talk::new();
    let (id, op, conn, open) = opening(&mut talk);
    let waiting =
        CommandProducerSuccess { producer_ready: Some(false), ..producer_success(open.request_id, "p", -1) };
    talk.say(conn, waiting.clone());
    talk.say(conn, waiting);
    for _ in 0..10 {
        talk.pass(secs(29));
        talk.say(conn, CommandPing::default());
        hear!(talk, conn, Pong);
    }
    assert_eq!(talk.ended_yet(op), None, "it waits for its turn, however long");
    assert!(talk.try_send(id, b"early").is_err());
    talk.quiet(conn);
    talk.say(conn, producer_success(open.request_id, "p", -1));
    talk.ended(op).expect("a producer");
    talk.send(id, b"mine");
    talk.hear_send(conn);
}

#[test]
fn p22_sequence_ids_go_on_from_the_brokers_last() {
    let mut talk = Talk::new();
    let (id, _, conn, open) = opening(&mut talk);
    talk.say(conn, producer_success(open.request_id, "p", 41));
    for expected in 42..45 {
        talk.send(id, b"x");
        let heard = talk.hear_send(conn);
        assert_eq!((heard.command.sequence_id, heard.metadata.sequence_id), (expected, expected));
    }
    // One of the message's own, from which the next goes on.
    let own = Outgoing { sequence_id: Some(100), ..Default::default() };
    talk.client.send(id, &own, talk.now).expect("a send");
    talk.send(id, b"x");
    assert_eq!(talk.hear_send(conn).command.sequence_id, 100);
    assert_eq!(talk.hear_send(conn).command.sequence_id, 101);
}

#[test]
fn p01_many_in_flight_receipts_in_order() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer();
    let tokens: Vec<SendToken> = (0..1000).map(|n| talk.send(id, format!("m{n}").as_bytes())).collect();
    for n in 0..1000 {
        let heard = talk.hear_send(conn);
        assert_eq!(heard.command, CommandSend { producer_id: id.0, sequence_id: n, ..Default::default() });
        assert_eq!(heard.payload, format!("m{n}"));
        assert_eq!(heard.metadata.publish_time, talk.now.wall_ms);
    }
    talk.quiet(conn);
    assert_eq!(talk.outcome(), None);
    for (n, token) in tokens.into_iter().enumerate() {
        talk.receipt(conn, id, n as u64);
        assert_eq!(talk.outcome(), Some((token, Ok(stored(n as u64)))));
    }
}

#[test]
fn p12_p15_a_message_carries_all_that_it_was_given() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer();
    let message = Outgoing {
        payload: None,
        key: Some(Key::Bytes(&[1, 2])),
        ordering_key: Some(b"order"),
        properties: &[("a", "1"), ("b", "2")],
        event_time: Some(77),
        sequence_id: Some(9),
        ..Default::default()
    };
    talk.client.send(id, &message, talk.now).expect("a send");
    let property = |key: &str, value: &str| KeyValue { key: key.to_owned(), value: value.to_owned() };
    let expected = MessageMetadata {
        producer_name: "p".to_owned(),
        sequence_id: 9,
        publish_time: talk.now.wall_ms,
        properties: vec![property("a", "1"), property("b", "2")],
        partition_key: Some("AQI=".to_owned()),
        partition_key_b64_encoded: Some(true),
        ordering_key: Some(Bytes::from_static(b"order")),
        event_time: Some(77),
        uncompressed_size: Some(0),
        null_value: Some(true),
        ..Default::default()
    };
    assert_eq!(talk.hear_send(conn).metadata, expected);
}

#[test]
fn p01_a_large_shared_payload_is_whole_between_its_neighbours() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer();
    let large = Bytes::from(vec![5; 300_000]);
    talk.send(id, b"before");
    let message = Outgoing { payload: Some(Payload::Shared(&large)), ..Default::default() };
    talk.client.send(id, &message, talk.now).expect("a send");
    talk.send(id, b"after");
    for (n, expected) in [&b"before"[..], &large, b"after"].into_iter().enumerate() {
        assert_eq!(&talk.hear_send(conn).payload[..], expected);
        talk.receipt(conn, id, n as u64);
    }
    assert_eq!(talk.sent.len(), 3);
}

#[test]
fn p01_a_receipt_of_an_earlier_send_is_ignored() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer();
    for _ in 0..3 {
        talk.send(id, b"x");
    }
    talk.receipt(conn, id, 0);
    talk.receipt(conn, id, 0);
    assert_eq!(talk.sent.len(), 1);
    talk.receipt(conn, id, 1);
    talk.receipt(conn, id, 0);
    talk.receipt(conn, ProducerId(99), 0);
    assert_eq!(talk.sent.len(), 2);
    assert!(talk.is_open(conn));
    talk.receipt(conn, id, 2);
    talk.receipt(conn, id, 3);
    assert_eq!(talk.sent.len(), 3);
    assert!(talk.is_open(conn), "nothing is pending, so nothing can have been lost");
}

#[test]
fn p01_a_receipt_of_a_producer_that_is_not_there_is_ignored() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer();
    let token = talk.send(id, b"x");
    talk.hear_send(conn);
    for stranger in [id.0 + 1, u64::MAX] {
        let stranger = ProducerId(stranger);
        talk.receipt(conn, stranger, 0);
        let error = CommandSendError {
            producer_id: stranger.0,
            sequence_id: 0,
            error: ServerError::PERSISTENCE_ERROR,
            message: "no".to_owned(),
        };
        talk.say(conn, error);
        talk.say(conn, CommandCloseProducer { producer_id: stranger.0, ..Default::default() });
    }
    assert!(talk.is_open(conn));
    assert_eq!(talk.outcome(), None);
    talk.receipt(conn, id, 0);
    assert_eq!(talk.outcome().map(|(token, end)| (token, end.is_ok())), Some((token, true)));
}

#[test]
fn p01_a_receipt_ahead_of_its_turn_closes_the_connection_and_all_is_sent_again() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer();
    let first: Vec<Heard> = (0..5)
        .map(|n| {
            talk.send(id, format!("m{n}").as_bytes());
            talk.hear_send(conn)
        })
        .collect();
    talk.receipt(conn, id, 0);
    talk.receipt(conn, id, 2);
    assert!(talk.hung_up(conn).contains("before its turn"));
    // What is sent meanwhile waits behind the others.
    talk.send(id, b"m5");
    let conn = talk.come_back();
    let open = hear!(talk, conn, Producer);
    assert_eq!(open.epoch, Some(1), "a higher epoch than before");
    assert_eq!((open.producer_id, open.producer_name.as_deref()), (id.0, Some("p")));
    talk.quiet(conn);
    talk.say(conn, producer_success(open.request_id, "p", 0));
    for before in &first[1..] {
        assert_eq!(talk.hear_send(conn).frame, before.frame, "the same bytes in the same order");
    }
    assert_eq!(&talk.hear_send(conn).payload[..], b"m5");
    talk.quiet(conn);
    (1..6).for_each(|n| talk.receipt(conn, id, n));
    let tokens: Vec<u64> = talk.sent.iter().map(|o| o.token.0).collect();
    assert_eq!(tokens, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn p01_one_producers_lost_message_does_not_end_what_others_are_opening() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer();
    let (_, op) = talk.client.create_producer(unbatched(), talk.now).expect("options");
    talk.send(id, b"x");
    talk.receipt(conn, id, 5);
    talk.hung_up(conn);
    assert_eq!(talk.ended_yet(op), None);
}

#[test]
fn p22_what_was_pending_keeps_its_deadline_through_a_reconnect() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer();
    talk.send(id, b"old");
    talk.pass(secs(20));
    talk.send(id, b"new");
    talk.cut(conn);
    let conn = talk.come_back();
    let open = hear!(talk, conn, Producer);
    talk.say(conn, producer_success(open.request_id, "p", -1));
    assert_eq!(&talk.hear_send(conn).payload[..], b"old");
    assert_eq!(&talk.hear_send(conn).payload[..], b"new");
    talk.pass(secs(10));
    assert_eq!(talk.outcome(), Some((SendToken(0), Err(ErrorKind::Timeout))));
    assert_eq!(talk.outcome(), None);
    // Its receipt comes late, and the other's in time.
    talk.receipt(conn, id, 0);
    assert_eq!(talk.outcome(), None);
    talk.receipt(conn, id, 1);
    assert_eq!(talk.outcome(), Some((SendToken(1), Ok(stored(1)))));
}

#[test]
fn p07_a_send_times_out_exactly_once() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer();
    talk.send(id, b"a");
    talk.pass(secs(1));
    talk.send(id, b"b");
    talk.pass(secs(28));
    assert_eq!(talk.outcome(), None);
    talk.pass(secs(1));
    assert_eq!(talk.outcome(), Some((SendToken(0), Err(ErrorKind::Timeout))));
    talk.pass(secs(1));
    assert_eq!(talk.outcome(), Some((SendToken(1), Err(ErrorKind::Timeout))));
    talk.hear_send(conn);
    talk.hear_send(conn);
    hear!(talk, conn, Ping);
    talk.receipt(conn, id, 0);
    talk.receipt(conn, id, 1);
    assert_eq!(talk.outcome(), None);
    // The producer lives.
    let token = talk.send(id, b"c");
    assert_eq!(talk.hear_send(conn).command.sequence_id, 2);
    talk.receipt(conn, id, 2);
    assert_eq!(talk.outcome(), Some((token, Ok(stored(2)))));
}

#[test]
fn p07_a_send_without_a_connection_times_out_and_is_never_sent() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer();
    talk.cut(conn);
    talk.send(id, b"lost");
    talk.pass(secs(30));
    assert_eq!(talk.outcome(), Some((SendToken(0), Err(ErrorKind::Timeout))));
    let (_, to) = talk.asked().expect("it is still trying");
    assert_eq!(to, BROKER);
}

#[test]
fn p07_no_timeout_when_it_is_zero() {
    let mut talk = Talk::new();
    let config = ProducerConfig { send_timeout: ms(0), ..unbatched() };
    let (id, conn) = talk.producer_with(config);
    talk.send(id, b"patient");
    for _ in 0..100 {
        talk.pass(secs(29));
        talk.say(conn, CommandPong::default());
    }
    assert_eq!(talk.outcome(), None);
    talk.receipt(conn, id, 0);
    assert!(talk.outcome().is_some());
}

#[test]
fn p18_the_memory_limit_refuses_and_says_when_there_is_room() {
    let mut talk = Talk::with(ClientConfig { memory_limit: 10_000, ..config(BROKER) });
    let (id, conn) = talk.producer();
    let mut taken = 0;
    while talk.try_send(id, &[1; 1000]).is_ok() {
        taken += 1;
        assert!(taken < 20);
    }
    assert!((8..=9).contains(&taken), "{taken} messages");
    assert_eq!(kind(talk.try_send(id, &[1; 1000])), ErrorKind::QueueFull);
    assert_eq!(talk.event(), None);
    for n in 0..taken {
        assert!(n < taken - 1 || talk.event() == Some(Event::Writable), "said by the time that half is free");
        talk.receipt(conn, id, n);
    }
    assert_eq!(talk.event(), None, "said once");
    talk.send(id, &[1; 1000]);
    // However small the limit, one message may be under way.
    let mut talk = Talk::with(ClientConfig { memory_limit: 1, ..config(BROKER) });
    let (id, _) = talk.producer();
    talk.send(id, &[1; 1000]);
    assert_eq!(kind(talk.try_send(id, b"x")), ErrorKind::QueueFull);
}

#[test]
fn p18_memory_is_free_again_on_every_path() {
    for path in 0..5 {
        let mut talk = Talk::with(ClientConfig { memory_limit: 5000, ..config(BROKER) });
        let (other, conn) = talk.producer();
        let (id, _) = talk.producer();
        for _ in 0..4 {
            talk.send(id, &[1; 1000]);
        }
        assert_eq!(kind(talk.try_send(other, &[1; 1000])), ErrorKind::QueueFull);
        for _ in 0..4 {
            talk.hear_send(conn);
        }
        match path {
            0 => (0..4).for_each(|n| talk.receipt(conn, id, n)),
            1 => talk.pass(secs(30)),
            2 => {
                talk.client.close_producer(id, talk.now);
                let close = hear!(talk, conn, CloseProducer);
                talk.say(conn, success(close.request_id));
            }
            3 => {
                talk.say(conn, send_error(id, 0, ServerError::TOPIC_TERMINATED_ERROR));
            }
            _ => (0..4).for_each(|n| talk.say(conn, send_error(id, n, ServerError::NOT_ALLOWED_ERROR))),
        }
        assert_eq!(talk.sent.len(), 4, "path {path}");
        let mut events = Vec::new();
        while let Some(event) = talk.event() {
            events.push(event);
        }
        assert!(events.contains(&Event::Writable), "path {path}: {events:?}");
        for _ in 0..4 {
            talk.send(other, &[1; 1000]);
        }
    }
}

fn send_error(producer: ProducerId, sequence_id: u64, error: ServerError) -> CommandSendError {
    CommandSendError { producer_id: producer.0, sequence_id, error, message: "the script says so".to_owned() }
}

#[test]
fn p01_an_oversized_message_fails_alone() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer();
    let before = talk.send(id, b"before");
    let too_large = vec![0; DEFAULT_MAX_MESSAGE_SIZE + 1];
    let error = talk.try_send(id, &too_large).expect_err("a failure");
    assert_eq!(error.kind(), ErrorKind::MessageTooLarge);
    let huge = "p".repeat(11_000);
    let message = Outgoing { properties: &[("p", &huge)], ..Default::default() };
    assert_eq!(kind(talk.client.send(id, &message, talk.now)), ErrorKind::MessageTooLarge);
    let after = talk.send(id, b"after");
    assert_eq!(talk.hear_send(conn).command.sequence_id, 0);
    assert_eq!(talk.hear_send(conn).command.sequence_id, 1, "no sequence id is left out");
    (0..2).for_each(|n| talk.receipt(conn, id, n));
    assert_eq!(talk.outcome(), Some((before, Ok(stored(0)))));
    assert_eq!(talk.outcome(), Some((after, Ok(stored(1)))));
}

#[test]
fn p01_what_a_new_brokers_smaller_limit_forbids_fails_alone() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer();
    talk.send(id, b"small");
    let large = talk.send(id, &[9; 50_000]);
    talk.send(id, b"small too");
    talk.cut(conn);
    talk.pass(ms(100));
    let conn = talk.accept_with(BROKER, 1000);
    talk.locate_again(conn);
    let open = hear!(talk, conn, Producer);
    talk.say(conn, producer_success(open.request_id, "p", -1));
    assert_eq!(talk.outcome(), Some((large, Err(ErrorKind::MessageTooLarge))));
    assert_eq!(talk.hear_send(conn).command.sequence_id, 0);
    assert_eq!(talk.hear_send(conn).command.sequence_id, 2);
    talk.receipt(conn, id, 0);
    talk.receipt(conn, id, 2);
    assert_eq!(talk.sent.len(), 2);
    assert_eq!(talk.outcome(), Some((SendToken(0), Ok(stored(0)))));
    assert_eq!(talk.outcome(), Some((SendToken(2), Ok(stored(2)))));
}

#[test]
fn p10_close_flushes_first() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer();
    let tokens: Vec<SendToken> = (0..3)
        .map(|_| {
            let message = Outgoing { payload: Some(Payload::Slice(b"x")), ..Default::default() };
            talk.client.send(id, &message, talk.now).expect("a send")
        })
        .collect();
    let op = talk.client.close_producer(id, talk.now);
    assert_eq!(kind(talk.try_send(id, b"late")), ErrorKind::AlreadyClosed);
    (0..3).for_each(|n| assert_eq!(talk.hear_send(conn).command.sequence_id, n));
    let close = hear!(talk, conn, CloseProducer);
    (0..3).for_each(|n| talk.receipt(conn, id, n));
    for (n, token) in tokens.into_iter().enumerate() {
        assert_eq!(talk.outcome(), Some((token, Ok(stored(n as u64)))));
    }
    assert_eq!(talk.ended_yet(op), None);
    talk.say(conn, success(close.request_id));
    assert_eq!(talk.ended(op), Ok(Output::Done));
    assert!(talk.is_open(conn), "the connection is for others");
}

#[test]
fn p10_close_of_what_has_lost_its_connection_ends_at_once() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer();
    let token = talk.send(id, b"x");
    let op = talk.client.close_producer(id, talk.now);
    talk.cut(conn);
    assert_eq!(talk.ended(op), Ok(Output::Done));
    assert_eq!(talk.outcome(), Some((token, Err(ErrorKind::AlreadyClosed))));
    let (id, _) = {
        let (id, conn) = talk.producer();
        talk.cut(conn);
        (id, conn)
    };
    let op = talk.client.close_producer(id, talk.now);
    assert_eq!(talk.ended(op), Ok(Output::Done));
    let again = talk.client.close_producer(id, talk.now);
    assert_eq!(talk.ended(again), Ok(Output::Done));
    talk.pass(secs(60));
    assert_eq!(talk.asked(), None);
}

#[test]
fn p10_close_that_is_not_answered_ends_at_its_deadline() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer();
    let token = talk.send(id, b"x");
    let op = talk.client.close_producer(id, talk.now);
    talk.hear_send(conn);
    let close = hear!(talk, conn, CloseProducer);
    talk.pass(secs(30));
    assert_eq!(kind(talk.ended(op)), ErrorKind::Timeout);
    assert_eq!(talk.outcome().map(|(t, _)| t), Some(token));
    hear!(talk, conn, Ping);
    talk.say(conn, success(close.request_id));
    assert_eq!(talk.outcome(), None);
}

#[test]
fn p10_an_open_that_times_out_is_closed_at_the_broker() {
    let mut talk = Talk::new();
    let (id, op, conn, open) = opening(&mut talk);
    talk.pass(secs(30));
    assert_eq!(kind(talk.ended(op)), ErrorKind::Timeout);
    let (mut closed, mut pinged) = (false, false);
    while let Some((command, _)) = talk.heard(conn) {
        match command {
            Command::CloseProducer(close) => {
                assert_eq!(close.producer_id, id.0);
                closed = true;
            }
            Command::Ping(_) => pinged = true,
            other => panic!("{other:?}"),
        }
    }
    assert!(closed && pinged, "otherwise the broker is busy with it for ever");
    // It comes late and does nothing.
    talk.say(conn, producer_success(open.request_id, "p", -1));
    talk.quiet(conn);
    assert_eq!(kind(talk.try_send(id, b"x")), ErrorKind::AlreadyClosed);
}

#[test]
fn p10_an_open_that_is_abandoned_is_closed_at_the_broker() {
    let mut talk = Talk::new();
    let (id, created, conn, open) = opening(&mut talk);
    let op = talk.client.close_producer(id, talk.now);
    assert_eq!(talk.ended(op), Ok(Output::Done));
    assert_eq!(kind(talk.ended(created)), ErrorKind::AlreadyClosed);
    assert_eq!(hear!(talk, conn, CloseProducer).producer_id, id.0);
    talk.say(conn, producer_success(open.request_id, "p", -1));
    talk.quiet(conn);
}

#[test]
fn p22_a_reopening_that_times_out_is_closed_and_tried_with_a_higher_epoch() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer();
    talk.send(id, b"x");
    talk.cut(conn);
    let conn = talk.come_back();
    let open = hear!(talk, conn, Producer);
    assert_eq!(open.epoch, Some(1));
    talk.pass(secs(29));
    talk.say(conn, CommandPing::default());
    hear!(talk, conn, Pong);
    talk.pass(secs(1));
    assert_eq!(hear!(talk, conn, CloseProducer).producer_id, id.0);
    talk.pass(ms(200));
    talk.locate_again(conn);
    let again = hear!(talk, conn, Producer);
    assert_eq!(again.epoch, Some(2));
    // The first one's success is of an earlier generation.
    talk.say(conn, producer_success(open.request_id, "p", -1));
    talk.quiet(conn);
    talk.say(conn, producer_success(again.request_id, "p", -1));
    talk.send(id, b"y");
    assert_eq!(&talk.hear_send(conn).payload[..], b"y");
}

#[test]
fn p01_close_producer_by_the_broker_moves_to_the_broker_that_it_names() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer();
    let before = {
        talk.send(id, b"x");
        talk.hear_send(conn)
    };
    talk.say(
        conn,
        CommandCloseProducer {
            producer_id: id.0,
            request_id: 0,
            assigned_broker_service_url: Some("pulsar://next:6650".to_owned()),
            assigned_broker_service_url_tls: None,
        },
    );
    talk.send(id, b"y");
    talk.quiet(conn);
    talk.pass(ms(100));
    let next = talk.accept("pulsar://next:6650");
    talk.quiet(conn);
    let open = hear!(talk, next, Producer);
    assert_eq!(open.epoch, Some(1));
    talk.say(next, producer_success(open.request_id, "p", -1));
    assert_eq!(talk.hear_send(next).frame, before.frame);
    assert_eq!(&talk.hear_send(next).payload[..], b"y");
    // A receipt on the connection that it has left counts for nothing, not even one out of turn.
    talk.receipt(conn, id, 1);
    assert!(talk.is_open(conn));
    assert_eq!(talk.outcome(), None);
    talk.receipt(next, id, 0);
    assert!(talk.outcome().is_some());
    // Should the named broker fail, the lookup is asked again.
    talk.cut(next);
    talk.pass(ms(100));
    hear!(talk, conn, LookupTopic);
}

#[test]
fn p01_close_producer_without_a_name_is_looked_up_on_the_live_connection() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer();
    talk.say(conn, CommandCloseProducer { producer_id: id.0, ..Default::default() });
    talk.say(conn, CommandCloseProducer { producer_id: 1234, ..Default::default() });
    talk.send(id, b"waits");
    talk.quiet(conn);
    talk.pass(ms(100));
    talk.locate_again(conn);
    let open = hear!(talk, conn, Producer);
    talk.quiet(conn);
    talk.say(conn, producer_success(open.request_id, "p", -1));
    assert_eq!(&talk.hear_send(conn).payload[..], b"waits");
}

#[test]
fn p22_a_busy_name_is_no_reason_to_give_up_when_it_was_our_own() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer();
    talk.cut(conn);
    let mut conn = talk.come_back();
    for _ in 0..3 {
        let open = hear!(talk, conn, Producer);
        talk.say(conn, failure(open.request_id, ServerError::PRODUCER_BUSY));
        talk.pass(secs(1));
        talk.locate_again(conn);
    }
    let open = hear!(talk, conn, Producer);
    talk.say(conn, producer_success(open.request_id, "p", -1));
    talk.send(id, b"back");
    talk.hear_send(conn);
    assert_eq!(talk.event(), None);
    // For a producer that was never open it is.
    talk.cut(conn);
    conn = {
        let mut talk = Talk::new();
        let (_, op, conn, open) = opening(&mut talk);
        talk.say(conn, failure(open.request_id, ServerError::PRODUCER_BUSY));
        assert_eq!(kind(talk.ended(op)), ErrorKind::Broker(ServerError::PRODUCER_BUSY));
        conn
    };
    assert_eq!(conn, ConnId(0));
}

#[test]
fn p01_an_error_that_will_not_pass_ends_the_producer_and_its_sends() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer();
    let token = talk.send(id, b"x");
    talk.cut(conn);
    let conn = talk.come_back();
    let open = hear!(talk, conn, Producer);
    talk.say(conn, failure(open.request_id, ServerError::TOPIC_TERMINATED_ERROR));
    let Some(Event::ProducerEnded { producer, error }) = talk.event() else { panic!("it has failed") };
    assert_eq!(producer, id);
    assert_eq!(error.kind(), ErrorKind::Broker(ServerError::TOPIC_TERMINATED_ERROR));
    assert_eq!(talk.outcome(), Some((token, Err(ErrorKind::Broker(ServerError::TOPIC_TERMINATED_ERROR)))));
    assert_eq!(kind(talk.try_send(id, b"x")), ErrorKind::AlreadyClosed);
}

/// As Java's `ProducerImpl`: there is no room for what waits, and the producer goes on when there is.
#[test]
fn p01_a_producer_comes_back_when_there_is_room_again() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer();
    let waiting = talk.send(id, b"x");
    talk.cut(conn);
    let full = ServerError::PRODUCER_BLOCKED_QUOTA_EXCEEDED_EXCEPTION;
    let conn = talk.come_back();
    for again in [Some(waiting), None] {
        let open = hear!(talk, conn, Producer);
        talk.say(conn, failure(open.request_id, full));
        assert_eq!(talk.outcome(), again.map(|token| (token, Err(ErrorKind::Broker(full)))));
        assert!(talk.event().is_none(), "it has not ended");
        talk.pass(secs(1));
        talk.locate_again(conn);
    }
    let later = talk.send(id, b"y");
    let open = hear!(talk, conn, Producer);
    talk.say(conn, producer_success(open.request_id, "p", -1));
    talk.hear_send(conn);
    talk.receipt(conn, id, 1);
    assert_eq!(talk.outcome().map(|(token, sent)| (token, sent.is_ok())), Some((later, true)));
}

#[test]
fn p01_a_send_error_about_one_message_fails_that_one() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer();
    let tokens: Vec<SendToken> = (0..3).map(|_| talk.send(id, b"x")).collect();
    talk.receipt(conn, id, 0);
    talk.say(conn, send_error(id, 1, ServerError::NOT_ALLOWED_ERROR));
    talk.say(conn, send_error(id, 1, ServerError::NOT_ALLOWED_ERROR));
    talk.receipt(conn, id, 2);
    assert_eq!(talk.outcome().map(|(t, r)| (t, r.is_ok())), Some((tokens[0], true)));
    let refused = ErrorKind::Broker(ServerError::NOT_ALLOWED_ERROR);
    assert_eq!(talk.outcome(), Some((tokens[1], Err(refused))));
    assert_eq!(talk.outcome().map(|(t, r)| (t, r.is_ok())), Some((tokens[2], true)));
    assert!(talk.is_open(conn));
}

#[test]
fn p01_a_send_error_that_may_pass_is_sent_again_and_harms_no_one_else() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer();
    let (consumer, _) = talk.consumer();
    let (_, created) = talk.client.create_producer(unbatched(), talk.now).expect("options");
    hear!(talk, conn, PartitionedTopicMetadata);
    talk.send(id, b"x");
    talk.hear_send(conn);
    talk.say(conn, send_error(id, 0, ServerError::PERSISTENCE_ERROR));
    talk.hung_up(conn);
    assert_eq!((talk.outcome(), talk.ended_yet(created)), (None, None));
    assert_eq!((talk.event(), talk.event()), (Some(Event::ConsumerReset(consumer)), None));
    talk.pass(ms(100));
    let conn = talk.accept(BROKER);
    let mut again = Vec::new();
    while let Some((command, _)) = talk.heard(conn) {
        again.push(command.name());
    }
    again.sort_unstable();
    assert_eq!(
        again,
        ["LookupTopic", "LookupTopic", "PartitionedTopicMetadata"],
        "the producer, the consumer and the one that was being opened"
    );
    assert!(talk.client.take(consumer).is_ok());
}

#[test]
fn p01_a_terminated_topic_ends_its_producer_and_harms_no_one_else() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer();
    let (consumer, _) = talk.consumer();
    let token = talk.send(id, b"x");
    talk.hear_send(conn);
    talk.say(conn, send_error(id, 0, ServerError::TOPIC_TERMINATED_ERROR));
    let terminated = ErrorKind::Broker(ServerError::TOPIC_TERMINATED_ERROR);
    assert_eq!(talk.outcome(), Some((token, Err(terminated))));
    let Some(Event::ProducerEnded { producer, error }) = talk.event() else { panic!("it has failed") };
    assert_eq!((producer, error.kind()), (id, terminated));
    assert!(talk.is_open(conn));
    talk.deliver(conn, consumer, 0, "still there");
    assert_eq!(talk.payloads(consumer), ["still there"]);
}

#[test]
fn p22_a_duplicate_that_the_broker_dropped_has_no_position() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer();
    talk.send(id, b"x");
    talk.say(conn, CommandSendReceipt { message_id: None, ..receipt(id, 0) });
    let (_, result) = talk.outcome().expect("an outcome");
    assert_eq!(result.expect("sent").to_string(), "-1:-1:-1");
}

#[test]
fn p08_the_topic_epoch_is_said_again() {
    let mut talk = Talk::new();
    let (_, _, conn, open) = opening(&mut talk);
    let success =
        CommandProducerSuccess { topic_epoch: Some(6), ..producer_success(open.request_id, "p", -1) };
    talk.say(conn, success);
    talk.cut(conn);
    let conn = talk.come_back();
    assert_eq!(hear!(talk, conn, Producer).topic_epoch, Some(6));
}

#[test]
fn p02_options_of_a_producer_reach_the_broker() {
    let mut talk = Talk::new();
    let config = ProducerConfig {
        name: Some("mine".to_owned()),
        properties: vec![("k".to_owned(), "v".to_owned())],
        ..unbatched()
    };
    talk.client.create_producer(config, talk.now).expect("options");
    let conn = talk.accept(BROKER);
    talk.locate(conn);
    let open = hear!(talk, conn, Producer);
    assert_eq!(open.producer_name.as_deref(), Some("mine"));
    assert_eq!(open.user_provided_producer_name, Some(true));
    assert_eq!(open.metadata, [KeyValue { key: "k".to_owned(), value: "v".to_owned() }]);
}

#[test]
fn p10_a_second_close_ends_with_the_first() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer();
    let first = talk.client.close_producer(id, talk.now);
    let second = talk.client.close_producer(id, talk.now);
    let close = hear!(talk, conn, CloseProducer);
    talk.quiet(conn);
    assert_eq!((talk.ended_yet(first), talk.ended_yet(second)), (None, None));
    talk.say(conn, success(close.request_id));
    assert_eq!((talk.ended(first), talk.ended(second)), (Ok(Output::Done), Ok(Output::Done)));
}

#[test]
fn p01_what_was_damaged_on_the_way_goes_out_again() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer();
    talk.send(id, b"a");
    talk.send(id, b"b");
    let first = [talk.hear_send(conn).frame, talk.hear_send(conn).frame];
    talk.say(conn, send_error(id, 0, ServerError::CHECKSUM_ERROR));
    assert_eq!([talk.hear_send(conn).frame, talk.hear_send(conn).frame], first);
    (0..2).for_each(|n| talk.receipt(conn, id, n));
    assert_eq!(talk.outcome(), Some((SendToken(0), Ok(stored(0)))));
    assert_eq!(talk.outcome(), Some((SendToken(1), Ok(stored(1)))));
}

#[test]
fn p18_the_pending_limit_refuses_and_says_when_there_is_room() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer_with(ProducerConfig { max_pending_messages: 2, ..unbatched() });
    talk.send(id, b"a");
    talk.send(id, b"b");
    assert_eq!(kind(talk.try_send(id, b"c")), ErrorKind::QueueFull);
    assert_eq!(kind(talk.try_send(id, b"c")), ErrorKind::QueueFull);
    talk.receipt(conn, id, 0);
    assert_eq!((talk.event(), talk.event()), (Some(Event::Writable), None));
    talk.send(id, b"c");
    assert_eq!(kind(talk.try_send(id, b"d")), ErrorKind::QueueFull);
    talk.pass(secs(30));
    assert_eq!(talk.event(), Some(Event::Writable), "timeouts make room too");
    assert_eq!(talk.client.producer_status(id).map(|s| (s.pending_messages, s.pending_bytes)), Some((0, 0)));
}
