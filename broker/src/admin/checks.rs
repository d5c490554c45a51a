//! What settings that are only kept must be all the same.

use serde_json::Value;

use super::{Result, error};

/// Where old messages may be moved to, elsewhere.
const DRIVERS: [&str; 6] = ["S3", "aws-s3", "google-cloud-storage", "filesystem", "azureblob", "aliyun-oss"];

/// Whether a real broker would know where to move old messages to.
pub(super) fn can_offload(said: &Value) -> Result<()> {
    let text = |name: &str| said[name].as_str().unwrap_or_default();
    let driver = text("managedLedgerOffloadDriver").to_ascii_lowercase();
    if !DRIVERS.iter().any(|known| known.eq_ignore_ascii_case(&driver)) {
        let all = DRIVERS.join(",");
        return Err(error(412, format!("The driver is not supported, support value: {all}")));
    }
    let own = match driver.as_str() {
        "filesystem" => return Ok(()),
        "s3" | "aws-s3" => text("s3ManagedLedgerOffloadBucket"),
        "google-cloud-storage" => text("gcsManagedLedgerOffloadBucket"),
        _ => "",
    };
    if own.is_empty() && text("managedLedgerOffloadBucket").is_empty() {
        return Err(error(412, "The bucket must be specified for namespace offload."));
    }
    Ok(())
}

/// No more acknowledge than write, no more write than there are.
pub(super) fn quorums(said: &Value) -> Result<()> {
    if said.is_null() {
        return Err(error(400, "persistence policies should not be null"));
    }
    let [all, write, ack] = ["Ensemble", "WriteQuorum", "AckQuorum"].map(|name| {
        let count = said[format!("bookkeeper{name}")].as_i64().unwrap_or_default();
        let wrong = || error(400, format!("Bookkeeper-{name} must be <= 5 and > 0."));
        (1..=5).contains(&count).then_some(count).ok_or_else(wrong)
    });
    let (all, write, ack) = (all?, write?, ack?);
    if all >= write && write >= ack {
        return Ok(());
    }
    Err(error(400, format!("Bookkeeper Ensemble ({all}) >= WriteQuorum ({write}) >= AckQuorum ({ack})")))
}
