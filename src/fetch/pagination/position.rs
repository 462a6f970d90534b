//! How far one sequence of pages has come.

use std::collections::HashSet;

use xxhash_rust::xxh3::xxh3_64;

use crate::{http::error::RequestError, server_text::ServerText};

/// The most pages of one sequence. Longer ones are taken for an endless loop (G8).
pub(super) const MAX_PAGES: u32 = 100_000;
/// The most pages without rows in a row that still lead on by cursor or link (G8).
pub(super) const MAX_EMPTY_PAGES: u32 = 100;

/// How far one sequence of pages has come.
pub(super) struct PagePosition {
    /// Pages requested.
    pub sent: u32,
    /// Pages received.
    pub received: u32,
    /// Pages that can be requested: the next, or as many as the total suggests.
    pub known: u32,
    /// Items received.
    pub offset: u64,
    /// The cursor or link of the next page.
    pub next: Option<String>,
    /// Whether the last page was received.
    pub is_finished: bool,
    /// The hash of every cursor and link so far.
    seen: HashSet<u64>,
    /// Pages without rows since the last page with rows.
    empty: u32,
}

impl PagePosition {
    /// The position before the first page.
    pub(super) fn start() -> Self {
        Self {
            sent: 0,
            received: 0,
            known: 1,
            offset: 0,
            next: None,
            is_finished: false,
            seen: HashSet::new(),
            empty: 0,
        }
    }

    /// Counts a page of so many items.
    pub(super) fn count_page(&mut self, items: u64) {
        self.received += 1;
        self.offset += items;
        self.empty = if items == 0 { self.empty + 1 } else { 0 };
    }

    /// Remembers the cursor or link of the next page.
    ///
    /// # Errors
    /// [`RequestError::Pagination`] if it was given before, or if too many pages had no rows.
    pub(super) fn follow(&mut self, next: String) -> Result<(), RequestError> {
        if !self.seen.insert(xxh3_64(next.as_bytes())) {
            return Err(RequestError::Pagination(
                format!("the next page is `{}` for the second time", ServerText::quote(&next))
                    .into(),
            ));
        }
        if self.empty >= MAX_EMPTY_PAGES {
            return Err(RequestError::Pagination(
                format!(
                    "{MAX_EMPTY_PAGES} pages in a row have no rows, and the next is `{}`",
                    ServerText::quote(&next)
                )
                .into(),
            ));
        }
        self.next = Some(next);
        Ok(())
    }
}
