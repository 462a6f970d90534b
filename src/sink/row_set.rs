//! A set of row numbers of one file.

use arrow::{
    array::BooleanArray, compute::filter_record_batch, error::ArrowError, record_batch::RecordBatch,
};

/// A set of row numbers, one bit each.
#[derive(Debug, Clone, Default)]
pub(super) struct RowSet {
    words: Vec<u64>,
    len: u64,
}

impl RowSet {
    /// Inserts a row. Returns whether it was not in the set before.
    pub(super) fn insert(&mut self, row: u64) -> bool {
        let word = usize::try_from(row / 64).unwrap_or(usize::MAX);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let bit = 1 << (row % 64);
        let is_new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        self.len += u64::from(is_new);
        is_new
    }

    pub(super) fn contains(&self, row: u64) -> bool {
        let word = usize::try_from(row / 64).unwrap_or(usize::MAX);
        self.words.get(word).is_some_and(|bits| bits & (1 << (row % 64)) != 0)
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The number of rows in this set and not in `other`.
    pub(super) fn len_without(&self, other: &Self) -> u64 {
        let others = other.words.iter().chain(std::iter::repeat(&0));
        self.words.iter().zip(others).map(|(a, b)| u64::from((a & !b).count_ones())).sum()
    }
}

/// The rows of a batch that are not in `dropped`. `row` is the number of its first row in the file,
/// and becomes that of the next batch.
pub(super) fn without(
    batch: &RecordBatch,
    dropped: &RowSet,
    row: &mut u64,
) -> Result<RecordBatch, ArrowError> {
    let rows = *row..*row + batch.num_rows() as u64;
    *row = rows.end;
    if dropped.len() == 0 {
        return Ok(batch.clone());
    }
    let kept: BooleanArray = rows.map(|row| Some(!dropped.contains(row))).collect();
    filter_record_batch(batch, &kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_set_counts_each_row_once() {
        let (mut a, mut b) = (RowSet::default(), RowSet::default());
        assert_eq!([5, 64, 5, 200].map(|row| a.insert(row)), [true, true, false, true]);
        b.insert(64);
        assert_eq!(
            (a.len(), a.contains(64), a.contains(63), b.contains(9_999)),
            (3, true, false, false)
        );
        assert_eq!((a.len_without(&b), b.len_without(&a)), (2, 0));
    }
}
