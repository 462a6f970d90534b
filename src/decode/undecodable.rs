//! The rows of a page that cannot be decoded.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;

use crate::{
    decode::{
        RowKey,
        page_parser::{next_row, row_start},
    },
    privacy::HashKey,
    server_text::ServerText,
    time::interval::Interval,
};

/// The rows of a page that cannot be decoded, in the order received. Beside the page itself
/// they take a few bytes for each run of rows with the same reason (G8).
#[derive(Debug, Clone, Default)]
pub struct UndecodableRows {
    /// The page. It is kept only as long as it is needed.
    page: Bytes,
    runs: Vec<Run>,
    len: usize,
    reasons: Vec<Reason>,
    /// The key of the hashes that are kept in the place of the rows. `None` if the rows are kept.
    key: Option<HashKey>,
    given_columns: Arc<[(String, String)]>,
}

#[derive(Debug, Clone)]
struct Reason {
    /// As it was given, to compare it with the next one.
    given: Box<str>,
    text: ServerText,
}

/// Rows of a list that follow each other and have the same reason, or one row.
#[derive(Debug, Clone, Copy)]
struct Run {
    from: u32,
    to: u32,
    rows: u32,
    reason: u32,
    day: DayHint,
}

/// What tells the UTC day of a row that cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DayHint {
    /// The day of its own time. `None` if that cannot be read or the shard does not own it.
    own_ms: Option<i64>,
    /// Rows of the page's batch that come before it.
    rows_before: u32,
}

impl DayHint {
    /// The hint of a row with this time, in milliseconds since 1970, after so many rows of a batch.
    pub(crate) fn new(own_time_ms: Option<i64>, rows_before: usize) -> Self {
        let own_ms = own_time_ms.map(|time| Interval::day_of(time).from_ms());
        Self { own_ms, rows_before: u32::try_from(rows_before).unwrap_or(u32::MAX) }
    }

    /// Whether the day is that of its own time.
    pub(crate) fn is_own(self) -> bool {
        self.own_ms.is_some()
    }

    /// The start of the day: that of its own time, or else of the row before it in the batch with
    /// these keys, or else of the row after it. `None` if there is no such row.
    pub(crate) fn day_ms(self, keys: &[RowKey]) -> Option<i64> {
        let neighbour = keys.get((self.rows_before as usize).saturating_sub(1));
        self.own_ms.or_else(|| neighbour.map(|key| Interval::day_of(key.time_ms).from_ms()))
    }
}

/// A row that cannot be decoded and goes to quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UndecodableRow<'p> {
    /// Why it cannot be decoded: the field and its value, truncated to [`REASON_CHARS`] characters.
    /// It quotes data, so it belongs in the quarantine file and not in a log.
    pub reason: &'p str,
    /// The row as received.
    pub raw: &'p [u8],
    /// Where it begins in the JSON of the rows of its page, in bytes.
    pub(crate) position: usize,
    /// The key of the hash that is kept in the place of the row. `None` if the row is kept.
    pub(crate) key: Option<&'p HashKey>,
    /// What tells its day.
    pub(crate) day: DayHint,
}

/// The longest reason of an [`UndecodableRow`].
pub(crate) const REASON_CHARS: usize = 300;

/// Reasons that quote no value are few: a reason is looked for among so many of the last ones.
const RECENT_REASONS: usize = 16;

/// The most reasons of a page that are told apart (G8).
const MAX_REASONS: usize = 10_000;
/// The reason of rows whose reasons come after those.
const OTHER_REASON: &str = "the row cannot be decoded, like many before it";

impl UndecodableRows {
    /// No rows of a reply whose rows are given these columns.
    pub(crate) fn new(given_columns: &Arc<[(String, String)]>) -> Self {
        Self { given_columns: Arc::clone(given_columns), ..Self::default() }
    }

    /// The columns that every row of the reply was given, with their values.
    pub(crate) fn given_columns(&self) -> &[(String, String)] {
        &self.given_columns
    }

