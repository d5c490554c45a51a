//! Batches of a producer.

use bytes::Bytes;
use pulsewire_proto::wire::batch::BatchReader;
use pulsewire_proto::wire::*;
use pulsewire_proto::{
    ErrorKind, Event, Key, MessageId, Outgoing, Output, Payload, ProducerConfig, SendToken,
};

use crate::talk::*;

fn batched() -> ProducerConfig {
    ProducerConfig::new(topic())
}

/// The messages of a batch.
fn singles(heard: &Heard) -> Vec<(SingleMessageMetadata, Bytes)> {
    let mut reader = BatchReader::new();
    let count = heard.metadata.num_messages_in_batch.expect("a batch");
    let messages = (0..count).map(|_| {
        let slot = reader.next(&heard.payload).expect("a message of the batch");
        let at = |from: u32, to: u32| heard.payload.slice(from as usize..to as usize);
        let single = SingleMessageMetadata::decode(&at(slot.metadata_start, slot.payload_start));
        (single.expect("metadata"), at(slot.payload_start, slot.payload_end))
    });
    messages.collect()
}

fn payloads(heard: &Heard) -> Vec<Bytes> {
    singles(heard).into_iter().map(|(_, payload)| payload).collect()
}

fn ids(talk: &mut Talk) -> Vec<(u64, String)> {
    let mut ids = Vec::new();
    while let Some((token, result)) = talk.outcome() {
        ids.push((token.0, result.expect("sent").to_string()));
    }
    ids
}

#[test]
fn p04_a_partial_batch_goes_out_by_its_own_timer() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer_with(batched());
    talk.send(id, b"a");
    talk.quiet(conn);
    talk.now.time = talk.now.time + std::time::Duration::from_micros(600);
    talk.send(id, b"b");
    talk.pass(std::time::Duration::from_micros(399));
    talk.quiet(conn);
    talk.pass(std::time::Duration::from_micros(1));
    let heard = talk.hear_send(conn);
    assert_eq!(payloads(&heard), ["a", "b"]);
    assert_eq!(heard.command.num_messages, Some(2));
    assert_eq!((heard.command.sequence_id, heard.command.highest_sequence_id), (0, Some(1)));
    assert_eq!((heard.metadata.sequence_id, heard.metadata.highest_sequence_id), (0, Some(1)));
    assert_eq!(heard.metadata.producer_name, "p");
    assert_eq!(heard.metadata.publish_time, 1_700_000_000_000);
    let sequence_ids: Vec<_> = singles(&heard).iter().map(|(single, _)| single.sequence_id).collect();
    assert_eq!(sequence_ids, [Some(0), Some(1)]);
    talk.quiet(conn);
}

#[test]
fn p04_each_receipt_has_its_place_in_the_batch_and_the_size_of_it() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer_with(batched());
    for n in 0..3 {
        assert_eq!(talk.send(id, b"x"), SendToken(n));
    }
    talk.pass(ms(1));
    talk.hear_send(conn);
    talk.receipt(conn, id, 0);
    for n in 0..3 {
        let (token, result) = talk.outcome().expect("an outcome");
        let expected = MessageId {
            ledger_id: 3,
            entry_id: 0,
            partition: -1,
            batch_index: n,
            batch_size: 3,
            first_chunk: None,
        };
        assert_eq!((token.0, result), (n as u64, Ok(expected)));
    }
    assert_eq!(talk.send(id, b"next"), SendToken(3));
    talk.pass(ms(1));
    assert_eq!(talk.hear_send(conn).command.sequence_id, 3);
}

#[test]
fn p04_a_full_batch_goes_out_at_once() {
    let mut talk = Talk::new();
    let config = ProducerConfig { batching_max_messages: 3, ..batched() };
    let (id, conn) = talk.producer_with(config);
    (0..7).for_each(|_| {
        talk.send(id, b"x");
    });
    for _ in 0..2 {
        assert_eq!(talk.hear_send(conn).command.num_messages, Some(3));
    }
    talk.quiet(conn);
    talk.pass(ms(1));
    assert_eq!(talk.hear_send(conn).metadata.num_messages_in_batch, None);

    let config = ProducerConfig { batching_max_bytes: 1000, ..batched() };
    let (id, conn) = talk.producer_with(config);
    for size in [400, 400, 400, 5000, 1] {
        talk.send(id, &vec![0; size]);
    }
    assert_eq!(talk.hear_send(conn).command.num_messages, Some(2));
    assert_eq!(talk.hear_send(conn).payload.len(), 400, "one that waited for others before the large one");
    assert_eq!(talk.hear_send(conn).payload.len(), 5000);
    talk.quiet(conn);
    talk.pass(ms(1));
    assert_eq!(talk.hear_send(conn).payload.len(), 1);
}

