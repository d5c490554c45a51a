//! Who may connect, and what he may do: the core alone, with an authenticator that takes words.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::*;
use pulsewire_broker::core::{
    Access, Action, Authenticator, Broker, DisconnectReason, Identity, Note, Proof,
};
use pulsewire_broker::{BrokerConfig, Now};
use pulsewire_proto::wire::*;

const NOW: Now = Now { mono: Duration::ZERO, wall_ms: WALL };
const TOPIC: &str = "persistent://public/default/t";

/// A token is `role` or `role until MILLISECONDS`; the method `tls` goes by the certificate.
#[derive(Debug)]
struct Words;

impl Authenticator for Words {
    fn identify(&self, proof: Proof<'_>, wall_ms: u64) -> Result<Identity, String> {
        if proof.method == "tls" {
            let role = proof.certified.ok_or("no certificate")?.to_owned();
            return Ok(Identity { role, expires_ms: None });
        }
        let text = std::str::from_utf8(proof.data).unwrap();
        let (role, expires_ms) = match text.split_once(" until ") {
            Some((role, time)) => (role, Some(time.parse().unwrap())),
            None => (text, None),
        };
        if proof.method != "token" || role.is_empty() || expires_ms.is_some_and(|at| at < wall_ms) {
            return Err(format!("bad proof by {}", proof.method));
        }
        Ok(Identity { role: role.to_owned(), expires_ms })
    }
}

fn world(superusers: Option<&[&str]>) -> World {
    let access = Access {
        authenticator: Arc::new(Words),
        superusers: superusers.map(|roles| roles.iter().map(|role| (*role).to_owned()).collect()),
        refresh_check: Duration::from_secs(5),
    };
    World::with(BrokerConfig { access: Some(Arc::new(access)), ..BrokerConfig::default() })
}

fn connect_as(token: &str) -> CommandConnect {
    CommandConnect {
        auth_method_name: Some("token".to_owned()),
        auth_data: Some(Bytes::copy_from_slice(token.as_bytes())),
        feature_flags: Some(FeatureFlags { supports_auth_refresh: Some(true), ..FeatureFlags::default() }),
        ..connect()
    }
}

fn client(w: &mut World, token: &str) -> pulsewire_broker::ConnId {
    let c = w.stranger();
    assert!(matches!(w.ask(c, connect_as(token)), Command::Connected(_)));
    c
}

fn answer(method: &str, data: &str) -> CommandAuthResponse {
    CommandAuthResponse {
        client_version: Some("test".to_owned()),
        response: Some(AuthData {
            auth_method_name: Some(method.to_owned()),
            auth_data: Some(Bytes::copy_from_slice(data.as_bytes())),
        }),
        protocol_version: Some(21),
    }
}

/// Waits, answering PING.
fn wait(w: &mut World, c: pulsewire_broker::ConnId, seconds: u64) -> Vec<Command> {
    let mut heard = Vec::new();
    for _ in 0..seconds {
        w.pass(Duration::from_secs(1));
        while !w.silent(c) {
            match w.hear(c) {
                Command::Ping(_) => w.say(c, CommandPong::default()),
                other => heard.push(other),
            }
        }
    }
    heard
}

#[test]
fn a_client_without_a_good_proof_is_told_and_cut() {
    let mut w = world(None);
    let good = client(&mut w, "joe");
    for bad in [
        connect(),
        connect_as(""),
        CommandConnect { auth_method_name: Some("basic".to_owned()), ..connect_as("joe") },
        CommandConnect {
            auth_method: Some(AuthMethod::AUTH_METHOD_ATHENS),
            auth_method_name: None,
            ..connect_as("joe")
        },
    ] {
        let c = w.stranger();
        let heard = w.ask(c, bad);
        let Command::Error(CommandError { request_id, .. }) = heard else { panic!("{heard:?}") };
        assert_eq!(request_id, u64::MAX);
        assert_eq!(refusal(heard), (ServerError::AUTHENTICATION_ERROR, "Failed to authenticate".to_owned()));
        assert!(matches!(w.cut(c), Some(DisconnectReason::Authentication(_))), "{:?}", w.cut(c));
    }
    w.produce(good, 1, TOPIC);
}

#[test]
fn commands_before_connect_are_no_way_in() {
    let mut w = world(None);
    let c = w.stranger();
    let refused = refusal(w.ask(c, answer("token", "joe")));
    assert_eq!(refused.0, ServerError::AUTHENTICATION_ERROR);
    assert!(matches!(w.cut(c), Some(DisconnectReason::Authentication(_))));
    let c = w.stranger();
    w.say(c, producer_on(1, TOPIC));
    assert!(matches!(w.cut(c), Some(DisconnectReason::Protocol(_))));
}

