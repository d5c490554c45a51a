//! Acknowledging in a transaction.

use pulsewire_proto::wire::{AckType, CommandAck, MessageIdData, ServerError};

use super::super::Broker;
use super::super::connection::ConsumerRef;
use super::super::cursor::open_bits;
use super::super::error::Refusal;
use super::super::ids::ConsumerKey;
use super::super::names::TopicName;
use super::super::storage::{Log, Place};
use super::super::subscription::Subscription;
use super::super::topic::Topic;
use super::pending::{PendingAcks, UpTo};
use super::{Left, TxnId};

impl Broker {
    pub(in crate::core) fn acknowledge_in_txn(
        &mut self,
        at: ConsumerRef,
        c: &CommandAck,
        txn: TxnId,
    ) -> Result<(), Refusal> {
        let by_index = self.config.batch_index_ack;
        let kept = self.topics.touched.is_some();
        let Some(Topic { name, log, subs, .. }) = self.topics.get_mut(at.topic) else { return Ok(()) };
        let Some(sub) = subs.get_mut(&at.sub) else { return Ok(()) };
        if !name.persistent {
            return Err(Refusal::service(
                ServerError::NOT_ALLOWED_ERROR,
                "NotAllowedException",
                "Server don't support transaction ack!",
            ));
        }
        sub.txns.get_or_insert_with(|| Box::new(PendingAcks::new(kept)));
        let ground = Ground { name, log, txn };
        if c.ack_type == AckType::CUMULATIVE {
            // On shared subscriptions, or for several ids at a time, it means nothing.
            match c.message_id.as_slice() {
                [id] if !sub.is_shared() => return ground.up_to(sub, id),
                _ => return Ok(()),
            }
        }
        let result = ground.one_by_one(sub, at.key, &c.message_id, by_index);
        self.wake(at.topic, at.sub);
        result
    }
}

/// Where a transaction acknowledges.
struct Ground<'a> {
    name: &'a TopicName,
    log: &'a Log,
    txn: TxnId,
}

