//! Pagination: which request comes next, and whether the last page was received.
//!
//! A [`Pager`] walks the pages of one interval, for a child endpoint once per parent. It sends
//! nothing itself and always comes to an end (G8): pages, empty pages and repeated cursors are
//! bounded. Start with [`Pager::next_request`] and [`Pager::advance`].

mod last_page;
pub(crate) mod link;
mod position;
mod response_reader;

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use http::{Method, Response};
use serde_json::{Map, Value};
use url::Url;
use xxhash_rust::xxh3::xxh3_64;

use self::{
    position::{MAX_PAGES, PagePosition},
    response_reader::ResponseReader,
};
use crate::{
    catalog::{ApiRequest, Dataset, Endpoint, Paging, PlaceholderValues},
    decode::{Decoder, PageParser, RawPage},
    fetch::{Decoders, ShardError},
    http::error::RequestError,
    time::interval::{Interval, iso},
};

/// What requests are built from beside the catalog.
#[derive(Debug)]
pub(crate) struct RequestContext {
    /// The address of the API.
    pub api: Url,
    /// The version of the API. Empty if the platform has none.
    pub api_version: String,
    /// When the run began, in milliseconds since 1970: the time of its snapshots.
    pub now: i64,
    /// The decoders of the datasets.
    pub decoders: Decoders,
}

#[cfg(test)]
impl RequestContext {
    /// What tests that do not care about it build requests from.
    pub(crate) fn for_tests() -> Self {
        Self {
            api: "https://api.example/".parse().unwrap(),
            api_version: String::new(),
            now: 0,
            decoders: Decoders::default(),
        }
    }
}

/// Decides the next page of one interval.
pub(crate) struct Pager {
    pub dataset: Arc<Dataset>,
    pub endpoint: Arc<Endpoint>,
    /// The interval that is requested.
    pub requested: Interval,
    /// The part of it whose rows are kept.
    pub owner: Interval,
    /// Rows requested per page.
    pub page_size: u32,
    /// The platform's id of the submitted job. Empty before it is submitted.
    pub job_id: String,
    /// The address of the job's result. `None` unless the result has to be downloaded.
    pub download: Option<String>,
    /// The ids of the rows that are requested. Empty unless rows are requested by id.
    pub ids: Vec<String>,
    pub decoder: Arc<Decoder>,
    parser: Arc<PageParser>,
    context: Arc<RequestContext>,
    filter: Arc<Map<String, Value>>,
    /// The parents that are still to be queried, the present one first. `None` until they are
    /// known.
    parents: Option<VecDeque<String>>,
    position: PagePosition,
    /// How the total changed from one page to the next, so that rows may be missing. `None` if it
    /// did not.
    total_change: Option<String>,
}

impl Pager {
    /// A pager before the first page of `interval`, with at most `page_size` rows per page.
    pub(crate) fn new(
        dataset: &Arc<Dataset>,
        endpoint: &Arc<Endpoint>,
        interval: Interval,
        page_size: u32,
        context: &Arc<RequestContext>,
        filter: &Arc<Map<String, Value>>,
    ) -> Self {
        let columns = added_columns(dataset, row_time(dataset, interval, context), None);
        let decoder = context.decoders.of(dataset);
        let parser = PageParser::new(endpoint, columns)
            .requiring_key_of(dataset)
            .hiding_values(decoder.policy().is_some());
        Self {
            requested: interval,
            owner: interval,
            page_size: page_size.min(endpoint.page_size),
            job_id: String::new(),
            download: None,
            ids: Vec::new(),
            decoder,
            parser: Arc::new(parser),
            dataset: Arc::clone(dataset),
            endpoint: Arc::clone(endpoint),
            context: Arc::clone(context),
            filter: Arc::clone(filter),
            parents: None,
            position: PagePosition::start(),
            total_change: None,
        }
    }

    /// A pager for the same dataset and endpoint, before the first page.
    pub(crate) fn restart(&self, interval: Interval, page_size: u32) -> Self {
        Self::new(&self.dataset, &self.endpoint, interval, page_size, &self.context, &self.filter)
    }

    /// Queries a child endpoint once per parent. Parents may be listed twice.
    pub(crate) fn set_parents(&mut self, mut parents: Vec<String>) {
        let mut seen = HashSet::new();
        parents.retain(|parent| seen.insert(xxh3_64(parent.as_bytes())));
        self.position.is_finished = parents.is_empty();
        self.parents = Some(parents.into());
        self.start_parent();
    }