#[test]
fn the_name_in_a_certificate_is_a_role() {
    let mut w = world(Some(&["boss"]));
    let tls = CommandConnect { auth_method_name: Some("tls".to_owned()), auth_data: None, ..connect() };
    let c = w.stranger();
    w.broker.certified(c, "boss");
    assert!(matches!(w.ask(c, tls.clone()), Command::Connected(_)));
    w.produce(c, 1, TOPIC);
    let c = w.stranger();
    assert_eq!(refusal(w.ask(c, tls)).0, ServerError::AUTHENTICATION_ERROR);
}

#[test]
fn a_proof_that_expires_is_refreshed_in_band() {
    let mut w = world(None);
    let c = client(&mut w, &format!("joe until {}", WALL + 7000));
    w.produce(c, 1, TOPIC);
    let heard = wait(&mut w, c, 9);
    assert!(heard.is_empty(), "it holds until the next look: {heard:?}");
    let heard = wait(&mut w, c, 1);
    let [Command::AuthChallenge(challenge)] = heard.as_slice() else { panic!("{heard:?}") };
    let asked = challenge.challenge.clone().unwrap();
    assert_eq!(asked.auth_method_name.as_deref(), Some("token"));
    assert_eq!(asked.auth_data.as_deref(), Some(&b"PulsarAuthRefresh"[..]));
    assert_eq!(challenge.protocol_version, Some(21));
    w.publish(c, 1, 0, "goes on meanwhile");
    w.say(c, answer("token", &format!("joe until {}", WALL + 31_000)));
    assert!(w.silent(c), "a good answer has no answer");
    assert!(wait(&mut w, c, 24).is_empty());
    w.publish(c, 1, 1, "and afterwards");
    let heard = wait(&mut w, c, 1);
    assert!(matches!(heard.as_slice(), [Command::AuthChallenge(_)]), "asked again: {heard:?}");
    assert!(wait(&mut w, c, 6).is_empty());
    assert_eq!(w.cut(c), Some(&DisconnectReason::Expired), "no answer in time");
}

#[test]
fn a_client_that_cannot_refresh_is_closed_when_its_proof_expires() {
    let mut w = world(None);
    let c = w.stranger();
    let old = CommandConnect { feature_flags: None, ..connect_as(&format!("joe until {}", WALL + 1000)) };
    w.ask(c, old);
    assert!(wait(&mut w, c, 6).is_empty());
    assert_eq!(w.cut(c), Some(&DisconnectReason::Expired));
}

#[test]
fn wrong_answers_to_a_challenge_end_the_connection() {
    let expired = format!("joe until {}", WALL + 1);
    for (wrong, told) in [
        (answer("token", ""), true),
        (answer("token", &expired), true),
        (answer("basic", "joe"), true),
        // Somebody else, all of a sudden.
        (answer("token", "ann"), false),
        (CommandAuthResponse::default(), false),
        (CommandAuthResponse { response: Some(AuthData::default()), ..answer("", "") }, false),
    ] {
        let mut w = world(None);
        let other = client(&mut w, "other");
        let c = client(&mut w, &expired);
        assert!(matches!(wait(&mut w, c, 5).as_slice(), [Command::AuthChallenge(_)]));
        w.say(c, wrong.clone());
        if told {
            assert_eq!(refusal(w.hear(c)).0, ServerError::AUTHENTICATION_ERROR, "{wrong:?}");
        }
        assert!(w.silent(c) && w.cut(c).is_some(), "{wrong:?}: {:?}", w.cut(c));
        w.produce(other, 1, TOPIC);
    }
}

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

