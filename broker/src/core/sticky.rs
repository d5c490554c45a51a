//! Key-shared subscriptions: which consumer has which keys.

use std::collections::{BTreeMap, BTreeSet};

use pulsewire_proto::wire::entry::{find_bytes, find_varint};
use pulsewire_proto::wire::{KeySharedMeta, KeySharedMode};

use super::halves::Halves;
use super::ids::ConsumerKey;

/// Hashes of keys are below this.
const HASHES: u32 = 1 << 16;

/// Points on the ring for each consumer.
const POINTS: u32 = 100;

/// MurmurHash3, 32 bits, x86, seed 0.
pub(super) fn murmur3(bytes: &[u8]) -> u32 {
    let mut hash = 0u32;
    let mut chunks = bytes.chunks_exact(4);
    for chunk in &mut chunks {
        let word = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
        hash = (hash ^ scramble(word)).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    let tail = chunks.remainder().iter().rev().fold(0u32, |word, byte| word << 8 | u32::from(*byte));
    hash ^= scramble(tail) ^ bytes.len() as u32;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

fn scramble(word: u32) -> u32 {
    word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593)
}

/// The hash of a key, as Java's clients and brokers make it: 31 bits of it.
pub(super) fn hash31(bytes: &[u8]) -> u32 {
    murmur3(bytes) & 0x7fff_ffff
}

/// The hash that decides who gets an entry: of its ordering key, else of its key, else of
/// something that differs from entry to entry.
pub(super) fn entry_hash(metadata: &[u8]) -> u32 {
    if let Some(key) = find_bytes(metadata, 18) {
        return hash31(key);
    }
    if let Some(key) = find_bytes(metadata, 6) {
        let coded = find_varint(metadata, 17) == Some(1);
        return if coded { hash31(&decode_base64(key)) } else { hash31(key) };
    }
    let mut name = find_bytes(metadata, 1).unwrap_or_default().to_vec();
    name.extend_from_slice(format!("-{}", find_varint(metadata, 2).unwrap_or(0)).as_bytes());
    hash31(&name)
}

/// Decodes Base64; what is not of its alphabet is passed over.
fn decode_base64(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0u32, 0);
    for byte in text {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => continue,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    out
}

/// Which consumer has which hashes.
#[derive(Debug)]
pub(super) enum Selector {
    /// The broker divides the hashes: every consumer has points on a ring, made of its name, and gets
    /// the hashes up to them.
    Ring(Ring),
    /// The same, by halves of what others have.
    Halves(Halves),
    /// The consumers say which hashes they take: first hash of a range -> its last, its consumer.
    Sticky(BTreeMap<u32, (u32, ConsumerKey)>),
}

#[derive(Debug, Default)]
pub(super) struct Ring {
    /// Those who share a point; the first one has it.
    points: BTreeMap<u32, Vec<ConsumerKey>>,
    /// Consumers of one name are told apart by a number, the least that is free.
    names: BTreeMap<ConsumerKey, (String, u32)>,
}

impl Ring {
    fn point(name: &str, number: u32, point: u32) -> u32 {
        hash31(format!("{name}\0{number}\0{point}").as_bytes()) % (HASHES - 1) + 1
    }

    fn add(&mut self, key: ConsumerKey, name: &str) {
        let taken: BTreeSet<u32> =
            self.names.values().filter(|(other, _)| other == name).map(|(_, number)| *number).collect();
        let number = (0..).find(|number| !taken.contains(number)).unwrap_or(0);
        self.names.insert(key, (name.to_owned(), number));
        for point in 0..POINTS {
            self.points.entry(Self::point(name, number, point)).or_default().push(key);
        }
    }

    fn remove(&mut self, key: ConsumerKey) {
        let Some((name, number)) = self.names.remove(&key) else { return };
        for point in 0..POINTS {
            let at = Self::point(&name, number, point);
            if let Some(sharing) = self.points.get_mut(&at) {
                sharing.retain(|other| *other != key);
                if sharing.is_empty() {
                    self.points.remove(&at);
                }
            }
        }
    }

    fn ranges_of(&self, key: ConsumerKey) -> Vec<(u32, u32)> {
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        let mut first = 1;
        // What is beyond the last point is the first one's.
        let beyond = self.pick(HASHES - 1).map(|holder| (HASHES - 1, holder));
        let points = self.points.iter().filter_map(|(at, sharing)| Some((*at, *sharing.first()?)));
        for (last, holder) in points.chain(beyond) {
            match ranges.last_mut() {
                _ if holder != key || first > last => {}
                Some((_, end)) if *end + 1 == first => *end = last,
                _ => ranges.push((first, last)),
            }
            first = last + 1;
        }
        ranges
    }

    fn pick(&self, hash: u32) -> Option<ConsumerKey> {
        let next = self.points.range(hash..).next().or_else(|| self.points.first_key_value());
        next.and_then(|(_, sharing)| sharing.first().copied())
    }
}

/// Why a consumer gets no share.
#[derive(Debug)]
pub(super) enum Unassigned {
    Refused(String),
    /// Another one has what it wants.
    Taken(ConsumerKey),
}

impl Selector {
    /// `halves`: whether the broker divides the hashes by halves, where it does.
    pub(super) fn new(meta: Option<&KeySharedMeta>, halves: bool) -> Self {
        match meta.map(|meta| meta.key_shared_mode) {
            Some(KeySharedMode::STICKY) => Self::Sticky(BTreeMap::new()),
            _ if halves => Self::Halves(Halves::default()),
            _ => Self::Ring(Ring::default()),
        }
    }

    /// Whether the broker divides the hashes.
    pub(super) fn divides(&self) -> bool {
        !matches!(self, Self::Sticky(_))
    }

    /// Who divides the hashes, as errors have it.
    pub(super) fn mode(&self) -> &'static str {
        match self {
            Self::Ring(_) | Self::Halves(_) => "AUTO_SPLIT",
            Self::Sticky(_) => "STICKY",
        }
    }

    /// Gives a consumer its share.
    pub(super) fn add(
        &mut self,
        key: ConsumerKey,
        name: &str,
        meta: Option<&KeySharedMeta>,
    ) -> Result<(), Unassigned> {
        let refuse = |message: String| Err(Unassigned::Refused(message));
        match self {
            Self::Ring(ring) => {
                ring.add(key, name);
                Ok(())
            }
            Self::Halves(halves) => match halves.add(key) {
                true => Ok(()),
                false => refuse("No more range can assigned to new consumer".to_owned()),
            },
            Self::Sticky(ranges) => {
                let wanted = meta.map(|meta| meta.hash_ranges.as_slice()).unwrap_or_default();
                if wanted.is_empty() {
                    return refuse("Ranges for KeyShared policy must not be empty.".to_owned());
                }
                let mut own = Vec::new();
                for range in wanted {
                    let (start, end) = (range.start, range.end);
                    if start > end {
                        return refuse(format!("Fixed hash range start > end for range: [{start},{end}]"));
                    }
                    let (Ok(from), Ok(to)) = (u32::try_from(start), u32::try_from(end)) else {
                        return refuse("Ranges for KeyShared policy must not be below 0.".to_owned());
                    };
                    own.push((from, to));
                }
                let mut sorted = own.clone();
                sorted.sort_unstable();
                let mut pairs = sorted.iter().zip(sorted.iter().skip(1));
                if let Some(((a, b), (c, d))) = pairs.find(|((_, b), (c, _))| b >= c) {
                    return refuse(format!(
                        "Consumer's own ranges conflict: [{a},{b}] overlaps with [{c},{d}]"
                    ));
                }
                // The lowest that the first of them overlaps with is named.
                for (from, to) in &own {
                    let below = ranges.range(..from).next_back().filter(|(_, (last, _))| last >= from);
                    if let Some((_, (_, holder))) = below.or_else(|| ranges.range(from..=to).next()) {
                        return Err(Unassigned::Taken(*holder));
                    }
                }
                ranges.extend(own.into_iter().map(|(from, to)| (from, (to, key))));
                Ok(())
            }
        }
    }

    pub(super) fn remove(&mut self, key: ConsumerKey) {
        match self {
            Self::Ring(ring) => ring.remove(key),
            Self::Halves(halves) => halves.remove(key),
            Self::Sticky(ranges) => ranges.retain(|_, (_, consumer)| *consumer != key),
        }
    }

    /// The hash as this selector counts it; never 0.
    pub(super) fn fold(&self, hash: u32) -> u32 {
        match self {
            Self::Ring(_) => hash % (HASHES - 1) + 1,
            Self::Halves(_) | Self::Sticky(_) => (hash % HASHES).max(1),
        }
    }

    /// The hashes that a consumer has, first and last of each range.
    pub(super) fn ranges_of(&self, key: ConsumerKey) -> Vec<(u32, u32)> {
        match self {
            Self::Ring(ring) => ring.ranges_of(key),
            Self::Halves(halves) => halves.ranges_of(key),
            Self::Sticky(ranges) => {
                let own = ranges.iter().filter(|(_, (_, consumer))| *consumer == key);
                own.map(|(first, (last, _))| (*first, *last)).collect()
            }
        }
    }

    /// Whose turn a folded hash is.
    pub(super) fn pick(&self, hash: u32) -> Option<ConsumerKey> {
        match self {
            Self::Ring(ring) => ring.pick(hash),
            Self::Halves(halves) => halves.pick(hash),
            Self::Sticky(ranges) => ranges
                .range(..=hash)
                .next_back()
                .and_then(|(_, (last, consumer))| (hash <= *last).then_some(*consumer)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn murmur3_gives_the_known_values() {
        for (text, hash) in [
            ("", 0),
            ("a", 0x3c25_69b2),
            ("ab", 0x9bbf_d75f),
            ("abc", 0xb3dd_93fa),
            ("abcd", 0x43ed_676a),
            ("Hello, world!", 0xc036_3e43),
        ] {
            assert_eq!(murmur3(text.as_bytes()), hash, "{text}");
        }
    }

    #[test]
    fn base64_is_decoded() {
        assert_eq!(decode_base64(b"aGVsbG8="), b"hello");
        assert_eq!(decode_base64(b"aGVsbG8"), b"hello");
    }

    #[test]
    fn every_hash_has_one_consumer_whoever_comes_and_goes() {
        let mut selector = Selector::new(None, false);
        let mut here = Vec::new();
        let mut rng = fastrand::Rng::with_seed(3);
        for n in 0..60 {
            if here.len() < 2 || rng.bool() {
                selector.add(ConsumerKey(n), &format!("c{}", n % 7), None).unwrap();
                here.push(ConsumerKey(n));
            } else {
                selector.remove(here.swap_remove(rng.usize(..here.len())));
            }
            let mut seen = BTreeSet::new();
            for hash in 0..HASHES {
                seen.insert(selector.pick(selector.fold(hash)).unwrap());
            }
            assert_eq!(seen, here.iter().copied().collect());
        }
    }
}
