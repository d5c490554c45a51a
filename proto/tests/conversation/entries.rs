//! What a producer makes of messages: packed entries, chunks, batches by key.

use bytes::Bytes;
use pulsewire_proto::wire::batch::BatchReader;
use pulsewire_proto::wire::*;
use pulsewire_proto::{
    BatcherBuilder, ConnId, Deliver, ErrorKind, FirstChunk, Key, MessageId, NO_REPLICATION, Outgoing,
    Payload, ProducerConfig, ProducerId, SendToken,
};

use crate::talk::*;

const CODECS: [CompressionType; 4] =
    [CompressionType::LZ4, CompressionType::ZLIB, CompressionType::ZSTD, CompressionType::SNAPPY];

fn packed(codec: CompressionType, batching: bool) -> ProducerConfig {
    ProducerConfig { compression_type: codec, batching, ..ProducerConfig::new(topic()) }
}

fn chunked() -> ProducerConfig {
    ProducerConfig { chunking_enabled: true, chunk_max_message_size: 10, ..unbatched() }
}

/// The payload as another implementation of the codec reads it.
fn unpacked(heard: &Heard) -> Vec<u8> {
    let size = heard.metadata.uncompressed_size.expect("a size") as usize;
    let data = &heard.payload;
    let plain = match heard.metadata.compression {
        Some(CompressionType::LZ4) => lz4_flex::block::decompress(data, size).expect("LZ4"),
        Some(CompressionType::ZLIB) => miniz_oxide::inflate::decompress_to_vec_zlib(data).expect("ZLIB"),
        Some(CompressionType::ZSTD) => {
            let mut out = Vec::with_capacity(size);
            ruzstd::decoding::FrameDecoder::new().decode_all_to_vec(data, &mut out).expect("ZSTD");
            out
        }
        Some(CompressionType::SNAPPY) => snap::raw::Decoder::new().decompress_vec(data).expect("SNAPPY"),
        other => panic!("{other:?}"),
    };
    assert_eq!(plain.len(), size);
    plain
}

fn singles(batch: &[u8], count: i32) -> Vec<(SingleMessageMetadata, Bytes)> {
    let mut reader = BatchReader::new();
    let batch = Bytes::copy_from_slice(batch);
    let messages = (0..count).map(|_| {
        let slot = reader.next(&batch).expect("a message of the batch");
        let metadata = batch.slice(slot.metadata_start as usize..slot.payload_start as usize);
        let payload = batch.slice(slot.payload_start as usize..slot.payload_end as usize);
        (SingleMessageMetadata::decode(&metadata).expect("metadata"), payload)
    });
    messages.collect()
}

fn text(payload: &str) -> Outgoing<'_> {
    Outgoing { payload: Some(Payload::Slice(payload.as_bytes())), ..Default::default() }
}

fn noise(len: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(11);
    (0..len).map(|_| random.u8(..)).collect()
}

fn outcomes(talk: &mut Talk) -> Vec<(u64, Result<MessageId, ErrorKind>)> {
    std::iter::from_fn(|| talk.outcome()).map(|(token, result)| (token.0, result)).collect()
}

fn reopen(talk: &mut Talk, max_message_size: i32) -> ConnId {
    talk.pass(ms(100));
    let conn = talk.accept_with(BROKER, max_message_size);
    talk.locate_again(conn);
    let open = hear!(talk, conn, Producer);
    talk.say(conn, producer_success(open.request_id, "p", -1));
    conn
}

#[test]
fn p03_a_closed_batch_is_compressed_once_and_never_each_message() {
    for codec in CODECS {
        let mut talk = Talk::new();
        let (id, conn) = talk.producer_with(packed(codec, true));
        for round in 0..3u64 {
            let payloads: Vec<String> = (0..50).map(|n| format!("message {n} of round {round}")).collect();
            for payload in &payloads {
                talk.send(id, payload.as_bytes());
            }
            talk.pass(ms(1));
            let heard = talk.hear_send(conn);
            assert_eq!(heard.metadata.compression, Some(codec));
            assert_eq!(heard.metadata.num_messages_in_batch, Some(50));
            let read = singles(&unpacked(&heard), 50);
            assert!(read.iter().map(|(_, payload)| payload).eq(payloads.iter()), "{codec:?}");
            assert_eq!(read[7].0.sequence_id, Some(round * 50 + 7));
            assert!(heard.payload.len() < 1000, "{codec:?}: {}", heard.payload.len());
            talk.receipt(conn, id, round * 50);
            assert_eq!(outcomes(&mut talk).len(), 50);
        }
    }
}

