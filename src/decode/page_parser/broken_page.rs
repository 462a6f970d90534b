//! Pages that are not valid JSON, but whose rows can be told apart.

use bytes::Bytes;

use super::{
    PageParser, RawPage, RewrittenRows, fixed_members,
    row_splitter::{SplitPage, split},
};
use crate::{catalog::RowsAt, decode::PageError};

impl PageParser {
    /// Parses a reply. Null in the place of the list means no rows; whether a reply without a list
    /// has none either is left to the caller. One bad byte in a row costs that row: the decoder
    /// rejects it, and the rows around it are kept.
    ///
    /// # Errors
    /// If the reply cannot be taken apart, or has something else in the place of the list; its rows
    /// are not checked.
    pub fn find(&self, body: Bytes) -> Result<RawPage, PageError> {
        match self.find_valid(body.clone()) {
            Err(PageError::NotJson(error)) => {
                self.find_around_bad_bytes(body).ok_or(PageError::NotJson(error))
            }
            result => result,
        }
    }

    /// Finds rows of which some are not valid JSON. `None` if what is around them is not either, or
    /// their items would have to be taken apart.
    fn find_around_bad_bytes(&self, body: Bytes) -> Option<RawPage> {
        let RowsAt::JsonPointer(path) = &self.rows else { return None };
        if !self.explode.is_empty() {
            return None;
        }
        let SplitPage { frame, rows } = split(&body, path)?;
        let mut page = self.find_valid(frame.into()).ok()?;
        if page.items > 0 || rows.is_empty() {
            return None;
        }
        page.items = rows.len() as u64;
        (page.text, page.rows) = match self.fixed.as_slice() {
            [] => (body, rows),
            fixed => {
                let fixed = fixed_members(fixed);
                let mut written = RewrittenRows::default();
                for row in rows.iter().map(|row| &body[row]) {
                    match str::from_utf8(row) {
                        Ok(text) => written.row("", text, &fixed).ok()?,
                        Err(_) => {
                            let from = written.text.len();
                            written.text.extend_from_slice(row);
                            written.rows.push(from..written.text.len()).ok()?;
                        }
                    }
                    written.check_size(&body).ok()?;
                }
                (written.text.into(), written.rows)
            }
        };
        page.digest = page.rows_digest();
        Some(page)
    }
}
