//! Reads the elements of a list into the column of all elements.

use super::{Path, RowError, RowReader};
use crate::decode::columns::{Column, Ends};

impl RowReader<'_, '_> {
    /// Reads the list that begins here.
    pub(super) fn list(
        &mut self,
        ends: &mut Ends,
        element: &mut Column,
        path: &Path<'_>,
    ) -> Result<(), RowError> {
        let from = ends.last();
        let mut end = from;
        ends.push(end)?;
        self.json.skip(1);
        while self.json.next_element(end == from)? {
            match self.json.peek() {
                b'n' => self.json.word("null")?,
                first if self.plain_text(first, element, end)? => {}
                first => self.value(first, element, end, &path.element(end - from))?,
            }
            end += 1;
        }
        Ok(ends.move_last(end)?)
    }
}
