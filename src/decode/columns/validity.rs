//! Which values of a column are not null.

use std::mem;

use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};

use crate::decode::columns::MAX_KEPT;

/// Which values of a column are not null. Most columns that have values have no null, and need no
/// memory for that.
#[derive(Debug, Default)]
pub(in crate::decode) struct Validity {
    /// A bit for each value from the lowest on, which is 0 if the value is null. Those from `len`
    /// on are 0. Empty until a value is null.
    bits: Vec<u8>,
    len: usize,
}

impl Validity {
    #[inline]
    pub(in crate::decode) fn len(&self) -> usize {
        self.len
    }

    /// Whether a value is not null.
    #[inline]
    pub(in crate::decode) fn is_valid(&self, index: usize) -> bool {
        self.bits.get(index / 8).is_none_or(|bits| bits & (1 << (index % 8)) != 0)
    }

    /// Appends a value that is not null.
    #[inline]
    pub(in crate::decode) fn push_valid(&mut self) {
        let bit = 1 << (self.len % 8);
        match self.bits.last_mut() {
            None => {}
            Some(last) if bit != 1 => *last |= bit,
            Some(_) => self.bits.push(bit),
        }
        self.len += 1;
    }

    /// Appends nulls.
    pub(in crate::decode) fn push_nulls(&mut self, count: usize) {
        if self.bits.is_empty() {
            self.bits.resize(self.len.div_ceil(8), u8::MAX);
            self.clear_from(self.len);
        }
        self.len += count;
        self.bits.resize(self.len.div_ceil(8), 0);
    }

    /// Removes the values from the value `len` on.
    pub(in crate::decode) fn truncate(&mut self, len: usize) {
        if len >= self.len {
            return;
        }
        self.len = len;
        self.bits.truncate(len.div_ceil(8));
        self.clear_from(len);
    }

    /// Clears the bits of the last byte from the value `len` on.
    fn clear_from(&mut self, len: usize) {
        if let (Some(last), 1..) = (self.bits.last_mut(), len % 8) {
            *last &= (1 << (len % 8)) - 1;
        }
    }

    /// Takes the bits, and leaves none. `None` if no value is null.
    pub(in crate::decode) fn finish(&mut self) -> Option<NullBuffer> {
        let len = mem::take(&mut self.len);
        if self.bits.is_empty() {
            return None;
        }
        let room = Vec::with_capacity(self.bits.len().min(MAX_KEPT));
        let bits = Buffer::from_vec(mem::replace(&mut self.bits, room));
        let nulls = NullBuffer::new(BooleanBuffer::new(bits, 0, len));
        (nulls.null_count() > 0).then_some(nulls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_those_of_a_list_of_booleans() {
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..2_000 {
            let (mut validity, mut expected) = (Validity::default(), Vec::new());
            for _ in 0..rng.usize(..40) {
                match rng.u8(..5) {
                    0 => {
                        let len = rng.usize(..=expected.len());
                        validity.truncate(len);
                        expected.truncate(len);
                    }
                    1 => {
                        let count = rng.usize(..20);
                        validity.push_nulls(count);
                        expected.resize(expected.len() + count, false);
                    }
                    _ => {
                        validity.push_valid();
                        expected.push(true);
                    }
                }
            }
            assert_eq!(validity.len(), expected.len());
            assert!((0..expected.len()).all(|at| validity.is_valid(at) == expected[at]));
            let nulls = validity.finish();
            assert_eq!(nulls.is_some(), expected.contains(&false));
            let valid = nulls.map(|nulls| nulls.iter().collect::<Vec<_>>());
            assert!(valid.is_none_or(|valid| valid == expected));
        }
    }
}