    /// Whether the endpoint is queried per parent and the parents are not known yet.
    pub(crate) fn lacks_parents(&self) -> bool {
        self.endpoint.parent.is_some() && self.parents.is_none()
    }

    /// Returns the request of the next page. `None` if it is not known yet or there is none.
    pub(crate) fn next_request(&mut self) -> Option<ApiRequest> {
        let known = self.position.known.min(self.reachable_pages());
        if self.position.is_finished || self.position.sent >= known {
            return None;
        }
        self.position.sent += 1;
        if matches!(self.endpoint.paging, Paging::NextLink | Paging::LinkHeader)
            && let Some(link) = &self.position.next
        {
            return Some(ApiRequest {
                method: Method::GET,
                target: link.clone(),
                bucket: self.endpoint.request.bucket.clone(),
                ..ApiRequest::default()
            });
        }
        if let Some(address) = &self.download {
            return Some(ApiRequest {
                target: address.clone(),
                anonymous: true,
                ..ApiRequest::default()
            });
        }
        Some(self.page_request(self.position.sent))
    }

    fn page_request(&self, page: u32) -> ApiRequest {
        let values = self.placeholder_values(page);
        // the filter was sent with the job; rows by id are known to match it
        match self.endpoint.async_job.is_some() || !self.ids.is_empty() {
            true => self.endpoint.request.fill(&values),
            false => self.endpoint.request.fill_filtered(&values, &self.filter),
        }
    }

