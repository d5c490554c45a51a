//! What outlives the broker of transactions. Those among a topic's messages are read out of its log.

use bytes::{BufMut, Bytes, BytesMut};

use super::super::Broker;
use super::super::Timer;
use super::super::ids::TopicKey;
use super::super::keeping::{Kept, codec, kind};
use super::super::subscription::Subscription;
use super::super::time::Now;
use super::super::topic::Topic;
use super::coordinator::{State, Txn};
use super::pending::UpTo;
use super::{PendingAcks, TxnId};

/// Stands where an entry's number would, for the acknowledgement of all up to an entry.
const UP_TO: u64 = u64::MAX;

fn key(id: TxnId) -> Vec<u8> {
    [&[kind::TRANSACTION][..], &id.coordinator.to_be_bytes(), &id.number.to_be_bytes()].concat()
}

/// Writes down how far a transaction is.
pub(in crate::core) fn write(broker: &Broker, id: TxnId, out: &mut Vec<Kept>) {
    let mut next = BytesMut::new();
    next.put_u64(broker.txns.next(id.coordinator));
    let coordinator = [&[kind::COORDINATOR][..], &id.coordinator.to_be_bytes()].concat();
    out.push(Kept::Put(coordinator, next.freeze()));
    let Some(txn) = broker.txns.txns.get(&id) else {
        out.push(Kept::Remove(key(id), [&key(id)[..], &[0]].concat()));
        return;
    };
    let mut value = BytesMut::new();
    value.put_u8(match txn.state {
        State::Open => 0,
        State::Committing => 1,
        State::Aborting => 2,
    });
    value.put_u64(txn.opened);
    value.put_u64(txn.ttl);
    value.put_u32(txn.topics.len() as u32);
    for topic in &txn.topics {
        codec::text(&mut value, topic.as_bytes());
    }
    value.put_u32(txn.subs.len() as u32);
    for (topic, sub) in &txn.subs {
        codec::text(&mut value, topic.as_bytes());
        codec::text(&mut value, sub.as_bytes());
    }
    codec::text(&mut value, txn.owner.as_deref().unwrap_or_default().as_bytes());
    out.push(Kept::Put(key(id), value.freeze()));
}

/// Takes up a transaction, or a coordinator's next number.
pub(in crate::core) fn read(
    broker: &mut Broker,
    kind: u8,
    rest: &[u8],
    value: &mut codec::Reader,
    now: Now,
) -> Option<()> {
    let coordinator = u64::from_be_bytes(rest.get(..8)?.try_into().ok()?);
    if kind == kind::COORDINATOR {
        broker.txns.restore_next(coordinator, value.u64()?);
        return Some(());
    }
    let id = TxnId { coordinator, number: u64::from_be_bytes(rest.get(8..16)?.try_into().ok()?) };
    let state = match value.u8()? {
        0 => State::Open,
        1 => State::Committing,
        2 => State::Aborting,
        _ => return None,
    };
    let (opened, ttl) = (value.u64()?, value.u64()?);
    let due = now.mono_at(opened.saturating_add(ttl));
    let topics = (0..value.u32()?).map(|_| value.text()).collect::<Option<_>>()?;
    let subs = (0..value.u32()?).map(|_| Some((value.text()?, value.text()?))).collect::<Option<_>>()?;
    // Stores of before transactions had owners end here.
    let owner = if value.0.is_empty() { None } else { Some(value.text()?).filter(|owner| !owner.is_empty()) };
    let before = broker.txns.bytes;
    broker.txns.restore(id, Txn { state, opened, owner, ttl, due, topics, subs });
    broker.topics.stored += broker.txns.bytes - before;
    broker.timers.insert((due, Timer::Transaction(id)));
    Some(())
}

fn prefix(topic: TopicKey, sub: &str) -> Vec<u8> {
    let len = (sub.len() as u32).to_be_bytes();
    [&[kind::PENDING][..], &topic.0.to_be_bytes(), &len, sub.as_bytes()].concat()
}

