//! How a dataset is asked for: requests, where their replies hold what, and how pages follow on each
//! other.

use std::{sync::Arc, time::Duration};

use http::Method;
use serde::{Deserialize, Deserializer, de::Error};
use serde_json::{Map, Value};

use super::{
    Flaw, days,
    template::{Piece, Slot, Slots, Template, fill_path, fill_table, pieces},
};

/// The keys that lead to a place in a reply, from the top; none of them: the reply itself.
pub type Place = Vec<String>;

/// One way to fetch a dataset.
#[derive(Debug, Clone)]
pub struct Way {
    /// The request of a page.
    pub request: RequestTemplate,
    /// Where the rows are.
    pub rows: RowsAt,
    /// Lists of an item, each element of which is a row; empty: the item is the row.
    pub explode: Vec<String>,
    /// Where the reply counts the items of all pages. It moves while the interval is live: a hint,
    /// never a reason to stop.
    pub total: Option<Place>,
    /// How pages follow on each other.
    pub paging: Paging,
    /// Where the reply has the cursor or the link of the next page.
    pub next: Option<Place>,
    /// Rows of a page: what is asked for by default, and the most that the platform gives.
    pub page_size: u32,
    /// Rows of one interval that paging reaches; an interval with more must be split.
    /// [`u64::MAX`] if no limit is known.
    pub depth: u64,
    /// The longest interval of a request without a filter, and with one.
    pub widest: [Duration; 2],
    /// What the reply is written in.
    pub format: Format,
    /// Whose ids it is asked once for.
    pub each: Option<Each>,
    /// What is submitted and awaited before there are results to fetch.
    pub task: Option<Task>,
    /// Columns that only this way brings.
    pub extras: Vec<String>,
}

/// The bucket of submits that name none: when the platform takes no more of them, everything else
/// goes on.
const SUBMIT: &str = "submit";

/// Where the rows of a reply are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowsAt {
    /// At a place. Absent and null are no rows.
    Place(Place),
    /// In the only list of the reply, on top or one step below.
    OnlyList,
}

/// How pages follow on each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
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
    None,
}

/// What a reply is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// JSON.
    #[default]
    Json,
    /// CSV with a header line, which may begin with a byte order mark.
    Csv,
}

/// The ids of another dataset, for each of which a way is asked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Each {
    /// The other dataset.
    pub dataset: String,
    /// The column that gets the id.
    pub column: String,
}

/// What is submitted and awaited before there are results.
#[derive(Debug, Clone)]
pub struct Task {
    /// Submits it.
    pub submit: RequestTemplate,
    /// Where the reply has its id; nowhere: the reply is the id.
    pub id: Place,
    /// Asks how it is.
    pub poll: RequestTemplate,
    /// Where the reply to that has its state.
    pub state: Place,
    /// The states in which its results can be fetched, in which it has failed, and in which it has
    /// gone. In any other it is to be waited for.
    pub done: Vec<String>,
    /// See `done`.
    pub failed: Vec<String>,
    /// See `done`.
    pub gone: Vec<String>,
    /// Where the reply says why it failed.
    pub error: Option<Place>,
    /// Deletes it.
    pub delete: Option<RequestTemplate>,
    /// Asks up to when the platform has data for it, and where the reply says so.
    pub available: Option<(RequestTemplate, Place)>,
    /// Where the reply to `poll` has the address of the results, which need no token.
    pub download: Option<Place>,
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
pub struct Call {
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
    ///
    /// `filter` holds the user's own keys for the top of the body, or of the URL's query where there
    /// is no body. A key of the template's, which the configuration refuses (see
    /// [`reserved`](Self::reserved)), does not replace it.
    pub fn fill(&self, slots: &Slots, filter: &Map<String, Value>) -> Call {
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
        Call { method: self.method.clone(), target, body, bucket: self.bucket.clone(), anonymous: false }
    }

    /// The keys that a filter must not hold.
    pub fn reserved(&self) -> impl Iterator<Item = &str> {
        let set = if self.method == Method::POST { &self.body } else { &self.query };
        set.iter().map(|(key, _)| key.as_str())
    }

    /// Whether a placeholder stands anywhere in it.
    fn uses(&self, slot: &Slot) -> bool {
        let piece = |piece: &Piece| matches!(piece, Piece::Slot(other) if other == slot);
        self.path.iter().any(piece) || self.query.iter().chain(&self.body).any(|(_, value)| value.uses(slot))
    }

