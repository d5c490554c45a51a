//! Hashes of keys, equal to Java's, so that a key goes to the same partition whoever sends it.

/// What a message's key is hashed with to choose its partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HashingScheme {
    /// Java's `String.hashCode`. The default, as in Java.
    #[default]
    JavaStringHash,
    /// Murmur3 with 32 bits, over the key's UTF-8.
    Murmur3Hash32,
}

impl HashingScheme {
    /// The hash of a key: 31 bits.
    ///
    /// ```
    /// use pulsewire_proto::HashingScheme;
    /// assert_eq!(HashingScheme::JavaStringHash.hash("key"), 106_079);
    /// ```
    #[must_use]
    pub fn hash(self, key: &str) -> u32 {
        let hash = match self {
            Self::JavaStringHash => java_string(key),
            Self::Murmur3Hash32 => murmur3(key.as_bytes()),
        };
        // Java's hashes are not negative.
        hash & 0x7fff_ffff
    }
}

/// Walks UTF-16 units, as Java's strings are made of them.
fn java_string(key: &str) -> u32 {
    key.encode_utf16().fold(0, |hash: u32, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)))
}

/// Murmur3_x86_32 with the seed 0.
fn murmur3(bytes: &[u8]) -> u32 {
    let mix = |k: u32| k.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let mut hash = 0_u32;
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        hash = (hash ^ mix(word)).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        hash ^= mix(rest.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte)));
    }
    hash ^= bytes.len() as u32;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}
