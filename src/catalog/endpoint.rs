//! An endpoint: how a dataset is requested, and where its responses hold what.

use std::time::Duration;

use serde::Deserialize;

use crate::catalog::{placeholder::Placeholder, request::RequestTemplate};

/// The keys that lead to a value in a response. Empty for the response itself.
pub(crate) type JsonPointer = Vec<String>;

/// One way to fetch a dataset.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The request of a page.
    pub request: RequestTemplate,
    /// Where the rows are.
    pub rows: RowsAt,
    /// Lists of an item whose elements are the rows. Empty if the item is the row.
    pub explode: Vec<String>,
    /// Where the response states the number of items of all pages. It changes while the interval is
    /// live, so it is never a reason to stop.
    pub total: Option<JsonPointer>,
    /// Whether that number can be relied on.
    pub total_is: TotalAccuracy,
    /// How one page leads to the next.
    pub paging: Paging,
    /// Where the response has the cursor or the link of the next page.
    pub next: Option<JsonPointer>,
    /// Where the response states the number of pages. `None` if it does not.
    pub pages: Option<JsonPointer>,
    /// Whether a page with fewer items than were requested is the last. Else a numbered page
    /// without rows is, unless pages name the next one or count themselves.
    pub short_page_is_last: bool,
    /// The keys of a response without rows that lacks the list of rows, as JSON pointers. `None` if
    /// the list is always there: a first page without it is an error.
    pub without_rows: Option<Vec<String>>,
    /// Rows per page: the default, and the maximum that the platform returns.
    pub page_size: u32,
    /// The rows of one interval that paging can reach; an interval with more must be split.
    /// [`u64::MAX`] if no limit is known.
    pub depth: u64,
    /// The widest interval of a request without a filter, and with one.
    pub widest: [Duration; 2],
    /// Whether rows come by time, so that those received can be committed before the rest.
    pub ordered: bool,
    /// The format of responses.
    pub format: ResponseFormat,
    /// The parent dataset: the endpoint is queried once per id of it.
    pub parent: Option<ParentQuery>,
    /// The asynchronous job whose results the request reads. `None` if the request stands alone.
    pub async_job: Option<AsyncJob>,
    /// Columns that only this endpoint returns, as paths with dots.
    pub extras: Vec<String>,
}

impl Endpoint {
    /// Returns the keys that a filter must not set. The filter of a job goes with its submission.
    pub fn reserved_keys(&self) -> impl Iterator<Item = &str> {
        self.async_job.as_ref().map_or(&self.request, |job| &job.submit).reserved_keys()
    }

    /// The pages of so many items, with the empty one that ends them where the last page with items
    /// does not say that it is the last.
    pub(crate) fn pages_of(&self, items: u64, page_size: u32) -> u64 {
        let page_size = u64::from(page_size.min(self.page_size).max(1));
        let full_pages = items.div_ceil(page_size).max(1);
        let says_whether_last = match self.paging {
            Paging::None | Paging::Cursor | Paging::NextLink | Paging::LinkHeader => true,
            Paging::PageNumber | Paging::Offset => self.next.is_some() || self.pages.is_some(),
        };
        let is_last_short = !items.is_multiple_of(page_size);
        let proves_end = self.short_page_is_last || self.total_is == TotalAccuracy::Exact;
        match says_whether_last || items == 0 || (is_last_short && proves_end) {
            true => full_pages,
            false => full_pages.saturating_add(1),
        }
    }

    /// Whether the platform says up to when the endpoint's jobs have data.
    pub(crate) fn says_availability(&self) -> bool {
        self.async_job.as_ref().is_some_and(|job| job.available.is_some())
    }

    /// Whether the id of a parent is a part of the path.
    pub(crate) fn has_parent_in_path(&self) -> bool {
        self.request.path_uses(&Placeholder::ParentId)
    }

    /// Whether one response has all rows whose ids are requested, and the number of ids is bounded.
    pub(super) fn returns_ids(&self) -> bool {
        self.request.uses(&Placeholder::Ids)
            && self.paging == Paging::None
            && self.page_size < u32::MAX
            && self.async_job.is_none()
            && self.parent.is_none()
    }
}

/// Where the rows of a response are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowsAt {
    /// At a pointer. Null means no rows.
    JsonPointer(JsonPointer),
    /// In the only list of the response, at the top level or one level below.
    OnlyList,
}

/// Whether the total that a response states can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TotalAccuracy {
    /// The number of items of a settled interval: fewer items than this are a count mismatch.
    Exact,
    /// An estimate. It never fails a run and never ends a sequence of pages.
    #[default]
    Hint,
}

/// How one page leads to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Paging {
    /// Pages are numbered from 1. A page without rows is the last, and so is one that names no next
    /// page or has the number of the last page, if responses do so.
    PageNumber,
    /// A page begins after the rows received so far. A page without rows is the last.
    Offset,
    /// A page has the cursor of the next. A page without a cursor is the last.
    #[serde(alias = "page-token")]
    Cursor,
    /// A page has the address of the next. A page without one is the last.
    NextLink,
    /// The header `Link` of a page has the address of the next as `rel="next"` (RFC 8288). A page
    /// without one is the last.
    LinkHeader,
    /// One response has all rows.
    #[default]
    None,
}

/// The format of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResponseFormat {
    /// JSON.
    #[default]
    Json,
    /// CSV with a header line, which may begin with a byte order mark.
    Csv,
}

/// The dataset whose ids an endpoint is queried for, one id at a time.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParentQuery {
    /// The parent dataset.
    pub dataset: String,
    /// The column that gets the parent's id.
    pub column: String,
}

/// An asynchronous job of the platform: submitted, polled, then its results are read.
#[derive(Debug, Clone)]
pub struct AsyncJob {
    /// Submits the job.
    pub submit: RequestTemplate,
    /// Where the response to `submit` has the job's id. Empty if the response is the id.
    pub id: JsonPointer,
    /// Asks for the job's state.
    pub poll: RequestTemplate,
    /// Where the response to `poll` has the state.
    pub state: JsonPointer,
    /// The states in which the results can be fetched. States compare without regard to case.
    pub done: Vec<String>,
    /// The states in which the job goes on. A state that is in none of the lists is unknown.
    pub pending: Vec<String>,
    /// The states in which the job has failed.
    pub failed: Vec<String>,
    /// The states of a job that the platform has discarded. It is submitted again, like a failed
    /// one.
    pub gone: Vec<String>,
    /// Where the response to `poll` says why the job failed.
    pub error: Option<JsonPointer>,
    /// Deletes the job.
    pub delete: Option<RequestTemplate>,
    /// Asks up to which time jobs have data, and where the response says so.
    pub available: Option<(RequestTemplate, JsonPointer)>,
    /// Where the response to `poll` has the address of the results, which needs no token.
    pub download: Option<JsonPointer>,
}