fn remove_all(topic: TopicKey, sub: &str, out: &mut Vec<Kept>) {
    let (from, mut to) = (prefix(topic, sub), prefix(topic, sub));
    to.extend([0xff; 9]);
    out.push(Kept::Remove(from, to));
}

/// Writes down what transactions acknowledge in a topic's durable subscriptions.
pub(in crate::core) fn write_pending(topic_key: TopicKey, topic: &mut Topic, out: &mut Vec<Kept>) {
    let Topic { subs, sub_names, kept, .. } = topic;
    // Of a subscription that is gone, or another one of its name.
    kept.pending.retain(|name| {
        let sub = sub_names.get(name).and_then(|key| subs.get(key)).filter(|sub| sub.durable);
        let same = sub.and_then(|sub| sub.txns.as_ref()).is_some_and(|pending| pending.kept);
        if !same {
            remove_all(topic_key, name, out);
        }
        same
    });
    for sub in subs.values_mut().filter(|sub| sub.durable) {
        let Subscription { name, txns: Some(pending), .. } = sub else { continue };
        let touched = pending.touched.as_mut().map(std::mem::take).unwrap_or_default();
        if !touched.is_empty() || pending.up_to_touched {
            pending.kept = true;
            kept.pending.insert(name.clone());
        }
        for offset in touched {
            let mut value = BytesMut::new();
            for (txn, open) in pending.of_entry(offset) {
                value.put_u64(txn.coordinator);
                value.put_u64(txn.number);
                value.put_u8(u8::from(open.is_some()));
                codec::list(&mut value, open.as_deref().unwrap_or_default().iter().copied());
            }
            out.push(put(topic_key, name, offset, value));
        }
        if std::mem::take(&mut pending.up_to_touched) {
            let mut value = BytesMut::new();
            if let Some(up_to) = &pending.up_to {
                value.put_u64(up_to.txn.coordinator);
                value.put_u64(up_to.txn.number);
                value.put_u64(up_to.offset);
                codec::list(&mut value, up_to.set.iter().map(|word| *word as u64));
            }
            out.push(put(topic_key, name, UP_TO, value));
        }
    }
}

fn put(topic: TopicKey, sub: &str, offset: u64, value: BytesMut) -> Kept {
    let key = [&prefix(topic, sub)[..], &offset.to_be_bytes()].concat();
    match value.is_empty() {
        true => Kept::Remove(key.clone(), [&key[..], &[0]].concat()),
        false => Kept::Put(key, value.freeze()),
    }
}

/// Takes up what transactions acknowledge in a subscription.
pub(in crate::core) fn read_pending(topic: &mut Topic, rest: &[u8], value: Bytes) -> Option<()> {
    let mut rest = codec::Reader(Bytes::copy_from_slice(rest));
    let (name, offset) = (rest.text()?, rest.u64()?);
    let sub = topic.sub_names.get(&name).and_then(|key| topic.subs.get_mut(key))?;
    topic.kept.pending.insert(name);
    let pending = sub.txns.get_or_insert_with(|| Box::new(PendingAcks::new(true)));
    pending.kept = true;
    let mut value = codec::Reader(value);
    let txn = |value: &mut codec::Reader| Some(TxnId { coordinator: value.u64()?, number: value.u64()? });
    if offset == UP_TO {
        let (txn, offset) = (txn(&mut value)?, value.u64()?);
        let set = value.list()?.into_iter().map(|word| word as i64).collect();
        pending.set_up_to(Some(UpTo { txn, offset, set }));
        return Some(());
    }
    while !value.0.is_empty() {
        let txn = txn(&mut value)?;
        let some = value.u8()? != 0;
        let open = value.list()?;
        pending.insert(txn, offset, some.then_some(open));
    }
    Some(())
}