    /// The path as it is written, for people.
    pub fn path(&self) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Literal(text) => text.clone(),
            Piece::Slot(slot) => format!("{{{}}}", slot.name()),
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

/// A way as the file writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WayEntry {
    method: Option<String>,
    path: Option<String>,
    #[serde(default)]
    query: toml::Table,
    #[serde(default)]
    body: toml::Table,
    #[serde(default)]
    defaults: toml::Table,
    bucket: Option<String>,
    rows: String,
    #[serde(default)]
    explode: Vec<String>,
    total: Option<String>,
    paging: Paging,
    next: Option<String>,
    page_size: Option<u32>,
    depth: Option<u64>,
    widest: Option<String>,
    widest_filtered: Option<String>,
    #[serde(default)]
    format: Format,
    each: Option<Each>,
    submit: Option<Step<Submit>>,
    poll: Option<Step<Poll>>,
    delete: Option<RequestEntry>,
    available: Option<Step<Available>>,
    download: Option<String>,
    #[serde(default)]
    extras: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestEntry {
    method: Option<String>,
    path: String,
    #[serde(default)]
    query: toml::Table,
    #[serde(default)]
    body: toml::Table,
    #[serde(default)]
    defaults: toml::Table,
    bucket: Option<String>,
}

/// A request, and what is to be known of its reply, in one table.
struct Step<T> {
    request: RequestEntry,
    reply: T,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Submit {
    task: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Poll {
    state: String,
    done: Vec<String>,
    #[serde(default)]
    failed: Vec<String>,
    #[serde(default)]
    gone: Vec<String>,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Available {
    until: String,
}

impl<'de, T: serde::de::DeserializeOwned> Deserialize<'de> for Step<T> {
    /// `flatten` would let unknown keys pass.
    fn deserialize<D: Deserializer<'de>>(table: D) -> Result<Self, D::Error> {
        const REQUEST: [&str; 6] = ["method", "path", "query", "body", "defaults", "bucket"];
        let (request, reply): (toml::Table, toml::Table) =
            toml::Table::deserialize(table)?.into_iter().partition(|(key, _)| REQUEST.contains(&key.as_str()));
        let request = request.try_into().map_err(D::Error::custom)?;
        Ok(Self { request, reply: reply.try_into().map_err(D::Error::custom)? })
    }
}

impl WayEntry {
    /// Checks the way that stands at `key`.
    pub fn check(self, key: &str) -> Result<Way, Flaw> {
        let at = |field: &str| format!("{key}.{field}");
        let ensure = |good: bool, field: &str, reason: &str| good.then_some(()).ok_or(Flaw::new(&at(field), reason));
        ensure(self.page_size != Some(0), "page_size", "a page needs a row")?;
        ensure(self.page_size.is_some() || self.paging == Paging::None, "page_size", "say how many rows a page has")?;
        ensure(self.depth != Some(0), "depth", "paging that reaches no row is no paging")?;
        let needs_next = matches!(self.paging, Paging::Cursor | Paging::NextLink);
        ensure(self.next.is_some() || !needs_next, "next", "say where the reply has the cursor or link")?;
        let duration = |text: &Option<String>, field: &str, other: Duration| match text {
            Some(text) => days(text).ok_or_else(|| Flaw::new(&at(field), super::NO_DURATION)),
            None => Ok(other),
        };
        let widest = duration(&self.widest, "widest", Duration::MAX)?;
        let task = match (self.submit, self.poll) {
            (Some(submit), Some(poll)) => {
                Some(task(key, submit, poll, self.delete, self.available, self.download.as_deref())?)
            }
            (None, None) => None,
            (Some(_), None) => return Err(Flaw::new(&at("poll"), "what is submitted is to be polled")),
            (None, Some(_)) => return Err(Flaw::new(&at("submit"), "what is polled is to be submitted")),
        };
        // what is downloaded needs no request of its own
        let path = self.path.or(self.download.map(|_| "/".to_owned()));
        let request = RequestEntry {
            method: self.method,
            path: path.ok_or_else(|| Flaw::new(&at("path"), "a request needs a path"))?,
            query: self.query,
            body: self.body,
            defaults: self.defaults,
            bucket: self.bucket,
        };
        let request = request.check(key, "GET")?;
        let needed = match self.paging {
            Paging::PageNumber => Some(("{page}", Slot::Page)),
            Paging::Offset => Some(("{offset}", Slot::Offset)),
            Paging::Cursor => Some(("{cursor}", Slot::Cursor)),
            Paging::NextLink | Paging::None => None,
        };
        for (name, slot) in needed.into_iter().chain(self.each.as_ref().map(|_| ("{each}", Slot::Each))) {
            if !request.uses(&slot) {
                return Err(Flaw::new(key, format!("the request lacks {name}: every page would be the first")));
            }
        }
        Ok(Way {
            widest: [widest, duration(&self.widest_filtered, "widest_filtered", widest)?],
            rows: if self.rows == "*" { RowsAt::OnlyList } else { RowsAt::Place(place(&at("rows"), &self.rows)?) },
            total: self.total.map(|total| place(&at("total"), &total)).transpose()?,
            next: self.next.map(|next| place(&at("next"), &next)).transpose()?,
            request,
            page_size: self.page_size.unwrap_or(u32::MAX),
            depth: self.depth.unwrap_or(u64::MAX),
            explode: self.explode,
            paging: self.paging,
            format: self.format,
            each: self.each,
            extras: self.extras,
            task,
        })
    }
}

fn task(
    key: &str,
    submit: Step<Submit>,
    Step { request, reply: poll }: Step<Poll>,
    delete: Option<RequestEntry>,
    available: Option<Step<Available>>,
    download: Option<&str>,
) -> Result<Task, Flaw> {
    let at = |field: &str| format!("{key}.{field}");
    if poll.done.is_empty() {
        return Err(Flaw::new(&at("poll.done"), "say in which state the results can be fetched"));
    }
    Ok(Task {
        id: place(&at("submit.task"), &submit.reply.task)?,
        submit: RequestEntry { bucket: submit.request.bucket.or(Some(SUBMIT.to_owned())), ..submit.request }
            .check(&at("submit"), "POST")?,
        state: place(&at("poll.state"), &poll.state)?,
        error: poll.error.map(|error| place(&at("poll.error"), &error)).transpose()?,
        poll: request.check(&at("poll"), "GET")?,
        done: poll.done,
        failed: poll.failed,
        gone: poll.gone,
        delete: delete.map(|delete| delete.check(&at("delete"), "DELETE")).transpose()?,
        available: match available {
            Some(Step { request, reply }) => {
                Some((request.check(&at("available"), "GET")?, place(&at("available.until"), &reply.until)?))
            }
            None => None,
        },
        download: download.map(|download| place(&at("download"), download)).transpose()?,
    })
}

impl RequestEntry {
    /// Checks the request that stands at `key`; `method` is what it has where none is given.
    fn check(self, key: &str, method: &str) -> Result<RequestTemplate, Flaw> {
        let at = |field: &str| format!("{key}.{field}");
        // a host in the path would be sent the token (G10)
        if !self.path.starts_with('/') || self.path.starts_with("//") {
            return Err(Flaw::new(&at("path"), "a path begins with one slash and names no host"));
        }
        let method = match self.method.as_deref().unwrap_or(method) {
            "GET" => Method::GET,
            "POST" => Method::POST,
            "DELETE" => Method::DELETE,
            _ => return Err(Flaw::new(&at("method"), "a method is GET, POST or DELETE")),
        };
        if method != Method::POST && !self.body.is_empty() {
            return Err(Flaw::new(&at("body"), "only a POST has a body"));
        }
        let fixed = |(name, value): (String, toml::Value)| Some((name, serde_json::to_value(value).ok()?));
        Ok(RequestTemplate {
            method,
            path: pieces(&self.path).map_err(|reason| Flaw::new(&at("path"), reason))?,
            query: Template::read_table(&at("query"), self.query)?,
            body: Template::read_table(&at("body"), self.body)?,
            defaults: self.defaults.into_iter().filter_map(fixed).collect(),
            bucket: self.bucket.map(Arc::from),
        })
    }
}

/// The keys of a JSON pointer (RFC 6901).
fn place(key: &str, pointer: &str) -> Result<Place, Flaw> {
    match pointer.split_once('/') {
        None if pointer.is_empty() => Ok(Vec::new()),
        Some(("", keys)) => Ok(keys.split('/').map(|key| key.replace("~1", "/").replace("~0", "~")).collect()),
        _ => Err(Flaw::new(key, format!("`{pointer}` is no json pointer: write it like /data/rows"))),
    }
}
