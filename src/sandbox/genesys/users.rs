//! User details: the presence and the routing status of every agent over time.
//!
//! Every working day has a few changes, the last to OFFLINE (OFF_QUEUE), which lasts until the next
//! working day. One record in a hundred never gets an end. A query returns the records that overlap
//! its interval, unclipped.

use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, de::IgnoredAny};

use crate::sandbox::{
    error::ApiError,
    genesys::{
        entities::{presence_id, presence_number},
        renderer::{AGENTS, Renderer},
        request::{MAX_JOB_DAYS, PageRequest, interval, invalid_value, read_json},
    },
    rng::{Pool, Rng},
    time::{DAY_MS, LAST_DAY, TimeRange},
};

pub(crate) const PERMISSION: &str = "analytics:userDetail:view";
/// Every Nth agent has never logged in.
const ABSENT_EVERY: u64 = 10;
/// Days from the last record of a Friday to the first of a Monday.
const WEEKEND_DAYS: i64 = 3;
const PRESENCES: [&str; 8] =
    ["AVAILABLE", "ON_QUEUE", "BUSY", "AWAY", "MEAL", "MEETING", "BREAK", "TRAINING"];
const STATUSES: [&str; 4] = ["IDLE", "INTERACTING", "NOT_RESPONDING", "COMMUNICATING"];

/// The two histories of an agent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum History {
    Presence,
    Routing,
}

/// A change of state. If it is `open`, its record never gets an end.
#[derive(Clone, Copy)]
struct Change {
    at: i64,
    to: &'static str,
    open: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UserDetailsQueryBody {
    interval: Option<String>,
    user_filters: Option<Vec<IgnoredAny>>,
    presence_filters: Option<Vec<IgnoredAny>>,
    routing_status_filters: Option<Vec<IgnoredAny>>,
    presence_aggregations: Option<Vec<IgnoredAny>>,
    routing_status_aggregations: Option<Vec<IgnoredAny>>,
    order: Option<String>,
    paging: Option<PageRequest>,
    limit: Option<usize>,
}

/// A query for the records of agents in an interval, as far as they are available.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UserDetailsQuery {
    interval: TimeRange,
    available_until: i64,
}

impl UserDetailsQuery {
    fn new(body: &UserDetailsQueryBody, available_until: i64) -> Result<Self, ApiError> {
        let lists = [
            ("userFilters", &body.user_filters),
            ("presenceFilters", &body.presence_filters),
            ("routingStatusFilters", &body.routing_status_filters),
            ("presenceAggregations", &body.presence_aggregations),
            ("routingStatusAggregations", &body.routing_status_aggregations),
        ];
        if let Some((name, _)) =
            lists.iter().find(|(_, list)| list.as_ref().is_some_and(|list| !list.is_empty()))
        {
            return Err(ApiError::bad_request(format!("{name} are not simulated by the sandbox")));
        }
        match body.order.as_deref() {
            None | Some("asc" | "unordered") => {}
            Some(order) => {
                return Err(invalid_value(format!(
                    "order {order} is not simulated by the sandbox"
                )));
            }
        }
        Ok(Self { interval: interval(body.interval.as_deref(), MAX_JOB_DAYS)?, available_until })
    }

    /// Reads the body of a job, and the limit of its agents.
    pub(crate) fn read_job(body: &[u8], available_until: i64) -> Result<(Self, usize), ApiError> {
        let body: UserDetailsQueryBody = read_json(body)?;
        Ok((Self::new(&body, available_until)?, body.limit.unwrap_or(usize::MAX)))
    }

    /// The agents that have records in the interval.
    pub(crate) fn users(&self, seed: u64) -> Vec<u64> {
        let has_records = |user: &u64| {
            [History::Presence, History::Routing]
                .iter()
                .any(|&history| !self.records(seed, *user, history).is_empty())
        };
        (0..AGENTS)
            .filter(|user| user % ABSENT_EVERY != ABSENT_EVERY - 1)
            .filter(has_records)
            .collect()
    }

    /// The records of an agent that overlap the interval, each with the start of the next one.
    fn records(&self, seed: u64, user: u64, history: History) -> Vec<(Change, i64)> {
        let days = self.interval.days();
        let all = changes(
            seed,
            user,
            history,
            days.start() - WEEKEND_DAYS..days.end() + WEEKEND_DAYS + 1,
        );
        let ends = all.iter().skip(1).map(|next| next.at).chain([i64::MAX]);
        let to = self.interval.to.min(self.available_until);
        let overlaps = |(change, end): &(Change, i64)| change.at < to && *end > self.interval.from;
        all.iter().copied().zip(ends).filter(overlaps).collect()
    }
}

