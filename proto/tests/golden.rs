//! Our bytes against those that Java's own classes make: see `tests/golden/README.md`.

use bytes::{Bytes, BytesMut};
use pulsewire_proto::wire::frame::{FrameDecoder, RawFrame, encode_command, encode_with_entry};
use pulsewire_proto::wire::*;
use serde_json::Value;

type Codec = fn(&Bytes) -> Result<Bytes, DecodeError>;

macro_rules! messages {
    ($($name:ident),* $(,)?) => {
        const MESSAGES: &[(&str, &[FieldInfo], Codec)] = &[$((
            stringify!($name),
            $name::FIELDS,
            |bytes| {
                let message = $name::decode(bytes)?;
                let mut out = BytesMut::new();
                message.encode(&mut out);
                assert_eq!(out.len(), message.encoded_len(), stringify!($name));
                Ok(out.freeze())
            },
        ),)*];
    };
}

messages! {
    AuthData,
    BrokerEntryMetadata,
    CommandAck,
    CommandAckResponse,
    CommandActiveConsumerChange,
    CommandAddPartitionToTxn,
    CommandAddPartitionToTxnResponse,
    CommandAddSubscriptionToTxn,
    CommandAddSubscriptionToTxnResponse,
    CommandAuthChallenge,
    CommandAuthResponse,
    CommandCloseConsumer,
    CommandCloseProducer,
    CommandConnect,
    CommandConnected,
    CommandConsumerStats,
    CommandConsumerStatsResponse,
    CommandEndTxn,
    CommandEndTxnOnPartition,
    CommandEndTxnOnPartitionResponse,
    CommandEndTxnOnSubscription,
    CommandEndTxnOnSubscriptionResponse,
    CommandEndTxnResponse,
    CommandError,
    CommandFlow,
    CommandGetLastMessageId,
    CommandGetLastMessageIdResponse,
    CommandGetOrCreateSchema,
    CommandGetOrCreateSchemaResponse,
    CommandGetSchema,
    CommandGetSchemaResponse,
    CommandGetTopicsOfNamespace,
    CommandGetTopicsOfNamespaceResponse,
    CommandLookupTopic,
    CommandLookupTopicResponse,
    CommandMessage,
    CommandNewTxn,
    CommandNewTxnResponse,
    CommandPartitionedTopicMetadata,
    CommandPartitionedTopicMetadataResponse,
    CommandPing,
    CommandPong,
    CommandProducer,
    CommandProducerSuccess,
    CommandReachedEndOfTopic,
    CommandRedeliverUnacknowledgedMessages,
    CommandScalableTopicAssignmentUpdate,
    CommandScalableTopicClose,
    CommandScalableTopicLookup,
    CommandScalableTopicSubscribe,
    CommandScalableTopicSubscribeResponse,
    CommandScalableTopicUpdate,
    CommandSeek,
    CommandSend,
    CommandSendError,
    CommandSendReceipt,
    CommandSubscribe,
    CommandSuccess,
    CommandTcClientConnectRequest,
    CommandTcClientConnectResponse,
    CommandTopicMigrated,
    CommandUnsubscribe,
    CommandWatchScalableTopics,
    CommandWatchScalableTopicsClose,
    CommandWatchScalableTopicsUpdate,
    CommandWatchTcAssignments,
    CommandWatchTcAssignmentsClose,
    CommandWatchTcAssignmentsUpdate,
    CommandWatchTopicList,
    CommandWatchTopicListClose,
    CommandWatchTopicListSuccess,
    CommandWatchTopicUpdate,
    EncryptionKeys,
    FeatureFlags,
    IntRange,
    KeyLongValue,
    KeySharedMeta,
    KeyValue,
    MessageIdData,
    MessageMetadata,
    ScalableAssignedSegment,
    ScalableConsumerAssignment,
    ScalableTopicDAG,
    ScalableTopicsDiff,
    ScalableTopicsSnapshot,
    Schema,
    SegmentBrokerAddress,
    SegmentInfoProto,
    SingleMessageMetadata,
    Subscription,
    TcAssignment,
    TcAssignmentsSnapshot,
}

