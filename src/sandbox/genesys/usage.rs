//! API usage: the requests of each client of the organisation, one row per day, client and path.

use std::ops::Range;

use serde::Deserialize;

use crate::sandbox::{
    error::ApiError,
    genesys::{
        renderer::Renderer,
        request::{interval, invalid_value, read_json},
    },
    rng::{Pool, Rng},
    time::{DAY_MS, TimeRange},
};

/// The longest interval of a query. The platform does not document its own.
const MAX_DAYS: i64 = 366;
const CLIENTS: [&str; 3] = ["backfill", "CRM \\\"bridge\\\"", "Wallboard Köln"];
const PATHS: [(&str, &str); 4] = [
    ("POST", "/api/v2/analytics/conversations/details/query"),
    ("GET", "/api/v2/users/{userId}"),
    ("GET", "/api/v2/routing/queues"),
    ("PATCH", "/api/v2/conversations/calls/{conversationId}"),
];
const ROWS_PER_DAY: usize = CLIENTS.len() * PATHS.len();
/// The dimensions that rows are grouped by: the sandbox always groups by all of them.
const GROUPS: [&str; 4] = ["OAuthClientId", "OrganizationId", "TemplateUri", "HttpMethod"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UsageQueryBody {
    interval: Option<String>,
    granularity: Option<String>,
    group_by: Option<Vec<String>>,
}

/// Reads the body of a query.
pub(crate) fn read(body: &[u8]) -> Result<TimeRange, ApiError> {
    let body: UsageQueryBody = read_json(body)?;
    if let Some(other) = body.granularity.filter(|granularity| granularity != "Day") {
        return Err(invalid_value(format!("granularity {other} is not simulated by the sandbox")));
    }
    let requested = body.group_by.unwrap_or_default();
    let is_requested = |group: &&str| requested.iter().any(|requested| requested == group);
    if !requested.is_empty() && !GROUPS.iter().all(is_requested) {
        let message =
            format!("groupBy other than {} is not simulated by the sandbox", GROUPS.join(", "));
        return Err(ApiError::bad_request(message));
    }
    interval(body.interval.as_deref(), MAX_DAYS)
}

/// The number of rows: those of the days that begin in the interval.
pub(crate) fn count(interval: TimeRange) -> usize {
    days(interval).count() * ROWS_PER_DAY
}

/// Writes these rows as elements of a list.
pub(crate) fn write(renderer: &mut Renderer, interval: TimeRange, rows: Range<usize>) {
    let all = days(interval).flat_map(|day| (0..ROWS_PER_DAY).map(move |number| (day, number)));
    for (day, number) in all.skip(rows.start).take(rows.len()) {
        renderer.usage(day, number);
    }
}

fn days(interval: TimeRange) -> impl Iterator<Item = i64> {
    interval.days().filter(move |day| interval.contains(day * DAY_MS))
}

impl Renderer {
    fn usage(&mut self, day: i64, number: usize) {
        let (client, (method, path)) = (number / PATHS.len(), PATHS[number % PATHS.len()]);
        let mut rng = Rng::new([self.seed, 0x05a6, day.cast_unsigned(), number as u64]);
        let [ok, redirected, client_errors, server_errors, throttled] =
            [80_000, 2, 300, 20, 400].map(|end| rng.between(0, end));
        self.object(|s| {
            s.json.uuid("clientId", s.id(Pool::Contact, client as u64));
            s.json.text("clientName", CLIENTS[client]);
            s.json.uuid("organizationId", s.id(Pool::Organization, 0));
            s.json.text("templateUri", path);
            s.json.text("httpMethod", method);
            s.json.number("status200", ok);
            s.json.number("status300", redirected);
            s.json.number("status400", client_errors);
            s.json.number("status500", server_errors);
            s.json.number("status429", throttled);
            let requests = ok + redirected + client_errors + server_errors + throttled;
            s.json.number("requests", requests);
            s.json.time("date", day * DAY_MS);
        });
    }
}

/// Writes the rows of a day, one per line, if the part of it holds its start.
pub(crate) fn lines(renderer: &mut Renderer, part: TimeRange) {
    for row in 0..count(part) {
        write(renderer, part, row..row + 1);
        renderer.json.newline();
    }
}
