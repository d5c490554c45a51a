//! A set of offsets, kept as ranges: small when they are in order, whatever their number.

use std::collections::BTreeMap;

/// A set of offsets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RangeSet {
    /// Start of a range -> its end (not in it). Ranges neither touch nor overlap.
    ranges: BTreeMap<u64, u64>,
    len: u64,
}

impl RangeSet {
    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many offsets are in it.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn first(&self) -> Option<u64> {
        self.ranges.first_key_value().map(|(start, _)| *start)
    }

    /// The range that `offset` lies in.
    pub(super) fn range_of(&self, offset: u64) -> Option<(u64, u64)> {
        let (&start, &end) = self.ranges.range(..=offset).next_back()?;
        (offset < end).then_some((start, end))
    }

    pub(super) fn contains(&self, offset: u64) -> bool {
        self.range_of(offset).is_some()
    }

    /// The least member that is not below `offset`.
    pub(super) fn next_from(&self, offset: u64) -> Option<u64> {
        if self.contains(offset) {
            return Some(offset);
        }
        self.ranges.range(offset..).next().map(|(start, _)| *start)
    }

    /// Adds one; false when it was there already.
    pub(super) fn insert(&mut self, offset: u64) -> bool {
        let Some(next) = offset.checked_add(1) else { return false };
        let mut start = offset;
        if let Some((&before, &end)) = self.ranges.range(..=offset).next_back() {
            if offset < end {
                return false;
            }
            if end == offset {
                start = before;
            }
        }
        let end = self.ranges.remove(&next).unwrap_or(next);
        self.ranges.insert(start, end);
        self.len += 1;
        true
    }

    /// Takes one out; false when it was not there.
    pub(super) fn remove(&mut self, offset: u64) -> bool {
        let Some((start, end)) = self.range_of(offset) else { return false };
        if start == offset {
            self.ranges.remove(&start);
        } else {
            self.ranges.insert(start, offset);
        }
        if offset + 1 < end {
            self.ranges.insert(offset + 1, end);
        }
        self.len -= 1;
        true
    }

    /// Takes out all below `bound`.
    pub(super) fn remove_below(&mut self, bound: u64) {
        while let Some((&start, &end)) = self.ranges.first_key_value() {
            if start >= bound {
                break;
            }
            self.ranges.remove(&start);
            self.len -= end - start;
            if end > bound {
                self.ranges.insert(bound, end);
                self.len += end - bound;
                break;
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.ranges.clear();
        self.len = 0;
    }

    /// How many members are below `bound` and not below `from`.
    pub(super) fn count_within(&self, from: u64, bound: u64) -> u64 {
        let head = self.range_of(from).map_or(0, |(_, end)| end.min(bound).saturating_sub(from));
        let from = from.saturating_add(1);
        if from >= bound {
            return head;
        }
        head + self.ranges.range(from..bound).map(|(start, end)| end.min(&bound) - start).sum::<u64>()
    }

    /// Its ranges, start and end.
    pub(super) fn ranges(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.ranges.iter().map(|(start, end)| (*start, *end))
    }

    /// Adds a range beyond all that is in it; `None` when it is not beyond.
    pub(super) fn insert_range(&mut self, start: u64, end: u64) -> Option<()> {
        let beyond = self.ranges.last_key_value().is_none_or(|(_, last)| *last < start);
        if !beyond || start >= end {
            return None;
        }
        self.ranges.insert(start, end);
        self.len += end - start;
        Some(())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.ranges.iter().flat_map(|(start, end)| *start..*end)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::RangeSet;

    #[test]
    fn a_set_of_ranges_behaves_as_a_set() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            let mut ranges = RangeSet::default();
            let mut plain = BTreeSet::new();
            for _ in 0..200 {
                let offset = rng.u64(0..40);
                match rng.u8(0..20) {
                    0 => {
                        ranges.remove_below(offset);
                        plain.retain(|o| *o >= offset);
                    }
                    1..9 => assert_eq!(ranges.remove(offset), plain.remove(&offset)),
                    _ => assert_eq!(ranges.insert(offset), plain.insert(offset)),
                }
                assert_eq!(ranges.iter().collect::<Vec<_>>(), plain.iter().copied().collect::<Vec<_>>());
                assert_eq!(ranges.len(), plain.len() as u64);
                let bound = rng.u64(0..45);
                assert_eq!(
                    ranges.count_within(offset, bound),
                    plain.iter().filter(|o| **o >= offset && **o < bound).count() as u64
                );
                assert_eq!(ranges.next_from(offset), plain.range(offset..).next().copied());
            }
        }
    }

    #[test]
    fn members_in_order_make_one_range() {
        let mut ranges = RangeSet::default();
        for offset in 0..1_000_000 {
            ranges.insert(offset);
        }
        assert_eq!(ranges.ranges.len(), 1);
    }
}
