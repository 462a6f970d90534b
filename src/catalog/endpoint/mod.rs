//! How a dataset is asked for: requests, where their replies hold what, and how pages follow on each
//! other.

pub(crate) mod entry;

use std::{sync::Arc, time::Duration};

use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value};

pub(crate) use self::entry::EndpointEntry;
use crate::catalog::template::{
    Piece, Placeholder, PlaceholderValues, Template, fill_path, fill_table,
};

/// The keys that lead to a place in a reply, from the top; none of them: the reply itself.
pub(crate) type JsonPointer = Vec<String>;

/// One way to fetch a dataset.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The request of a page.
    pub request: RequestTemplate,
    /// Where the rows are.
    pub rows: RowsAt,
    /// Lists of an item, each element of which is a row; empty: the item is the row.
    pub explode: Vec<String>,
    /// Where the reply counts the items of all pages. It moves while the interval is live: a hint,
    /// never a reason to stop.
    pub total: Option<JsonPointer>,
    /// What that number is worth.
    pub total_is: TotalAccuracy,
    /// How pages follow on each other.
    pub paging: Paging,
    /// Where the reply has the cursor or the link of the next page.
    pub next: Option<JsonPointer>,
    /// Rows of a page: what is asked for by default, and the most that the platform gives.
    pub page_size: u32,
    /// Rows of one interval that paging reaches; an interval with more must be split.
    /// [`u64::MAX`] if no limit is known.
    pub depth: u64,
    /// The longest interval of a request without a filter, and with one.
    pub widest: [Duration; 2],
    /// Whether rows come by time, so that what has come can be committed before the rest.
    pub ordered: bool,
    /// What the reply is written in.
    pub format: ResponseFormat,
    /// Whose ids it is asked once for.
    pub parent: Option<ParentQuery>,
    /// What is submitted and awaited before there are results to fetch.
    pub async_job: Option<AsyncJob>,
    /// Columns that only this way brings.
    pub extras: Vec<String>,
}

impl Endpoint {
    /// The keys that a filter must not hold: what narrows a job goes with its submission.
    pub fn reserved_keys(&self) -> impl Iterator<Item = &str> {
        self.async_job.as_ref().map_or(&self.request, |task| &task.submit).reserved_keys()
    }
}

/// Where the rows of a reply are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowsAt {
    /// At a place. Absent and null are no rows.
    JsonPointer(JsonPointer),
    /// In the only list of the reply, on top or one step below.
    OnlyList,
}

/// Whether the total that a reply states can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TotalAccuracy {
    /// The number of items of a settled interval: fewer items than this are a count mismatch.
    Exact,
    /// An estimate. It never fails a run and never ends a sequence of pages.
    #[default]
    Hint,
}

/// How pages follow on each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Paging {
    /// Pages have numbers, from 1. One without rows is the last.
    PageNumber,
    /// A page begins after the rows received before. One without rows is the last.
    Offset,
    /// A page gives the cursor of the next. One that gives none is the last.
    #[serde(alias = "page-token")]
    Cursor,
    /// A page gives the address of the next. One that gives none is the last.
    NextLink,
    /// One reply is all.
    #[default]
    None,
}

/// What a reply is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResponseFormat {
    /// JSON.
    #[default]
    Json,
    /// CSV with a header line, which may begin with a byte order mark.
    Csv,
}

/// The ids of another dataset, for each of which a way is asked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParentQuery {
    /// The other dataset.
    pub dataset: String,
    /// The column that gets the id.
    pub column: String,
}

