//! What a response means: a page, or an error that is worth another attempt.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use http::{Response, StatusCode, header::LINK};

use crate::{
    catalog::{Endpoint, Paging, TotalAccuracy},
    decode::{MAX_KEYS, PageError, PageParser, RawPage},
    http::{error::RequestError, link_header::next_link},
};

/// Parses the responses to one request, and refuses those that are no answer.
///
/// A list that is there is an answer, also if it is empty: a total is only a hint. A response
/// without the list means no rows only if something confirms it, else an error in a success, or a
/// wrong pointer in the catalog, would be committed as an empty day.
pub(super) struct ResponseReader {
    pub parser: Arc<PageParser>,
    pub endpoint: Arc<Endpoint>,
    /// The keys of the first page. `None` if the request is for the first page.
    pub first_keys: Option<Arc<Vec<String>>>,
    /// Whether a page without rows was refused because of its total.
    pub has_refused: AtomicBool,
}

impl ResponseReader {
    /// Parses a response.
    ///
    /// # Errors
    /// [`RequestError::TooLarge`]; [`RequestError::Unreadable`] if fewer rows may be readable;
    /// [`RequestError::Malformed`] if the catalog may be wrong.
    pub(super) fn read(&self, response: Response<Bytes>) -> Result<RawPage, RequestError> {
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(RawPage::nothing());
        }
        let (head, body) = response.into_parts();
        let mut page = self.parser.find(body).map_err(|error| match error {
            PageError::TooLarge(limit) => RequestError::TooLarge(limit),
            PageError::NotJson(_) => RequestError::Unreadable(error.to_string().into()),
            // the file of a job, which takes minutes to be made again
            PageError::NotCsv(_) => RequestError::Malformed(error.to_string().into()),
            other => self.without_rows(&other.to_string()),
        })?;
        if self.endpoint.paging == Paging::LinkHeader {
            page.next = next_link(&head.headers);
            page.has_next_key = head.headers.contains_key(LINK);
        }
        if page.items == 0 && !page.is_nothing {
            self.check_no_rows(&page)?;
        }
        Ok(page)
    }

    /// Refuses a page without rows that lacks the list, or that contradicts its total: always if
    /// totals are exact, else once, since a hint may be wrong.
    fn check_no_rows(&self, page: &RawPage) -> Result<(), RequestError> {
        if self.is_beyond_depth(page) {
            return Ok(());
        }
        if !page.has_list && !self.may_lack_list(page) {
            return Err(self.without_rows(&self.parser.missing_list(page)));
        }
        let is_exact = self.endpoint.total_is == TotalAccuracy::Exact;
        match page.total.filter(|&total| total > 0 && self.first_keys.is_none()) {
            Some(total) if is_exact || !self.has_refused.swap(true, Ordering::Relaxed) => {
                let reason = format!("the first page has no rows, and the total is {total}");
                Err(RequestError::Malformed(reason.into()))
            }
            _ => Ok(()),
        }
    }

    /// The error of a page without the list of rows: of a first page the catalog may be wrong, a
    /// later one came after pages that had the list.
    fn without_rows(&self, reason: &str) -> RequestError {
        match self.first_keys {
            None => RequestError::Malformed(reason.into()),
            Some(_) => RequestError::Unreadable(reason.into()),
        }
    }

    /// Whether a response without the list has no rows: its total is 0, the catalog says so, or it
    /// is a later page that has nothing else instead of the list.
    fn may_lack_list(&self, page: &RawPage) -> bool {
        let are_known = |known: &[String]| {
            page.keys.len() < MAX_KEYS && page.keys.iter().all(|key| known.contains(key))
        };
        page.total == Some(0)
            || self.endpoint.without_rows.as_deref().is_some_and(are_known)
            || self.first_keys.as_ref().is_some_and(|first| are_known(first))
    }

    /// Whether it is a first page that shows no rows because there are more than paging reaches.
    fn is_beyond_depth(&self, page: &RawPage) -> bool {
        self.first_keys.is_none() && page.total.is_some_and(|total| total > self.endpoint.depth)
    }
}
