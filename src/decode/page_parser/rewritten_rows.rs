//! Rows that are written anew, with the fields of their item and the fixed columns.

use std::fmt;

use crate::decode::{PageError, page_parser::row_ranges::RowRanges};

/// The largest size of rewritten rows as a multiple of the body, since the fields of an item are
/// repeated in each of its rows (G8).
const MAX_GROWTH: usize = 16;
/// Smaller bodies count as this many bytes.
const MIN_BODY: usize = 64 * 1024;

/// Rows that were rewritten, and their positions in the text.
#[derive(Default)]
pub(super) struct RewrittenRows {
    pub text: Vec<u8>,
    pub rows: RowRanges,
}

impl RewrittenRows {
    /// Fails if the rows have become too large for the body.
    pub(super) fn check_size(&self, body: &[u8]) -> Result<(), PageError> {
        let max = body.len().max(MIN_BODY) * MAX_GROWTH;
        if self.text.len() > max { Err(PageError::TooLarge(max as u64)) } else { Ok(()) }
    }

    /// Appends a row that cannot be rewritten.
    ///
    /// # Errors
    /// [`PageError::TooLarge`].
    pub(super) fn unchanged(&mut self, row: &[u8]) -> Result<(), PageError> {
        let from = self.text.len();
        self.text.extend_from_slice(row);
        self.rows.push(from..self.text.len())
    }

    /// Appends a row: the fields of its item, its own fields, which override them, and the fixed
    /// columns, which override both. The decoder uses the last of several fields with one name.
    ///
    /// # Errors
    /// [`PageError::TooLarge`].
    pub(super) fn row(
        &mut self,
        item_fields: &str,
        row: &str,
        fixed: &str,
    ) -> Result<(), PageError> {
        let from = self.text.len();
        match row.strip_prefix('{').and_then(|row| row.strip_suffix('}')) {
            Some(own) => {
                let fields = [item_fields, own.trim(), fixed]
                    .into_iter()
                    .filter(|fields| !fields.is_empty());
                self.text.push(b'{');
                for (at, fields) in fields.enumerate() {
                    self.text.extend_from_slice(if at == 0 { b"" } else { b"," });
                    self.text.extend_from_slice(fields.as_bytes());
                }
                self.text.push(b'}');
            }
            None => self.text.extend_from_slice(row.as_bytes()),
        }
        self.rows.push(from..self.text.len())
    }
}

/// The fixed columns as members of a JSON object.
pub(super) fn fixed_members(fixed: &[(String, String)]) -> String {
    members(fixed.iter().map(|(column, text)| (column, serde_json::Value::from(text.as_str()))))
}

/// The members of a JSON object, without its braces.
pub(super) fn members(
    fields: impl Iterator<Item = (impl AsRef<str>, impl fmt::Display)>,
) -> String {
    let members =
        fields.map(|(key, value)| format!("{}:{value}", serde_json::Value::from(key.as_ref())));
    members.collect::<Vec<_>>().join(",")
}
