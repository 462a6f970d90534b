//! The rows of a page, found around what is not valid JSON.

use bytes::Bytes;

use super::{
    PageParser, RawPage, Rows,
    row_splitter::{SplitPage, split, split_only_list},
};
use crate::{
    catalog::{ResponseFormat, RowsAt},
    decode::PageError,
};

impl PageParser {
    /// Parses a reply. Null in the place of the list means no rows; whether a reply without a list
    /// has none either is left to the caller. One bad byte in a row costs that row: the decoder
    /// rejects it, and the rows around it are kept.
    ///
    /// # Errors
    /// If the reply cannot be taken apart, or has something else in the place of the list; its rows
    /// are not checked.
    pub fn find(&self, body: Bytes) -> Result<RawPage, PageError> {
        match (self.format, &self.rows) {
            (ResponseFormat::Csv, _) => self.csv_records(&body),
            (ResponseFormat::Json, RowsAt::JsonPointer(path)) => {
                let found = split(&body, path).and_then(|page| self.find_in(&body, page));
                found.unwrap_or_else(|| self.find_valid(body))
            }
            (ResponseFormat::Json, RowsAt::OnlyList) => match self.find_valid(body.clone()) {
                Err(PageError::NotJson(error)) => {
                    let found = split_only_list(&body).and_then(|page| self.find_in(&body, page));
                    found.unwrap_or(Err(PageError::NotJson(error)))
                }
                result => result,
            },
        }
    }

    /// The rows of a page that was taken apart. `None` if what is around them is not valid JSON, or
    /// has more rows.
    fn find_in(&self, body: &Bytes, page: SplitPage) -> Option<Result<RawPage, PageError>> {
        let SplitPage { frame, list, rows } = page;
        let around = self.find_valid(frame.into()).ok()?;
        if around.items > 0 || !around.has_list {
            return None;
        }
        Some(self.with_rows(around, body.clone(), Rows::List { list, len: rows }))
    }
}