#[test]
fn p03_a_single_message_is_packed_as_java_does() {
    for codec in CODECS {
        let mut talk = Talk::new();
        let (id, conn) = talk.producer_with(packed(codec, false));
        for payload in [&b"x"[..], &[7; 300_000], b""] {
            talk.send(id, payload);
            let heard = talk.hear_send(conn);
            if payload.is_empty() {
                assert_eq!((heard.metadata.compression, heard.payload.len()), (None, 0));
            } else {
                assert_eq!(unpacked(&heard), payload, "{codec:?}");
            }
        }
        // A batch of one is a single message.
        let (id, conn) = talk.producer_with(packed(codec, true));
        talk.send(id, b"alone");
        talk.pass(ms(1));
        let heard = talk.hear_send(conn);
        assert_eq!(heard.metadata.num_messages_in_batch, None);
        assert_eq!(unpacked(&heard), b"alone");
    }
}

#[test]
fn p03_oversized_after_packing_fails_that_send_only() {
    for codec in CODECS {
        let mut talk = Talk::new();
        let (id, op) = talk.client.create_producer(packed(codec, false), talk.now).expect("options");
        let conn = talk.accept_with(BROKER, 1000);
        talk.locate(conn);
        let open = hear!(talk, conn, Producer);
        talk.say(conn, producer_success(open.request_id, "p", -1));
        talk.ended(op).expect("a producer");
        talk.send(id, b"before");
        assert_eq!(kind(talk.try_send(id, &noise(1001))), ErrorKind::MessageTooLarge, "{codec:?}");
        // It does not get smaller, but fits as it is.
        talk.send(id, &noise(1000));
        // What brokers limit is the packed size.
        talk.send(id, &[1; 5000]);
        assert_eq!(unpacked(&talk.hear_send(conn)), b"before");
        let raw = talk.hear_send(conn);
        assert_eq!((raw.metadata.compression, raw.metadata.uncompressed_size), (None, None), "{codec:?}");
        assert_eq!(raw.payload, noise(1000));
        let small = talk.hear_send(conn);
        assert_eq!(small.command.sequence_id, 2, "the one that failed has no sequence id");
        assert_eq!(unpacked(&small), vec![1; 5000]);
        assert!(talk.is_open(conn));
    }
}

#[test]
fn p04_messages_that_cannot_share_a_batch_do_not() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer_with(ProducerConfig::new(topic()));
    let here = Outgoing { replicate_to: &[NO_REPLICATION], ..text("here") };
    let there = Outgoing { replicate_to: &["a", "b"], ..text("there") };
    let later = Outgoing { deliver: Some(Deliver::At(1_800_000_000_000)), ..text("later") };
    let after = Outgoing { deliver: Some(Deliver::After(secs(5))), ..text("after") };
    let source = MessageId { ledger_id: 77, entry_id: 1 << 40, ..MessageId::EARLIEST };
    let shadow = Outgoing { source_id: Some(&source), ..text("shadow") };
    for message in
        [text("1"), text("2"), here, here, there, text("3"), later, text("4"), after, shadow, text("5")]
    {
        talk.client.send(id, &message, talk.now).expect("a send");
    }
    talk.pass(ms(1));
    let mut heard = Vec::new();
    while let Some((Command::Send(command), frame)) = talk.heard(conn) {
        let entry = pulsewire_proto::wire::entry::Entry::parse(&frame.entry).expect("an entry");
        let metadata = MessageMetadata::decode(&entry.metadata).expect("metadata");
        let source = command.message_id.map(|id| (id.ledger_id, id.entry_id));
        heard.push((
            metadata.num_messages_in_batch.unwrap_or(0),
            metadata.replicate_to,
            metadata.deliver_at_time,
            source,
        ));
    }
    let clusters = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let plain = (0, Vec::new(), None, None);
    let expected = [
        (2, Vec::new(), None, None),
        (2, clusters(&["__local__"]), None, None),
        (0, clusters(&["a", "b"]), None, None),
        plain.clone(),
        (0, Vec::new(), Some(1_800_000_000_000), None),
        plain.clone(),
        (0, Vec::new(), Some(1_700_000_005_000), None),
        (0, Vec::new(), None, Some((77, 1 << 40))),
        plain,
    ];
    assert_eq!(heard, expected);
}

