//! Batches that Python wrote, acknowledged by halves.

use pulsewire::InitialPosition;
use serde_json::{Value, json};

use super::matrix::{Mode, PYTHON, receive, write};
use super::witness::hex;
use super::{Both, text};
use crate::env::{Env, Outcome};

pub(crate) async fn c08_half_of_a_batch_comes_again(env: Env) -> Outcome {
    half_of_a_batch(Both::new(env), false).await
}

pub(crate) async fn c08_acknowledged_bits_do_not_come_again(env: Env) -> Outcome {
    half_of_a_batch(Both::new(env), true).await
}

async fn half_of_a_batch(both: Both, by_index: bool) -> Outcome {
    for cumulative in [false, true] {
        let topic = both.topic(&cumulative.to_string());
        let client = both.client()?;
        let subscribe = || {
            let consumer = client.consumer(&topic, "s").initial_position(InitialPosition::Earliest);
            consumer.batch_index_acknowledgment(by_index).subscribe()
        };
        let consumer = subscribe().await.map_err(text)?;
        let messages: Vec<Value> =
            (0..1000).map(|i| json!({ "payload": hex(i.to_string().as_bytes()) })).collect();
        write(&both, PYTHON, &topic, Mode::Batch, "NONE", &messages).await?;
        for i in 0..1000 {
            let message = receive(&consumer).await?;
            if message.id().batch_size != 1000 {
                return Err(format!("the batch has {} messages", message.id().batch_size));
            }
            if cumulative && i == 499 {
                consumer.acknowledge_cumulative(message.id()).map_err(text)?;
            } else if !cumulative && i < 500 {
                consumer.acknowledge(&message).map_err(text)?;
            }
        }
        consumer.close().await.map_err(text)?;
        let consumer = subscribe().await.map_err(text)?;
        let mut missing: Vec<usize> = (500..1000).collect();
        while !missing.is_empty() {
            let message =
                receive(&consumer).await.map_err(|e| format!("{e}; {} messages are lost", missing.len()))?;
            let number: usize = String::from_utf8_lossy(message.payload()).parse().map_err(text)?;
            if by_index && number < 500 {
                return Err(format!("{number} came again, although it was acknowledged by its index"));
            }
            missing.retain(|m| *m != number);
        }
        client.close().await.map_err(text)?;
    }
    Ok(())
}
