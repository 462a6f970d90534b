//! Reads the entries of a map into the columns of keys and values.

use super::{Path, RowError, RowReader, map_entries::keep_last_entries, values::Outcome};
use crate::decode::{
    columns::{Column, Ends, Texts, Values},
    drift::DriftKind,
    json::{Text, unescape},
};

impl RowReader<'_, '_> {
    /// Reads the object that begins here, whose keys are data.
    pub(super) fn map(
        &mut self,
        ends: &mut Ends,
        keys: &mut Texts,
        values: &mut Column,
        path: &Path<'_>,
    ) -> Result<(), RowError> {
        let from = ends.last();
        ends.push(from)?;
        self.json.skip(1);
        let mut is_first = true;
        while self.json.next_member(is_first)? {
            is_first = false;
            let entry = keys.len();
            match self.json.key()? {
                Text::Plain(key) => keys.push(key)?,
                Text::Escaped(quoted) => {
                    match unescape(quoted, self.tape, |key| keys.push(key.as_bytes())) {
                        Some(pushed) => pushed?,
                        None => {
                            // what is no text cannot be a key
                            let name = String::from_utf8_lossy(quoted);
                            self.unknown(&path.entry(&name))?;
                            continue;
                        }
                    }
                }
            }
            match self.json.peek() {
                b'n' => self.json.word("null")?,
                first if self.plain_text(first, values, entry)? => {}
                first => {
                    if let Some(at) = self.entry(first, values, entry)? {
                        let name = keys.last();
                        let json = self.json.since(at);
                        self.extra.stage(&path.entry(&name), DriftKind::Misfit, at, json);
                    }
                }
            }
        }
        let repeated = keep_last_entries(from, keys, values)?;
        if repeated > 0 {
            self.extra.count_duplicate_keys(repeated);
        }
        Ok(ends.move_last(keys.len())?)
    }

    /// Reads the value of a map's entry. Returns where it begins if it does not fit.
    fn entry(
        &mut self,
        first: u8,
        values: &mut Column,
        entry: usize,
    ) -> Result<Option<usize>, RowError> {
        values.pad(entry);
        let start = self.json.position();
        let Values::Text(texts) = &mut values.values else { return Ok(None) };
        match self.text(first, texts)? {
            Outcome::Present => values.valid.push_valid(),
            Outcome::Absent => {}
            Outcome::Misfit => {
                if self.json.position() == start {
                    self.json.skip_value()?;
                }
                return Ok(Some(start));
            }
        }
        Ok(None)
    }
}
