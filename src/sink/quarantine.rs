//! The quarantine: rows that cannot be decoded, as lines of JSON with the reason.
//!
//! A row is recorded with the UTC day of its own time, if that can be read; else of the row before
//! it in its page, or of the row after it if it is the first; in a page without other rows, of the
//! latest row of the shard so far, or of the shard's start. So a day that is replaced takes no rows
//! of other days with it.
//!
//! A row whose own time cannot be read may belong to any day of what is committed, whatever the
//! rows beside it: all of its days are doubtful, so that the day of the row is fetched again, too.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    io::{self, BufWriter, Seek, Write},
    iter,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};

use crate::{
    decode::{Page, UndecodableRow},
    server_text,
    sink::{
        forgotten::ForgottenIds,
        spool::{Spool, SpoolFile},
    },
};

/// Bytes of quarantined rows that are written at once.
const BUFFER: usize = 64 * 1024;

/// One undecodable row. `row` is its text with secrets hidden, `row_base64` its bytes if it is not
/// UTF-8. With a policy of `[privacy]` neither is written, but its position, length and keyed hash.
#[derive(Default, Serialize)]
struct Line<'a> {
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    row: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    row_base64: Option<String>,
    /// Where the row begins among the rows of its page, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    row_hmac_sha256: Option<String>,
    /// The columns that every row of its reply was given, such as the id of the parent that was
    /// queried.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    columns: BTreeMap<&'a str, &'a str>,
}

/// What is read of a line.
#[derive(Deserialize)]
struct WrittenLine {
    row: Option<String>,
    row_base64: Option<String>,
    #[serde(default)]
    columns: BTreeMap<String, String>,
}

/// The value of a column that every row of the reply was given. `None` if the line does not tell
/// it.
pub(super) fn given_column(line: &[u8], column: &str) -> Option<String> {
    serde_json::from_slice::<WrittenLine>(line).ok()?.columns.remove(column)
}

/// Whether the row of a line has a forgotten id as one of its values. With a policy of `[privacy]`
/// a line has no row, and so no id.
pub(crate) fn is_mentioned(line: &[u8], forgotten: &ForgottenIds) -> bool {
    if forgotten.is_empty() {
        return false;
    }
    let Ok(WrittenLine { row, row_base64, .. }) = serde_json::from_slice(line) else {
        return forgotten.is_mentioned(line);
    };
    let bytes = row_base64.and_then(|text| BASE64_STANDARD.decode(text).ok());
    let row = bytes.or(row.map(String::into_bytes)).unwrap_or_default();
    forgotten.is_mentioned(&row)
}

impl<'a> Line<'a> {
    fn new(
        UndecodableRow { reason, raw, position, key, .. }: UndecodableRow<'a>,
        given_columns: &'a [(String, String)],
    ) -> Self {
        let columns =
            given_columns.iter().map(|(column, text)| (column.as_str(), text.as_str())).collect();
        if let Some(key) = key {
            return Self {
                reason,
                position: Some(position),
                bytes: Some(raw.len()),
                row_hmac_sha256: Some(key.hash(raw)),
                columns,
                ..Self::default()
            };
        }
        let text = String::from_utf8_lossy(raw);
        let row = match server_text::holds_secret(&text) {
            true => Some(Cow::Owned(server_text::redact(&text))),
            false => str::from_utf8(raw).ok().map(Cow::Borrowed),
        };
        let row_base64 = row.is_none().then(|| BASE64_STANDARD.encode(raw));
        Self { reason, row, row_base64, columns, ..Self::default() }
    }
}

