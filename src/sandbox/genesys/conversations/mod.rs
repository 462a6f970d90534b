//! Conversations: the details query and the details job, and the records behind them.
//!
//! `records` generates the conversations, `record` (with `timeline`, `participants`, `agent`,
//! `session` and `attributes`) writes one as JSON, which `skew` makes uneven, `truth` writes all of
//! them. This file reads queries and answers them.

mod agent;
mod attributes;
mod participants;
mod record;
pub(crate) mod records;
mod session;
mod skew;
mod timeline;
mod truth;

use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, de::IgnoredAny};

use self::records::{Facts, Records};
use crate::sandbox::{
    error::ApiError,
    genesys::{
        filter::{Filter, FilterTarget, RequestedFilter, compile},
        renderer::Renderer,
        request::{MAX_JOB_DAYS, PageRequest, interval, invalid_value, read_json},
    },
    time::TimeRange,
};

/// The longest interval, in days, without a filter and with one.
const MAX_DAYS: [i64; 2] = [7, 31];
/// The most ids of one request.
const MAX_IDS: usize = 100;
/// How many days before an interval a conversation may have begun that overlaps it: none lasts
/// longer, and a live one is found for so long.
const LOOKBACK_DAYS: i64 = 60;

/// The body of a request. The platform ignores unknown fields.
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

/// A query that can be answered.
#[derive(Debug)]
pub(crate) struct ConversationQuery {
    interval: TimeRange,
    filters: Vec<Filter>,
    descending: bool,
    /// How many days before the interval it looks for conversations that overlap it.
    lookback: i64,
    /// Conversations that start at this time or later are not available yet.
    available_until: i64,
}

impl ConversationQuery {
    /// Reads the body of a details query, and the rows of its page.
    ///
    /// # Errors
    ///
    /// 400, with the platform's message where the platform rejects the query too.
    pub(crate) fn read(body: &[u8], seed: u64) -> Result<(Self, Range<usize>), ApiError> {
        let body: ConversationQueryBody = read_json(body)?;
        let query = Self::new(&body, MAX_DAYS, seed)?;
        Ok((query, body.paging.unwrap_or_default().rows()?))
    }

    /// Reads the body of a job, and the limit of its rows. Conversations that start at
    /// `available_until` or later are not available to it.
    ///
    /// # Errors
    ///
    /// See [`read`](Self::read).
    pub(crate) fn read_job(
        body: &[u8],
        seed: u64,
        available_until: i64,
    ) -> Result<(Self, usize), ApiError> {
        let body: ConversationQueryBody = read_json(body)?;
        let query = Self::new(&body, [MAX_JOB_DAYS; 2], seed)?;
        let lookback =
            if body.start_of_day_interval_matching == Some(true) { 0 } else { LOOKBACK_DAYS };
        Ok((Self { lookback, available_until, ..query }, body.limit.unwrap_or(usize::MAX)))
    }

    fn new(body: &ConversationQueryBody, max_days: [i64; 2], seed: u64) -> Result<Self, ApiError> {
        body.reject_unsupported()?;
        let mut filters =
            compile(body.conversation_filters.as_deref(), FilterTarget::Conversation, seed)?;
        filters.extend(compile(body.segment_filters.as_deref(), FilterTarget::Segment, seed)?);
        Ok(Self {
            interval: interval(
                body.interval.as_deref(),
                max_days[usize::from(!filters.is_empty())],
            )?,
            filters,
            descending: match body.order.as_deref() {
                None | Some("asc" | "unordered") => false,
                Some("desc") => true,
                Some(order) => return Err(invalid_value(format!("unknown order: {order}"))),
            },
            lookback: 0,
            available_until: i64::MAX,
        })
    }

    /// The page with these rows. Past the last result it has no `conversations` key.
    pub(crate) fn page(&self, records: &Records, rows: &Range<usize>) -> Bytes {
        let (rows, total) = self.results(records, rows);
        let mut renderer = Renderer::new(records.seed, rows.len());
        renderer.variation = records.variation;
        renderer.object(|s| {
            if !rows.is_empty() {
                s.list("conversations", |s| rows.iter().for_each(|facts| s.conversation(facts)));
            }
            s.json.number("totalHits", i64::try_from(total).unwrap_or(i64::MAX));
        });
        renderer.json.into_bytes()
    }

    /// The conversations at the `wanted` positions of the results, and the number of results.
    pub(crate) fn results(&self, records: &Records, wanted: &Range<usize>) -> (Vec<Facts>, usize) {
        let (mut rows, mut total) = (Vec::new(), 0);
        let touched = self.interval.days();
        let mut days: Vec<_> = (touched.start() - self.lookback..=*touched.end()).collect();
        if self.descending {
            days.reverse();
        }
        for day in days {
            let day = records.day(day);
            for at in 0..day.len() {
                let facts = &day[if self.descending { day.len() - 1 - at } else { at }];
                if self.matches(facts) {
                    if wanted.contains(&total) {
                        rows.push(*facts);
                    }
                    total += 1;
                }
            }
        }
        (rows, total)
    }

    fn matches(&self, facts: &Facts) -> bool {
        facts.start < self.available_until
            && facts.overlaps(self.interval)
            && self.filters.iter().all(|filter| filter.matches(facts))
    }
}

/// The conversations with the ids in the query of an address, with commas or as several parameters.
/// Ids of no conversation are left out.
///
/// # Errors
///
/// 400 if there are more than [`MAX_IDS`], which is inferred: the platform does not document it.
pub(crate) fn by_id(records: &Records, query: Option<&str>) -> Result<Bytes, ApiError> {
    let pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let lists: Vec<_> = pairs.filter(|(name, _)| name == "id").map(|(_, list)| list).collect();
    let ids: Vec<_> = lists.iter().flat_map(|list| list.split(',')).collect();
    if ids.len() > MAX_IDS {
        return Err(ApiError::bad_request(format!("At most {MAX_IDS} ids are allowed.")));
    }
    let found: Vec<Facts> = ids.iter().filter_map(|id| records.find(id)).collect();
    let mut renderer = Renderer::new(records.seed, found.len());
    renderer.variation = records.variation;
    renderer.object(|s| {
        s.list("conversations", |s| found.iter().for_each(|facts| s.conversation(facts)));
    });
    Ok(renderer.json.into_bytes())
}

impl ConversationQueryBody {
    /// Rejects parts of a query that the platform acts on and the sandbox does not.
    fn reject_unsupported(&self) -> Result<(), ApiError> {
        let lists = [
            ("evaluationFilters", &self.evaluation_filters),
            ("surveyFilters", &self.survey_filters),
            ("resolutionFilters", &self.resolution_filters),
            ("aggregations", &self.aggregations),
        ];
        for (name, list) in lists {
            if list.as_ref().is_some_and(|list| !list.is_empty()) {
                return Err(ApiError::bad_request(format!(
                    "{name} are not simulated by the sandbox"
                )));
            }
        }
        match self.order_by.as_deref() {
            None | Some("conversationStart") => Ok(()),
            Some(order) => Err(ApiError::bad_request(format!(
                "orderBy {order} is not simulated by the sandbox"
            ))),
        }
    }
}
