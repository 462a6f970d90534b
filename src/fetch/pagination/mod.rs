//! A query of one interval, a page at a time: which request comes next, and which was the last.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Map, Value};
use url::Url;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    catalog::{ApiRequest, Dataset, Endpoint, Paging, PlaceholderValues},
    decode::{Decoder, PageError, PageParser, RawPage},
    http::error::RequestError,
    time::interval::{Interval, iso},
};

/// Pages of one chain: beyond, it is no list but a loop.
const MOST_PAGES: u32 = 100_000;
/// Pages without rows in a row that a cursor or link may lead over.
const MOST_EMPTY: u32 = 100;

/// What requests are made from beside the query itself.
#[derive(Debug)]
pub(crate) struct RequestContext {
    /// Where the API is.
    pub api: Url,
    /// The version of the API; empty where the platform has none.
    pub api_version: String,
    /// When the run began, in milliseconds since 1970: the time of its snapshots.
    pub now: i64,
}

/// What is asked for, and how far the pages have come.
pub(crate) struct Pager {
    /// The dataset.
    pub dataset: Arc<Dataset>,
    /// How it is asked for.
    pub endpoint: Arc<Endpoint>,
    /// The interval that is asked for.
    pub requested: Interval,
    /// The part of it whose rows are kept.
    pub owner: Interval,
    /// Rows asked for in a page.
    pub page_size: u32,
    /// The platform's id of what was submitted; empty before.
    pub task: String,
    /// Where the platform keeps the result, where it is to be downloaded.
    pub download: Option<String>,
    /// Decodes the rows.
    pub decoder: Arc<Decoder>,
    finder: Arc<PageParser>,
    context: Arc<RequestContext>,
    filter: Arc<Map<String, Value>>,
    /// Parents that are still to be asked for, the present one in front; none: there are none.
    parents: Option<VecDeque<String>>,
    chain: PagePosition,
}

/// How far one chain of pages has come.
#[derive(Default)]
struct PagePosition {
    /// Pages asked for, and received.
    sent: u32,
    received: u32,
    /// Pages that can be asked for: the next, or all that the total speaks of.
    known: u32,
    /// Items received.
    offset: u64,
    /// The cursor or link of the next page.
    next: Option<String>,
    /// The hash of every cursor and link so far.
    seen: HashSet<u64>,
    /// Pages without rows since the last with some.
    empty: u32,
    ended: bool,
}

impl Pager {
    /// The first page of `interval` comes next, with at most `page_size` rows.
    pub(crate) fn new(
        dataset: &Arc<Dataset>,
        endpoint: &Arc<Endpoint>,
        interval: Interval,
        page_size: u32,
        context: &Arc<RequestContext>,
        filter: &Arc<Map<String, Value>>,
    ) -> Self {
        Self {
            requested: interval,
            owner: interval,
            page_size: page_size.min(endpoint.page_size),
            task: String::new(),
            download: None,
            decoder: Arc::new(Decoder::new(dataset)),
            finder: Arc::new(PageParser::new(
                endpoint,
                fixed(dataset, stamp(dataset, interval, context), None),
            )),
            dataset: Arc::clone(dataset),
            endpoint: Arc::clone(endpoint),
            context: Arc::clone(context),
            filter: Arc::clone(filter),
            parents: None,
            chain: PagePosition { known: 1, ..PagePosition::default() },
        }
    }

    /// The same from the start, with at most `page_size` rows a page.
    pub(crate) fn restart(&self, interval: Interval, page_size: u32) -> Self {
        Self::new(&self.dataset, &self.endpoint, interval, page_size, &self.context, &self.filter)
    }

    /// The same once for every one of `parents`, whose pages may have told one twice.
    pub(crate) fn for_each(&mut self, mut parents: Vec<String>) {
        let mut seen = HashSet::new();
        parents.retain(|parent| seen.insert(xxh3_64(parent.as_bytes())));
        self.chain.ended = parents.is_empty();
        self.parents = Some(parents.into());
        self.begin_parent();
    }

    /// Whether its parents are still to be found.
    pub(crate) fn lacks_parents(&self) -> bool {
        self.endpoint.parent.is_some() && self.parents.is_none()
    }

