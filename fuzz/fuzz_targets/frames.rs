//! Any bytes, in any pieces, through the decoders of frames, commands, entries and batches. Nothing
//! panics, pieces make no difference, and what was decoded is stable: decoding what was encoded gives
//! the same bytes again.
//!
//! Input: the first byte seeds the sizes of the pieces, the rest is the stream.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use pulsewire_proto::wire::batch::{self, BatchReader};
use pulsewire_proto::wire::entry::{Entry, Unpack, encode_broker_metadata, encode_entry};
use pulsewire_proto::wire::frame::{FrameDecoder, RawFrame, encode_command};
use pulsewire_proto::wire::{
    Command, DecodeError, MessageMetadata, SingleMessageMetadata, command_number, hot,
};

const LIMIT: usize = 64 * 1024;

fuzz_target!(|data: &[u8]| {
    let Some((&seed, stream)) = data.split_first() else { return };
    let whole = frames([stream]);
    let split = frames(pieces(seed, stream));
    assert_eq!(whole, split, "pieces make a difference");
    for frame in whole.0 {
        command(&frame.command);
        entry(&frame.entry);
    }
    // The decoders behind the frames, without a frame around them.
    command(&Bytes::copy_from_slice(stream));
    entry(&Bytes::copy_from_slice(stream));
    messages(&Bytes::copy_from_slice(stream));
});

/// The stream in pieces of sizes that follow from `seed`.
fn pieces(seed: u8, mut stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut state = u32::from(seed) | 1;
    std::iter::from_fn(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let size = (1 + (state >> 24) as usize % (1 + seed as usize)).min(stream.len());
        let (piece, rest) = stream.split_at(size);
        stream = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

fn frames<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<RawFrame>, Option<DecodeError>) {
    let mut decoder = FrameDecoder::new(LIMIT);
    let mut frames = Vec::new();
    for piece in pieces {
        decoder.push(Bytes::copy_from_slice(piece));
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

fn command(bytes: &Bytes) {
    let number = command_number(bytes);
    // The hot readers are as strict as the full one, or less.
    let (receipt, delivery) = (hot::read_receipt(bytes), hot::read_delivery(bytes));
    let Ok(command) = Command::decode(bytes) else { return };
    assert!(number.is_ok());
    match &command {
        Command::SendReceipt(full) => {
            let receipt = receipt.expect("a receipt");
            assert_eq!((receipt.producer_id, receipt.sequence_id), (full.producer_id, full.sequence_id));
            let at = receipt.position.map(|p| (p.ledger, p.entry));
            assert_eq!(at, full.message_id.as_ref().map(|id| (id.ledger_id, id.entry_id)));
        }
        Command::Message(full) => {
            let delivery = delivery.expect("a delivery");
            assert_eq!(delivery.consumer_id, full.consumer_id);
            assert_eq!(delivery.redelivery_count, full.redelivery_count.unwrap_or(0));
        }
        _ => {}
    }
    let mut once = BytesMut::new();
    command.encode(&mut once);
    assert_eq!(once.len(), command.encoded_len());
    let again = Command::decode(&once.clone().freeze()).expect("what was encoded can be decoded");
    let mut twice = BytesMut::new();
    again.encode(&mut twice);
    assert_eq!(once, twice);
    let mut framed = BytesMut::new();
    encode_command(&command, &mut framed);
    assert_eq!(framed.len(), once.len() + 8);
}

fn entry(bytes: &Bytes) {
    let Ok(entry) = Entry::parse(bytes) else { return };
    let unpack = Unpack::read(&entry.metadata);
    messages(&entry.payload);
    let Ok(metadata) = MessageMetadata::decode(&entry.metadata) else { return };
    if let Ok(unpack) = unpack {
        assert_eq!(unpack.batch, metadata.num_messages_in_batch);
    }
    let mut once = BytesMut::new();
    if let Some(broker) = &entry.broker {
        encode_broker_metadata(broker, &mut once);
    }
    encode_entry(&metadata, &entry.payload, &mut once);
    let again = Entry::parse(&once.freeze()).expect("an entry");
    assert_eq!((again.broker, again.payload), (entry.broker, entry.payload));
    let mut twice = BytesMut::new();
    MessageMetadata::decode(&again.metadata).expect("metadata").encode(&mut twice);
    assert_eq!(twice, again.metadata);
}

/// Walks bytes as a batch; each message that is found is written and found again.
fn messages(bytes: &Bytes) {
    let mut reader = BatchReader::new();
    let mut end = 0;
    while let Ok(slot) = reader.next(bytes) {
        assert!(slot.metadata_start as usize >= end && slot.payload_start >= slot.metadata_start);
        end = slot.payload_end as usize;
        assert!(slot.payload_end >= slot.payload_start && end <= bytes.len());
        let metadata = bytes.slice(slot.metadata_start as usize..slot.payload_start as usize);
        let payload = bytes.slice(slot.payload_start as usize..end);
        let Ok(mut metadata) = SingleMessageMetadata::decode(&metadata) else { continue };
        let mut again = BytesMut::new();
        batch::push(&mut again, &mut metadata, &payload);
        let found = BatchReader::new().next(&again).expect("a message");
        assert_eq!(&again[found.payload_start as usize..found.payload_end as usize], &payload[..]);
        assert_eq!((found.compacted_out, found.null_value), (slot.compacted_out, slot.null_value));
    }
}
