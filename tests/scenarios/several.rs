//! Several brokers that share topics: whoever is asked leads to the one that serves a topic.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::env::{Env, Outcome, from_earliest, holds, next, same, text, within};

/// Topics, so many that at least three of the four bundles have some.
const TOPICS: usize = 16;

/// Messages sent to a topic between two moves.
const MESSAGES: usize = 10;

/// Which brokers own bundles of a namespace.
async fn owners(env: &Env, namespace: &str) -> Result<BTreeSet<String>, String> {
    let ids = env.admin("GET", "/admin/v2/brokers/standalone", None).await?.body;
    let ids: Vec<String> = serde_json::from_str(&ids).map_err(text)?;
    same("brokers", ids.len(), 3)?;
    let mut owners = BTreeSet::new();
    for id in ids {
        let path = format!("/admin/v2/brokers/standalone/{id}/ownedNamespaces");
        let owned: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&env.admin("GET", &path, None).await?.body).map_err(text)?;
        if owned.keys().any(|bundle| bundle.starts_with(&format!("{namespace}/0x"))) {
            owners.insert(id);
        }
    }
    Ok(owners)
}

pub(crate) async fn k02_lookups_lead_to_the_owner_and_bundles_move(env: Env) -> Outcome {
    let namespace = format!("public/{}", env.unique);
    env.administer("PUT", &format!("/admin/v2/namespaces/{namespace}"), None).await?;
    // Else what is consumed goes when its bundle moves.
    let keep = r#"{"retentionTimeInMinutes":-1,"retentionSizeInMB":-1}"#;
    env.administer("POST", &format!("/admin/v2/namespaces/{namespace}/retention"), Some(keep)).await?;
    let client = env.client()?;
    let mut pairs = Vec::new();
    for n in 0..TOPICS {
        let topic = format!("persistent://{namespace}/t{n}");
        let consumer = from_earliest(&client, &topic, "s").await?;
        pairs.push((client.producer(&topic).create().await.map_err(text)?, consumer));
    }
    same("brokers with bundles", owners(&env, &namespace).await?.len(), 3)?;
    for (round, unload) in [None, Some("unload".to_owned()), Some("0x40000000_0x80000000/unload".to_owned())]
        .into_iter()
        .enumerate()
    {
        let mut sends = Vec::new();
        for (producer, _) in &pairs {
            for n in 0..MESSAGES {
                sends.push(producer.send(format!("{round}-{n}")));
            }
        }
        if let Some(unload) = unload {
            env.administer("PUT", &format!("/admin/v2/namespaces/{namespace}/{unload}"), None).await?;
        }
        for sent in futures_util::future::join_all(sends).await {
            sent.map_err(text)?;
        }
        for (_, consumer) in &pairs {
            let mut seen = 0;
            // What was delivered before the move and not acknowledged then comes again.
            while seen < MESSAGES {
                let message = next(consumer).await?;
                let expected = format!("{round}-{seen}");
                if message.payload() == expected.as_bytes() {
                    seen += 1;
                }
                consumer.acknowledge(&message).map_err(text)?;
            }
        }
    }
    // A client that asks another broker first finds them all the same.
    let other = env.builder_for(&env.endpoint.relay).build().map_err(text)?;
    for n in 0..TOPICS {
        let topic = format!("persistent://{namespace}/t{n}");
        let consumer = from_earliest(&other, &topic, "again").await?;
        same("first", next(&consumer).await?.payload(), b"0-0".as_slice())?;
    }
    other.close().await.map_err(text)?;
    for (_, consumer) in &pairs {
        // Nothing but what the last move may bring again.
        while let Some(message) = within(Duration::from_millis(100), consumer.receive()).await {
            let message = message.map_err(text)?;
            holds("it is of the last round", message.payload().starts_with(b"2-"))?;
        }
    }
    client.close().await.map_err(text)
}
