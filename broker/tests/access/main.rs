//! Who may connect, and what he may do: the core alone, with an authenticator that takes words.
#![allow(clippy::unwrap_used)]

mod commands;
#[path = "../common/mod.rs"]
mod common;
mod permissions;
mod proofs;

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
