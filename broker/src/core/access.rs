//! Who may connect, and what they may do.
//!
//! ```text
//!          CONNECT, proof good                 proof expired: AUTH_CHALLENGE
//!  Start ----------------------> Known ----------------------------------------> Asked
//!    |                            | ^                                              |
//!    | proof bad                  | +----------------------------------------------+
//!    v                            v          AUTH_RESPONSE, good, the same role    |
//!   Cut <---------------------- Cut <----------------------------------------------+
//!         expired, and the client cannot refresh      bad proof, another role, no answer
//! ```
//!
//! How a proof is checked is the host's business: it hands in an [`Authenticator`]. What roles may do
//! is decided here: superusers everything, administrators of a tenant everything in it, others what they
//! are granted on a namespace or a topic.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pulsewire_proto::wire::{
    AuthData, AuthMethod, CommandAuthChallenge, CommandAuthResponse, CommandConnect, CommandError,
    PROTOCOL_VERSION, ServerError,
};

use super::error::DisconnectReason;
use super::ids::ConnId;
use super::keeping::kind;
use super::names::TopicName;
use super::time::Now;
use super::{Broker, Timer};

/// What brokers say in AUTH_CHALLENGE when they want fresh credentials.
const REFRESH: &[u8] = b"PulsarAuthRefresh";

/// What a client brings to show who it is.
#[derive(Clone, Copy)]
pub struct Proof<'a> {
    /// The method that it names: `token`, `tls`, `none`.
    pub method: &'a str,
    /// What came with it, for example a token.
    pub data: &'a [u8],
    /// The name in the client's certificate, which the transport has checked.
    pub certified: Option<&'a str>,
}

/// Without what is secret.
impl std::fmt::Debug for Proof<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proof").field("method", &self.method).finish_non_exhaustive()
    }
}

/// Who a client is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its role.
    pub role: String,
    /// Until when its proof holds: milliseconds since the Unix epoch.
    pub expires_ms: Option<u64>,
}

/// Checks proofs. It may not wait for anything.
pub trait Authenticator: std::fmt::Debug + Send + Sync {
    /// Who somebody is; the error says, without anything secret, why that is not known.
    ///
    /// # Errors
    /// The proof is none, or does not hold at `wall_ms`, milliseconds since the Unix epoch.
    fn identify(&self, proof: Proof<'_>, wall_ms: u64) -> Result<Identity, String>;
}

/// Settings of a broker that wants to know who its clients are.
#[derive(Debug, Clone)]
pub struct Access {
    /// Checks what clients bring.
    pub authenticator: Arc<dyn Authenticator>,
    /// Roles that may do everything. `None` is no authorization: everybody who is known may.
    pub superusers: Option<BTreeSet<String>>,
    /// How often proofs are looked at for whether they have expired.
    pub refresh_check: Duration,
}

impl PartialEq for Access {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.authenticator, &other.authenticator)
            && (&self.superusers, self.refresh_check) == (&other.superusers, other.refresh_check)
    }
}

impl Eq for Access {}

/// What somebody with a role may be allowed to do with topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Send.
    Produce,
    /// Subscribe, and all that belongs to subscriptions.
    Consume,
    /// Only kept: this broker has no functions.
    Functions,
    /// Only kept.
    Sources,
    /// Only kept.
    Sinks,
    /// Only kept.
    Packages,
}

impl Action {
    const ALL: [(Action, &'static str); 6] = [
        (Action::Produce, "produce"),
        (Action::Consume, "consume"),
        (Action::Functions, "functions"),
        (Action::Sources, "sources"),
        (Action::Sinks, "sinks"),
        (Action::Packages, "packages"),
    ];

    /// Its name in the admin API.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(action, _)| *action == self).map_or("", |(_, name)| name)
    }

    /// The action of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, it)| *it == name).map(|(action, _)| *action)
    }
}

/// What is granted on a namespace or a topic: actions by role.
pub type Grants = BTreeMap<String, BTreeSet<Action>>;

/// Something that not everybody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need<'a> {
    /// Nothing but to be known.
    Anything,
    /// What concerns the whole broker.
    Superuser,
    /// What concerns a tenant and all in it.
    TenantAdmin(&'a str),
    /// One of these actions in a namespace (`tenant/namespace`).
    InNamespace(&'a str, &'a [Action]),
    /// One of these actions on a topic.
    OnTopic(&'a TopicName, &'a [Action]),
}

