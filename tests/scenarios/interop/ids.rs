//! Message ids: the same bytes and the same order in all clients.

use pulsewire::MessageId;
use serde_json::{Value, json};

use super::matrix::{JAVA, Mode, PYTHON, Party, read, write};
use super::witness::Language::{self, Java, Python};
use super::witness::hex;
use super::{Both, Result, text};
use crate::env::{Env, Outcome};

pub(crate) async fn c30_ids_are_the_same_bytes_in_all_clients(env: Env) -> Outcome {
    same_bytes(Both::new(env)).await
}

pub(crate) async fn c30_ids_are_ordered_alike_in_all_clients(env: Env) -> Outcome {
    same_order(Both::new(env)).await
}

async fn same_bytes(both: Both) -> Outcome {
    for (mode, writer) in [(Mode::Single, JAVA), (Mode::Batch, PYTHON)] {
        let topic = both.topic(mode.name());
        let messages: Vec<Value> = (0..5).map(|n| json!({ "payload": format!("0{n}") })).collect();
        write(&both, writer, &topic, mode, "NONE", &messages).await?;
        let mut all = Vec::new();
        for reader in [Party::Ours, JAVA, PYTHON] {
            let received = read(&both, reader, &topic, messages.len()).await?;
            all.push(received.iter().map(|m| m["serialized"].clone()).collect::<Vec<_>>());
        }
        // Outside of batches Java alone says that the size of the batch is 0; all read both forms.
        let ours = all[0].iter().filter_map(Value::as_str);
        let of_java =
            ours.map(|id| json!(if mode == Mode::Single { format!("{id}3000") } else { id.to_owned() }));
        if all[0].len() != messages.len() || all[0] != all[2] || of_java.collect::<Vec<_>>() != all[1] {
            return Err(format!("{mode:?}: {all:?}"));
        }
    }
    Ok(())
}

async fn same_order(both: Both) -> Outcome {
    let mut ids = Vec::new();
    for ledger_id in [0, 7, 1 << 40] {
        for entry_id in [0, 1, 300] {
            for batch_index in [-1, 0, 9] {
                let batch_size = if batch_index < 0 { 0 } else { 10 };
                ids.push(MessageId {
                    ledger_id,
                    entry_id,
                    partition: -1,
                    batch_index,
                    batch_size,
                    first_chunk: None,
                });
            }
        }
    }
    // Out of order in a way that is the same each time.
    let shuffled: Vec<MessageId> = (0..ids.len()).map(|n| ids[n * 11 % ids.len()]).collect();
    ids.sort();
    for language in [Java, Python] {
        let theirs: Vec<MessageId> =
            order(&both, language, &shuffled).await?.into_iter().map(|at| shuffled[at]).collect();
        if theirs != ids {
            return Err(format!("{language:?} orders them {theirs:?}"));
        }
    }
    Ok(())
}

async fn order(both: &Both, language: Language, ids: &[MessageId]) -> Result<Vec<usize>> {
    let ids: Vec<String> = ids.iter().map(|id| hex(&id.to_bytes())).collect();
    let answer = both.ask(language, json!({ "do": "compare", "ids": ids })).await?;
    serde_json::from_value(answer["order"].clone()).map_err(text)
}
