//! Requests and what came of them.

use pulsewire_proto::wire::{Command, CommandSendReceipt, SubType};

use super::messages::Delivered;
use super::recorder::{Consumer, Producer, Recorder};
use super::words::{code, shape};

impl Recorder {
    pub(super) fn request(&mut self, conn: u64, command: Command) {
        let w = |text: &str| self.words.of(text);
        let (id, text) = match command {
            Command::Connect(_) => (u64::MAX, "connect".to_owned()),
            Command::PartitionedTopicMetadata(c) => (c.request_id, format!("partitions of {}", w(&c.topic))),
            Command::LookupTopic(c) => (c.request_id, format!("look up {}", w(&c.topic))),
            Command::Producer(c) => {
                let topic = w(&c.topic);
                let given = c.user_provided_producer_name == Some(true);
                let (mode, request) = (c.producer_access_mode.unwrap_or_default(), c.request_id);
                let schema = c.schema.as_ref().map(|s| format!(" {:?}", s.r#type)).unwrap_or_default();
                let name = if given { " named" } else { "" };
                let known = Producer { topic: topic.clone(), last: None };
                if let (true, Some(name)) = (given, c.producer_name) {
                    self.named.insert(name);
                }
                self.producers.insert((conn, c.producer_id), known);
                (request, format!("produce to {topic}{name} {mode:?}{schema}"))
            }
            Command::Subscribe(c) => {
                let (topic, sub) = (w(&c.topic), w(&c.subscription));
                let name = format!("{topic} {sub}");
                let durable = if c.durable == Some(false) { " not durable" } else { "" };
                let schema = c.schema.as_ref().map(|s| format!(" {:?}", s.r#type)).unwrap_or_default();
                let text = format!("subscribe {name} {:?}{durable}{schema}", c.sub_type);
                let known = Consumer {
                    topic,
                    name,
                    sub_type: c.sub_type,
                    by_key: c
                        .key_shared_meta
                        .is_none_or(|meta| meta.allow_out_of_order_delivery != Some(true)),
                    seen: Delivered::default(),
                };
                self.consumers.insert((conn, c.consumer_id), known);
                (c.request_id, text)
            }
            Command::Ack(c) => {
                let Some(id) = c.request_id else { return };
                let txn = if c.txnid_most_bits.is_some() { " in a transaction" } else { "" };
                (id, format!("acknowledge {} {:?}{txn}", self.consumer(conn, c.consumer_id), c.ack_type))
            }
            Command::Seek(c) => {
                let to = if c.message_id.is_some() { "an id" } else { "a time" };
                (c.request_id, format!("seek {} to {to}", self.consumer(conn, c.consumer_id)))
            }
            Command::Unsubscribe(c) => {
                let force = if c.force == Some(true) { " by force" } else { "" };
                (c.request_id, format!("unsubscribe {}{force}", self.consumer(conn, c.consumer_id)))
            }
            Command::GetLastMessageId(c) => {
                (c.request_id, format!("last id for {}", self.consumer(conn, c.consumer_id)))
            }
            Command::ConsumerStats(c) => {
                (c.request_id, format!("statistics of {}", self.consumer(conn, c.consumer_id)))
            }
            Command::CloseProducer(c) => {
                (c.request_id, format!("close a producer of {}", self.producer(conn, c.producer_id)))
            }
            Command::CloseConsumer(c) => {
                (c.request_id, format!("close a consumer of {}", self.consumer(conn, c.consumer_id)))
            }
            Command::GetTopicsOfNamespace(c) => {
                (c.request_id, format!("topics of {} {:?}", w(&c.namespace), c.mode.unwrap_or_default()))
            }
            Command::WatchTopicList(c) => {
                let text = format!("watch {}", w(&c.topics_pattern));
                self.watchers.insert((conn, c.watcher_id), text.clone());
                (c.request_id, text)
            }
            Command::WatchTopicListClose(c) => (c.request_id, "watch no more".to_owned()),
            Command::GetSchema(c) => {
                let version = if c.schema_version.is_some() { "a version of the" } else { "the last" };
                (c.request_id, format!("{version} schema of {}", w(&c.topic)))
            }
            Command::GetOrCreateSchema(c) => {
                (c.request_id, format!("make the schema {:?} of {}", c.schema.r#type, w(&c.topic)))
            }
            Command::TcClientConnectRequest(c) => {
                (c.request_id, format!("attach to coordinator {}", c.tc_id))
            }
            Command::NewTxn(c) => (c.request_id, "open a transaction".to_owned()),
            Command::AddPartitionToTxn(c) => {
                (c.request_id, format!("transaction: produce to {}", self.words.topics(c.partitions.iter())))
            }
            Command::AddSubscriptionToTxn(c) => {
                let topics = c.subscription.iter().map(|s| &s.topic);
                (c.request_id, format!("transaction: acknowledge on {}", self.words.topics(topics)))
            }
            Command::EndTxn(c) => {
                (c.request_id, format!("transaction: {:?}", c.txn_action.unwrap_or_default()))
            }
            _ => return,
        };
        self.asked.insert((conn, id), text);
    }

    pub(super) fn reply(&mut self, conn: u64, command: Command) {
        let fact = |this: &mut Self, id: u64, what: String| {
            let asked = this.asked.get(&(conn, id)).map_or("nothing that was asked", String::as_str);
            let fact = format!("{asked}: {what}");
            this.fact(fact);
        };
        match command {
            Command::Connected(c) => {
                let largest = c.max_message_size.unwrap_or(0);
                let protocol = c.protocol_version.unwrap_or(0);
                self.fact(format!("connect: protocol {protocol}, messages up to {largest} B"));
                self.fact(format!("connect: {:?}", c.feature_flags));
            }
            Command::AuthChallenge(_) => self.fact("a challenge".to_owned()),
            Command::Error(c) => {
                // Brokers answer a CONNECT that they refuse with the request id -1.
                fact(self, c.request_id, format!("{:?}", c.error));
            }
            Command::Success(c) => {
                // After it the consumer begins anew, wherever it was told to.
                let asked = self.asked.get(&(conn, c.request_id)).cloned().unwrap_or_default();
                if asked.starts_with("seek") {
                    for ((at, _), consumer) in &mut self.consumers {
                        if *at == conn && asked.contains(&consumer.name) {
                            consumer.seen = Delivered::default();
                        }
                    }
                }
                fact(self, c.request_id, "ok".to_owned());
            }
            Command::PartitionedTopicMetadataResponse(c) => {
                let what = format!("{:?} {} {}", c.response, c.partitions.unwrap_or(0), code(c.error));
                fact(self, c.request_id, what);
            }
            Command::LookupTopicResponse(c) => {
                let urls = match (c.broker_service_url.is_some(), c.broker_service_url_tls.is_some()) {
                    (true, true) => "both URLs",
                    (true, false) => "the plain URL",
                    (false, true) => "the TLS URL",
                    (false, false) => "no URL",
                };
                let response = c.response.unwrap_or_default();
                let (sure, proxy) =
                    (c.authoritative == Some(true), c.proxy_through_service_url == Some(true));
                let notes = format!("authoritative {sure}, proxied {proxy}");
                fact(self, c.request_id, format!("{response:?} {urls}, {notes}, {}", code(c.error)));
            }
            Command::ProducerSuccess(c) => {
                let given = self.named.contains(&c.producer_name);
                if !given {
                    self.made_up.insert(c.producer_name);
                }
                let name = if given { "its name" } else { "a name of the broker's" };
                let ready = if c.producer_ready == Some(false) { "waits" } else { "ready" };
                let last = c.last_sequence_id.unwrap_or(-1);
                let versions = c.schema_version.as_ref().map_or(0, bytes::Bytes::len);
                let what =
                    format!("{ready}, {name}, last sequence id {last}, schema version of {versions} B");
                fact(self, c.request_id, what);
                let epoch = c.topic_epoch.map_or_else(|| "no epoch".to_owned(), |e| format!("epoch {e}"));
                fact(self, c.request_id, epoch);
            }
            Command::SendReceipt(c) => self.receipt(conn, &c),
            Command::SendError(c) => {
                let fact = format!("send to {}: {:?}", self.producer(conn, c.producer_id), c.error);
                self.fact(fact);
            }
            Command::AckResponse(c) => fact(self, c.request_id.unwrap_or(u64::MAX), code(c.error)),
            Command::CloseProducer(c) => {
                let fact = format!("the broker closes a producer of {}", self.producer(conn, c.producer_id));
                self.fact(fact);
            }
            Command::CloseConsumer(c) => {
                let fact = format!("the broker closes a consumer of {}", self.consumer(conn, c.consumer_id));
                self.fact(fact);
            }
            Command::ActiveConsumerChange(c) => {
                let active = c.is_active == Some(true);
                let fact =
                    format!("a consumer of {} is active: {active}", self.consumer(conn, c.consumer_id));
                self.fact(fact);
            }
            Command::ReachedEndOfTopic(c) => {
                let fact = format!("the end of the topic: {}", self.consumer(conn, c.consumer_id));
                self.fact(fact);
            }
            Command::TopicMigrated(_) => self.fact("a topic has moved".to_owned()),
            Command::GetLastMessageIdResponse(c) => {
                let asked = self.asked.get(&(conn, c.request_id)).cloned().unwrap_or_default();
                let consumers = self.consumers.values();
                let mut topic =
                    consumers.filter(|known| asked.ends_with(&known.name)).map(|c| c.topic.clone());
                let topic = topic.next_back().unwrap_or_default();
                let last = self.place(&topic, &c.last_message_id);
                let what = format!("{} {last}", shape(&c.last_message_id));
                fact(self, c.request_id, what);
                let mark = c.consumer_mark_delete_position.as_ref();
                let mark = mark.map_or_else(|| "none".to_owned(), |id| self.place(&topic, id));
                fact(self, c.request_id, format!("acknowledged up to {mark}"));
            }
            Command::ConsumerStatsResponse(c) => {
                let kind = c.r#type.unwrap_or_default();
                let blocked = c.blocked_consumer_on_unacked_msgs;
                let what = format!("{} {kind:?} blocked {blocked:?}", code(c.error_code));
                fact(self, c.request_id, what);
            }
            Command::GetTopicsOfNamespaceResponse(c) => {
                let topics = self.words.topics(c.topics.iter());
                let notes = format!("filtered {:?} changed {:?}", c.filtered, c.changed);
                fact(self, c.request_id, format!("{topics} {notes} hash {}", c.topics_hash.is_some()));
            }
            Command::WatchTopicListSuccess(c) => {
                let topics = self.words.topics(c.topic.iter());
                fact(self, c.request_id, format!("{topics} hash of {}", c.topics_hash.len()));
            }
            Command::WatchTopicUpdate(c) => {
                let watch = self.watchers.get(&(conn, c.watcher_id)).cloned().unwrap_or_default();
                for topic in c.new_topics {
                    let fact = format!("{watch}: {} is new", self.words.of(&topic));
                    self.fact(fact);
                }
                for topic in c.deleted_topics {
                    let fact = format!("{watch}: {} is gone", self.words.of(&topic));
                    self.fact(fact);
                }
            }
            Command::GetSchemaResponse(c) => {
                let kind = c.schema.map(|s| s.r#type);
                let version = c.schema_version.map(|v| v.len());
                fact(self, c.request_id, format!("{} {kind:?} version {version:?}", code(c.error_code)));
            }
            Command::GetOrCreateSchemaResponse(c) => {
                let version = c.schema_version.map(|v| v.len());
                fact(self, c.request_id, format!("{} version {version:?}", code(c.error_code)));
            }
            Command::TcClientConnectResponse(c) => fact(self, c.request_id, code(c.error)),
            Command::NewTxnResponse(c) => {
                let id = c.txnid_least_bits.is_some() || c.txnid_most_bits.is_some();
                fact(self, c.request_id, format!("{} id {id}", code(c.error)));
            }
            Command::AddPartitionToTxnResponse(c) => fact(self, c.request_id, code(c.error)),
            Command::AddSubscriptionToTxnResponse(c) => fact(self, c.request_id, code(c.error)),
            Command::EndTxnResponse(c) => fact(self, c.request_id, code(c.error)),
            Command::Ping(_) | Command::Pong(_) => {}
            other => self.fact(format!("{} came", other.name())),
        }
    }

    fn receipt(&mut self, conn: u64, c: &CommandSendReceipt) {
        let Some(id) = &c.message_id else {
            return self.fact("a receipt without an id".to_owned());
        };
        let Some(producer) = self.producers.get_mut(&(conn, c.producer_id)) else {
            return self.fact("a receipt of no producer".to_owned());
        };
        let (topic, place) = (producer.topic.clone(), (id.ledger_id, id.entry_id));
        // What was stored before, the broker says by ids of -1.
        let stored = id.ledger_id != u64::MAX;
        let order = match producer.last {
            Some((sequence, last)) if stored && (c.sequence_id <= sequence || place < last) => "out of order",
            _ => "in order",
        };
        if stored {
            producer.last = Some((c.sequence_id, place));
            self.ids.entry(topic.clone()).or_default().insert(place);
        }
        self.fact(format!("receipts of {topic}: {order}"));
        self.fact(format!("receipts of {topic}: {}", shape(id)));
    }

    pub(super) fn consumer(&self, conn: u64, id: u64) -> String {
        self.consumers.get(&(conn, id)).map_or_else(|| "nobody".to_owned(), |c| c.name.clone())
    }

    fn producer(&self, conn: u64, id: u64) -> String {
        self.producers.get(&(conn, id)).map_or_else(|| "nobody".to_owned(), |p| p.topic.clone())
    }
}

/// Whether a subscription of this type promises the order of the topic.
pub(super) fn ordered(sub_type: SubType) -> bool {
    matches!(sub_type, SubType::EXCLUSIVE | SubType::FAILOVER)
}
