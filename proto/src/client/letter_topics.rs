//! Under which names the letters of a consumer go that puts messages off.
//!
//! ```text
//!           nobody has named a topic            each was answered
//! (options) ------------------------> Asked ------------------------> named: all topics are opened
//!      \-- all are named -----------------------------------------------^
//!                                       \-- it cannot be said: the consumer cannot be opened
//! ```
//!
//! As in Java: `{subscription}-RETRY` and `{subscription}-DLQ` in the namespace of the first topic, as the first
//! clients had them, where there are such topics; else `{topic}-{subscription}-RETRY` and `-DLQ`. Brokers that would make
//! a topic which they are asked about are not asked, nor proxies, which say of every topic that it is there. (Java believes
//! them: through a proxy, or at an older broker, it takes the first clients' names always.)

use super::Client;
use super::joining::Ask;
use super::link::Owner;
use crate::consumer::Way;
use crate::error::{Error, ErrorKind};
use crate::event::Output;
use crate::ids::ConsumerId;
use crate::many::consumer::{Added, State, Unnamed};
use crate::time::Now;
use crate::topic::TopicName;
use crate::wire::ServerError;

impl Client {
    /// Names the topics of letters, if there are to be any; then opens these topics, and that of retry letters.
    pub(super) fn open_named(&mut self, id: ConsumerId, topics: &[TopicName], now: Now) {
        let Some(multi) = self.multi.get_mut(&id) else { return };
        let older = multi.config.older_letter_topics();
        multi.unnamed = Some(Unnamed { topics: topics.to_vec(), left: older.len() });
        if older.is_empty() {
            return self.letters_named(id, now);
        }
        for (way, topic) in older {
            let ask = Ask::LetterTopic(id, way, topic.clone());
            self.asking(ask, |client| client.ask_whether_there(topic, now));
        }
    }

    pub(super) fn letter_topic_answered(
        &mut self,
        id: ConsumerId,
        way: Way,
        topic: &TopicName,
        result: Result<Output, Error>,
    ) {
        let Some(multi) = self.multi.get_mut(&id) else { return };
        let Some(unnamed) = &mut multi.unnamed else { return };
        let there = match result {
            // As Java: of topics that are not persistent only those with partitions are known.
            Ok(Output::Partitions(n)) => n > 0 || topic.is_persistent(),
            Ok(_) => false,
            Err(error) if error.kind() == ErrorKind::Broker(ServerError::TOPIC_NOT_FOUND) => false,
            Err(error) => {
                if let State::Opening(created) = multi.state {
                    self.forget(Owner::Consumer(id), &error);
                    self.complete(created, Err(error));
                }
                return;
            }
        };
        unnamed.left -= 1;
        let last = unnamed.left == 0;
        if there {
            multi.config.name_letter(way, topic);
        }
        if last {
            self.letters_named(id, self.now);
        }
    }

    fn letters_named(&mut self, id: ConsumerId, now: Now) {
        let Some(multi) = self.multi.get_mut(&id) else { return };
        let Some(Unnamed { topics, .. }) = multi.unnamed.take() else { return };
        let retry = multi.config.name_letters();
        let retry = retry.filter(|retry| !topics.contains(retry));
        for topic in topics.into_iter().chain(retry) {
            self.add(id, topic, Added::First, now);
        }
        self.multi_is_open(id);
    }
}
