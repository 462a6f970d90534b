//! How far one sequence of pages has come.

use std::{collections::HashSet, sync::Arc};

use xxhash_rust::xxh3::xxh3_64;

use crate::{
    catalog::{Endpoint, Paging},
    decode::RawPage,
    http::error::RequestError,
    server_text::ServerText,
};

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
    /// The keys of the first page.
    pub first_keys: Arc<Vec<String>>,
    /// The hash of the rows of every page so far.
    digests: HashSet<u64>,
    /// The last total that a page stated. `None` if none did.
    total: Option<u64>,
    /// The items of the last page.
    last_items: u64,
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
            first_keys: Arc::default(),
            digests: HashSet::new(),
            total: None,
            last_items: 0,
        }
    }

    /// Counts a page. Returns whether an earlier page had the same rows.
    pub(super) fn count_page(&mut self, page: &RawPage) -> bool {
        if self.received == 0 {
            self.first_keys = Arc::new(page.keys.clone());
        }
        self.received += 1;
        self.offset += page.items;
        self.last_items = page.items;
        self.empty = if page.items == 0 { self.empty + 1 } else { 0 };
        page.items > 0 && !self.digests.insert(page.digest)
    }

    /// Compares the total of the next page with the one before. Returns what changed, if rows may
    /// have been skipped: rows that vanish from pages received move others to them, and rows in no
    /// order may move anywhere. After the last row nothing can be skipped, and a number that only
    /// counts the rows of one page says nothing about the whole.
    pub(super) fn compare_total(&mut self, page: &RawPage, endpoint: &Endpoint) -> Option<String> {
        let now = page.total?;
        let before = self.total.replace(now)?;
        let is_numbered = matches!(endpoint.paging, Paging::PageNumber | Paging::Offset);
        let is_at_end = page.items == 0 && before <= self.offset;
        let counts_pages = before == self.last_items && now == page.items;
        if !is_numbered || is_at_end || counts_pages {
            return None;
        }
        let change = match now {
            _ if now < before => "fell",
            _ if now > before && !endpoint.ordered => "grew",
            _ => return None,
        };
        Some(format!("the total {change} from {before} to {now} between two pages"))
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
