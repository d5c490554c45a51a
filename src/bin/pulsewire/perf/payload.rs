//! What is sent: a number of 8 bytes, then text, half of it random, so that codecs have their usual work.

/// Different texts; fewer of large ones.
const TEXTS: usize = 1000;
/// Bytes of all texts together, about.
const TEXTS_BYTES: usize = 1 << 20;
const WORDS: &[u8] = b"the quick brown fox jumps over the lazy dog. ";
const DIGITS: &[u8; 16] = b"0123456789abcdef";

pub(super) struct Payloads {
    texts: Vec<Vec<u8>>,
    size: usize,
}

impl Payloads {
    pub(super) fn new(size: usize) -> Self {
        let len = size.saturating_sub(8);
        let count = (TEXTS_BYTES / len.max(1)).clamp(1, TEXTS);
        let text = |seed: u32| {
            // The same in every run: xorshift.
            let mut random = seed.wrapping_mul(2_654_435_761);
            let mut byte = |at: usize| {
                if at >= len / 2 {
                    return WORDS[at % WORDS.len()];
                }
                random ^= random << 13;
                random ^= random >> 17;
                random ^= random << 5;
                DIGITS[(random & 15) as usize]
            };
            (0..len).map(&mut byte).collect()
        };
        Self { texts: (1..).take(count).map(text).collect(), size }
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// The payload of the n-th message.
    pub(super) fn get(&self, number: u64) -> Vec<u8> {
        let mut payload = Vec::with_capacity(self.size);
        let head = number.to_be_bytes();
        payload.extend_from_slice(&head[..self.size.min(8)]);
        payload.extend_from_slice(&self.texts[number as usize % self.texts.len()]);
        payload
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_have_the_size_that_was_asked_for() {
        for size in [0, 1, 8, 9, 100, 1024, 3 << 20] {
            let payloads = Payloads::new(size);
            assert!([0, 1, 999, u64::MAX].iter().all(|n| payloads.get(*n).len() == size), "{size}");
        }
        assert_ne!(Payloads::new(100).get(1)[8..], Payloads::new(100).get(2)[8..]);
    }
}
