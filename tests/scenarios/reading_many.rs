//! Readers and table views of several topics and partitions.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::try_join_all;
use pulsewire::{Client, ErrorKind, MessageId, Reader, SeekTarget};

use crate::env::{Env, Outcome, holds, same, sleep, text, within};
use crate::many::grow;
use crate::reading::{admin_path, hold, set};

const SOON: Duration = Duration::from_secs(20);

/// Publishes these numbers as text, keyed so that all partitions get some.
async fn publish(
    client: &Client,
    topic: &str,
    range: std::ops::Range<usize>,
) -> Result<Vec<MessageId>, String> {
    let producer = client.producer(topic).create().await.map_err(text)?;
    let sends = range.map(|i| producer.new_message().key(format!("key-{i}")).payload(i.to_string()).send());
    let ids = try_join_all(sends).await.map_err(text)?;
    producer.close().await.map_err(text)?;
    Ok(ids)
}

/// Reads as long as there is something: the numbers by their topic or partition.
async fn read_all(reader: &Reader) -> Result<BTreeMap<String, Vec<usize>>, String> {
    let mut found = BTreeMap::<String, Vec<usize>>::new();
    while reader.has_message_available().await.map_err(text)? {
        let message = reader.read_next_timeout(SOON).await.map_err(text)?.ok_or("no message for 20 s")?;
        let number = String::from_utf8_lossy(message.payload()).parse().map_err(text)?;
        found.entry(message.topic().to_owned()).or_default().push(number);
    }
    Ok(found)
}

/// Each number once, and those of a topic in their order.
fn complete(found: &BTreeMap<String, Vec<usize>>, range: std::ops::Range<usize>) -> Outcome {
    let mut all: Vec<usize> = found.values().flatten().copied().collect();
    all.sort_unstable();
    same("numbers", all, range.collect())?;
    holds("order", found.values().all(|numbers| numbers.is_sorted()))
}

pub(crate) async fn v02_reader_of_partitions(env: Env) -> Outcome {
    let client = env.client()?;
    let partitions = format!("{}/partitions", admin_path(&env.topic()));
    env.administer("PUT", &partitions, Some("3")).await?;
    let from = |id| client.reader(env.topic()).start_message_id(id);
    let empty = from(MessageId::EARLIEST).create().await.map_err(text)?;
    holds("empty", !empty.has_message_available().await.map_err(text)?)?;
    empty.close().await.map_err(text)?;
    hold(&client, &env.topic()).await?;
    let ids = publish(&client, &env.topic(), 0..60).await?;

    let second = Duration::from_secs(1);
    let reader = from(MessageId::EARLIEST).auto_update_partitions_interval(second).create();
    let reader = reader.await.map_err(text)?;
    let found = read_all(&reader).await?;
    complete(&found, 0..60)?;
    same("partitions", found.len(), 3)?;
    let last = reader.last_message_ids().await.map_err(text)?;
    same("last ids", last.iter().map(|(topic, _)| topic.clone()).collect::<Vec<_>>(), reader.partitions())?;
    let end = from(MessageId::LATEST).create().await.map_err(text)?;
    holds("nothing behind the end", !end.has_message_available().await.map_err(text)?)?;

    // All of them, then one of them.
    reader.seek(MessageId::EARLIEST).await.map_err(text)?;
    complete(&read_all(&reader).await?, 0..60)?;
    let partition = format!("{}-partition-{}", env.topic(), ids[0].partition);
    reader.seek(ids[0]).await.map_err(text)?;
    let again = read_all(&reader).await?;
    same("what comes again", again.keys().collect::<Vec<_>>(), vec![&partition])?;
    same("behind the first", &again[&partition][..], &found[&partition][1..])?;
    reader
        .seek_each(|topic| (topic == partition).then_some(SeekTarget::PublishTime(1)))
        .await
        .map_err(text)?;
    same("by time", read_all(&reader).await?.get(&partition), found.get(&partition))?;

    // More partitions, also while links are lost.
    grow(&env, &env.topic(), 5).await?;
    publish(&client, &env.topic(), 60..120).await?;
    env.administer("PUT", &format!("{}/unload", admin_path(&partition)), None).await?;
    let mut late = BTreeMap::<String, Vec<usize>>::new();
    while late.values().map(Vec::len).sum::<usize>() < 60 {
        let message = reader.read_next_timeout(SOON).await.map_err(text)?.ok_or("no message for 20 s")?;
        let number = String::from_utf8_lossy(message.payload()).parse().map_err(text)?;
        late.entry(message.topic().to_owned()).or_default().push(number);
    }
    complete(&late, 60..120)?;
    same("partitions", reader.partitions().len(), 5)?;
    client.close().await.map_err(text)
}