/// What is submitted and awaited before there are results.
#[derive(Debug, Clone)]
pub struct AsyncJob {
    /// Submits it.
    pub submit: RequestTemplate,
    /// Where the reply has its id; nowhere: the reply is the id.
    pub id: JsonPointer,
    /// Asks how it is.
    pub poll: RequestTemplate,
    /// Where the reply to that has its state.
    pub state: JsonPointer,
    /// The states in which its results can be fetched, in which it has failed, and in which it has
    /// gone. In any other it is to be waited for.
    pub done: Vec<String>,
    /// See `done`.
    pub failed: Vec<String>,
    /// See `done`.
    pub gone: Vec<String>,
    /// Where the reply says why it failed.
    pub error: Option<JsonPointer>,
    /// Deletes it.
    pub delete: Option<RequestTemplate>,
    /// Asks up to when the platform has data for it, and where the reply says so.
    pub available: Option<(RequestTemplate, JsonPointer)>,
    /// Where the reply to `poll` has the address of the results, which need no token.
    pub download: Option<JsonPointer>,
}

/// A request with holes.
#[derive(Debug, Clone)]
pub struct RequestTemplate {
    /// Its method.
    pub method: Method,
    path: Vec<Piece>,
    query: Vec<(String, Template)>,
    body: Vec<(String, Template)>,
    defaults: Map<String, Value>,
    /// The limit that it counts against beside that of all requests.
    pub bucket: Option<Arc<str>>,
}

/// A request without holes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ApiRequest {
    /// Its method.
    pub method: Method,
    /// Path and query, below the API's host; or what a reply gave as the next link.
    pub target: String,
    /// Its body, if it has one.
    pub body: Option<Value>,
    /// The limit that it counts against beside that of all requests.
    pub bucket: Option<Arc<str>>,
    /// Whether it is sent without a token, and may so go to another host.
    pub anonymous: bool,
}

impl RequestTemplate {
    /// The request for what is in `slots`.
    pub fn fill(&self, slots: &PlaceholderValues) -> ApiRequest {
        self.fill_filtered(slots, &Map::new())
    }

    /// The same, narrowed by `filter`, which holds the user's own keys for the top of the body, or of the
    /// URL's query where there is no body. A key of the template's, which the configuration refuses
    /// (see [`Endpoint::reserved`]), does not replace it.
    pub fn fill_filtered(
        &self,
        slots: &PlaceholderValues,
        filter: &Map<String, Value>,
    ) -> ApiRequest {
        let mut own = self.defaults.clone();
        own.extend(filter.clone());
        let mut query = fill_table(&self.query, slots);
        let body = if self.method == Method::POST {
            own.extend(fill_table(&self.body, slots));
            Some(Value::Object(own))
        } else {
            own.extend(query);
            query = own;
            None
        };
        let mut target = fill_path(&self.path, slots);
        if !query.is_empty() {
            let mut pairs = url::form_urlencoded::Serializer::new(String::new());
            for (name, value) in &query {
                pairs.append_pair(name, &text(value));
            }
            // a blank is `%20` to every server, and `+` to some
            target = format!("{target}?{}", pairs.finish().replace('+', "%20"));
        }
        ApiRequest {
            method: self.method.clone(),
            target,
            body,
            bucket: self.bucket.clone(),
            anonymous: false,
        }
    }

    /// The keys that it sets itself.
    fn reserved_keys(&self) -> impl Iterator<Item = &str> {
        let set = if self.method == Method::POST { &self.body } else { &self.query };
        set.iter().map(|(key, _)| key.as_str())
    }

    /// Whether a placeholder stands anywhere in it.
    fn uses(&self, slot: &Placeholder) -> bool {
        let piece = |piece: &Piece| matches!(piece, Piece::Placeholder(other) if other == slot);
        self.path.iter().any(piece)
            || self.query.iter().chain(&self.body).any(|(_, value)| value.uses(slot))
    }

    /// The path as it is written, for people.
    pub fn path(&self) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Literal(text) => text.clone(),
            Piece::Placeholder(slot) => format!("{{{}}}", slot.name()),
        };
        self.path.iter().map(piece).collect()
    }
}

/// A value in a URL: a text as it is, a list with commas, anything else as JSON.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}
