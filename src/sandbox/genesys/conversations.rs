//! The conversation details query: what it may ask, and the page that answers it. A job asks the
//! same and more.

use std::{ops::Range, time::Duration};

use bytes::Bytes;
use http::StatusCode;
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};

use crate::{
    sandbox::{
        error::ApiError,
        genesys::{
            filter::{Filter, FilterTarget, RequestedFilter, compile},
            records::{Facts, Records, days_of},
            renderer::Renderer,
        },
    },
    time::interval::{Interval, ParseError},
};

const DAY: Duration = Duration::from_secs(86_400);
/// The longest interval, in days, without a filter and with one.
const MOST_DAYS: [u32; 2] = [7, 31];
/// The longest interval of a job: inferred, since the platform does not tell.
pub(crate) const MOST_JOB_DAYS: u32 = 31;
/// How long before an interval a conversation may have begun that lives in it: none is longer, and
/// a live one is found for so long.
const LONGEST_DAYS: i64 = 60;
const DEFAULT_PAGE_SIZE: i64 = 25;
const MOST_ROWS: i64 = 100;
/// How far into its results a query can page.
const MOST_RESULTS: i64 = 100_000;

/// The body of a request. Fields that the platform does not know it ignores.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConversationQueryBody {
    interval: Option<String>,
    conversation_filters: Option<Vec<RequestedFilter>>,
    segment_filters: Option<Vec<RequestedFilter>>,
    evaluation_filters: Option<Vec<IgnoredAny>>,
    survey_filters: Option<Vec<IgnoredAny>>,
    resolution_filters: Option<Vec<IgnoredAny>>,
    aggregations: Option<Vec<IgnoredAny>>,
    order: Option<String>,
    order_by: Option<String>,
    paging: Option<PageRequest>,
    limit: Option<usize>,
    start_of_day_interval_matching: Option<bool>,
}

/// Which page of a synchronous query.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PageRequest {
    page_size: Option<i64>,
    page_number: Option<i64>,
}

/// A query that can be answered.
#[derive(Debug)]
pub(crate) struct ConversationQuery {
    interval: Interval,
    filters: Vec<Filter>,
    descending: bool,
    /// How many days before those of the interval it finds what still lives in the interval.
    back: i64,
    /// What starts at this time or later it does not know yet.
    until: i64,
}

impl ConversationQuery {
    /// Reads the body of a details query, and the rows of its page.
    ///
    /// # Errors
    ///
    /// 400 in the platform's words for what it refuses, and in ours for what is not played here.
    pub(crate) fn read(body: &[u8], seed: u64) -> Result<(Self, Range<usize>), ApiError> {
        let body: ConversationQueryBody = read_json(body)?;
        let query = Self::new(&body, MOST_DAYS, seed)?;
        Ok((query, body.paging.unwrap_or_default().rows()?))
    }

    /// Reads the body of a job, and the most rows that it gives. What starts `until` or later is
    /// not available to it.
    ///
    /// # Errors
    ///
    /// See [`read`](Self::read).
    pub(crate) fn read_job(body: &[u8], seed: u64, until: i64) -> Result<(Self, usize), ApiError> {
        let body: ConversationQueryBody = read_json(body)?;
        let query = Self::new(&body, [MOST_JOB_DAYS; 2], seed)?;
        let back = if body.start_of_day_interval_matching == Some(true) { 0 } else { LONGEST_DAYS };
        Ok((Self { back, until, ..query }, body.limit.unwrap_or(usize::MAX)))
    }

    fn new(body: &ConversationQueryBody, most_days: [u32; 2], seed: u64) -> Result<Self, ApiError> {
        body.refuse_what_is_not_played()?;
        let mut filters =
            compile(body.conversation_filters.as_deref(), FilterTarget::Conversation, seed)?;
        filters.extend(compile(body.segment_filters.as_deref(), FilterTarget::Segment, seed)?);
        Ok(Self {
            interval: interval(
                body.interval.as_deref(),
                most_days[usize::from(!filters.is_empty())],
            )?,
            filters,
            descending: match body.order.as_deref() {
                None | Some("asc" | "unordered") => false,
                Some("desc") => true,
                Some(order) => return Err(invalid_value(format!("unknown order: {order}"))),
            },
            back: 0,
            until: i64::MAX,
        })
    }