fn by_key() -> ProducerConfig {
    ProducerConfig { batcher_builder: BatcherBuilder::KeyBased, ..ProducerConfig::new(topic()) }
}

fn send_keyed(talk: &mut Talk, id: ProducerId, keys: &[&'static str]) -> Vec<SendToken> {
    let send = |key: &&'static str| {
        let key = (!key.is_empty()).then_some(Key::Text(key));
        let message = Outgoing { key, ..text("x") };
        talk.client.send(id, &message, talk.now).expect("a send")
    };
    keys.iter().map(send).collect()
}

#[test]
fn p04_key_based_batches_hold_one_key_and_go_by_their_last_sequence_ids() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer_with(by_key());
    let tokens = send_keyed(&mut talk, id, &["a", "b", "b", "a", "", "c"]);
    assert_eq!(tokens, [0, 1, 2, 3, 4, 5].map(SendToken));
    talk.pass(ms(1));
    let mut heard = Vec::new();
    for _ in 0..4 {
        let h = talk.hear_send(conn);
        heard.push((h.metadata.partition_key, h.command.sequence_id, h.metadata.num_messages_in_batch));
    }
    let key = |key: &str| Some(key.to_owned());
    let expected = [(key("b"), 2, Some(2)), (key("a"), 3, Some(2)), (None, 4, None), (key("c"), 5, None)];
    assert_eq!(heard, expected);
    talk.quiet(conn);
    for sequence_id in 2..6 {
        talk.receipt(conn, id, sequence_id);
    }
    let ended: Vec<_> = outcomes(&mut talk)
        .into_iter()
        .map(|(token, result)| {
            let id = result.expect("sent");
            (token, id.entry_id, id.batch_index, id.batch_size)
        })
        .collect();
    assert_eq!(ended, [(1, 2, 0, 2), (2, 2, 1, 2), (0, 3, 0, 2), (3, 3, 1, 2), (4, 4, -1, 0), (5, 5, -1, 0)]);
    assert_eq!(send_keyed(&mut talk, id, &["a"]), [SendToken(6)]);
}

#[test]
fn p04_key_based_batches_are_counted_together_and_end_once() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer_with(ProducerConfig { batching_max_messages: 3, ..by_key() });
    send_keyed(&mut talk, id, &["a", "b", "a", "c", "d", "c", "e"]);
    for expected in [1, 2, 4, 5] {
        assert_eq!(talk.hear_send(conn).command.sequence_id, expected);
    }
    talk.quiet(conn);
    talk.receipt(conn, id, 1);
    assert_eq!(outcomes(&mut talk).into_iter().map(|(token, _)| token).collect::<Vec<_>>(), [1]);
    let flush = talk.client.flush(id, talk.now);
    assert_eq!(talk.hear_send(conn).command.sequence_id, 6);
    talk.cut(conn);
    let conn = reopen(&mut talk, DEFAULT_MAX_MESSAGE_SIZE as i32);
    for expected in [2, 4, 5, 6] {
        assert_eq!(talk.hear_send(conn).command.sequence_id, expected);
    }
    talk.receipt(conn, id, 2);
    assert_eq!(outcomes(&mut talk).into_iter().map(|(token, _)| token).collect::<Vec<_>>(), [0, 2]);
    talk.pass(secs(31));
    let failed: Vec<_> = outcomes(&mut talk);
    let tokens: Vec<_> = failed.iter().map(|(token, _)| *token).collect();
    assert_eq!(tokens, [4, 3, 5, 6]);
    assert!(failed.iter().all(|(_, result)| *result == Err(ErrorKind::Timeout)));
    assert_eq!(kind(talk.ended(flush)), ErrorKind::Timeout);
}

fn chunk(heard: &Heard) -> (u64, Option<i32>, Option<i32>, Bytes) {
    let m = &heard.metadata;
    assert_eq!(heard.command.is_chunk, Some(true));
    assert_eq!(m.uuid, Some(format!("p-{}", m.sequence_id)));
    (m.sequence_id, m.chunk_id, m.num_chunks_from_msg, heard.payload.clone())
}