/// The changes of an agent on these days.
fn changes(seed: u64, user: u64, history: History, days: Range<i64>) -> Vec<Change> {
    let working = |day: &i64| (0..=LAST_DAY).contains(day) && (day + 3).rem_euclid(7) < 5;
    days.filter(working).flat_map(|day| changes_of_day(seed, user, history, day)).collect()
}

fn changes_of_day(seed: u64, user: u64, history: History, day: i64) -> Vec<Change> {
    let mut rng = Rng::new([seed, 0x9e5e ^ history as u64, user, day.cast_unsigned()]);
    // the first agent begins with the day, to catch off-by-one errors
    let mut at =
        day * DAY_MS + if user == 0 { 0 } else { rng.between(5 * 3_600_000, 9 * 3_600_000) };
    let (while_at_work, after): (&[&str], _) = match history {
        History::Presence => (&PRESENCES, "OFFLINE"),
        History::Routing => (&STATUSES, "OFF_QUEUE"),
    };
    let count = rng.between(3, 12);
    let mut changes = Vec::new();
    for n in 0..=count {
        let to = if n == count { after } else { rng.pick(while_at_work) };
        changes.push(Change { at, to, open: rng.permille(10) });
        at += rng.between(1_000, 3_000_000);
    }
    changes
}

impl Renderer {
    /// Writes an agent and its records as an element of `userDetails`.
    pub(crate) fn user(&mut self, query: &UserDetailsQuery, user: u64) {
        self.object(|s| {
            s.json.uuid("userId", s.id(Pool::Agent, user));
            for (key, history) in
                [("primaryPresence", History::Presence), ("routingStatus", History::Routing)]
            {
                let records = query.records(s.seed, user, history);
                if !records.is_empty() {
                    s.list(key, |s| {
                        for (change, end) in &records {
                            s.object(|s| s.change(history, change, *end));
                        }
                    });
                }
            }
        });
    }

    fn change(&mut self, history: History, change: &Change, end: i64) {
        self.json.time("startTime", change.at);
        // a record without a successor has no end yet
        if !change.open && end != i64::MAX {
            self.json.time("endTime", end);
        }
        match history {
            History::Presence => {
                self.json.text("systemPresence", change.to);
                let id = presence_id(self.seed, presence_number(change.to));
                self.json.uuid("organizationPresenceId", id);
            }
            History::Routing => self.json.text("routingStatus", change.to),
        }
    }
}

/// A page of the details query. Every other page has fewer rows than requested, although more
/// follow.
pub(crate) fn page(body: &[u8], seed: u64) -> Result<Bytes, ApiError> {
    let body: UserDetailsQueryBody = read_json(body)?;
    let query = UserDetailsQuery::new(&body, i64::MAX)?;
    let rows = body.paging.unwrap_or_default().rows()?;
    let (size, before) = (rows.len(), rows.start / rows.len());
    let missing = size / 3;
    let from = rows.start - before.div_ceil(2) * missing;
    let count = if before.is_multiple_of(2) { size - missing } else { size };
    let users = query.users(seed);
    let page = users.get(from..).unwrap_or_default();
    let mut renderer = Renderer::new(seed, count);
    renderer.object(|s| {
        if !page.is_empty() {
            s.list("userDetails", |s| {
                for &user in page.iter().take(count) {
                    s.user(&query, user);
                }
            });
        }
        s.json.number("totalHits", users.len() as i64);
    });
    Ok(renderer.json.into_bytes())
}

/// Writes every record that starts in a part of one day, one per line with its agent.
pub(crate) fn lines(renderer: &mut Renderer, part: TimeRange) {
    let query = UserDetailsQuery { interval: part, available_until: i64::MAX };
    for user in query.users(renderer.seed) {
        for history in [History::Presence, History::Routing] {
            let records = query.records(renderer.seed, user, history);
            for (change, end) in records.iter().filter(|(change, _)| part.contains(change.at)) {
                renderer.object(|s| {
                    s.json.uuid("userId", s.id(Pool::Agent, user));
                    s.change(history, change, *end);
                });
                renderer.json.newline();
            }
        }
    }
}