    /// The request of the next page; none: it is not known yet, or there is none.
    pub(crate) fn next(&mut self) -> Option<ApiRequest> {
        if self.chain.ended || self.chain.sent >= self.chain.known.min(self.reachable()) {
            return None;
        }
        self.chain.sent += 1;
        if let Some(link) =
            self.chain.next.as_ref().filter(|_| self.endpoint.paging == Paging::NextLink)
        {
            let bucket = self.endpoint.request.bucket.clone();
            return Some(ApiRequest {
                method: Method::GET,
                target: link.clone(),
                bucket,
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
        Some(self.fill(self.chain.sent))
    }

    fn fill(&self, page: u32) -> ApiRequest {
        let (request, slots) = (&self.endpoint.request, self.slots(page));
        // what narrows a job was said when it was submitted
        if self.endpoint.async_job.is_none() {
            request.fill_filtered(&slots, &self.filter)
        } else {
            request.fill(&slots)
        }
    }

    /// What the templates of the way are filled with.
    pub(crate) fn slots(&self, page: u32) -> PlaceholderValues<'_> {
        PlaceholderValues {
            interval: self.requested,
            page,
            page_size: self.page_size,
            offset: self.chain.offset,
            cursor: self.chain.next.as_deref(),
            job_id: &self.task,
            parent_id: self.parents.as_ref().and_then(VecDeque::front).map_or("", String::as_str),
            api_version: &self.context.api_version,
        }
    }

    /// What narrows it.
    pub(crate) fn filter(&self) -> &Map<String, Value> {
        &self.filter
    }

    /// Reads the reply to a page.
    pub(crate) fn read(
        &self,
    ) -> impl Fn(StatusCode, Bytes) -> Result<RawPage, RequestError> + Clone + Send + 'static {
        let (finder, first, counts) =
            (Arc::clone(&self.finder), self.chain.sent == 1, self.endpoint.total.is_some());
        move |status, body| match status {
            StatusCode::NO_CONTENT => Ok(RawPage::nothing()),
            _ => {
                let reply = finder.find(body).map_err(|error| match error {
                    PageError::TooLarge(most) => RequestError::TooLarge(most),
                    other => RequestError::Malformed(other.to_string()),
                })?;
                plausible(reply, first, counts)
            }
        }
    }

    /// Takes note of the reply to the next page, and says whether the chain of pages ends with it: what
    /// was asked for beyond is of no use.
    ///
    /// # Errors
    /// [`RequestError::Pagination`] where pages follow on each other without an end, or to another host.
    pub(crate) fn advance(&mut self, reply: &RawPage) -> Result<bool, RequestError> {
        let chain = &mut self.chain;
        chain.received += 1;
        chain.offset += reply.items;
        chain.empty = if reply.items == 0 { chain.empty + 1 } else { 0 };
        let goes_on = match self.endpoint.paging {
            Paging::PageNumber | Paging::Offset => {
                reply.items > 0 && (self.endpoint.next.is_none() || reply.next.is_some())
            }
            Paging::Cursor | Paging::NextLink => reply.next.is_some(),
            Paging::None => false,
        };
        if !goes_on {
            chain.ended = true;
        } else if chain.received >= MOST_PAGES {
            return Err(RequestError::Pagination(format!(
                "there are more than {MOST_PAGES} pages; make fetch.shard smaller"
            )));
        } else {
            match (self.endpoint.paging, &reply.next) {
                (Paging::Cursor, Some(cursor)) => chain.follow(cursor.clone())?,
                (Paging::NextLink, Some(link)) => {
                    let link = self.link(link)?;
                    self.chain.follow(link)?;
                }
                _ => {}
            }
        }
        // pages that have numbers can be asked for before the one in front of them is there
        let counted = reply
            .total
            .filter(|_| self.endpoint.paging == Paging::PageNumber && self.endpoint.next.is_none());
        let counted =
            counted.map_or(0, |total| total.div_ceil(self.page_size.into()).saturating_add(1));
        let chain = &mut self.chain;
        chain.known =
            chain.known.max(chain.received + 1).max(u32::try_from(counted).unwrap_or(u32::MAX));
        let ends = self.chain.ended;
        if ends {
            self.skip_parent();
        }
        Ok(ends)
    }

    /// The ids of a reply's rows. One that cannot be decoded has children that nobody would ask for.
    ///
    /// # Errors
    /// [`RequestError::Malformed`] with the first such row's reason.
    pub(crate) fn ids(&self, reply: &RawPage) -> Result<Vec<String>, RequestError> {
        self.decoder.ids(reply, self.owner).map_err(RequestError::Malformed)
    }

    /// Goes on with the next parent. Says whether there are parents at all.
    pub(crate) fn skip_parent(&mut self) -> bool {
        let Some(parents) = &mut self.parents else { return false };
        parents.pop_front();
        self.chain.ended = true;
        self.begin_parent();
        true
    }

    /// The address that a page gives for the next: whole, or relative to its own, `?page=2` as well as
    /// `/rows?page=2`. Another host is refused: it would be sent the token (G10).
    fn link(&self, link: &str) -> Result<String, RequestError> {
        let api = &self.context.api;
        let here = self.chain.next.clone().unwrap_or_else(|| self.fill(1).target);
        let told = api.join(&here).and_then(|here| here.join(link));
        let told = told.map_err(|error| {
            RequestError::Pagination(format!("`{}` is no link: {error}", shorten(link)))
        })?;
        match told.origin() == api.origin() {
            true => Ok(told.into()),
            false => Err(RequestError::Pagination(format!(
                "the next page is said to be at {}, which the configuration does not name",
                shorten(&told.origin().ascii_serialization())
            ))),
        }
    }

    /// Begins the chain of the parent in front, if there is one.
    fn begin_parent(&mut self) {
        let parent = self.parents.as_ref().and_then(VecDeque::front);
        let Some(parent) = parent else { return };
        let stamp = stamp(&self.dataset, self.requested, &self.context);
        self.finder = Arc::new(PageParser::new(
            &self.endpoint,
            fixed(&self.dataset, stamp, Some((&self.endpoint, parent))),
        ));
        self.chain = PagePosition { known: 1, ..PagePosition::default() };
    }

    /// Whether its pages can be smaller.
    pub(crate) fn is_shrinkable(&self) -> bool {
        self.endpoint.page_size < u32::MAX && self.page_size > 1
    }

    /// Whether the last page was received.
    pub(crate) fn is_whole(&self) -> bool {
        self.chain.ended
    }

    /// Pages that the platform's paging reaches: at least the first, and where pages are short, those
    /// that begin within its depth.
    fn reachable(&self) -> u32 {
        let chain = &self.chain;
        match self.endpoint.paging {
            Paging::Offset if chain.offset < self.endpoint.depth => chain.known,
            Paging::Offset => chain.received,
            _ => u32::try_from(self.endpoint.depth / u64::from(self.page_size))
                .unwrap_or(u32::MAX)
                .max(1),
        }
    }
}

impl PagePosition {
    /// Takes note of the cursor or link of the next page.
    fn follow(&mut self, next: String) -> Result<(), RequestError> {
        if !self.seen.insert(xxh3_64(next.as_bytes())) {
            return Err(RequestError::Pagination(format!(
                "the next page is `{}` for the second time",
                shorten(&next)
            )));
        }
        if self.empty >= MOST_EMPTY {
            let reason = format!(
                "{MOST_EMPTY} pages in a row have no rows, and the next is `{}`",
                shorten(&next)
            );
            return Err(RequestError::Pagination(reason));
        }
        self.next = Some(next);
        Ok(())
    }
}

/// The time of rows that have none of their own.
fn stamp(dataset: &Dataset, interval: Interval, context: &RequestContext) -> i64 {
    if dataset.snapshot { context.now } else { interval.from_ms() }
}

/// The columns that the replies do not have.
fn fixed(
    dataset: &Dataset,
    stamp: i64,
    each: Option<(&Endpoint, &String)>,
) -> Vec<(String, String)> {
    let stamp = dataset.synthesizes_time.then(|| (dataset.time.clone(), iso(stamp)));
    let parent = each
        .and_then(|(endpoint, id)| Some((endpoint.parent.as_ref()?.column.clone(), id.clone())));
    stamp.into_iter().chain(parent).collect()
}

/// Refuses a reply without rows that says there are some, or does not say: one cut to its envelope.
fn plausible(reply: RawPage, first: bool, counts: bool) -> Result<RawPage, RequestError> {
    match reply.total {
        Some(total) if reply.items == 0 && first && total > 0 => {
            Err(RequestError::Malformed(format!("the first page of {total} rows has none")))
        }
        None if reply.items == 0 && counts => {
            Err(RequestError::Malformed("there are neither rows nor their number".to_owned()))
        }
        _ => Ok(reply),
    }
}

/// As much of a foreign text as fits a log.
fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests;