/// The quarantined rows of a shard.
pub(super) struct Quarantine {
    spools: SpoolFile,
    /// By the start of the day that they are recorded with.
    days: BTreeMap<i64, QuarantinedDay>,
    /// The rows whose own time is not known or lies outside the shard.
    without_own_day: u64,
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
        Self { spools: spools.clone(), days: BTreeMap::new(), without_own_day: 0 }
    }

    /// Adds the undecodable rows of a page, and returns how many were left out because they mention
    /// an id that was forgotten. `default_ms` lies in the day of those for which the page tells
    /// none.
    ///
    /// # Errors
    /// If the disk fails.
    pub(super) fn add(
        &mut self,
        page: &Page,
        default_ms: i64,
        forgotten: &ForgottenIds,
    ) -> io::Result<u64> {
        let day_of = |row: &UndecodableRow| row.day.day_ms(&page.keys).unwrap_or(default_ms);
        let kept = || page.bad.iter().filter(|row| !forgotten.is_mentioned(row.raw));
        self.without_own_day += kept().filter(|row| !row.day.is_own()).count() as u64;
        let mut rows = kept().peekable();
        let mut added = 0;
        while let Some(day) = rows.peek().map(day_of) {
            let rows_of_day = iter::from_fn(|| rows.next_if(|row| day_of(row) == day));
            let quarantined = self.day(day);
            let rows = append(&mut quarantined.content, rows_of_day, page.bad.given_columns())?;
            quarantined.rows += rows;
            added += rows;
        }
        Ok(page.bad.len() as u64 - added)
    }

    /// Adds committed rows, given as their lines, to the day that begins at `day_ms`. What their
    /// own times are is not looked at. Returns their number, and that of those that were left out
    /// because they mention an id that was forgotten.
    ///
    /// # Errors
    /// If the disk fails or a line cannot be read.
    pub(super) fn carry(
        &mut self,
        day_ms: i64,
        lines: impl Iterator<Item = io::Result<Vec<u8>>>,
        forgotten: &ForgottenIds,
    ) -> io::Result<(u64, u64)> {
        let mut left_out = 0;
        let is_kept = |line: &io::Result<Vec<u8>>| {
            let is_forgotten = line.as_ref().is_ok_and(|line| is_mentioned(line, forgotten));
            left_out += u64::from(is_forgotten);
            !is_forgotten
        };
        let mut lines = lines.filter(is_kept).peekable();
        if lines.peek().is_none() {
            drop(lines);
            return Ok((0, left_out));
        }
        let quarantined = self.day(day_ms);
        let mut file = BufWriter::with_capacity(BUFFER, &mut quarantined.content);
        let mut rows = 0;
        for line in lines {
            file.write_all(&line?)?;
            file.write_all(b"\n")?;
            rows += 1;
        }
        file.flush()?;
        drop(file);
        quarantined.rows += rows;
        self.without_own_day += rows;
        Ok((rows, left_out))
    }

    /// The rows whose own time is not known or lies outside the shard: each may belong to any day.
    pub(super) fn without_own_day(&self) -> u64 {
        self.without_own_day
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
fn append<'r>(
    file: impl Write,
    rows: impl Iterator<Item = UndecodableRow<'r>>,
    given_columns: &'r [(String, String)],
) -> io::Result<u64> {
    let mut file = BufWriter::with_capacity(BUFFER, file);
    let mut appended = 0;
    for row in rows {
        serde_json::to_writer(&mut file, &Line::new(row, given_columns))?;
        file.write_all(b"\n")?;
        appended += 1;
    }
    file.flush()?;
    Ok(appended)
}

#[cfg(test)]
mod tests {
    use crate::{
        ledger::GapKind,
        planning::Shard,
        sink::{
            Write,
            tests::{Fixture, START},
        },
        time::interval::{Interval, iso},
    };

    /// Writes pages with six rows that cannot be decoded to a shard of four days, and two others.
    async fn write_undecodable(fixture: &Fixture, shard: &Shard) {
        let at = |hour: i64| iso(START + hour * 3_600_000);
        let call = |hour| format!(r#"{{"callId":"{hour}","startedAt":"{}"}}"#, at(hour));
        let without_id = |hour| format!(r#"{{"startedAt":"{}","n":{hour}}}"#, at(hour));
        let pages = [
            "1".to_owned(),
            ["2".to_owned(), call(30), "3".to_owned(), without_id(80), call(81), without_id(900)]
                .join(","),
            "4".to_owned(),
        ];
        for rows in pages {
            let page = fixture.decode(shard, &rows);
            fixture
                .sink
                .send(Write { lease: 1, shard: shard.clone(), page })
                .await
                .unwrap()
                .unwrap();
        }
    }

    /// The quarantined rows of each record, and the days of the doubts.
    fn quarantined(fixture: &Fixture) -> (Vec<u64>, Vec<Interval>) {
        let records = fixture.records();
        for record in &records {
            let lines = record.files.iter().filter(|file| file.path.starts_with("_quarantine/"));
            assert_eq!(lines.map(|file| file.rows).sum::<u64>(), record.counts.quarantined);
            assert!(record.counts.balance());
            // the record is rebuilt from the footer of this file
            let has_footer = record.files.iter().any(|file| file.path.ends_with(".parquet"));
            assert_eq!(has_footer, record.counts.written + record.counts.quarantined > 0);
        }
        let doubts = fixture.ledger.doubtful("calls").unwrap();
        assert!(doubts.iter().all(|doubt| doubt.kind == GapKind::Quarantined));
        (
            records.iter().map(|record| record.counts.quarantined).collect(),
            doubts.iter().map(|doubt| doubt.interval).collect(),
        )
    }

    #[actix::test]
    async fn a_row_without_a_readable_time_makes_all_days_of_its_commit_doubtful() {
        let fixture = Fixture::new();
        let shard = fixture.shard(12, 96, false);
        write_undecodable(&fixture, &shard).await;
        let committed = fixture.commit(1, &shard, 8).await.unwrap();
        assert_eq!(committed.counts.quarantined, 6);
        // the start of the shard; the rows around 30; nothing; 80, beside 81, and after the latest
        // row
        let days = shard.record_intervals();
        assert_eq!(quarantined(&fixture), (vec![1, 2, 0, 3], days));
    }

    #[actix::test]
    async fn a_part_of_a_shard_takes_quarantined_rows_of_later_days_with_its_last_day() {
        let fixture = Fixture::new();
        let shard = fixture.shard(12, 96, false);
        write_undecodable(&fixture, &shard).await;
        let part = fixture.shard(12, 48, false);
        let committed = fixture.commit(1, &part, 8).await.unwrap();
        assert_eq!((committed.counts.quarantined, committed.counts.not_owned), (6, 1));
        assert_eq!(quarantined(&fixture), (vec![1, 5], part.record_intervals()));
    }
}
