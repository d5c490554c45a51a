//! Hashes of keys by halves: who comes takes the lower half of the largest range that there is, as Apache
//! Pulsar does with `subscriptionKeySharedUseConsistentHashing=false`.

use std::collections::BTreeMap;

use super::ids::ConsumerKey;

/// The least and the greatest hash.
const FIRST: u32 = 0;
const LAST: u32 = 65_536;

/// Ranges by their greatest hash.
#[derive(Debug, Default)]
pub(super) struct Halves(BTreeMap<u32, ConsumerKey>);

impl Halves {
    /// False when all ranges are too small to be divided.
    pub(super) fn add(&mut self, key: ConsumerKey) -> bool {
        let (mut before, mut widest, mut at) = (FIRST, 0, LAST);
        for end in self.0.keys() {
            if end - before > widest {
                (widest, at) = (end - before, *end);
            }
            before = *end;
        }
        if self.0.is_empty() {
            self.0.insert(LAST, key);
            return true;
        }
        if widest <= 1 {
            return false;
        }
        self.0.insert(at - (widest >> 1), key);
        true
    }

    /// What it had is the next one's; what the last one had, the one's before it.
    pub(super) fn remove(&mut self, key: ConsumerKey) {
        let Some(end) = self.0.iter().find(|(_, holder)| **holder == key).map(|(end, _)| *end) else {
            return;
        };
        self.0.remove(&end);
        if end == LAST
            && let Some((_, holder)) = self.0.pop_last()
        {
            self.0.insert(LAST, holder);
        }
    }

    pub(super) fn ranges_of(&self, key: ConsumerKey) -> Vec<(u32, u32)> {
        let mut first = FIRST;
        let range = |(end, holder): (&u32, &ConsumerKey)| {
            let range = (first, *end);
            first = end + 1;
            (*holder == key).then_some(range)
        };
        self.0.iter().filter_map(range).collect()
    }

    pub(super) fn pick(&self, hash: u32) -> Option<ConsumerKey> {
        self.0.range(hash..).next().map(|(_, holder)| *holder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Apache Pulsar 4.0.8 told it in statistics.
    #[test]
    fn who_comes_takes_a_half_and_who_goes_leaves_it_to_the_next() {
        let mut halves = Halves::default();
        let [a, b, c] = [0, 1, 2].map(ConsumerKey);
        assert!(halves.add(a) && halves.add(b) && halves.add(c));
        assert_eq!(halves.ranges_of(a), [(32_769, 65_536)]);
        assert_eq!(halves.ranges_of(b), [(16_385, 32_768)]);
        assert_eq!(halves.ranges_of(c), [(0, 16_384)]);
        halves.remove(a);
        assert_eq!(halves.ranges_of(b), [(16_385, 65_536)]);
        assert_eq!((halves.pick(1), halves.pick(16_384), halves.pick(LAST)), (Some(c), Some(c), Some(b)));
    }
    /// Which of these consumers 4.0.8 gave messages of these keys to.
    #[test]
    fn keys_go_where_they_go_at_pulsar() {
        let mut selector = super::super::sticky::Selector::new(None, true);
        for n in 0..7 {
            assert!(selector.add(ConsumerKey(n), "", None).is_ok());
        }
        let pick = |n: u32| {
            selector.pick(selector.fold(super::super::sticky::hash31(format!("key-{n}").as_bytes())))
        };
        let heard: Vec<u64> = "aeffaafdbfbaeadfdceacedefdacabcgafbebbabbbbcdafddbfaeaacaagfdacb"
            .bytes()
            .map(|c| u64::from(c - b'a'))
            .collect();
        for (n, holder) in heard.iter().enumerate() {
            assert_eq!(pick(n as u32), Some(ConsumerKey(*holder)), "key-{n}");
        }
    }
}
