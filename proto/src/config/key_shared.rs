//! How a key-shared subscription divides its keys.

use std::ops::RangeInclusive;

use crate::wire::{IntRange, KeySharedMeta, KeySharedMode};

/// How a key-shared subscription divides its keys: Java's `KeySharedPolicy`. All consumers of a
/// subscription have the same.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeySharedPolicy {
    pub(crate) ranges: Option<Vec<RangeInclusive<u16>>>,
    pub(crate) out_of_order: bool,
}

impl KeySharedPolicy {
    /// The broker divides the keys among the consumers, as they come and go. The default, as in Java.
    #[must_use]
    pub fn auto_split() -> Self {
        Self::default()
    }

    /// This consumer gets the messages whose key's hash is in one of these ranges. They do not overlap,
    /// with each other or with those of other consumers; messages in ranges that nobody has wait.
    ///
    /// ```
    /// use pulsewire_proto::KeySharedPolicy;
    /// let lower_half = KeySharedPolicy::sticky([0..=0x7fff]);
    /// # let _ = lower_half;
    /// ```
    #[must_use]
    pub fn sticky(ranges: impl IntoIterator<Item = RangeInclusive<u16>>) -> Self {
        Self { ranges: Some(ranges.into_iter().collect()), out_of_order: false }
    }

    /// Whether messages of a key may come out of order when consumers come and go, so that no consumer
    /// waits for another one's acknowledgements. Default: no, as Java's `allowOutOfOrderDelivery`.
    #[must_use]
    pub fn allow_out_of_order_delivery(mut self, allowed: bool) -> Self {
        self.out_of_order = allowed;
        self
    }

    pub(crate) fn check(&self, wrong: &mut Vec<String>) {
        match &self.ranges {
            Some(ranges) if ranges.is_empty() => {
                wrong.push("sticky hash ranges are one at least".to_owned());
            }
            Some(ranges) => check_ranges("sticky hash ranges", ranges, wrong),
            None => {}
        }
    }

    pub(crate) fn to_wire(&self) -> KeySharedMeta {
        let mode = if self.ranges.is_some() { KeySharedMode::STICKY } else { KeySharedMode::AUTO_SPLIT };
        KeySharedMeta {
            key_shared_mode: mode,
            hash_ranges: self.ranges.as_deref().map(hash_ranges).unwrap_or_default(),
            allow_out_of_order_delivery: Some(self.out_of_order),
        }
    }
}

pub(crate) fn hash_ranges(ranges: &[RangeInclusive<u16>]) -> Vec<IntRange> {
    ranges.iter().map(|r| IntRange { start: (*r.start()).into(), end: (*r.end()).into() }).collect()
}

/// Names all ranges that are backwards or overlap.
pub(crate) fn check_ranges(what: &str, ranges: &[RangeInclusive<u16>], wrong: &mut Vec<String>) {
    let mut taken = vec![false; usize::from(u16::MAX) + 1];
    for range in ranges {
        let (start, end) = (*range.start(), *range.end());
        if start > end {
            wrong.push(format!("{what} go upwards: {start}..={end} does not"));
        } else if let Some(twice) =
            (start..=end).find(|hash| std::mem::replace(&mut taken[usize::from(*hash)], true))
        {
            wrong.push(format!("{what} do not overlap: {start}..={end} holds {twice}, as another does"));
        }
    }
}
