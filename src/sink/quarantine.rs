//! The quarantine: rows that cannot be decoded, as lines of JSON with the reason.
//!
//! A row is recorded with the UTC day of its own time, if that can be read; else of the row before
//! it in its page, or of the row after it if it is the first; in a page without other rows, of the
//! latest row of the shard so far, or of the shard's start. So a day that is replaced takes no rows
//! of other days with it.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    io::{self, BufWriter, Seek, Write},
    iter,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Serialize;

use crate::{
    decode::{Page, UndecodableRow},
    server_text,
    sink::spool::{Spool, SpoolFile},
};

/// Bytes of quarantined rows that are written at once.
const BUFFER: usize = 64 * 1024;

/// A row as it came, except that secrets in it are hidden, in base64 and under another key if it is not
/// UTF-8.
#[derive(Serialize)]
struct Line<'a> {
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    row: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    row_base64: Option<String>,
}

/// The quarantined rows of a shard.
pub(super) struct Quarantine {
    spools: SpoolFile,
    /// By the start of the day that they are recorded with.
    days: BTreeMap<i64, QuarantinedDay>,
}

/// The quarantined rows of some days.
pub(super) struct QuarantinedDay {
    /// Their lines.
    pub content: Spool,
    /// Their number.
    pub rows: u64,
}

impl Quarantine {
    pub(super) fn new(spools: &SpoolFile) -> Self {
        Self { spools: spools.clone(), days: BTreeMap::new() }
    }

    /// Adds the undecodable rows of a page. `default_ms` lies in the day of those for which the page
    /// tells none.
    ///
    /// # Errors
    /// If the disk fails.
    pub(super) fn add(&mut self, page: &Page, default_ms: i64) -> io::Result<()> {
        let day_of = |row: &UndecodableRow| row.day.day_ms(&page.keys).unwrap_or(default_ms);
        let mut rows = page.bad.iter().peekable();
        while let Some(day) = rows.peek().map(day_of) {
            let rows_of_day = iter::from_fn(|| rows.next_if(|row| day_of(row) == day));
            let quarantined = self.day(day);
            quarantined.rows += append(&mut quarantined.content, rows_of_day)?;
        }
        Ok(())
    }

    fn day(&mut self, day: i64) -> &mut QuarantinedDay {
        let spools = &self.spools;
        let empty = || QuarantinedDay { content: spools.spool(), rows: 0 };
        self.days.entry(day).or_insert_with(empty)
    }

    /// Takes the rows of the days that begin before an instant. `None` if there are none.
    ///
    /// # Errors
    /// If the disk fails.
    pub(super) fn take_before(&mut self, end_ms: i64) -> io::Result<Option<QuarantinedDay>> {
        let later = self.days.split_off(&end_ms);
        let mut days = std::mem::replace(&mut self.days, later).into_values();
        let Some(mut first) = days.next() else { return Ok(None) };
        for mut day in days {
            day.content.rewind()?;
            io::copy(&mut day.content, &mut first.content)?;
            first.rows += day.rows;
        }
        Ok(Some(first))
    }
}

/// Appends a line for each row. Returns their number.
fn append<'r>(file: impl Write, rows: impl Iterator<Item = UndecodableRow<'r>>) -> io::Result<u64> {
    let mut file = BufWriter::with_capacity(BUFFER, file);
    let mut appended = 0;
    for UndecodableRow { reason, raw, .. } in rows {
        let text = String::from_utf8_lossy(raw);
        let row = match server_text::holds_secret(&text) {
            true => Some(Cow::Owned(server_text::redact(&text))),
            false => str::from_utf8(raw).ok().map(Cow::Borrowed),
        };
        let row_base64 = row.is_none().then(|| BASE64_STANDARD.encode(raw));
        serde_json::to_writer(&mut file, &Line { reason, row, row_base64 })?;
        file.write_all(b"\n")?;
        appended += 1;
    }
    file.flush()?;
    Ok(appended)
}
