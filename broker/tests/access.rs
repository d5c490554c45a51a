//! Who may connect, and what he may do: the core alone, with an authenticator that takes words.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::*;
use pulsewire_broker::BrokerConfig;
use pulsewire_broker::core::{
    Access, Action, Authenticator, Broker, DisconnectReason, Identity, Note, Proof,
};
use pulsewire_proto::wire::*;

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
        broker.grant(place, "joe", actions.iter().copied().collect::<BTreeSet<_>>());
    };
    grant(&mut w.broker, "public/default", &[Action::Produce]);
    assert_eq!(lookup(&mut w, joe), None);
    w.produce(joe, 1, TOPIC);
    let refused = refusal(w.ask(joe, subscribe(1, TOPIC, "s", SubType::SHARED)));
    assert_eq!(refused.0, ServerError::AUTHORIZATION_ERROR);
    assert!(matches!(w.ask(joe, list()), Command::GetTopicsOfNamespaceResponse(_)));
    grant(&mut w.broker, "public/default", &[]);
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
    first.grant("public/default", "joe", [Action::Produce, Action::Consume].into());
    first.grant(TOPIC, "ann", [Action::Functions].into());
    first.grant("public/default", "bob", [Action::Sinks].into());
    first.grant("public/default", "bob", BTreeSet::new());
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