#[test]
fn p04_a_batch_carries_what_each_message_has() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer_with(batched());
    let rich = Outgoing {
        payload: Some(Payload::Slice(b"rich")),
        key: Some(Key::Bytes(b"\x01\x02")),
        ordering_key: Some(b"order"),
        properties: &[("a", "1"), ("", "ü")],
        event_time: Some(7),
        sequence_id: Some(40),
        ..Default::default()
    };
    for message in [
        rich,
        Outgoing { key: Some(Key::Text("gone")), ..Default::default() },
        Outgoing { payload: Some(Payload::Slice(b"")), ..Default::default() },
    ] {
        talk.client.send(id, &message, talk.now).expect("a send");
    }
    talk.pass(ms(1));
    let heard = talk.hear_send(conn);
    assert_eq!(heard.metadata.partition_key.as_deref(), Some("AQI="));
    assert_eq!(heard.metadata.partition_key_b64_encoded, Some(true));
    assert_eq!(heard.metadata.ordering_key.as_deref(), Some(&b"order"[..]));
    let property = |key: &str, value: &str| KeyValue { key: key.to_owned(), value: value.to_owned() };
    let expected = [
        SingleMessageMetadata {
            properties: vec![property("a", "1"), property("", "ü")],
            partition_key: Some("AQI=".to_owned()),
            partition_key_b64_encoded: Some(true),
            ordering_key: Some(Bytes::from_static(b"order")),
            event_time: Some(7),
            payload_size: 4,
            sequence_id: Some(40),
            ..Default::default()
        },
        SingleMessageMetadata {
            partition_key: Some("gone".to_owned()),
            sequence_id: Some(41),
            null_value: Some(true),
            ..Default::default()
        },
        SingleMessageMetadata { sequence_id: Some(42), ..Default::default() },
    ];
    let seen: Vec<_> = singles(&heard).into_iter().map(|(single, _)| single).collect();
    assert_eq!(seen, expected);
    // Alone, it is a message like those of a producer without batches.
    talk.client.send(id, &rich, talk.now).expect("a send");
    talk.pass(ms(1));
    let alone = talk.hear_send(conn);
    assert_eq!((alone.metadata.num_messages_in_batch, &alone.payload[..]), (None, &b"rich"[..]));
    assert_eq!(alone.metadata.properties, expected[0].properties);
    assert_eq!(alone.metadata.partition_key_b64_encoded, Some(true));
    assert_eq!((alone.metadata.partition_key.as_deref(), alone.metadata.event_time), (Some("AQI="), Some(7)));
}

#[test]
fn p04_what_may_be_a_duplicate_shares_no_batch_with_what_is_none() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer_with(batched());
    for sequence_id in [10, 11, 5, 5, 20, 21] {
        let message = Outgoing {
            payload: Some(Payload::Slice(b"x")),
            sequence_id: Some(sequence_id),
            ..Default::default()
        };
        talk.client.send(id, &message, talk.now).expect("a send");
    }
    talk.pass(ms(1));
    let mut heard = Vec::new();
    while let Some((Command::Send(send), _)) = talk.heard(conn) {
        heard.push((send.sequence_id, send.highest_sequence_id));
    }
    assert_eq!(heard, [(10, Some(11)), (5, None), (5, None), (20, Some(21))]);
}

#[test]
fn p04_batches_go_out_again_as_they_were() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer_with(ProducerConfig { batching_max_messages: 2, ..batched() });
    (0..5).for_each(|n| {
        talk.send(id, &[b'0' + n]);
    });
    let first = [talk.hear_send(conn).frame, talk.hear_send(conn).frame];
    talk.cut(conn);
    // The open one closes meanwhile.
    let conn = talk.come_back();
    let open = hear!(talk, conn, Producer);
    talk.say(conn, producer_success(open.request_id, "p", -1));
    let again = [talk.hear_send(conn).frame, talk.hear_send(conn).frame];
    assert_eq!(first, again);
    assert_eq!(&talk.hear_send(conn).payload[..], b"4");
    for sequence_id in [0, 2, 4] {
        talk.receipt(conn, id, sequence_id);
    }
    let expected = ["3:0:-1:0", "3:0:-1:1", "3:2:-1:0", "3:2:-1:1", "3:4:-1"];
    assert_eq!(ids(&mut talk), (0..).zip(expected.map(str::to_owned)).collect::<Vec<_>>());
}

#[test]
fn p07_messages_of_a_batch_time_out_together_and_each_once() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer_with(ProducerConfig { send_timeout: secs(1), ..batched() });
    talk.send(id, b"a");
    talk.send(id, b"b");
    talk.pass(ms(999));
    assert_eq!(talk.outcome(), None);
    talk.pass(ms(1));
    assert_eq!(talk.outcome(), Some((SendToken(0), Err(ErrorKind::Timeout))));
    assert_eq!(talk.outcome(), Some((SendToken(1), Err(ErrorKind::Timeout))));
    talk.hear_send(conn);
    talk.receipt(conn, id, 0);
    assert_eq!(talk.outcome(), None, "a late receipt does nothing");
}

