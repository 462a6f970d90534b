//! The positions of rows in the text of a page.

use std::ops::Range;

use crate::decode::PageError;

/// The positions of rows in a text of at most 4 GiB. Half the size of ranges of `usize`: a hostile
/// page has a row in every other byte (G8).
#[derive(Debug, Clone, Default)]
pub(super) struct RowRanges(Vec<[u32; 2]>);

impl RowRanges {
    /// Adds a row.
    ///
    /// # Errors
    /// If it lies beyond 4 GiB.
    pub(super) fn push(&mut self, range: Range<usize>) -> Result<(), PageError> {
        let too_large = |_| PageError::TooLarge(u64::from(u32::MAX));
        let from = u32::try_from(range.start).map_err(too_large)?;
        self.0.push([from, u32::try_from(range.end).map_err(too_large)?]);
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The rows in the order in which they were added.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = Range<usize>> {
        self.0.iter().map(|&[from, to]| from as usize..to as usize)
    }
}