/// Who is at the other end of a connection.
#[derive(Debug)]
pub(super) struct Known {
    role: String,
    method: String,
    expires_ms: Option<u64>,
    /// When the proof is looked at next, if it can expire.
    pub(super) next_check: Option<Duration>,
    /// Fresh credentials were asked for.
    asked: bool,
}

impl Broker {
    /// Fact: the transport has checked the client's certificate, which has this common name. Before its
    /// first bytes.
    pub fn certified(&mut self, id: ConnId, name: &str) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.certified = Some(name.into());
        }
    }

    /// Fact: a client is at this address (`host:port`). It is told in statistics, and nothing else.
    pub fn came_from(&mut self, id: ConnId, peer: &str) {
        if let Some(conn) = self.conns.get_mut(id) {
            conn.peer = Some(peer.into());
        }
    }

    /// Who somebody is that shows this proof; the empty role where nobody needs one.
    ///
    /// # Errors
    /// That cannot be seen from the proof.
    pub fn identify(&self, proof: Proof<'_>, now: Now) -> Result<String, String> {
        match &self.config.access {
            None => Ok(String::new()),
            Some(access) => access.authenticator.identify(proof, now.wall_ms).map(|known| known.role),
        }
    }

    /// Whether somebody of that role may do something.
    #[must_use]
    pub fn may(&self, role: &str, need: Need<'_>) -> bool {
        let Some(superusers) = self.config.access.as_ref().and_then(|access| access.superusers.as_ref())
        else {
            return true;
        };
        let granted = |place: &str| self.topics.grants.get(place).and_then(|grants| grants.get(role));
        let has = |place: &str, actions: &[Action]| {
            granted(place).is_some_and(|granted| actions.iter().any(|action| granted.contains(action)))
        };
        let admin = |place: &str| {
            let tenant = place.split('/').next().unwrap_or_default();
            self.topics.tenant_admins.get(tenant).is_some_and(|roles| roles.contains(role))
        };
        superusers.contains(role)
            || match need {
                Need::Anything => true,
                Need::Superuser => false,
                Need::TenantAdmin(tenant) => admin(tenant),
                Need::InNamespace(name, actions) => admin(name) || has(name, actions),
                Need::OnTopic(topic, actions) => {
                    admin(&topic.tenant)
                        || has(&topic.namespace_name(), actions)
                        || has(&topic.to_string(), actions)
                        || has(&topic.base().to_string(), actions)
                }
            }
    }

    /// Whether that role is named as one that may do everything.
    pub(super) fn is_superuser(&self, role: &str) -> bool {
        let named = self.config.access.as_ref().and_then(|access| access.superusers.as_ref());
        named.is_some_and(|superusers| superusers.contains(role))
    }

    /// Roles that administer a tenant.
    #[must_use]
    pub fn tenant_admins(&self, tenant: &str) -> BTreeSet<String> {
        self.topics.tenant_admins.get(tenant).cloned().unwrap_or_default()
    }

    /// Says which roles administer a tenant.
    pub fn set_tenant_admins(&mut self, tenant: &str, roles: BTreeSet<String>) {
        self.topics.touch_name(kind::ADMINS, tenant);
        if roles.is_empty() {
            self.topics.tenant_admins.remove(tenant);
        } else {
            self.topics.tenant_admins.insert(tenant.to_owned(), roles);
        }
    }

    /// Finds out who says CONNECT; false when that does not go well and the connection is cut.
    pub(super) fn admit_client(&mut self, id: ConnId, c: &CommandConnect, now: Now) -> bool {
        if self.config.access.is_none() {
            return true;
        }
        let method = match (&c.auth_method_name, c.auth_method) {
            (Some(name), _) => name.clone(),
            (None, Some(AuthMethod::AUTH_METHOD_YCA_V1)) => "ycav1".to_owned(),
            (None, Some(AuthMethod::AUTH_METHOD_ATHENS)) => "athens".to_owned(),
            (None, _) => "none".to_owned(),
        };
        self.learn(id, method, &c.auth_data.clone().unwrap_or_default(), now)
    }

    /// Takes a proof; false when it does not hold and the connection is cut.
    fn learn(&mut self, id: ConnId, method: String, data: &[u8], now: Now) -> bool {
        let Some(access) = self.config.access.as_ref() else { return true };
        let Some(conn) = self.conns.out(id) else { return false };
        let proof = Proof { method: &method, data, certified: conn.certified.as_deref() };
        let identity = match access.authenticator.identify(proof, now.wall_ms) {
            Ok(identity) => identity,
            Err(why) => {
                self.turn_away(id, why, now);
                return false;
            }
        };
        let before = conn.known.as_deref();
        if let Some(before) = before.filter(|before| before.role != identity.role) {
            let why = format!("it was {:?} and now says that it is {:?}", before.role, identity.role);
            self.cut(id, DisconnectReason::Authentication(why), now);
            return false;
        }
        let scheduled = before.and_then(|before| before.next_check);
        let next_check = scheduled.or_else(|| identity.expires_ms.map(|_| now.mono + access.refresh_check));
        if let (None, Some(at)) = (scheduled, next_check) {
            self.timers.insert((at, Timer::Refresh(id)));
        }
        conn.known = Some(Box::new(Known {
            role: identity.role,
            method,
            expires_ms: identity.expires_ms,
            next_check,
            asked: false,
        }));
        true
    }

    fn turn_away(&mut self, id: ConnId, why: String, now: Now) {
        if let Some(conn) = self.conns.out(id) {
            conn.send(CommandError {
                request_id: u64::MAX,
                error: ServerError::AUTHENTICATION_ERROR,
                message: "Failed to authenticate".to_owned(),
            });
        }
        self.cut(id, DisconnectReason::Authentication(why), now);
    }

    /// An answer to a challenge before CONNECT.
    pub(super) fn early_auth_response(&mut self, id: ConnId, c: &CommandAuthResponse, now: Now) {
        if self.answer_of(id, c, now).is_some() {
            self.turn_away(id, "AUTH_RESPONSE before CONNECT".to_owned(), now);
        }
    }

    /// What a client answers to a challenge, and by which method; a client that answers nothing is cut.
    fn answer_of(&mut self, id: ConnId, c: &CommandAuthResponse, now: Now) -> Option<(String, Bytes)> {
        let response = c.response.as_ref();
        let method = response.and_then(|response| response.auth_method_name.clone());
        let data = response.and_then(|response| response.auth_data.clone());
        let answer = method.zip(data);
        if answer.is_none() {
            let what = "AUTH_RESPONSE without an answer".to_owned();
            self.cut(id, DisconnectReason::Protocol(what), now);
        }
        answer
    }

    /// An answer to a challenge; one that nobody asked for is looked at as well.
    pub(super) fn auth_response(&mut self, id: ConnId, c: &CommandAuthResponse, now: Now) {
        let Some((method, data)) = self.answer_of(id, c, now) else { return };
        if self.config.access.is_none() {
            let why = "AUTH_RESPONSE to a broker that asks nobody who he is".to_owned();
            return self.turn_away(id, why, now);
        }
        self.learn(id, method, &data, now);
    }

    /// Looks whether a client's proof still holds: asks for another, or cuts.
    pub(super) fn check_proof(&mut self, id: ConnId, now: Now) {
        let Some(access) = self.config.access.as_ref() else { return };
        let next = now.mono + access.refresh_check;
        let Some(conn) = self.conns.out(id) else { return };
        let can_refresh = conn.can.auth_refresh;
        let version = conn.can.protocol_version.min(PROTOCOL_VERSION);
        let Some(known) = conn.known.as_deref_mut() else { return };
        known.next_check = None;
        if known.expires_ms.is_some_and(|at| at < now.wall_ms) {
            if !can_refresh || known.asked {
                return self.cut(id, DisconnectReason::Expired, now);
            }
            known.asked = true;
            let challenge = CommandAuthChallenge {
                server_version: None,
                challenge: Some(AuthData {
                    auth_method_name: Some(known.method.clone()),
                    auth_data: Some(Bytes::from_static(REFRESH)),
                }),
                protocol_version: Some(version),
            };
            known.next_check = Some(next);
            conn.send(challenge);
        } else {
            known.next_check = known.expires_ms.map(|_| next);
        }
        if conn.known.as_ref().is_some_and(|known| known.next_check.is_some()) {
            self.timers.insert((next, Timer::Refresh(id)));
        }
    }

    /// Who is at the other end; empty where nobody asked.
    pub(super) fn role_of(&self, id: ConnId) -> &str {
        self.conns.get(id).and_then(|conn| conn.known.as_ref()).map_or("", |known| &known.role)
    }
}