fn chunk_id(first: u64, last: u64) -> MessageId {
    MessageId {
        ledger_id: 3,
        entry_id: last,
        partition: -1,
        batch_index: -1,
        batch_size: 0,
        first_chunk: Some(FirstChunk { ledger_id: 3, entry_id: first }),
    }
}

/// A receipt for a chunk, which is stored as `entry_id`.
fn stored(talk: &mut Talk, conn: ConnId, id: ProducerId, sequence_id: u64, entry_id: u64) {
    let mut receipt = receipt(id, sequence_id);
    receipt.message_id = Some(MessageIdData { ledger_id: 3, entry_id, ..Default::default() });
    talk.say(conn, receipt);
}

#[test]
fn p05_all_chunks_are_one_send_that_ends_once_with_both_ids() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer_with(chunked());
    let message = Outgoing {
        key: Some(Key::Text("k")),
        properties: &[("a", "1")],
        ..text("0123456789abcdefghijABCDE")
    };
    assert_eq!(talk.client.send(id, &message, talk.now), Ok(SendToken(0)));
    assert_eq!(talk.send(id, b"small"), SendToken(1));
    for (n, expected) in ["0123456789", "abcdefghij", "ABCDE"].into_iter().enumerate() {
        let heard = talk.hear_send(conn);
        assert_eq!(chunk(&heard), (0, Some(n as i32), Some(3), Bytes::from(expected)));
        assert_eq!(heard.metadata.total_chunk_msg_size, Some(25));
        assert_eq!(heard.metadata.partition_key.as_deref(), Some("k"));
        assert_eq!(heard.metadata.properties.len(), 1);
    }
    let small = talk.hear_send(conn);
    assert_eq!((small.metadata.uuid, small.command.is_chunk, small.command.sequence_id), (None, None, 1));
    let flush = talk.client.flush(id, talk.now);
    for entry in [4, 7] {
        stored(&mut talk, conn, id, 0, entry);
        assert_eq!(talk.outcome(), None);
    }
    stored(&mut talk, conn, id, 0, 9);
    assert_eq!(talk.outcome(), Some((SendToken(0), Ok(chunk_id(4, 9)))));
    assert_eq!(talk.ended_yet(flush), None);
    stored(&mut talk, conn, id, 1, 10);
    assert!(talk.ended_yet(flush).is_some());
    assert_eq!(outcomes(&mut talk).len(), 1);
}

#[test]
fn p05_a_message_is_packed_first_and_cut_then() {
    for codec in CODECS {
        let mut talk = Talk::new();
        let config = ProducerConfig { chunk_max_message_size: 1000, compression_type: codec, ..chunked() };
        let (id, conn) = talk.producer_with(config);
        let payload = [noise(3500), vec![0; 50_000]].concat();
        talk.send(id, &payload);
        talk.send(id, &[5; 9000]);
        let mut whole = talk.hear_send(conn);
        let mut all = whole.payload.to_vec();
        let count = whole.metadata.num_chunks_from_msg.expect("chunks");
        assert!((4..=7).contains(&count), "{codec:?}: {count}");
        for n in 1..count {
            let heard = talk.hear_send(conn);
            assert_eq!((heard.metadata.chunk_id, heard.metadata.compression), (Some(n), Some(codec)));
            assert!(heard.payload.len() <= 1000);
            all.extend_from_slice(&heard.payload);
        }
        assert_eq!(whole.metadata.total_chunk_msg_size, Some(all.len() as i32));
        whole.payload = all.into();
        assert_eq!(unpacked(&whole), payload, "{codec:?}");
        let one = talk.hear_send(conn);
        assert_eq!((one.metadata.num_chunks_from_msg, unpacked(&one)), (None, vec![5; 9000]));
    }
}

