//! Reproducible random numbers and UUIDs: pure functions of a few words.
//!
//! Implemented here (splitmix64) instead of by a crate, so that a seed always means the same
//! records.

/// The mixing function of splitmix64.
fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// A stream of random numbers, a function of the words it is seeded with.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(words: [u64; 4]) -> Self {
        Self(
            words
                .iter()
                .fold(0, |state, &word| mix(state.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ mix(word))),
        )
    }

    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number from 0 up to, not including, `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.roll()) * u128::from(end)) >> 64) as u64
    }

    /// A number from `from` up to, not including, `to`.
    pub(crate) fn between(&mut self, from: i64, to: i64) -> i64 {
        from.saturating_add_unsigned(self.below(to.saturating_sub(from).unsigned_abs()))
    }

    /// `true` with a probability of `n` in a thousand.
    pub(crate) fn permille(&mut self, n: u64) -> bool {
        self.below(1000) < n
    }

    /// A fraction from 0 up to, not including, 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        (self.roll() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// One of `from`, which must not be empty.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    pub(crate) fn uuid(&mut self) -> Uuid {
        Uuid([self.roll(), self.roll()])
    }
}

/// A random (version 4) UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Uuid([u64; 2]);

impl Uuid {
    /// The same with other first 48 bits, which its text begins with.
    pub(crate) fn beginning_with(self, bits: u64) -> Self {
        Self([bits << 16 | self.0[0] & 0xffff, self.0[1]])
    }

    /// The first 48 bits of a text. `None` if it does not begin like the text of a UUID.
    pub(crate) fn beginning(text: &str) -> Option<u64> {
        let (first, second) = (text.get(..8)?, text.get(9..13)?);
        u64::from_str_radix(&format!("{first}{second}"), 16).ok()
    }

    /// The 36 characters of its text.
    pub(crate) fn text(self) -> [u8; 36] {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let high = (self.0[0] & !0xf000) | 0x4000;
        let low = (self.0[1] & !(0b11 << 62)) | (0b10 << 62);
        let mut text = [b'-'; 36];
        let mut at = 0;
        for byte in [high, low].into_iter().flat_map(u64::to_be_bytes) {
            if matches!(at, 8 | 13 | 18 | 23) {
                at += 1;
            }
            text[at] = HEX[usize::from(byte >> 4)];
            text[at + 1] = HEX[usize::from(byte & 15)];
            at += 2;
        }
        text
    }
}

impl std::fmt::Display for Uuid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.text()))
    }
}

/// The kinds of entities that have an id.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pool {
    Agent,
    Contact,
    Correlation,
    Division,
    Edge,
    Flow,
    Form,
    Group,
    Language,
    Organization,
    Outcome,
    Queue,
    Skill,
    Team,
    WrapUp,
}

/// The id of the `n`th entity of `pool` in the organisation of `seed`.
pub(crate) fn id(seed: u64, pool: Pool, n: u64) -> Uuid {
    Rng::new([seed, 0x0c1d, pool as u64, n]).uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_has_version_4() {
        let text = Rng::new([1, 2, 3, 4]).uuid().to_string();
        assert_eq!(text.len(), 36);
        assert_eq!(&text[14..15], "4");
        assert!("89ab".contains(&text[19..20]), "{text}");
        assert_eq!(text.match_indices('-').map(|(at, _)| at).collect::<Vec<_>>(), [8, 13, 18, 23]);
    }

    #[test]
    fn every_word_of_the_seed_changes_the_numbers() {
        let rolls: std::collections::BTreeSet<u64> =
            [[0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
                .map(|w| Rng::new(w).roll())
                .into();
        assert_eq!(rolls.len(), 5);
    }
}