fn load(name: &str) -> Value {
    let path = format!("{}/../tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn vectors(kind: &str) -> Vec<(String, Value, Bytes)> {
    let found: Vec<_> = load("vectors.json")
        .as_array()
        .expect("an array")
        .iter()
        .filter(|v| v["kind"] == kind)
        .map(|v| (text(&v["name"]), v.clone(), unhex(&text(&v["hex"]))))
        .collect();
    assert!(!found.is_empty(), "no vectors of kind {kind}");
    found
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

fn unhex(hex: &str) -> Bytes {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).expect("hex")).collect()
}

/// Written by brokers for each other and never shown to clients (`PulsarMarkers`).
fn of_markers(name: &str) -> bool {
    ["ClusterMessageId", "Markers", "ReplicatedSubscriptions"].iter().any(|m| name.starts_with(m))
}

fn same_kind(ours: &FieldInfo, theirs: &str) -> bool {
    match theirs {
        "string" => ours.kind == "String",
        "bytes" => ours.kind == "Bytes",
        "uint64" => ours.kind == "u64",
        "int64" => ours.kind == "i64",
        "uint32" => ours.kind == "u32",
        "int32" => ours.kind == "i32",
        "double" => ours.kind == "f64",
        "bool" => ours.kind == "bool",
        other => match other.split_once(' ') {
            Some(("message", name)) => ours.kind.trim_start_matches("Box<").trim_end_matches('>') == name,
            // The values of every enum are compared below.
            Some(("enum", _)) => true,
            _ => false,
        },
    }
}