pub(crate) async fn v02_reader_of_topics(env: Env) -> Outcome {
    let client = env.client()?;
    let (one, two) = (format!("{}-one", env.topic()), format!("{}-two", env.topic()));
    env.administer("PUT", &format!("{}/partitions", admin_path(&two)), Some("2")).await?;
    publish(&client, &one, 0..20).await?;
    publish(&client, &two, 20..40).await?;
    let from = |topics: &[&String], id| {
        client.reader_of_topics(topics.iter().map(|topic| topic.as_str())).start_message_id(id).create()
    };
    let reader = from(&[&one, &two], MessageId::EARLIEST).await.map_err(text)?;
    let found = read_all(&reader).await?;
    complete(&found, 0..40)?;
    same("topics", found.len(), 3)?;
    reader.seek_topic(&one, SeekTarget::Id(MessageId::EARLIEST)).await.map_err(text)?;
    complete(&read_all(&reader).await?, 0..20)?;
    let kind = |read: Result<Reader, pulsewire::Error>| read.err().map(|e| e.kind());
    let within_one = MessageId { ledger_id: 1, ..MessageId::LATEST };
    same(
        "a start in one of them",
        kind(from(&[&one, &two], within_one).await),
        Some(ErrorKind::InvalidOption),
    )?;
    same("twice", kind(from(&[&one, &one], MessageId::LATEST).await), Some(ErrorKind::InvalidOption))?;
    same("none", kind(from(&[], MessageId::LATEST).await), Some(ErrorKind::InvalidOption))?;
    client.close().await.map_err(text)
}

pub(crate) async fn c17_last_ids_and_availability_of_several_topics(env: Env) -> Outcome {
    let client = env.client()?;
    let topics = [format!("{}-a", env.topic()), format!("{}-b", env.topic())];
    let consumer = client.consumer_of_topics(topics.clone(), "s").subscribe().await.map_err(text)?;
    let mut ids = consumer.last_message_ids().await.map_err(text)?;
    ids.sort();
    same("topics", ids.iter().map(|(topic, _)| topic.clone()).collect::<Vec<_>>(), topics.to_vec())?;
    holds("all are empty", ids.iter().all(|(_, id)| (id.entry_id as i64) < 0))?;
    holds("nothing", !consumer.has_message_available().await.map_err(text)?)?;
    let stored = publish(&client, &topics[1], 0..1).await?[0];
    holds("something", consumer.has_message_available().await.map_err(text)?)?;
    let ids = consumer.last_message_ids().await.map_err(text)?;
    let last = ids.iter().find(|(topic, _)| *topic == topics[1]).ok_or("not that topic")?.1;
    same("last", (last.ledger_id, last.entry_id), (stored.ledger_id, stored.entry_id))?;
    consumer.receive().await.map_err(text)?;
    holds("nothing more", !consumer.has_message_available().await.map_err(text)?)?;
    client.close().await.map_err(text)
}

pub(crate) async fn v03_partitions_are_one_table(env: Env) -> Outcome {
    let client = env.client()?;
    let partitions = format!("{}/partitions", admin_path(&env.topic()));
    env.administer("PUT", &partitions, Some("3")).await?;
    hold(&client, &env.topic()).await?;
    publish(&client, &env.topic(), 0..30).await?;
    let second = Duration::from_secs(1);
    let table = client.table_view(env.topic()).auto_update_partitions_interval(second).create();
    let table = table.await.map_err(text)?;
    same("keys", table.len().map_err(text)?, 30)?;
    let mut changes = table.listen();
    set(&client, &env.topic(), &[("key-3", None), ("key-4", Some("new"))]).await?;
    within(SOON, table.refresh()).await.ok_or("refresh hangs")?.map_err(text)?;
    same("keys", table.len().map_err(text)?, 29)?;
    same("value", table.get("key-4").map_err(text)?.as_deref(), Some(&b"new"[..]))?;
    let mut told = [changes.next().await.map_err(text)?.key, changes.next().await.map_err(text)?.key];
    told.sort();
    same("changes", told.iter().map(|key| &**key).collect::<Vec<_>>(), vec!["key-3", "key-4"])?;
    grow(&env, &env.topic(), 5).await?;
    publish(&client, &env.topic(), 100..130).await?;
    for _ in 0..200 {
        if table.len().map_err(text)? == 59 {
            return client.close().await.map_err(text);
        }
        sleep(Duration::from_millis(100)).await;
    }
    Err(format!("{} keys after 20 s, not 59", table.len().map_err(text)?))
}
