//! What broken clients say, and what they are told.

use bytes::BytesMut;
use pulsewire_proto::wire::frame::{encode_command, encode_with_entry};
use pulsewire_proto::wire::*;

use super::{close_consumer, close_producer, scripts};
use crate::common::{connect, entry, id, producer_on, send_frame, subscribe};
use crate::side::Side;

/// Says each to a client of its own, after what `before` says.
fn each(s: &mut Side, before: &[Command], said: Vec<Command>) {
    for command in said {
        let a = s.client();
        for command in before {
            s.ask(a, command.clone());
        }
        s.note(format!("-- {}", command.name()));
        s.say(a, command);
        s.hear_all(a);
        // Whoever is still there is answered.
        s.ask(a, producer_on(99, "persistent://public/default/broken-lives"));
    }
}

fn framed(command: &[u8]) -> Vec<u8> {
    let mut out = (command.len() as u32 + 4).to_be_bytes().to_vec();
    out.extend_from_slice(&(command.len() as u32).to_be_bytes());
    out.extend_from_slice(command);
    out
}

scripts! {
    fn broken_before_connect(s) {
        let topic = s.topic();
        let said: Vec<Command> = vec![
            producer_on(1, &topic).into(),
            subscribe(1, &topic, "s", SubType::SHARED).into(),
            CommandPing::default().into(),
            CommandPong::default().into(),
            CommandLookupTopic { topic: topic.clone(), request_id: 1, ..CommandLookupTopic::default() }.into(),
            CommandFlow { consumer_id: 1, message_permits: 1 }.into(),
            CommandAck { consumer_id: 1, ..CommandAck::default() }.into(),
            close_producer(1).into(),
            CommandGetTopicsOfNamespace { namespace: "public/default".to_owned(), request_id: 1, ..CommandGetTopicsOfNamespace::default() }.into(),
            CommandAuthResponse::default().into(),
            CommandNewTxn { request_id: 1, ..CommandNewTxn::default() }.into(),
            CommandConnected { server_version: "x".to_owned(), ..CommandConnected::default() }.into(),
        ];
        for command in said {
            let a = s.stranger();
            s.note(format!("-- {}", command.name()));
            s.say(a, command);
            s.hear_all(a);
        }
        s.note("-- nothing but a message");
        let a = s.stranger();
        s.bytes(a, &send_frame(1, 0, MessageMetadata::default(), b"x"));
        s.hear_all(a);
    }

    fn broken_words_of_brokers(s) {
        each(s, &[], vec![
            connect().into(),
            CommandConnected { server_version: "x".to_owned(), ..CommandConnected::default() }.into(),
            CommandSuccess { request_id: 1, ..CommandSuccess::default() }.into(),
            CommandError { request_id: 1, ..CommandError::default() }.into(),
            CommandSendReceipt::default().into(),
            CommandSendError::default().into(),
            CommandProducerSuccess { request_id: 1, ..CommandProducerSuccess::default() }.into(),
            CommandMessage::default().into(),
            CommandActiveConsumerChange { consumer_id: 1, ..CommandActiveConsumerChange::default() }.into(),
            CommandReachedEndOfTopic { consumer_id: 1 }.into(),
            CommandLookupTopicResponse { request_id: 1, ..CommandLookupTopicResponse::default() }.into(),
            CommandPartitionedTopicMetadataResponse { request_id: 1, ..CommandPartitionedTopicMetadataResponse::default() }.into(),
            CommandGetLastMessageIdResponse { request_id: 1, ..CommandGetLastMessageIdResponse::default() }.into(),
            CommandAckResponse { consumer_id: 1, ..CommandAckResponse::default() }.into(),
            CommandAuthChallenge::default().into(),
            CommandNewTxnResponse { request_id: 1, ..CommandNewTxnResponse::default() }.into(),
            CommandAuthResponse::default().into(),
            CommandPong::default().into(),
        ]);
    }

    fn broken_ids_of_producers(s) {
        let topic = s.topic();
        let warm = s.client();
        s.find(warm, &topic);
        each(s, &[], vec![
            close_producer(7).into(),
            close_consumer(7).into(),
        ]);
        let a = s.client();
        s.note("-- SEND to none");
        s.bytes(a, &send_frame(7, 0, MessageMetadata::default(), b"x"));
        s.hear_all(a);
        let (a, b) = (s.client(), s.client());
        s.note("-- an id in use");
        s.ask(a, producer_on(1, &topic));
        s.ask(a, producer_on(1, &topic));
        s.ask(a, CommandProducer { request_id: 5, ..producer_on(1, &format!("{topic}-other")) });
        s.ask(a, CommandProducer { producer_name: Some("another".to_owned()), ..producer_on(1, &topic) });
        s.note("-- a name in use");
        s.ask(a, CommandProducer { producer_name: Some("name".to_owned()), ..producer_on(2, &topic) });
        s.ask(a, CommandProducer { producer_name: Some("name".to_owned()), ..producer_on(3, &topic) });
        s.ask(b, CommandProducer { producer_name: Some("name".to_owned()), ..producer_on(2, &topic) });
        s.note("-- closed twice");
        s.ask(a, close_producer(2));
        s.ask(a, close_producer(2));
        s.note("-- SEND to a closed one");
        s.bytes(a, &send_frame(2, 0, MessageMetadata::default(), b"x"));
        s.hear_all(a);
    }

    fn broken_ids_of_consumers(s) {
        let topic = s.topic();
        let warm = s.client();
        s.find(warm, &topic);
        let none = |id| CommandSeek { consumer_id: 7, request_id: 1, message_id: id, ..CommandSeek::default() };
        each(s, &[subscribe(1, &topic, "s", SubType::SHARED).into()], vec![
            CommandFlow { consumer_id: 7, message_permits: 1 }.into(),
            CommandAck { consumer_id: 7, ack_type: AckType::INDIVIDUAL, message_id: vec![id(0, 0)], ..CommandAck::default() }.into(),
            CommandAck { consumer_id: 7, ack_type: AckType::INDIVIDUAL, message_id: vec![id(0, 0)], request_id: Some(5), ..CommandAck::default() }.into(),
            CommandAck { consumer_id: 7, ack_type: AckType::INDIVIDUAL, message_id: vec![id(0, 0)], request_id: Some(5), txnid_most_bits: Some(0), txnid_least_bits: Some(99), ..CommandAck::default() }.into(),
            CommandRedeliverUnacknowledgedMessages { consumer_id: 7, ..Default::default() }.into(),
            CommandUnsubscribe { consumer_id: 7, request_id: 1, force: None }.into(),
            CommandUnsubscribe { consumer_id: 7, request_id: 1, force: Some(true) }.into(),
            none(Some(id(0, 0))).into(),
            none(None).into(),
            CommandSeek { message_publish_time: Some(1), ..none(None) }.into(),
            CommandSeek { consumer_id: 1, ..none(None) }.into(),
            CommandGetLastMessageId { consumer_id: 7, request_id: 1 }.into(),
            CommandConsumerStats { consumer_id: 7, request_id: 1 }.into(),
            CommandAck { consumer_id: 1, ack_type: AckType::INDIVIDUAL, ..CommandAck::default() }.into(),
            CommandAck { consumer_id: 1, ack_type: AckType::CUMULATIVE, request_id: Some(6), ..CommandAck::default() }.into(),
            CommandAck { consumer_id: 1, ack_type: AckType::CUMULATIVE, request_id: Some(6), message_id: vec![id(0, 0)], ..CommandAck::default() }.into(),
            CommandAck { consumer_id: 1, ack_type: AckType::INDIVIDUAL, request_id: Some(6), message_id: vec![id(9, 9), id(-1, -1), id(i64::MAX, i64::MAX)], ..CommandAck::default() }.into(),
            CommandAck { consumer_id: 1, ack_type: AckType(7), request_id: Some(6), message_id: vec![id(9, 9)], ..CommandAck::default() }.into(),
            CommandRedeliverUnacknowledgedMessages { consumer_id: 1, message_ids: vec![id(9, 9), id(-1, -1)], ..Default::default() }.into(),
        ]);
        let a = s.client();
        s.note("-- an id in use");
        s.ask(a, subscribe(1, &topic, "s", SubType::SHARED));
        s.ask(a, subscribe(1, &topic, "s", SubType::SHARED));
        s.ask(a, subscribe(1, &topic, "other", SubType::EXCLUSIVE));
    }

    fn broken_permits(s) {
        let topic = s.topic();
        let warm = s.client();
        s.find(warm, &topic);
        let permits = |message_permits| Command::from(CommandFlow { consumer_id: 1, message_permits });
        for kind in [SubType::SHARED, SubType::EXCLUSIVE] {
            s.note(format!("-- {kind:?}"));
            each(s, &[subscribe(1, &topic, "s", kind).into()], vec![
                permits(0),
                permits(u32::MAX),
                permits(1 << 31),
                permits(i32::MAX as u32),
            ]);
            s.pause(300);
        }
        s.note("-- more than there can be");
        let (a, b) = (s.client(), s.client());
        for (consumer, kind) in [(1, SubType::SHARED), (2, SubType::EXCLUSIVE)] {
            s.ask(a, subscribe(consumer, &topic, &format!("huge{consumer}"), kind));
            for _ in 0..5 {
                s.flow(a, consumer, i32::MAX as u32);
            }
        }
        s.ask(b, producer_on(1, &topic));
        s.publish(b, 1, 0, MessageMetadata::default(), "x");
        s.hear_in_any_order(a);
    }

    fn broken_frames(s) {
        let frames: &[(&str, &[u8])] = &[
            ("no command at all", &[0, 0, 0, 0]),
            ("a command of no bytes", &[0, 0, 0, 4, 0, 0, 0, 0]),
            ("a command larger than its frame", &[0, 0, 0, 8, 0, 0, 0, 40, 8, 18, 16, 1]),
            ("a frame too small for its sizes", &[0, 0, 0, 2, 0, 0]),
            ("two billion bytes", &[0x7f, 0, 0, 0, 0, 0, 0, 0]),
            ("fewer than none", &[0xff, 0xff, 0xff, 0xff]),
            ("six megabytes", &[0, 0x60, 0, 0, 0, 0, 0, 2, 8, 18]),
            ("HTTP", b"GET / HTTP/1.1\r\n\r\n"),
        ];
        for (what, bytes) in frames {
            let a = s.client();
            s.note(format!("-- {what}"));
            s.bytes(a, bytes);
            s.hear_all(a);
        }
        for (what, command) in [
            ("PRODUCER without its body", &[8u8, 5][..]),
            ("an unknown type", &[8, 99]),
            ("an unknown type with a field", &[8, 99, 16, 1]),
            ("no type", &[16, 1]),
            ("PING", &[8, 18, 146, 1, 0]),
            ("PING without its body", &[8, 18]),
            ("SUBSCRIBE of fields that are not there", &[8, 4, 34, 0]),
            ("not protobuf", &[0xff, 0xff, 0xff, 0xff]),
        ] {
            let a = s.client();
            s.note(format!("-- {what}"));
            s.bytes(a, &framed(command));
            s.hear_all(a);
            s.ask(a, producer_on(99, "persistent://public/default/broken-lives"));
        }
        s.note("-- half a frame");
        let a = s.client();
        s.bytes(a, &[0, 0, 0, 40, 0, 0]);
        s.hear_all(a);
    }

    fn broken_messages(s) {
        let topic = s.topic();
        let warm = s.client();
        s.find(warm, &topic);
        let consumers = [SubType::EXCLUSIVE, SubType::SHARED, SubType::KEY_SHARED].map(|kind| {
            let c = s.client();
            s.ask(c, subscribe(1, &topic, &format!("{kind:?}"), kind));
            s.flow(c, 1, 1000);
            c
        });
        let a = s.client();
        s.ask(a, producer_on(1, &topic));
        s.note("-- a wrong checksum");
        let mut frame = send_frame(1, 0, MessageMetadata::default(), b"hello");
        let last = frame.len() - 1;
        frame[last] ^= 1;
        s.bytes(a, &frame);
        s.hear_all(a);
        let command: Command = CommandSend { producer_id: 1, sequence_id: 3, ..CommandSend::default() }.into();
        let whole = entry(3, MessageMetadata::default(), b"x");
        for (what, entry) in [
            ("no entry", &[][..]),
            ("the magic number of a checksum only", &[0x0e, 1]),
            ("less than a checksum", &[0x0e, 1, 0, 0]),
            ("metadata larger than the entry", &[0, 0, 0, 200, 1]),
            ("metadata that is none", &[0, 0, 0, 1, 0x80]),
            ("without a checksum", &whole[6..]),
            ("whole", &whole[..]),
        ] {
            let a = s.client();
            s.note(format!("-- {what}"));
            s.ask(a, producer_on(1, &topic));
            let mut out = BytesMut::new();
            if entry.is_empty() {
                encode_command(&command, &mut out);
            } else {
                encode_with_entry(&command, entry, &mut out);
            }
            s.bytes(a, &out);
            s.hear_all(a);
        }
        s.note("-- who hears of them");
        for c in consumers {
            s.hear_all(c);
        }
        let path = format!("persistent/public/default/{}/stats", s.unique());
        s.look(&path, &["msgInCounter", "subscriptions.SubType(1).msgBacklog", "subscriptions.SubType(0).msgBacklog", "subscriptions.SubType(3).msgBacklog"]);
        let topic = format!("{topic}-counts");
        for messages in [0, -1, i32::MAX] {
            let a = s.client();
            s.note(format!("-- {messages} messages"));
            s.ask(a, producer_on(1, &topic));
            let command = CommandSend { producer_id: 1, sequence_id: 1, num_messages: Some(messages), ..CommandSend::default() };
            s.send_as(a, command, MessageMetadata { num_messages_in_batch: Some(messages), ..MessageMetadata::default() }, "x");
            s.hear_all(a);
        }
        s.note("-- a highest id below the lowest");
        let a = s.client();
        s.ask(a, producer_on(1, &topic));
        s.send_as(a, CommandSend { producer_id: 1, sequence_id: 9, highest_sequence_id: Some(3), ..CommandSend::default() }, MessageMetadata::default(), "x");
        s.hear_all(a);
    }

    fn broken_transactions(s) {
        let topic = s.topic();
        let unknown = [(0_i64, 999_999_i64), (77, 0), (-1, -1)];
        for (most, least) in unknown {
            let (most, least) = (most as u64, least as u64);
            s.note(format!("-- {most} {least}"));
            let a = s.client();
            if most == 0 {
                // The real one may not have begun to be one yet.
                super::transactions::attach_to(s, a, most);
            }
            s.ask(a, CommandEndTxn { request_id: 1, txnid_most_bits: Some(most), txnid_least_bits: Some(least), txn_action: Some(TxnAction::COMMIT), ..CommandEndTxn::default() });
            s.ask(a, CommandEndTxn { request_id: 1, txnid_most_bits: Some(most), txnid_least_bits: Some(least), txn_action: Some(TxnAction::ABORT), ..CommandEndTxn::default() });
            s.ask(a, CommandAddPartitionToTxn { request_id: 1, txnid_most_bits: Some(most), txnid_least_bits: Some(least), partitions: vec![topic.clone()], ..CommandAddPartitionToTxn::default() });
            s.ask(a, CommandAddSubscriptionToTxn { request_id: 1, txnid_most_bits: Some(most), txnid_least_bits: Some(least), subscription: vec![Subscription { topic: topic.clone(), subscription: "s".to_owned() }], ..CommandAddSubscriptionToTxn::default() });
            s.ask(a, CommandEndTxnOnPartition { request_id: 1, txnid_most_bits: Some(most), txnid_least_bits: Some(least), topic: Some(topic.clone()), ..CommandEndTxnOnPartition::default() });
        }
        s.note("-- of no coordinator");
        let a = s.client();
        s.ask(a, CommandNewTxn { request_id: 2, tc_id: Some(98), ..CommandNewTxn::default() });
    }

    fn broken_topics_and_names(s) {
        let topic = s.topic();
        let warm = s.client();
        s.find(warm, &topic);
        each(s, &[], vec![
            subscribe(1, &topic, "", SubType::SHARED).into(),
            subscribe(1, &topic, " ", SubType::SHARED).into(),
            CommandProducer { producer_name: Some(String::new()), ..producer_on(1, &topic) }.into(),
            CommandProducer { producer_access_mode: Some(ProducerAccessMode(9)), ..producer_on(1, &topic) }.into(),
            CommandSubscribe { initial_position: Some(InitialPosition(9)), ..subscribe(1, &topic, "s9", SubType::SHARED) }.into(),
            CommandSubscribe { start_message_id: Some(id(-5, -5)), durable: Some(false), ..subscribe(1, &topic, "nd", SubType::EXCLUSIVE) }.into(),
            CommandWatchTopicListClose { request_id: 3, watcher_id: 7 }.into(),
        ]);
    }
}