impl Ground<'_> {
    fn one_by_one(
        &self,
        sub: &mut Subscription,
        by: ConsumerKey,
        ids: &[MessageIdData],
        by_index: bool,
    ) -> Result<(), Refusal> {
        let ids: Vec<&MessageIdData> = ids.iter().filter(|id| id.ack_set.is_empty() || by_index).collect();
        // Whoever acknowledges a whole entry lets go of it, even if another transaction has it.
        for id in ids.iter().filter(|id| id.ack_set.is_empty()) {
            if let Some(offset) = self.log.offset_of(id) {
                sub.let_go(by, offset, self.messages(offset));
            }
        }
        for id in &ids {
            self.check(sub, id)?;
        }
        for id in ids {
            let Some(offset) = self.log.offset_of(id) else { continue };
            let messages = self.messages(offset);
            let open = (!id.ack_set.is_empty()).then(|| open_bits(&id.ack_set, messages));
            let before = sub.left().messages(offset, messages);
            if let Some(pending) = &mut sub.txns {
                pending.insert(self.txn, offset, open);
            }
            let after = sub.left().messages(offset, messages);
            sub.settle_unacked(by, offset, before.saturating_sub(after));
            if after == 0 {
                sub.let_go(by, offset, messages);
                sub.replay.remove(offset);
            }
        }
        Ok(())
    }

    fn messages(&self, offset: u64) -> u32 {
        self.log.get(offset).map_or(1, |stored| stored.messages)
    }

    /// Whether nobody else has acknowledged the same, or is about to.
    fn check(&self, sub: &Subscription, id: &MessageIdData) -> Result<(), Refusal> {
        let acked =
            || Err(self.conflict(sub, &format!("ack message:{} already acked before.", position(id))));
        let offset = match (self.log.place_of(id), self.log.offset_of(id)) {
            (Place::Before, _) => return acked(),
            (_, Some(offset)) => offset,
            // Nothing that was ever stored: nothing comes of it.
            (_, None) => return Ok(()),
        };
        let Left { cursor, pending } = sub.left();
        if cursor.is_acked(offset) {
            return acked();
        }
        let mut waiting = pending.into_iter().flat_map(|pending| pending.of_entry(offset));
        if id.ack_set.is_empty() {
            return match waiting.next() {
                None => Ok(()),
                Some(_) => {
                    Err(self.conflict(sub, &format!("ack message:{} in pending ack status.", position(id))))
                }
            };
        }
        let messages = self.messages(offset);
        let mine = open_bits(&id.ack_set, messages);
        let before = cursor.ack_set(offset);
        if !before.is_empty() && overlap(&mine, &open_bits(&before, messages), messages) {
            return acked();
        }
        if waiting.any(|(_, open)| open.as_ref().is_none_or(|open| overlap(&mine, open, messages))) {
            let what = format!("ack batch message:{} in pending ack status.", position(id));
            return Err(self.conflict(sub, &what));
        }
        Ok(())
    }

    fn up_to(&self, sub: &mut Subscription, id: &MessageIdData) -> Result<(), Refusal> {
        let mark = sub.cursor.mark();
        let offset = self.log.offset_of(id);
        if offset.is_some_and(|offset| offset < mark) || self.log.place_of(id) == Place::Before {
            let what = format!(
                "cumulative ack position: {} within range of cursor's markDeletePosition: {}",
                plain_position(id),
                plain_position(&self.log.id_before(mark)),
            );
            return Err(self.conflict(sub, &what));
        }
        let Some(offset) = offset else { return Ok(()) };
        let new = UpTo { txn: self.txn, offset, set: id.ack_set.clone() };
        let current = sub.txns.as_ref().and_then(|pending| pending.up_to.as_ref());
        if let Some(current) = current.filter(|current| current.txn != new.txn || !new.is_beyond(current)) {
            let there = MessageIdData { ack_set: current.set.clone(), ..self.log.id_at(current.offset) };
            let what = format!(
                "cumulative batch ack position: {} within range of current currentPosition: {}",
                plain_position(id),
                plain_position(&there),
            );
            return Err(self.conflict(sub, &what));
        }
        if let Some(pending) = &mut sub.txns {
            pending.set_up_to(Some(new));
        }
        Ok(())
    }

    fn conflict(&self, sub: &Subscription, what: &str) -> Refusal {
        let message = format!(
            "org.apache.pulsar.transaction.common.exception.TransactionConflictException: [{}][{}] \
             Transaction:{} try to {what}",
            self.name, sub.name, self.txn
        );
        Refusal::new(ServerError::TRANSACTION_CONFLICT, message)
    }
}

impl UpTo {
    /// Whether it acknowledges something that the other does not.
    fn is_beyond(&self, other: &Self) -> bool {
        (self.offset, first_open(&self.set)) > (other.offset, first_open(&other.set))
    }
}

/// The first message that is left open.
fn first_open(set: &[i64]) -> u64 {
    let word = set.iter().enumerate().find(|(_, word)| **word != 0);
    word.map_or(u64::MAX, |(at, word)| at as u64 * 64 + u64::from(word.trailing_zeros()))
}

/// Whether both acknowledge one and the same of so many messages; the bits are what they leave open.
fn overlap(a: &[u64], b: &[u64], messages: u32) -> bool {
    open_bits(&vec![-1; messages.div_ceil(64) as usize], messages).iter().enumerate().any(|(at, all)| {
        let acked = |set: &[u64]| !set.get(at).copied().unwrap_or(0);
        acked(a) & acked(b) & all != 0
    })
}

fn plain_position(id: &MessageIdData) -> String {
    match id.ack_set.len() {
        0 => format!("{}:{}", id.ledger_id as i64, id.entry_id as i64),
        _ => position(id),
    }
}

/// A position as texts have it that clients show.
fn position(id: &MessageIdData) -> String {
    let set = match id.ack_set.len() {
        0 => "is null".to_owned(),
        words => format!("with long[] size of {words}"),
    };
    format!("{}:{} (ackSet {set})", id.ledger_id as i64, id.entry_id as i64)
}
