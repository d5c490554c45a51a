//! What roles are granted, and commands that they are not granted.
//!
//! Asked for are the commands that name a topic or a namespace, and those on transactions. What belongs to a
//! producer or a consumer (SEND, ACK, SEEK, GET_LAST_MESSAGE_ID, ..) was asked for when that was opened;
//! schemas are for everybody who is known, as Apache Pulsar 4.0.8 has it.

use std::collections::{BTreeMap, BTreeSet};

use pulsewire_proto::wire::{
    Command, CommandError, CommandLookupTopicResponse, CommandPartitionedTopicMetadataResponse, LookupResult,
    PartitionedMetadataResult, ServerError,
};

use super::Broker;
use super::access::{Action, Grants, Need};
use super::ids::ConnId;
use super::keeping::kind;
use super::names::TopicName;
use super::notes::Note;
use super::time::Now;

const EITHER: &[Action] = &[Action::Produce, Action::Consume];

/// Under which name it is kept who may use a subscription: no namespace has such a one.
fn subscription_place(namespace: &str, subscription: &str) -> String {
    format!("{namespace}?{subscription}")
}

impl Broker {
    /// What is granted on a namespace (`tenant/namespace`) or a topic (its whole name).
    #[must_use]
    pub fn grants(&self, place: &str) -> Grants {
        self.topics.grants.get(place).cloned().unwrap_or_default()
    }

    /// What is granted on single topics of a namespace, by their names.
    #[must_use]
    pub fn topic_grants(&self, namespace: &str) -> BTreeMap<String, Grants> {
        let within =
            |place: &str| TopicName::parse(place).is_ok_and(|name| name.namespace_name() == namespace);
        let all = self.topics.grants.iter().filter(|(place, _)| place.contains("://") && within(place));
        all.map(|(place, grants)| (place.clone(), grants.clone())).collect()
    }

    /// Grants a role these actions, and no others, on a namespace or a topic. None at all takes back what it
    /// was granted: producers and consumers of its that are open are closed.
    pub fn grant(&mut self, place: &str, role: &str, actions: BTreeSet<Action>, now: Now) {
        self.set_grant(place, role, actions);
        self.expel_unpermitted(now);
    }

    /// Roles that may use a subscription of a namespace, by subscription; all may use one that is not named.
    #[must_use]
    pub fn subscription_grants(&self, namespace: &str) -> BTreeMap<String, BTreeSet<String>> {
        let prefix = subscription_place(namespace, "");
        let places =
            self.topics.grants.range(prefix.clone()..).take_while(|(name, _)| name.starts_with(&prefix));
        places
            .map(|(name, roles)| (name[prefix.len()..].to_owned(), roles.keys().cloned().collect()))
            .collect()
    }

    /// Lets these roles use a subscription of a namespace, and no others; all of them, when none is named.
    pub fn let_use_subscription(
        &mut self,
        namespace: &str,
        subscription: &str,
        roles: BTreeSet<String>,
        now: Now,
    ) {
        let place = subscription_place(namespace, subscription);
        self.topics.touch_name(kind::GRANTS, &place);
        let consume = |role| (role, BTreeSet::from([Action::Consume]));
        self.topics.grants.insert(place, roles.into_iter().map(consume).collect());
        self.expel_unpermitted(now);
    }

    /// Lets a role use a subscription of a namespace no more; false when none was named for it. With the last
    /// role that is named all may.
    pub fn take_subscription(&mut self, namespace: &str, subscription: &str, role: &str, now: Now) -> bool {
        let place = subscription_place(namespace, subscription);
        if !self.topics.grants.contains_key(&place) {
            return false;
        }
        self.set_grant(&place, role, BTreeSet::new());
        self.expel_unpermitted(now);
        true
    }