#[test]
fn p05_a_link_lost_between_chunks_sends_the_rest_again() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer_with(chunked());
    talk.send(id, &[b'x'; 35]);
    talk.send(id, b"next");
    stored(&mut talk, conn, id, 0, 4);
    stored(&mut talk, conn, id, 0, 5);
    talk.cut(conn);
    assert_eq!(talk.outcome(), None);
    let conn = reopen(&mut talk, DEFAULT_MAX_MESSAGE_SIZE as i32);
    for n in [2, 3] {
        assert_eq!(chunk(&talk.hear_send(conn)).1, Some(n));
    }
    assert_eq!(talk.hear_send(conn).payload, "next");
    stored(&mut talk, conn, id, 0, 8);
    stored(&mut talk, conn, id, 0, 9);
    assert_eq!(talk.outcome(), Some((SendToken(0), Ok(chunk_id(4, 9)))));
    stored(&mut talk, conn, id, 1, 10);
    assert_eq!(outcomes(&mut talk).len(), 1);
}

#[test]
fn p05_a_failed_chunk_fails_its_message_once_and_no_other() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer_with(chunked());
    talk.send(id, &[b'x'; 35]);
    talk.send(id, b"next");
    stored(&mut talk, conn, id, 0, 4);
    let refused = CommandSendError {
        producer_id: id.0,
        sequence_id: 0,
        error: ServerError::CHECKSUM_ERROR,
        message: "damaged".to_owned(),
    };
    talk.say(conn, refused);
    let (token, result) = talk.outcome().expect("an outcome");
    assert_eq!((token, result), (SendToken(0), Err(ErrorKind::Broker(ServerError::CHECKSUM_ERROR))));
    // Receipts of chunks that were under way are of no one.
    stored(&mut talk, conn, id, 0, 6);
    stored(&mut talk, conn, id, 0, 7);
    assert_eq!(talk.outcome(), None);
    stored(&mut talk, conn, id, 1, 8);
    assert_eq!(outcomes(&mut talk).iter().map(|(token, _)| *token).collect::<Vec<_>>(), [1]);
    assert!(talk.is_open(conn));
}

#[test]
fn p05_a_message_that_times_out_takes_all_its_chunks_along() {
    let mut talk = Talk::with(pulsewire_proto::ClientConfig { memory_limit: 500, ..config(BROKER) });
    let (id, conn) = talk.producer_with(chunked());
    talk.send(id, &[b'x'; 35]);
    stored(&mut talk, conn, id, 0, 4);
    assert_eq!(kind(talk.try_send(id, &[1; 400])), ErrorKind::QueueFull);
    talk.pass(secs(30));
    assert_eq!(outcomes(&mut talk), [(0, Err(ErrorKind::Timeout))]);
    talk.send(id, &[1; 400]);
    talk.client.close_producer(id, talk.now);
    talk.pass(secs(31));
    assert_eq!(outcomes(&mut talk).len(), 1);
}

#[test]
fn p05_chunks_that_a_smaller_limit_forbids_fail_as_one() {
    let mut talk = Talk::new();
    let (id, conn) = talk.producer_with(ProducerConfig { chunk_max_message_size: 0, ..chunked() });
    talk.send(id, &noise(6 * 1024 * 1024));
    talk.send(id, b"small");
    talk.cut(conn);
    let conn = reopen(&mut talk, 1024 * 1024);
    assert_eq!(outcomes(&mut talk), [(0, Err(ErrorKind::MessageTooLarge))]);
    assert_eq!(talk.hear_send(conn).payload, "small");
    // What comes next is cut as this broker wants it.
    talk.send(id, &noise(3 * 1024 * 1024));
    assert_eq!(talk.hear_send(conn).metadata.num_chunks_from_msg, Some(4));
}

#[test]
fn p05_chunking_needs_its_own_options() {
    let config = ProducerConfig { batching: true, ..chunked() };
    assert_eq!(kind(config.validate()), ErrorKind::InvalidOption);
    let unknown = ProducerConfig { compression_type: CompressionType(9), ..unbatched() };
    assert_eq!(kind(unknown.validate()), ErrorKind::InvalidOption);
}

#[test]
fn p19_the_initial_subscription_is_named() {
    let mut talk = Talk::new();
    let config = ProducerConfig { initial_subscription_name: Some("first".to_owned()), ..unbatched() };
    talk.client.create_producer(config, talk.now).expect("options");
    let conn = talk.accept(BROKER);
    talk.locate(conn);
    assert_eq!(hear!(talk, conn, Producer).initial_subscription_name.as_deref(), Some("first"));
}