const NO: ServerError = ServerError::AUTHORIZATION_ERROR;
const NOT_FOUND: ServerError = ServerError::TRANSACTION_NOT_FOUND;

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
fn error_in(command: &Command) -> Option<(ServerError, Option<String>)> {
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
fn with_something_to_guard(w: &mut World) -> (pulsewire_broker::ConnId, u64) {
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

#[test]
fn owners_of_transactions_outlive_the_broker() {
    let config = world(Some(&["boss"])).broker.config().clone();
    let mut w = World::with(config.clone());
    w.broker = Broker::restored(config.clone(), [], w.now).unwrap();
    let (_, txn) = with_something_to_guard(&mut w);
    let kept = w.broker.poll_kept().into_iter().filter_map(|kept| match kept {
        pulsewire_broker::core::Kept::Put(key, value) => Some((key, value)),
        pulsewire_broker::core::Kept::Remove(..) => None,
    });
    let kept: std::collections::BTreeMap<_, _> = kept.collect();
    let mut w = World::with(config.clone());
    w.broker = Broker::restored(config, kept, w.now).unwrap();
    let joe = client(&mut w, "joe");
    let end = CommandEndTxn {
        request_id: 2,
        txnid_most_bits: Some(0),
        txnid_least_bits: Some(txn),
        txn_action: Some(TxnAction::ABORT),
        ..Default::default()
    };
    let (error, text) = error_in(&w.ask(joe, end)).unwrap();
    assert_eq!(error, NOT_FOUND);
    assert!(text.unwrap().contains("neither the owner"));
}

#[test]
fn a_subscription_can_be_for_some_roles_only() {
    let mut w = world(Some(&["boss"]));
    let boss = client(&mut w, "boss");
    w.produce(boss, 1, TOPIC);
    for role in ["joe", "ann"] {
        w.broker.grant("public/default", role, [Action::Produce, Action::Consume].into(), NOW);
    }
    w.broker.grant_subscription("public/default", "s", "ann", true, NOW);
    let (joe, ann) = (client(&mut w, "joe"), client(&mut w, "ann"));
    let why = "Client is not authorized to subscribe";
    assert_eq!(refusal(w.ask(joe, subscribe(1, TOPIC, "s", SubType::SHARED))), (NO, why.to_owned()));
    w.consume(joe, 2, TOPIC, "other", SubType::SHARED);
    w.consume(ann, 1, TOPIC, "s", SubType::SHARED);
    w.consume(boss, 1, TOPIC, "s", SubType::SHARED);
    let first = CommandProducer {
        initial_subscription_name: Some("s".to_owned()),
        ..producer_on(7, "persistent://public/default/new")
    };
    assert_eq!(refusal(w.ask(joe, first)), (NO, "Client is not authorized to Produce".to_owned()));
    let told = w.broker.subscription_grants("public/default");
    assert_eq!(told, [("s".to_owned(), ["ann".to_owned()].into())].into());
    w.broker.grant_subscription("public/default", "s", "ann", false, NOW);
    w.consume(joe, 1, TOPIC, "s", SubType::SHARED);
}

#[test]
fn who_loses_a_permission_loses_what_is_open() {
    let mut w = world(Some(&["boss"]));
    let boss = client(&mut w, "boss");
    w.produce(boss, 1, TOPIC);
    w.broker.grant("public/default", "joe", [Action::Produce, Action::Consume].into(), NOW);
    let joe = client(&mut w, "joe");
    w.produce(joe, 1, TOPIC);
    w.consume(joe, 1, TOPIC, "s", SubType::FAILOVER);
    w.consume(boss, 1, TOPIC, "s", SubType::FAILOVER);
    w.broker.grant("public/default", "joe", [Action::Consume].into(), w.now);
    w.settle();
    assert!(matches!(w.hear(joe), Command::CloseProducer(CommandCloseProducer { producer_id: 1, .. })));
    assert!(w.silent(joe), "he may go on to consume: {:?}", w.hear(joe));
    assert_eq!(refusal(w.ask(joe, producer_on(2, TOPIC))).0, NO);
    w.broker.grant("public/default", "joe", BTreeSet::new(), w.now);
    w.settle();
    assert!(matches!(w.hear(joe), Command::CloseConsumer(CommandCloseConsumer { consumer_id: 1, .. })));
    // Whoever may goes on, and is the active one now.
    w.flow(boss, 1, 10);
    wait(&mut w, boss, 2);
    w.publish(boss, 1, 0, "for those who may");
    assert_eq!(w.payloads(boss), ["for those who may"]);
}

#[test]
fn roles_may_do_what_they_are_granted() {
    let mut w = world(Some(&["boss"]));
    let boss = client(&mut w, "boss");
    w.produce(boss, 1, TOPIC);
    let joe = client(&mut w, "joe");
    let lookup = |w: &mut World, c| {
        let ask =
            CommandLookupTopic { topic: TOPIC.to_owned(), request_id: 7, ..CommandLookupTopic::default() };
        let Command::LookupTopicResponse(found) = w.ask(c, ask) else { panic!() };
        (found.request_id == 7).then_some(found.error).unwrap()
    };
    let partitions = |w: &mut World, c| {
        let ask =
            CommandPartitionedTopicMetadata { topic: TOPIC.to_owned(), request_id: 8, ..Default::default() };
        let Command::PartitionedTopicMetadataResponse(found) = w.ask(c, ask) else { panic!() };
        (found.error, found.message)
    };
    let list = || CommandGetTopicsOfNamespace {
        request_id: 9,
        namespace: "public/default".to_owned(),
        ..CommandGetTopicsOfNamespace::default()
    };
    let no = Some(ServerError::AUTHORIZATION_ERROR);
    assert_eq!(lookup(&mut w, joe), no);
    assert_eq!(
        partitions(&mut w, joe),
        (no, Some("Client is not authorized to Get Partition Metadata".to_owned()))
    );
    for (asked, text) in [
        (Command::from(producer_on(1, TOPIC)), "Client is not authorized to Produce"),
        (subscribe(1, TOPIC, "s", SubType::SHARED).into(), "Client is not authorized to subscribe"),
        (list().into(), "Client is not authorized to GetTopicsOfNamespace"),
    ] {
        assert_eq!(refusal(w.ask(joe, asked)), (ServerError::AUTHORIZATION_ERROR, text.to_owned()));
    }
    let grant = |broker: &mut Broker, place: &str, actions: &[Action]| {
        broker.grant(place, "joe", actions.iter().copied().collect::<BTreeSet<_>>(), NOW);
    };
    grant(&mut w.broker, "public/default", &[Action::Produce]);
    assert_eq!(lookup(&mut w, joe), None);
    w.produce(joe, 1, TOPIC);
    let refused = refusal(w.ask(joe, subscribe(1, TOPIC, "s", SubType::SHARED)));
    assert_eq!(refused.0, ServerError::AUTHORIZATION_ERROR);
    assert!(matches!(w.ask(joe, list()), Command::GetTopicsOfNamespaceResponse(_)));
    grant(&mut w.broker, "public/default", &[]);
    w.settle();
    assert!(matches!(w.hear(joe), Command::CloseProducer(_)), "his producer goes with the permission");
    assert_eq!(lookup(&mut w, joe), no);
    grant(&mut w.broker, TOPIC, &[Action::Consume]);
    w.consume(joe, 1, TOPIC, "s", SubType::SHARED);
    let other = refusal(w.ask(joe, subscribe(2, "persistent://public/default/other", "s", SubType::SHARED)));
    assert_eq!(other.0, ServerError::AUTHORIZATION_ERROR);
    // What is no topic at all is refused as such.
    assert_eq!(refusal(w.ask(joe, producer_on(5, "kafka://x"))).0, ServerError::INVALID_TOPIC_NAME);
    w.broker.set_tenant_admins("public", ["ann".to_owned()].into());
    let ann = client(&mut w, "ann");
    w.produce(ann, 1, TOPIC);
}

#[test]
fn without_superusers_everybody_who_is_known_may_do_all() {
    let mut w = world(None);
    let c = client(&mut w, "anybody");
    w.produce(c, 1, TOPIC);
    w.consume(c, 1, TOPIC, "s", SubType::SHARED);
}

#[test]
fn what_is_granted_outlives_the_broker() {
    let config = world(Some(&["boss"])).broker.config().clone();
    let mut first = Broker::restored(config.clone(), [], pulsewire_broker::Now::default()).unwrap();
    first.grant("public/default", "joe", [Action::Produce, Action::Consume].into(), NOW);
    first.grant(TOPIC, "ann", [Action::Functions].into(), NOW);
    first.grant("public/default", "bob", [Action::Sinks].into(), NOW);
    first.grant("public/default", "bob", BTreeSet::new(), NOW);
    first.set_tenant_admins("public", ["boss".to_owned(), "chef".to_owned()].into());
    let kept = first.poll_kept().into_iter().filter_map(|kept| match kept {
        pulsewire_broker::core::Kept::Put(key, value) => Some((key, value)),
        pulsewire_broker::core::Kept::Remove(..) => None,
    });
    let again = Broker::restored(config, kept, pulsewire_broker::Now::default()).unwrap();
    for place in ["public/default", TOPIC] {
        assert!(!again.grants(place).is_empty());
        assert_eq!(again.grants(place), first.grants(place));
    }
    assert_eq!(again.tenant_admins("public"), first.tenant_admins("public"));
}

#[test]
fn notes_tell_what_happens_and_no_secrets() {
    let mut w = world(Some(&["boss"]));
    w.broker.take_notes();
    let boss = client(&mut w, "boss until 99999999999999");
    w.produce(boss, 1, TOPIC);
    let joe = client(&mut w, "joe");
    w.ask(joe, producer_on(1, TOPIC));
    w.ask(boss, subscribe(1, TOPIC, " ", SubType::SHARED));
    let notes = w.broker.poll_notes();
    assert!(matches!(&notes[0], Note::Connected { role, .. } if role == "boss"), "{notes:?}");
    assert!(notes.contains(&Note::Created(TOPIC.to_owned())));
    assert!(notes.contains(&Note::Denied { id: joe, role: "joe".to_owned(), what: "Producer" }), "{notes:?}");
    assert!(notes.iter().any(|note| matches!(note, Note::Refused { .. })));
    assert!(notes.iter().all(|note| !note.to_string().contains("until")));
    assert!(w.broker.poll_notes().is_empty());
}