    fn set_grant(&mut self, place: &str, role: &str, actions: BTreeSet<Action>) {
        self.topics.touch_name(kind::GRANTS, place);
        let grants = self.topics.grants.entry(place.to_owned()).or_default();
        if actions.is_empty() {
            grants.remove(role);
        } else {
            grants.insert(role.to_owned(), actions);
        }
        if grants.is_empty() {
            self.topics.grants.remove(place);
        }
    }

    /// Forgets what is granted in a namespace.
    pub(super) fn forget_grants(&mut self, namespace: &str) {
        let prefix = subscription_place(namespace, "");
        let gone: Vec<String> = self
            .topics
            .grants
            .keys()
            .filter(|place| *place == namespace || place.starts_with(&prefix))
            .cloned()
            .collect();
        for place in gone {
            self.topics.touch_name(kind::GRANTS, &place);
            self.topics.grants.remove(&place);
        }
    }

    /// The namespace of a topic whose tenant is not there.
    fn without_tenant(&self, topic: &str) -> Option<String> {
        let name = TopicName::parse(topic).ok()?;
        self.tenant(&name.tenant).is_none().then(|| name.namespace_name())
    }

    /// Refuses a command that the client's role may not give; true when it did.
    pub(super) fn deny(&mut self, id: ConnId, command: &Command) -> bool {
        let denied = match command {
            Command::LookupTopic(c) => self.may_not(id, &c.topic, EITHER).then(|| {
                Command::from(CommandLookupTopicResponse {
                    request_id: c.request_id,
                    response: Some(LookupResult::FAILED),
                    error: Some(ServerError::AUTHORIZATION_ERROR),
                    message: Some("Client is not authorized to Lookup".to_owned()),
                    ..CommandLookupTopicResponse::default()
                })
            }),
            Command::PartitionedTopicMetadata(c) => self.may_not(id, &c.topic, EITHER).then(|| {
                let (error, message) = match self.without_tenant(&c.topic) {
                    Some(namespace) => (
                        ServerError::TOPIC_NOT_FOUND,
                        format!("Tenant or namespace or topic does not exist: {namespace}"),
                    ),
                    None => (
                        ServerError::AUTHORIZATION_ERROR,
                        "Client is not authorized to Get Partition Metadata".to_owned(),
                    ),
                };
                Command::from(CommandPartitionedTopicMetadataResponse {
                    request_id: c.request_id,
                    response: Some(PartitionedMetadataResult::FAILED),
                    error: Some(error),
                    message: Some(message),
                    ..CommandPartitionedTopicMetadataResponse::default()
                })
            }),
            Command::Producer(c) => {
                let produce = self.may_not(id, &c.topic, &[Action::Produce]);
                let produce = produce.then(|| "Client is not authorized to Produce".to_owned());
                // It makes the subscription that it begins with.
                let first = c.initial_subscription_name.as_deref().filter(|name| !name.is_empty());
                let subscribe = || match self.may_not_subscribe(id, &c.topic, first?)? {
                    Unsubscribed::Denied => Some("Client is not authorized to Produce".to_owned()),
                    Unsubscribed::Misnamed(why) => Some(exception(&why)),
                };
                produce.or_else(subscribe).map(|why| unauthorized(c.request_id, why))
            }
            Command::Subscribe(c) => self.may_not_subscribe(id, &c.topic, &c.subscription).map(|why| {
                let why = match why {
                    Unsubscribed::Denied => "Client is not authorized to subscribe".to_owned(),
                    Unsubscribed::Misnamed(why) => exception(&why),
                };
                unauthorized(c.request_id, why)
            }),
            Command::GetTopicsOfNamespace(c) => (!self.may_list(id, &c.namespace))
                .then(|| unauthorized(c.request_id, "Client is not authorized to GetTopicsOfNamespace")),
            Command::WatchTopicList(c) => (!self.may_list(id, &c.namespace))
                .then(|| unauthorized(c.request_id, "Proxy Client is not authorized to watchTopicList")),
            _ => None,
        };
        let Some(answer) = denied else { return false };
        self.note(|broker| Note::Denied { id, role: broker.role_of(id).to_owned(), what: command.name() });
        self.reply(id, answer);
        true
    }