#[test]
fn p18_the_memory_of_a_batch_is_free_again_on_every_path() {
    for path in ["receipt", "timeout", "close", "abandoned", "error"] {
        let mut talk = Talk::with(pulsewire_proto::ClientConfig { memory_limit: 1000, ..config(BROKER) });
        let (id, conn) = talk.producer_with(ProducerConfig { send_timeout: secs(60), ..batched() });
        while talk.try_send(id, &[0; 100]).is_ok() {}
        assert_eq!(kind(talk.try_send(id, &[0; 100])), ErrorKind::QueueFull);
        talk.pass(ms(if path == "abandoned" { 0 } else { 1 }));
        match path {
            "receipt" => talk.receipt(conn, id, 0),
            "timeout" => talk.pass(secs(60)),
            "error" => {
                let error = CommandSendError {
                    producer_id: id.0,
                    sequence_id: 0,
                    error: ServerError::CHECKSUM_ERROR,
                    message: String::new(),
                };
                talk.say(conn, error);
            }
            _ => {
                talk.client.close_producer(id, talk.now);
                talk.cut(conn);
            }
        }
        assert_eq!(talk.event(), Some(Event::Writable), "{path}");
        let mut outcomes = 0;
        while talk.outcome().is_some() {
            outcomes += 1;
        }
        assert!(outcomes > 5, "{path}: all of them have ended");
    }
}

#[test]
fn p09_flush_sends_the_batch_and_waits_for_all_receipts() {
    let mut talk = Talk::new();
    let config = ProducerConfig { batching_max_publish_delay: secs(10), ..batched() };
    let (id, conn) = talk.producer_with(config);
    let nothing = talk.client.flush(id, talk.now);
    assert_eq!(talk.ended(nothing), Ok(Output::Done));
    talk.send(id, b"a");
    talk.send(id, b"b");
    let flush = talk.client.flush(id, talk.now);
    assert_eq!(payloads(&talk.hear_send(conn)), ["a", "b"]);
    talk.send(id, b"later");
    assert_eq!(talk.ended_yet(flush), None);
    talk.receipt(conn, id, 0);
    assert_eq!(talk.ended(flush), Ok(Output::Done));
    talk.quiet(conn);
}

#[test]
fn p09_flush_tells_of_a_failure_and_ends_with_its_producer() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer_with(ProducerConfig { send_timeout: secs(1), ..batched() });
    talk.send(id, b"a");
    let flush = talk.client.flush(id, talk.now);
    talk.pass(secs(1));
    assert_eq!(kind(talk.ended(flush)), ErrorKind::Timeout);
    talk.send(id, b"b");
    let flush = talk.client.flush(id, talk.now);
    talk.client.close_producer(id, talk.now);
    talk.cut(conn);
    assert_eq!(kind(talk.ended(flush)), ErrorKind::AlreadyClosed);
    let flush = talk.client.flush(id, talk.now);
    assert_eq!(kind(talk.ended(flush)), ErrorKind::AlreadyClosed);
}

#[test]
fn p10_close_sends_the_open_batch_first() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer_with(batched());
    talk.send(id, b"a");
    talk.send(id, b"b");
    talk.client.close_producer(id, talk.now);
    assert_eq!(payloads(&talk.hear_send(conn)), ["a", "b"]);
    hear!(talk, conn, CloseProducer);
    talk.receipt(conn, id, 0);
    assert_eq!(ids(&mut talk).len(), 2);
}

#[test]
fn p04_a_message_that_is_too_large_fails_alone_and_the_batch_before_it_goes_out() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer_with(batched());
    talk.send(id, b"a");
    assert_eq!(kind(talk.try_send(id, &vec![0; 6 << 20])), ErrorKind::MessageTooLarge);
    assert_eq!(&talk.hear_send(conn).payload[..], b"a");
    talk.receipt(conn, id, 0);
    talk.send(id, b"b");
    talk.pass(ms(1));
    assert_eq!(talk.hear_send(conn).command.sequence_id, 1);
    assert_eq!(ids(&mut talk).len(), 1);
}

#[test]
fn p04_options_of_batches_are_checked() {
    let mut talk = Talk::new();
    let config = ProducerConfig {
        batching_max_messages: 0,
        batching_max_bytes: 0,
        batching_max_publish_delay: ms(0),
        ..batched()
    };
    let error = talk.client.create_producer(config, talk.now).expect_err("out of range");
    for name in ["batching_max_messages", "batching_max_bytes", "batching_max_publish_delay"] {
        assert!(error.to_string().contains(name), "{error}");
    }
}
