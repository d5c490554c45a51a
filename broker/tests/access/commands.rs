//! Every command of one who may nothing.

use super::*;

/// What a client hears that may not do something.
enum Answer {
    /// It may.
    Goes,
    /// ERROR, with this text.
    Error(&'static str),
    /// The answer to that command, with this error in it.
    Within(ServerError, &'static str),
    /// Nobody is asked: no producer or consumer of that number is open, or nothing is to be answered.
    AsIfOpenToAll,
}

pub(crate) const NO: ServerError = ServerError::AUTHORIZATION_ERROR;
pub(crate) const NOT_FOUND: ServerError = ServerError::TRANSACTION_NOT_FOUND;

/// Every command that clients give, by one who may nothing: the transaction is somebody else's.
fn all_commands(txn: u64) -> Vec<(Command, Answer)> {
    use Answer::{AsIfOpenToAll, Error, Goes, Within};
    let t = || TOPIC.to_owned();
    let (most, least) = (Some(0), Some(txn));
    let (txnid_most_bits, txnid_least_bits) = (most, least);
    let namespace = || "public/default".to_owned();
    let schema = || Schema { name: "s".to_owned(), r#type: SchemaType::STRING, ..Schema::default() };
    let subscription = || Subscription { topic: t(), subscription: "s".to_owned() };
    let owner = "Client (joe) is neither the owner of the transaction (0,1) nor a super user";
    let coordinator =
        "TC client (joe) is not a super user, and is not allowed to operate on transaction (0,1)";
    let on_subscription = "Handle end txn on subscription failed: TC client (joe) is not a super user, and is not \
                           allowed to operate on transaction (0,1)";
    let commit = Some(TxnAction::COMMIT);
    vec![
        (
            CommandLookupTopic { topic: t(), request_id: 1, ..Default::default() }.into(),
            Within(NO, "Client is not authorized to Lookup"),
        ),
        (
            CommandPartitionedTopicMetadata { topic: t(), request_id: 2, ..Default::default() }.into(),
            Within(NO, "Client is not authorized to Get Partition Metadata"),
        ),
        (producer_on(3, TOPIC).into(), Error("Client is not authorized to Produce")),
        (subscribe(4, TOPIC, "s", SubType::SHARED).into(), Error("Client is not authorized to subscribe")),
        (
            CommandGetTopicsOfNamespace { request_id: 5, namespace: namespace(), ..Default::default() }
                .into(),
            Error("Client is not authorized to GetTopicsOfNamespace"),
        ),
        (
            CommandWatchTopicList {
                request_id: 6,
                watcher_id: 6,
                namespace: namespace(),
                topics_pattern: "persistent://public/default/.*".to_owned(),
                ..Default::default()
            }
            .into(),
            Error("Proxy Client is not authorized to watchTopicList"),
        ),
        // As Apache Pulsar has it: schemas are for everybody who is known.
        (CommandGetSchema { request_id: 7, topic: t(), schema_version: None }.into(), Goes),
        (
            CommandGetOrCreateSchema { request_id: 8, topic: t(), schema: schema(), ..Default::default() }
                .into(),
            Goes,
        ),
        (CommandTcClientConnectRequest { request_id: 9, tc_id: 0, ..Default::default() }.into(), Goes),
        (
            CommandNewTxn {
                request_id: 10,
                txn_ttl_millis: Some(60_000),
                tc_id: Some(0),
                ..Default::default()
            }
            .into(),
            Goes,
        ),
        (
            CommandAddPartitionToTxn {
                request_id: 11,
                txnid_most_bits,
                txnid_least_bits,
                partitions: vec![t()],
                ..Default::default()
            }
            .into(),
            Within(NOT_FOUND, owner),
        ),
        (
            CommandAddSubscriptionToTxn {
                request_id: 12,
                txnid_most_bits,
                txnid_least_bits,
                subscription: vec![subscription()],
                ..Default::default()
            }
            .into(),
            Within(NOT_FOUND, owner),
        ),
        (
            CommandEndTxn {
                request_id: 13,
                txnid_most_bits,
                txnid_least_bits,
                txn_action: commit,
                ..Default::default()
            }
            .into(),
            Within(NOT_FOUND, owner),
        ),
        (
            CommandEndTxnOnPartition {
                request_id: 14,
                txnid_most_bits,
                txnid_least_bits,
                topic: Some(t()),
                txn_action: commit,
                ..Default::default()
            }
            .into(),
            Within(NOT_FOUND, coordinator),
        ),
        (
            CommandEndTxnOnSubscription {
                request_id: 15,
                txnid_most_bits,
                txnid_least_bits,
                subscription: Some(subscription()),
                txn_action: commit,
                ..Default::default()
            }
            .into(),
            Within(NOT_FOUND, on_subscription),
        ),
        // All of these belong to what is open on the connection, and none of that is.
        (
            CommandSeek {
                request_id: 16,
                consumer_id: 4,
                message_publish_time: Some(1),
                ..Default::default()
            }
            .into(),
            AsIfOpenToAll,
        ),
        (CommandGetLastMessageId { request_id: 17, consumer_id: 4 }.into(), AsIfOpenToAll),
        (CommandUnsubscribe { request_id: 18, consumer_id: 4, ..Default::default() }.into(), AsIfOpenToAll),
        (CommandCloseConsumer { request_id: 19, consumer_id: 4, ..Default::default() }.into(), AsIfOpenToAll),
        (CommandCloseProducer { request_id: 20, producer_id: 3, ..Default::default() }.into(), AsIfOpenToAll),
        (CommandWatchTopicListClose { request_id: 21, watcher_id: 6 }.into(), AsIfOpenToAll),
        (CommandFlow { consumer_id: 4, message_permits: 1 }.into(), AsIfOpenToAll),
        (CommandAck { consumer_id: 4, ..Default::default() }.into(), AsIfOpenToAll),
        (
            CommandRedeliverUnacknowledgedMessages { consumer_id: 4, ..Default::default() }.into(),
            AsIfOpenToAll,
        ),
        (CommandPing::default().into(), Goes),
        (CommandPong::default().into(), AsIfOpenToAll),
    ]
}

/// The error that a command carries, and its text.
pub(crate) fn error_in(command: &Command) -> Option<(ServerError, Option<String>)> {
    let (error, message) = match command {
        Command::Error(c) => (Some(c.error), Some(c.message.clone())),
        Command::LookupTopicResponse(c) => (c.error, c.message.clone()),
        Command::PartitionedTopicMetadataResponse(c) => (c.error, c.message.clone()),
        Command::GetSchemaResponse(c) => (c.error_code, c.error_message.clone()),
        Command::GetOrCreateSchemaResponse(c) => (c.error_code, c.error_message.clone()),
        Command::TcClientConnectResponse(c) => (c.error, c.message.clone()),
        Command::NewTxnResponse(c) => (c.error, c.message.clone()),
        Command::AddPartitionToTxnResponse(c) => (c.error, c.message.clone()),
        Command::AddSubscriptionToTxnResponse(c) => (c.error, c.message.clone()),
        Command::EndTxnResponse(c) => (c.error, c.message.clone()),
        Command::EndTxnOnPartitionResponse(c) => (c.error, c.message.clone()),
        Command::EndTxnOnSubscriptionResponse(c) => (c.error, c.message.clone()),
        _ => (None, None),
    };
    error.map(|error| (error, message))
}

/// A topic with a message, a subscription `s` and a schema, and a transaction that `boss` has opened.
pub(crate) fn with_something_to_guard(w: &mut World) -> (pulsewire_broker::ConnId, u64) {
    let boss = client(w, "boss");
    w.produce(boss, 1, TOPIC);
    w.publish(boss, 1, 0, "secret");
    w.consume(boss, 1, TOPIC, "s", SubType::SHARED);
    let schema = Schema { name: "s".to_owned(), r#type: SchemaType::STRING, ..Schema::default() };
    w.ask(
        boss,
        CommandGetOrCreateSchema { request_id: 1, topic: TOPIC.to_owned(), schema, ..Default::default() },
    );
    let opened = w.ask(
        boss,
        CommandNewTxn { request_id: 2, txn_ttl_millis: Some(60_000), tc_id: Some(0), ..Default::default() },
    );
    let Command::NewTxnResponse(opened) = opened else { panic!("{opened:?}") };
    (boss, opened.txnid_least_bits.unwrap())
}

#[test]
fn every_command_of_one_who_may_nothing() {
    let mut w = world(Some(&["boss"]));
    let (boss, txn) = with_something_to_guard(&mut w);
    let joe = client(&mut w, "joe");
    for (command, wanted) in all_commands(txn) {
        let name = command.name();
        w.say(joe, command);
        let heard = (!w.silent(joe)).then(|| w.hear(joe));
        let error = heard.as_ref().and_then(error_in);
        match wanted {
            Answer::Goes => assert!(heard.is_some() && error.is_none(), "{name}: {heard:?}"),
            Answer::Error(text) => {
                assert!(matches!(heard, Some(Command::Error(_))), "{name}: {heard:?}");
                assert_eq!(error, Some((NO, Some(text.to_owned()))), "{name}");
            }
            Answer::Within(code, text) => {
                assert!(!matches!(heard, Some(Command::Error(_))), "{name}: {heard:?}");
                assert_eq!(error, Some((code, Some(text.to_owned()))), "{name}");
            }
            Answer::AsIfOpenToAll => {
                assert!(error.is_none_or(|(error, _)| error != NO), "{name}: {heard:?}");
            }
        }
        assert!(w.cut(joe).is_none(), "{name} cut the connection: {:?}", w.cut(joe));
        assert!(w.silent(boss), "{name} was noticed by somebody else: {:?}", w.hear(boss));
    }
    // His own transaction he may go on with, and who owns one and who may all may end it.
    let add = |least| CommandAddPartitionToTxn {
        request_id: 1,
        txnid_most_bits: Some(0),
        txnid_least_bits: Some(least),
        partitions: vec![TOPIC.to_owned()],
        ..Default::default()
    };
    assert_eq!(error_in(&w.ask(joe, add(txn + 1))), None, "the one that NEW_TXN above opened");
    for least in [txn, txn + 1] {
        let end = CommandEndTxn {
            request_id: 2,
            txnid_most_bits: Some(0),
            txnid_least_bits: Some(least),
            txn_action: Some(TxnAction::COMMIT),
            ..Default::default()
        };
        assert_eq!(error_in(&w.ask(boss, end)), None, "a superuser ends {least}");
    }
}

#[test]
fn the_same_commands_go_where_nobody_is_asked_for_permission() {
    for superusers in [None, Some(&["joe", "boss"][..])] {
        let mut w = world(superusers);
        let (_, txn) = with_something_to_guard(&mut w);
        let joe = client(&mut w, "joe");
        for (command, wanted) in all_commands(txn) {
            let (name, ends) =
                (command.name(), matches!(wanted, Answer::Error(_) | Answer::Within(..) | Answer::Goes));
            w.say(joe, command);
            let error = if ends { error_in(&w.hear(joe)) } else { None };
            // Without superusers a transaction is its owner's all the same.
            let owned = superusers.is_none()
                && error.as_ref().is_some_and(|(_, text)| {
                    text.as_ref().is_some_and(|text| text.contains("neither the owner"))
                });
            let gone = error.as_ref().is_some_and(|(error, _)| *error == NOT_FOUND) && name.contains("Txn");
            assert!(error.is_none() || owned || gone, "{name}: {error:?}");
            while !w.silent(joe) {
                w.hear(joe);
            }
            assert!(w.cut(joe).is_none(), "{name}");
        }
    }
}