    /// A name that is none is for others to refuse.
    fn may_not(&self, id: ConnId, topic: &str, actions: &[Action]) -> bool {
        let role = self.role_of(id);
        TopicName::parse(topic).is_ok_and(|topic| !self.may(role, Need::OnTopic(&topic, actions)))
    }

    /// Why a client may not use that subscription, if it may not.
    fn may_not_subscribe(&self, id: ConnId, topic: &str, subscription: &str) -> Option<Unsubscribed> {
        let topic = TopicName::parse(topic).ok()?;
        self.may_not_use_subscription(self.role_of(id), &topic, subscription)
    }

    /// Why somebody of that role may not use that subscription of a topic, if he may not.
    pub(crate) fn may_not_use_subscription(
        &self,
        role: &str,
        topic: &TopicName,
        subscription: &str,
    ) -> Option<Unsubscribed> {
        let namespace = topic.namespace_name();
        if self.may(role, Need::TenantAdmin(&topic.tenant)) {
            return None;
        }
        if !subscription.trim().is_empty() {
            let named = self.topics.grants.get(&subscription_place(&namespace, subscription));
            if named.is_some_and(|roles| !roles.is_empty() && !roles.contains_key(role)) {
                return Some(Unsubscribed::Denied);
            }
            let by_prefix = self
                .topics
                .namespaces
                .get(&namespace)
                .is_some_and(|policies| policies.subscriptions_by_prefix());
            if by_prefix && !subscription.starts_with(role) {
                return Some(Unsubscribed::Misnamed(format!(
                    "Failed to create consumer - The subscription name needs to be prefixed by the \
                     authentication role, like {role}-xxxx for topic: {topic}"
                )));
            }
        }
        (!self.may(role, Need::OnTopic(topic, &[Action::Consume]))).then_some(Unsubscribed::Denied)
    }

    fn may_list(&self, id: ConnId, namespace: &str) -> bool {
        self.may(self.role_of(id), Need::InNamespace(namespace, EITHER))
    }

    /// Closes producers and consumers whose roles may not have them any more.
    pub(super) fn expel_unpermitted(&mut self, now: Now) {
        if self.config.access.as_ref().is_none_or(|access| access.superusers.is_none()) {
            return;
        }
        let (mut producers, mut consumers) = (Vec::new(), Vec::new());
        for (id, conn) in self.conns.iter() {
            let name = |key| self.topics.get(key).map(|topic| topic.name.to_string());
            for (producer, open) in &conn.producers {
                if name(open.topic).is_some_and(|name| self.may_not(*id, &name, &[Action::Produce])) {
                    producers.push((*id, *producer));
                }
            }
            for (consumer, at) in &conn.consumers {
                let sub = self.topics.get(at.topic).and_then(|topic| Some((topic, topic.subs.get(&at.sub)?)));
                if sub.is_some_and(|(topic, sub)| {
                    self.may_not_subscribe(*id, &topic.name.to_string(), &sub.name).is_some()
                }) {
                    consumers.push((*id, *consumer));
                }
            }
        }
        for (id, consumer) in consumers {
            self.close_consumer_of(id, consumer, now);
        }
        for (id, producer) in producers {
            self.close_producer_of(id, producer);
        }
        self.settle(now);
    }
}

/// Why somebody may not use a subscription.
pub(crate) enum Unsubscribed {
    Denied,
    /// Its name does not begin with the role, as the namespace wants it.
    Misnamed(String),
}

/// How clients are told that a name does not begin with the role.
fn exception(why: &str) -> String {
    format!("org.apache.pulsar.broker.PulsarServerException: {why}")
}

fn unauthorized(request_id: u64, message: impl Into<String>) -> Command {
    CommandError { request_id, error: ServerError::AUTHORIZATION_ERROR, message: message.into() }.into()
}