    /// The values for the endpoint's request templates.
    pub(crate) fn placeholder_values(&self, page: u32) -> PlaceholderValues<'_> {
        let parent = self.parents.as_ref().and_then(VecDeque::front);
        PlaceholderValues {
            interval: self.requested,
            page,
            page_size: self.page_size,
            offset: self.position.offset,
            cursor: self.position.next.as_deref(),
            job_id: &self.job_id,
            parent_id: parent.map_or("", String::as_str),
            ids: &self.ids,
            api_version: &self.context.api_version,
        }
    }

    /// The user's filter of the dataset.
    pub(crate) fn filter(&self) -> &Map<String, Value> {
        &self.filter
    }

    /// Returns a function that parses the response to the last request, see [`ResponseReader`].
    pub(crate) fn response_reader(
        &self,
    ) -> impl Fn(Response<Bytes>) -> Result<RawPage, RequestError> + Clone + Send + 'static {
        let reader = Arc::new(ResponseReader {
            parser: Arc::clone(&self.parser),
            endpoint: Arc::clone(&self.endpoint),
            first_keys: (self.position.sent > 1).then(|| Arc::clone(&self.position.first_keys)),
            has_refused: false.into(),
        });
        move |response| reader.read(response)
    }

    /// Takes the next page into account. Returns whether it ends the sequence of pages, so that
    /// responses to requests beyond it are of no use.
    ///
    /// # Errors
    /// [`ShardError::PageRepeated`] if the page has the rows of an earlier one, and
    /// [`ShardError::Failed`] if pages do not come to an end or lead to another host.
    pub(crate) fn advance(&mut self, page: &RawPage) -> Result<bool, ShardError> {
        let change = self.position.compare_total(page, &self.endpoint);
        self.total_change = change.or(self.total_change.take());
        if self.position.count_page(page) {
            return Err(ShardError::PageRepeated(RequestError::Pagination(
                self.repetition().into(),
            )));
        }
        let leads_on = match self.endpoint.paging {
            Paging::PageNumber | Paging::Offset => {
                page.items > 0 && self.has_more(page) && !self.is_proven_last(page)
            }
            Paging::Cursor | Paging::NextLink | Paging::LinkHeader => page.next.is_some(),
            Paging::None => false,
        };
        if !leads_on {
            self.position.is_finished = true;
            self.skip_parent();
            return Ok(true);
        }
        self.follow(page).map_err(ShardError::Failed)?;
        let next_page = self.position.received + 1;
        self.position.known = self.position.known.max(next_page).max(self.counted_pages(page));
        Ok(false)
    }

    /// Remembers where the next page is.
    fn follow(&mut self, page: &RawPage) -> Result<(), RequestError> {
        if self.position.received >= MAX_PAGES {
            return Err(RequestError::Pagination(
                format!("there are more than {MAX_PAGES} pages; make fetch.shard smaller").into(),
            ));
        }
        match (self.endpoint.paging, &page.next) {
            (Paging::Cursor, Some(cursor)) => self.position.follow(cursor.clone()),
            (Paging::NextLink | Paging::LinkHeader, Some(link)) => {
                let own = match &self.position.next {
                    Some(own) => own.clone(),
                    None => self.page_request(1).target,
                };
                let link = link::resolve(&self.context.api, &own, link)?;
                self.position.follow(link)
            }
            _ => Ok(()),
        }
    }

    /// How the total changed from one page to the next, so that rows may be missing. `None` if it
    /// did not.
    pub(crate) fn total_change(&self) -> Option<&str> {
        self.total_change.as_deref()
    }

    /// Why a page can have the rows of an earlier one.
    fn repetition(&self) -> String {
        let number = self.position.received;
        let cause = match self.endpoint.paging {
            Paging::PageNumber => {
                "the server seems to ignore the page number, or to repeat its last page; check the \
                 parameter with `{page}`, or say where the response has the last page (`next` or \
                 `pages`)"
            }
            Paging::Offset => {
                "the server seems to ignore the offset, or to repeat its last page; check the \
                 parameter with `{offset}`"
            }
            Paging::Cursor => {
                "the server seems to ignore the cursor; check the parameter with `{cursor}`"
            }
            Paging::NextLink | Paging::LinkHeader | Paging::None => {
                "the server seems to ignore the query of its own links"
            }
        };
        format!("page {number} has the same rows as an earlier page: {cause}")
    }

    /// The ids of a page's rows.
    ///
    /// # Errors
    /// [`RequestError::Malformed`] if a row cannot be decoded: its children would be missed.
    pub(crate) fn ids(&self, page: &RawPage) -> Result<Vec<String>, RequestError> {
        self.decoder.ids(page, self.owner).map_err(|reason| RequestError::Malformed(reason.into()))
    }

    /// The id of the parent that is queried. `None` if there is none, or none is left.
    pub(crate) fn parent_id(&self) -> Option<&str> {
        self.parents.as_ref()?.front().map(String::as_str)
    }

    /// Goes on with the next parent. Returns whether the endpoint is queried per parent.
    pub(crate) fn skip_parent(&mut self) -> bool {
        let Some(parents) = &mut self.parents else { return false };
        parents.pop_front();
        self.position.is_finished = true;
        self.start_parent();
        true
    }

    /// Starts with the first page of the first parent that is left, if there is one.
    fn start_parent(&mut self) {
        let Some(parent) = self.parents.as_ref().and_then(VecDeque::front) else { return };
        let time = row_time(&self.dataset, self.requested, &self.context);
        let columns = added_columns(&self.dataset, time, Some((&self.endpoint, parent)));
        let parser = PageParser::new(&self.endpoint, columns);
        let hides_values = self.decoder.policy().is_some();
        self.parser = Arc::new(parser.requiring_key_of(&self.dataset).hiding_values(hides_values));
        self.position = PagePosition::start();
    }

    /// Whether pages can be smaller.
    pub(crate) fn is_shrinkable(&self) -> bool {
        self.endpoint.page_size < u32::MAX && self.page_size > 1
    }

    /// The items of the pages so far.
    pub(crate) fn items_received(&self) -> u64 {
        self.position.offset
    }

    /// Whether no page was received yet.
    pub(crate) fn is_at_first_page(&self) -> bool {
        self.position.received == 0
    }

    /// Whether the last page was received.
    pub(crate) fn is_finished(&self) -> bool {
        self.position.is_finished
    }

    /// The pages that the platform lets a client page to: those that begin within its depth, at
    /// least the first.
    fn reachable_pages(&self) -> u32 {
        match self.endpoint.paging {
            Paging::Offset if self.position.offset < self.endpoint.depth => self.position.known,
            Paging::Offset => self.position.received,
            _ => u32::try_from(self.endpoint.depth / u64::from(self.page_size))
                .unwrap_or(u32::MAX)
                .max(1),
        }
    }
}

/// The time of rows that have none of their own: when a snapshot was taken, else the interval's
/// start. In milliseconds since 1970.
fn row_time(dataset: &Dataset, interval: Interval, context: &RequestContext) -> i64 {
    if dataset.snapshot { context.now } else { interval.from_ms() }
}

/// The columns that responses lack and every row gets: a synthesized time, the parent's id.
fn added_columns(
    dataset: &Dataset,
    time_ms: i64,
    parent: Option<(&Endpoint, &String)>,
) -> Vec<(String, String)> {
    let mut columns = Vec::new();
    if dataset.synthesizes_time {
        columns.push((dataset.time.clone(), iso(time_ms)));
    }
    if let Some((endpoint, id)) = parent
        && let Some(parent_query) = &endpoint.parent
    {
        columns.push((parent_query.column.clone(), id.clone()));
    }
    columns
}

#[cfg(test)]
mod tests;
