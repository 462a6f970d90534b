//! API usage: what each client of the organisation asked of the API, a row a day, client and path.

use std::ops::Range;

use serde::Deserialize;

use crate::{
    sandbox::{
        error::ApiError,
        genesys::{
            conversations::{interval, invalid_value, read_json},
            records::days_of,
            renderer::Renderer,
        },
        rng::{Pool, Rng},
    },
    time::interval::{DAY_MS, Interval},
};

/// The longest interval of a query in days: the platform's is not known.
const MOST_DAYS: u32 = 366;
const CLIENTS: [&str; 3] = ["backfill", "CRM \\\"bridge\\\"", "Wallboard Köln"];
const PATHS: [(&str, &str); 4] = [
    ("POST", "/api/v2/analytics/conversations/details/query"),
    ("GET", "/api/v2/users/{userId}"),
    ("GET", "/api/v2/routing/queues"),
    ("PATCH", "/api/v2/conversations/calls/{conversationId}"),
];
const A_DAY: usize = CLIENTS.len() * PATHS.len();
/// What rows can be grouped by: here always by all of these.
const GROUPS: [&str; 4] = ["OAuthClientId", "OrganizationId", "TemplateUri", "HttpMethod"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UsageQueryBody {
    interval: Option<String>,
    granularity: Option<String>,
    group_by: Option<Vec<String>>,
}

/// Reads the body of a query.
pub(super) fn read(body: &[u8]) -> Result<Interval, ApiError> {
    let body: UsageQueryBody = read_json(body)?;
    if let Some(other) = body.granularity.filter(|granularity| granularity != "Day") {
        return Err(invalid_value(format!("granularity {other} is not played by the sandbox")));
    }
    let given = body.group_by.unwrap_or_default();
    if !given.is_empty() && GROUPS.iter().any(|group| !given.iter().any(|given| given == group)) {
        let message =
            format!("groupBy other than {} is not played by the sandbox", GROUPS.join(", "));
        return Err(ApiError::bad_request(message));
    }
    interval(body.interval.as_deref(), MOST_DAYS)
}

/// How many rows there are: those of the days that begin in the interval.
pub(super) fn count(interval: Interval) -> usize {
    days(interval).count() * A_DAY
}

/// Writes some of the rows, as elements of a list.
pub(super) fn write(renderer: &mut Renderer, interval: Interval, rows: Range<usize>) {
    let all = days(interval).flat_map(|day| (0..A_DAY).map(move |number| (day, number)));
    all.skip(rows.start).take(rows.len()).for_each(|(day, number)| renderer.usage(day, number));
}

fn days(interval: Interval) -> impl Iterator<Item = i64> {
    days_of(interval).filter(move |day| interval.contains(day * DAY_MS))
}

impl Renderer {
    fn usage(&mut self, day: i64, number: usize) {
        let (client, (method, path)) = (number / PATHS.len(), PATHS[number % PATHS.len()]);
        let mut rng = Rng::new([self.seed, 0x05a6, day.cast_unsigned(), number as u64]);
        let [ok, moved, wrong, broken, throttled] =
            [80_000, 2, 300, 20, 400].map(|most| rng.between(0, most));
        self.object(|s| {
            s.json.uuid("clientId", s.id(Pool::Contact, client as u64));
            s.json.text("clientName", CLIENTS[client]);
            s.json.uuid("organizationId", s.id(Pool::Organization, 0));
            s.json.text("templateUri", path);
            s.json.text("httpMethod", method);
            s.json.number("status200", ok);
            s.json.number("status300", moved);
            s.json.number("status400", wrong);
            s.json.number("status500", broken);
            s.json.number("status429", throttled);
            s.json.number("requests", ok + moved + wrong + broken + throttled);
            s.json.time("date", day * DAY_MS);
        });
    }
}

/// The rows of a day if the part of it holds its begin, a line each.
pub(super) fn lines(renderer: &mut Renderer, part: Interval) {
    for row in 0..count(part) {
        write(renderer, part, row..row + 1);
        renderer.json.newline();
    }
}