#[test]
fn w02_every_message_is_defined_with_every_field() {
    let schema = load("schema.json");
    let mut wrong = Vec::new();
    for (name, shape) in schema["messages"].as_object().expect("messages") {
        if name == "BaseCommand" || of_markers(name) {
            continue;
        }
        let Some((_, fields, _)) = MESSAGES.iter().find(|(n, ..)| n == name) else {
            wrong.push(format!("{name} is missing"));
            continue;
        };
        let theirs = shape["fields"].as_array().expect("fields");
        for field in theirs {
            let number = field["number"].as_u64().expect("a number");
            let Some(ours) = fields.iter().find(|f| u64::from(f.number) == number) else {
                wrong.push(format!("{name}.{number} is missing"));
                continue;
            };
            let names = [&field["name"], &field["newer_name"]].map(|n| n.as_str().unwrap_or(""));
            let same = names.contains(&ours.name.trim_start_matches("r#")) && ours.label == field["label"];
            if !same || !same_kind(ours, &text(&field["type"])) {
                wrong.push(format!("{name}.{number}: {ours:?} is not {field}"));
            }
        }
    }
    for value in schema["enums"]["BaseCommand.Type"]["values"].as_array().expect("values") {
        let number = value["number"].as_i64().expect("a number");
        if !Command::KNOWN.iter().any(|(known, _)| i64::from(*known) == number) {
            wrong.push(format!("command {} is missing", value["name"]));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn w02_every_enum_has_every_value() {
    let schema = load("schema.json");
    let ours: &[(&str, &[(i32, &str)])] = &[
        ("Schema.Type", SchemaType::KNOWN),
        ("CompressionType", CompressionType::KNOWN),
        ("ProducerAccessMode", ProducerAccessMode::KNOWN),
        ("ServerError", ServerError::KNOWN),
        ("AuthMethod", AuthMethod::KNOWN),
        ("KeySharedMode", KeySharedMode::KNOWN),
        ("CommandSubscribe.SubType", SubType::KNOWN),
        ("CommandSubscribe.InitialPosition", InitialPosition::KNOWN),
        ("CommandPartitionedTopicMetadataResponse.LookupType", PartitionedMetadataResult::KNOWN),
        ("CommandLookupTopicResponse.LookupType", LookupResult::KNOWN),
        ("CommandAck.AckType", AckType::KNOWN),
        ("CommandAck.ValidationError", ValidationError::KNOWN),
        ("CommandTopicMigrated.ResourceType", ResourceType::KNOWN),
        ("CommandGetTopicsOfNamespace.Mode", TopicsMode::KNOWN),
        ("SegmentState", SegmentState::KNOWN),
        ("ScalableConsumerType", ScalableConsumerType::KNOWN),
        ("TxnAction", TxnAction::KNOWN),
    ];
    let plain = |name: &str| name.replace('_', "").to_lowercase();
    for (name, known) in ours {
        let theirs = schema["enums"][name]["values"].as_array().unwrap_or_else(|| panic!("{name}"));
        assert_eq!(known.len(), theirs.len(), "{name}");
        for value in theirs {
            let number = value["number"].as_i64().expect("a number");
            let ours = known.iter().find(|(n, _)| i64::from(*n) == number);
            assert_eq!(ours.map(|(_, n)| plain(n)), Some(plain(&text(&value["name"]))), "{name}");
        }
    }
}

#[test]
fn w02_every_message_is_written_as_java_writes_it() {
    let mut checked = 0;
    for (name, vector, bytes) in vectors("message") {
        let message = text(&vector["message"]);
        if of_markers(&message) {
            continue;
        }
        let again = if message == "BaseCommand" {
            let command = Command::decode(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
            let mut out = BytesMut::new();
            command.encode(&mut out);
            assert_eq!(out.len(), command.encoded_len(), "{name}");
            assert_eq!(command_number(&bytes), Ok(command.number()), "{name}");
            out.freeze()
        } else {
            let (_, _, codec) =
                MESSAGES.iter().find(|(n, ..)| *n == message).unwrap_or_else(|| panic!("{name}"));
            codec(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"))
        };
        if vector["decode_only"] != true {
            assert_eq!(again, bytes, "{name}: {}", vector["fields"]);
        }
        checked += 1;
    }
    assert!(checked > 700, "only {checked} vectors");
}

fn frame(bytes: &Bytes) -> RawFrame {
    let mut decoder = FrameDecoder::new(DEFAULT_MAX_MESSAGE_SIZE);
    decoder.push(bytes.clone());
    let frame = decoder.next_frame().expect("a frame").expect("a whole frame");
    assert_eq!(decoder.next_frame(), Ok(None));
    frame
}

#[test]
fn w02_frames_are_cut_and_written_as_java_does() {
    for (name, vector, bytes) in vectors("frame") {
        let raw = frame(&bytes);
        let command = raw.decode().unwrap_or_else(|e| panic!("{name}: {e}"));
        if raw.entry.is_empty() {
            let mut out = BytesMut::new();
            encode_command(&command, &mut out);
            if vector["decode_only"] != true {
                assert_eq!(out, bytes, "{name}");
            }
            continue;
        }
        let entry = entry::Entry::parse(&raw.entry).unwrap_or_else(|e| panic!("{name}: {e}"));
        let fields = &vector["fields"];
        assert_eq!(entry.payload, unhex(&text(&fields["payload"])), "{name}");
        assert_eq!(entry.broker.is_some(), fields.get("broker_entry_metadata").is_some(), "{name}");
        let checksummed = fields.get("checksum").is_some();
        let expected = if checksummed { entry::Checksum::Right } else { entry::Checksum::Absent };
        assert_eq!(entry.checksum, expected, "{name}");
        let metadata = MessageMetadata::decode(&entry.metadata).unwrap_or_else(|e| panic!("{name}: {e}"));
        if !checksummed {
            continue;
        }
        let mut again = BytesMut::new();
        if let Some(broker) = &entry.broker {
            entry::encode_broker_metadata(broker, &mut again);
        }
        entry::encode_entry(&metadata, &entry.payload, &mut again);
        let mut out = BytesMut::new();
        encode_with_entry(&command, &again, &mut out);
        assert_eq!(out, bytes, "{name}");
    }
}

#[test]
fn p01_the_hot_send_is_what_java_sends() {
    let (_, _, bytes) = vectors("frame").into_iter().find(|(n, ..)| n == "frame/send").expect("frame/send");
    let entry = entry::Entry::parse(&frame(&bytes).entry).expect("an entry");
    let metadata = entry.metadata;
    let send = hot::Send { producer_id: 1, sequence_id: 7 };
    let mut out = BytesMut::new();
    hot::write_send(send, metadata.len(), |out| out.extend_from_slice(&metadata), &entry.payload, &mut out);
    assert_eq!(out, bytes);
    let mut head = BytesMut::new();
    hot::write_send_head(
        send,
        metadata.len(),
        |out| out.extend_from_slice(&metadata),
        &entry.payload,
        &mut head,
    );
    head.extend_from_slice(&entry.payload);
    assert_eq!(head, bytes);
}

#[test]
fn c01_the_hot_commands_are_read_and_written_as_defined() {
    let mut seen = [0; 3];
    for (name, vector, bytes) in vectors("message") {
        if vector["message"] != "BaseCommand" || vector["decode_only"] == true {
            continue;
        }
        match Command::decode(&bytes).unwrap_or_else(|e| panic!("{name}: {e}")) {
            Command::SendReceipt(r) => {
                let hot = hot::read_receipt(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
                assert_eq!((hot.producer_id, hot.sequence_id), (r.producer_id, r.sequence_id), "{name}");
                let at = hot.position.map(|p| (p.ledger, p.entry, p.partition, p.batch_index));
                let expected = r.message_id.map(|m| {
                    (m.ledger_id, m.entry_id, m.partition.unwrap_or(-1), m.batch_index.unwrap_or(-1))
                });
                assert_eq!(at, expected, "{name}");
                seen[0] += 1;
            }
            Command::Message(m) => {
                let hot = hot::read_delivery(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
                assert_eq!(hot.consumer_id, m.consumer_id, "{name}");
                let at = (hot.position.ledger, hot.position.entry);
                assert_eq!(at, (m.message_id.ledger_id, m.message_id.entry_id), "{name}");
                assert_eq!(hot.redelivery_count, m.redelivery_count.unwrap_or(0), "{name}");
                assert_eq!(hot.consumer_epoch, m.consumer_epoch, "{name}");
                let expected: Vec<i64> = m.message_id.ack_set.into_iter().chain(m.ack_set).collect();
                assert_eq!(hot.ack_set, expected, "{name}");
                seen[1] += 1;
            }
            Command::Flow(f) => {
                let mut out = BytesMut::new();
                hot::write_flow(f.consumer_id, f.message_permits, &mut out);
                assert_eq!(frame(&out.freeze()).command, bytes, "{name}");
                seen[2] += 1;
            }
            _ => {}
        }
    }
    assert!(seen.iter().all(|n| *n > 1), "{seen:?}");
}

#[test]
fn p04_batches_are_cut_and_written_as_java_does() {
    for (name, vector, bytes) in vectors("batch") {
        let mut reader = batch::BatchReader::new();
        let mut again = BytesMut::new();
        for message in vector["fields"]["messages"].as_array().expect("messages") {
            let slot = reader.next(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
            let payload = bytes.slice(slot.payload_start as usize..slot.payload_end as usize);
            assert_eq!(payload, unhex(&text(&message["payload"])), "{name}");
            let metadata = bytes.slice(slot.metadata_start as usize..slot.payload_start as usize);
            let mut metadata =
                SingleMessageMetadata::decode(&metadata).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(slot.compacted_out, metadata.compacted_out.unwrap_or(false), "{name}");
            assert_eq!(slot.null_value, metadata.null_value.unwrap_or(false), "{name}");
            batch::push(&mut again, &mut metadata, &payload);
        }
        assert_eq!(again, bytes, "{name}");
        assert_eq!(reader.next(&bytes), Err(DecodeError::BatchSizes), "{name}");
    }
}

#[test]
fn w02_checksums_are_javas() {
    for (name, vector, bytes) in vectors("crc32c") {
        let (head, tail) = bytes.split_at(bytes.len() / 3);
        assert_eq!(vector["fields"]["crc32c"].as_u64(), Some(u64::from(crc32c(&[head, tail]))), "{name}");
    }
}

#[test]
fn w05_unknown_commands_fields_and_values_are_skipped() {
    // Type 99 with a body at field 99, and a field 200 that nobody knows.
    let unknown = Bytes::from_static(&[0x08, 99, 0x9a, 0x06, 2, 0x08, 1, 0xc2, 0x0c, 1, 0]);
    assert_eq!(Command::decode(&unknown), Ok(Command::Unknown(99)));
    let error = CommandError { request_id: 1, error: ServerError(77), message: String::new() };
    let mut out = BytesMut::new();
    error.encode(&mut out);
    out.extend_from_slice(&[0xc2, 0x0c, 1, 0]);
    assert_eq!(CommandError::decode(&out.freeze()), Ok(error));
}
