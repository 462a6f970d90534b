//! The rows of a page that cannot be decoded.

use std::ops::Range;

use bytes::Bytes;

use crate::server_text::ServerText;

/// The rows of a page that cannot be decoded, in the order received. They take a few bytes each
/// beside the page itself, however many there are (G8).
#[derive(Debug, Clone, Default)]
pub struct UndecodableRows {
    /// The page. It is kept only as long as it is needed.
    page: Bytes,
    rows: Vec<Entry>,
    reasons: Vec<Reason>,
}

#[derive(Debug, Clone)]
struct Reason {
    /// As it was given, to compare it with the next one.
    given: Box<str>,
    text: ServerText,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    from: u32,
    to: u32,
    reason: u32,
}

/// A row that cannot be decoded and goes to quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UndecodableRow<'p> {
    /// Why it cannot be decoded: the field and its value, truncated to [`REASON_CHARS`] characters.
    /// It quotes data, so it belongs in the quarantine file and not in a log.
    pub reason: &'p str,
    /// The row as received.
    pub raw: &'p [u8],
}

/// The longest reason of an [`UndecodableRow`].
pub(crate) const REASON_CHARS: usize = 300;

/// Reasons that quote no value are few: a reason is looked for among so many of the last ones.
const RECENT_REASONS: usize = 16;

impl UndecodableRows {
    /// Adds the row at `range` of `page`, which is the same for all rows.
    pub(super) fn push(&mut self, page: &Bytes, range: Range<usize>, reason: &str) {
        if self.rows.is_empty() {
            self.page = page.clone();
        }
        let end = reason.char_indices().nth(REASON_CHARS).map_or(reason.len(), |(end, _)| end);
        let reason = &reason[..end];
        let recent = self.reasons.iter().enumerate().rev().take(RECENT_REASONS);
        let known = recent.into_iter().find(|(_, known)| *known.given == *reason);
        let reason = known.map(|(index, _)| index).unwrap_or_else(|| {
            self.reasons.push(Reason { given: reason.into(), text: reason.into() });
            self.reasons.len() - 1
        });
        let position = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let [from, to, reason] = [range.start, range.end, reason].map(position);
        self.rows.push(Entry { from, to, reason });
    }

    /// The rows, in the order received.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = UndecodableRow<'_>> {
        self.rows.iter().map(|row| UndecodableRow {
            reason: &self.reasons[row.reason as usize].text,
            raw: &self.page[row.from as usize..row.to as usize],
        })
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}