    /// The page with these rows, in JSON: past the last result it has no `conversations` at all.
    pub(crate) fn page(&self, records: &Records, rows: &Range<usize>) -> Bytes {
        let (rows, total) = self.results(records, rows);
        let mut renderer = Renderer::new(records.seed, rows.len());
        renderer.object(|s| {
            if !rows.is_empty() {
                s.list("conversations", |s| rows.iter().for_each(|facts| s.conversation(facts)));
            }
            s.json.number("totalHits", i64::try_from(total).unwrap_or(i64::MAX));
        });
        renderer.json.into_bytes()
    }

    /// The conversations whose place in the results is among `wanted`, and how many there are.
    pub(crate) fn results(&self, records: &Records, wanted: &Range<usize>) -> (Vec<Facts>, usize) {
        let (mut rows, mut total) = (Vec::new(), 0);
        let touched = days_of(self.interval);
        let mut days: Vec<_> = (touched.start() - self.back..=*touched.end()).collect();
        if self.descending {
            days.reverse();
        }
        for day in days {
            let day = records.day(day);
            for at in 0..day.len() {
                let facts = &day[if self.descending { day.len() - 1 - at } else { at }];
                if self.admits(facts) {
                    if wanted.contains(&total) {
                        rows.push(*facts);
                    }
                    total += 1;
                }
            }
        }
        (rows, total)
    }

    fn admits(&self, facts: &Facts) -> bool {
        facts.start < self.until
            && facts.overlaps(self.interval)
            && self.filters.iter().all(|filter| filter.admits(facts))
    }
}

impl ConversationQueryBody {
    /// What the platform would act on must not be ignored.
    fn refuse_what_is_not_played(&self) -> Result<(), ApiError> {
        let lists = [
            ("evaluationFilters", &self.evaluation_filters),
            ("surveyFilters", &self.survey_filters),
            ("resolutionFilters", &self.resolution_filters),
            ("aggregations", &self.aggregations),
        ];
        for (name, list) in lists {
            if list.as_ref().is_some_and(|list| !list.is_empty()) {
                return Err(ApiError::bad_request(format!("{name} are not played by the sandbox")));
            }
        }
        match self.order_by.as_deref() {
            None | Some("conversationStart") => Ok(()),
            Some(order) => {
                Err(ApiError::bad_request(format!("orderBy {order} is not played by the sandbox")))
            }
        }
    }
}

impl PageRequest {
    /// The places of its rows in the results.
    pub(crate) fn rows(&self) -> Result<Range<usize>, ApiError> {
        let size = self.page_size.unwrap_or(DEFAULT_PAGE_SIZE);
        let number = self.page_number.unwrap_or(1);
        if !(1..=MOST_ROWS).contains(&size) {
            return Err(invalid_value(format!("pageSize must be between 1 and {MOST_ROWS}")));
        }
        if number < 1 {
            return Err(invalid_value("pageNumber must be at least 1".to_owned()));
        }
        let to = size.saturating_mul(number);
        if to > MOST_RESULTS {
            return Err(ApiError::bad_request(format!(
                "Pagination may not exceed {MOST_RESULTS} results."
            )));
        }
        let row = |n: i64| usize::try_from(n).unwrap_or(0);
        Ok(row(to - size)..row(to))
    }
}

/// Reads the body of a request.
pub(crate) fn read_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let malformed = |_| {
        ApiError::bad_request(
            "The request could not be understood by the server due to malformed syntax.",
        )
    };
    serde_json::from_slice(body).map_err(malformed)
}

/// Reads an interval of at most so many days.
pub(crate) fn interval(text: Option<&str>, days: u32) -> Result<Interval, ApiError> {
    let too_long = || {
        ApiError::bad_request(format!(
            "You must specify a search interval as part of your query that does not exceed {days} days."
        ))
    };
    let interval: Interval = text.ok_or_else(too_long)?.parse().map_err(|error| match error {
        ParseError::Time(_) => ApiError::new(
            StatusCode::BAD_REQUEST,
            "invalid.date",
            format!("Invalid interval: {error}"),
        ),
        ParseError::Form | ParseError::Empty => {
            ApiError::bad_request(format!("Invalid interval: {error}"))
        }
    })?;
    if interval.width() > DAY * days { Err(too_long()) } else { Ok(interval) }
}

/// A value that the platform does not take.
pub(crate) fn invalid_value(message: String) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "invalid.value", message)
}