    /// Adds the row at `range` of `page`, which is the same for all rows. `follows` says that only
    /// separators of a list are between it and the row before, if that is undecodable too.
    pub(crate) fn push(
        &mut self,
        page: &Bytes,
        range: Range<usize>,
        reason: &str,
        day: DayHint,
        follows: bool,
    ) {
        if self.runs.is_empty() {
            self.page = page.clone();
        }
        let end = reason.char_indices().nth(REASON_CHARS).map_or(reason.len(), |(end, _)| end);
        let has_room = self.reasons.len() < MAX_REASONS;
        let reason = if has_room { &reason[..end] } else { OTHER_REASON };
        let recent = self.reasons.iter().enumerate().rev().take(RECENT_REASONS);
        let known = recent.into_iter().find(|(_, known)| *known.given == *reason);
        let reason = known.map(|(index, _)| index).unwrap_or_else(|| {
            self.reasons.push(Reason { given: reason.into(), text: reason.into() });
            self.reasons.len() - 1
        });
        let position = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let [from, to, reason] = [range.start, range.end, reason].map(position);
        self.len += 1;
        match self.runs.last_mut() {
            Some(run)
                if follows
                    && (run.reason, run.day) == (reason, day)
                    && is_between(page, run.to, from) =>
            {
                (run.to, run.rows) = (to, run.rows + 1);
            }
            _ => self.runs.push(Run { from, to, rows: 1, reason, day }),
        }
    }

    /// Makes whoever writes the rows keep their hashes in their place.
    pub(super) fn hide(&mut self, key: &HashKey) {
        self.key = (!self.is_empty()).then(|| key.clone());
    }

    /// The rows, in the order received.
    pub fn iter(&self) -> impl Iterator<Item = UndecodableRow<'_>> {
        let Self { page, runs, reasons, key, .. } = self;
        let key = key.as_ref();
        runs.iter().flat_map(move |run| {
            let mut end = run.from as usize;
            (0..run.rows).map(move |_| {
                let range = match run.rows {
                    1 => run.from as usize..run.to as usize,
                    _ => next_row(page, row_start(page, end)),
                };
                end = range.end;
                let reason = &reasons[run.reason as usize].text;
                let position = range.start;
                UndecodableRow { reason, raw: &page[range], position, key, day: run.day }
            })
        })
    }

    /// Whether no row of a batch with so many rows comes after the last of them.
    pub(crate) fn end_page(&self, batch_rows: usize) -> bool {
        self.runs.last().is_some_and(|run| run.day.rows_before as usize >= batch_rows)
    }

    /// The start of the latest day that they have by their own times, in milliseconds since 1970.
    pub(crate) fn latest_own_day_ms(&self) -> Option<i64> {
        self.runs.iter().filter_map(|run| run.day.own_ms).max()
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Whether there is nothing but a separator of a list between two positions.
fn is_between(page: &[u8], from: u32, to: u32) -> bool {
    let gap = page.get(from as usize..to as usize).unwrap_or_default();
    gap.iter().all(|&byte| byte == b',' || byte.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g8_undecodable_rows_that_follow_each_other_take_the_space_of_one() {
        let page = Bytes::from(format!("[{}0]", "0, ".repeat(10_000)));
        let (mut rows, day) = (UndecodableRows::default(), DayHint::new(None, 0));
        for row in 0..10_001 {
            let reason = if row == 5_000 { "another reason" } else { "a reason" };
            rows.push(&page, 1 + 3 * row..2 + 3 * row, reason, day, true);
        }
        rows.push(&page, 1..2, "a reason", day, false);
        assert_eq!((rows.len(), rows.runs.len(), rows.reasons.len()), (10_002, 4, 2));
        let read: Vec<_> = rows.iter().collect();
        assert!(read.len() == 10_002 && read.iter().all(|row| row.raw == b"0"));
        let others = read.iter().filter(|row| row.reason == "another reason").count();
        assert_eq!((others, read[5_000].reason), (1, "another reason"));
    }

    #[test]
    fn g8_reasons_are_bounded() {
        let page = Bytes::from_static(b"[0]");
        let mut rows = UndecodableRows::default();
        for reason in 0..MAX_REASONS + 50 {
            rows.push(&page, 1..2, &reason.to_string(), DayHint::new(None, 0), false);
        }
        assert!(rows.reasons.len() <= MAX_REASONS + 1, "{}", rows.reasons.len());
        assert_eq!(rows.iter().last().map(|row| row.reason), Some(OTHER_REASON));
    }
}
