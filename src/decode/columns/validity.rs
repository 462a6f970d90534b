//! Which values of a column are not null.

use std::mem;

use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};

use crate::decode::columns::MAX_KEPT;

/// A bit for each value of a column, which is 0 if the value is null.
#[derive(Debug, Default)]
pub(in crate::decode) struct Validity {
    /// Bits from the lowest on. Those from `len` on are 0.
    bytes: Vec<u8>,
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
        self.bytes[index / 8] & (1 << (index % 8)) != 0
    }

    /// Appends a value that is not null.
    #[inline]
    pub(in crate::decode) fn push_valid(&mut self) {
        let bit = 1 << (self.len % 8);
        self.len += 1;
        match self.bytes.last_mut() {
            Some(last) if bit != 1 => *last |= bit,
            _ => self.bytes.push(bit),
        }
    }

    /// Appends nulls.
    pub(in crate::decode) fn push_nulls(&mut self, count: usize) {
        self.len += count;
        self.bytes.resize(self.len.div_ceil(8), 0);
    }

    /// Removes the values from the value `len` on.
    pub(in crate::decode) fn truncate(&mut self, len: usize) {
        if len >= self.len {
            return;
        }
        self.len = len;
        self.bytes.truncate(len.div_ceil(8));
        if let (Some(last), 1..) = (self.bytes.last_mut(), len % 8) {
            *last &= (1 << (len % 8)) - 1;
        }
    }

    /// Takes the bits, and leaves none. `None` if no value is null.
    pub(in crate::decode) fn finish(&mut self) -> Option<NullBuffer> {
        let room = Vec::with_capacity(self.bytes.len().min(MAX_KEPT));
        let bytes = Buffer::from_vec(mem::replace(&mut self.bytes, room));
        let nulls = NullBuffer::new(BooleanBuffer::new(bytes, 0, mem::take(&mut self.len)));
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
