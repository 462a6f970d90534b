//! The catalogue: what can be fetched, as data.
//!
//! A dataset is an endpoint, its limits, the body of its requests and the columns of its rows. The
//! built-in ones are TOML files beside this one; a user's own file is read by the same code.
//! Everything is checked here, when the file is read: after that nothing about a dataset can fail.

mod columns;
mod template;

use std::{collections::BTreeMap, sync::Arc, sync::LazyLock, time::Duration};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value};

use self::template::{Request, Template};
use crate::interval::Interval;

/// Datasets by name.
pub type Catalog = BTreeMap<String, Arc<Dataset>>;

/// Why a catalogue cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {key}: {reason}")]
pub struct CatalogError {
    /// The file that was read.
    pub file: String,
    /// The key at fault, `dataset.conversations.widest`, or the line of a file that is not TOML.
    pub key: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A [`CatalogError`] that does not know its file yet.
#[derive(Debug)]
struct Flaw {
    key: String,
    reason: String,
}

impl Flaw {
    fn new(key: &str, reason: impl Into<String>) -> Self {
        Self { key: key.to_owned(), reason: reason.into() }
    }
}

/// One kind of row, and how to ask for it.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// Its name: the key in the catalogue, and the directory of its files.
    pub name: String,
    /// The version of its columns, from 1. Files of different versions have different schemas.
    pub version: u32,
    /// The method of its request.
    pub method: Method,
    /// The path of its request, below the API's host, beginning with a slash.
    pub path: String,
    /// The permission that a credential needs, to name it when the platform refuses.
    pub permission: Option<String>,
    /// Where the rows are in a page: keys with dots between them; empty if the page is the array.
    pub rows: String,
    /// Where the page gives the platform's count of rows, written like `rows`. It moves while the
    /// interval is live: a hint, never a reason to stop.
    pub total: Option<String>,
    /// The column that identifies a row: a string or an int64, never null.
    pub id: String,
    /// The column that decides which shard owns a row (G4): a timestamp, never null.
    pub time: String,
    /// The longest interval of a request without a filter.
    pub widest: Duration,
    /// The longest interval of a request with a filter.
    pub widest_filtered: Duration,
    /// Rows of a page: what is asked for by default, and the most that the platform gives.
    pub page_size: u32,
    /// Rows of one interval that paging reaches; an interval with more must be split.
    /// [`u64::MAX`] if no limit is known.
    pub depth: u64,
    /// The columns. All may be null but `id` and `time`.
    pub schema: SchemaRef,
    body: Vec<(String, Template)>,
}

impl Dataset {
    /// The body of the request for one page, `page` counting from 1.
    ///
    /// `filter` holds the user's own keys for the top of the body. A key of the template's, which
    /// the configuration refuses (see [`reserved`](Self::reserved)), does not replace it.
    pub fn body(&self, interval: Interval, page: u32, page_size: u32, filter: &Map<String, Value>) -> Value {
        let mut body = filter.clone();
        body.extend(template::fill_table(&self.body, &Request { interval, page, page_size }));
        Value::Object(body)
    }

    /// The keys at the top of the body that a filter must not hold.
    pub fn reserved(&self) -> impl Iterator<Item = &str> {
        self.body.iter().map(|(key, _)| key.as_str())
    }
}

/// What to do where the platform refuses a dataset for want of `permission`.
pub fn lacking(permission: Option<&str>) -> String {
    match permission {
        Some(permission) => format!("give a role of the client the permission {permission}, in the divisions to fetch"),
        None => "give the client a role that may read it".to_owned(),
    }
}

static GENESYS: LazyLock<Catalog> =
    LazyLock::new(|| read("genesys.toml", include_str!("genesys.toml")).expect("a test reads the built-in catalogue"));

/// The datasets that come with the program for a platform, or none if it knows no such platform.
pub fn builtin(platform: &str) -> Option<&'static Catalog> {
    match platform {
        "genesys-cloud" => Some(&GENESYS),
        _ => None,
    }
}

/// Reads a catalogue; `file` is its name for messages.
///
/// # Errors
/// Text that is not TOML, an unknown or missing key, a value out of range, an unknown placeholder,
/// an unknown type, a type that contains itself, an `id` or `time` that is no column of a fit type.
pub fn read(file: &str, text: &str) -> Result<Catalog, CatalogError> {
    parse(text).map_err(|Flaw { key, reason }| CatalogError { file: file.to_owned(), key, reason })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    dataset: BTreeMap<String, Entry>,
    #[serde(default, rename = "type")]
    types: columns::Types,
}

/// A dataset as the file writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    version: u32,
    method: String,
    path: String,
    permission: Option<String>,
    rows: String,
    total: Option<String>,
    id: String,
    time: String,
    widest: String,
    widest_filtered: Option<String>,
    page_size: u32,
    depth: Option<u64>,
    columns: String,
    #[serde(default)]
    body: toml::Table,
}

fn parse(text: &str) -> Result<Catalog, Flaw> {
    let toml = toml::Deserializer::parse(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        Flaw::new(&format!("line {}", before.matches('\n').count() + 1), error.message())
    })?;
    let File { dataset, types } = serde_path_to_error::deserialize(toml).map_err(|error| {
        let key = error.path().to_string();
        // below the key of a `Spanned` value, `toml` has one of its own
        Flaw::new(key.split(".$__").next().unwrap_or_default(), error.inner().message())
    })?;
    // a type that nothing uses is checked as well
    for name in types.keys() {
        columns::columns(&types, name, &[])?;
    }
    dataset.into_iter().map(|(name, entry)| Ok((name.clone(), Arc::new(entry.check(name, &types)?)))).collect()
}

impl Entry {
    fn check(self, name: String, types: &columns::Types) -> Result<Dataset, Flaw> {
        let key = |field: &str| format!("dataset.{name}.{field}");
        let ensure = |good: bool, field: &str, reason: &str| good.then_some(()).ok_or(Flaw::new(&key(field), reason));
        ensure(self.version > 0, "version", "versions count from 1")?;
        ensure(self.page_size > 0, "page_size", "a page needs a row")?;
        ensure(self.depth != Some(0), "depth", "paging that reaches no row is no paging")?;
        // a host in the path would be sent the token (G10)
        let below = self.path.starts_with('/') && !self.path.starts_with("//");
        ensure(below, "path", "a path begins with one slash and names no host")?;
        let method = match self.method.as_str() {
            "GET" => Method::GET,
            "POST" => Method::POST,
            _ => return Err(Flaw::new(&key("method"), "a method is GET or POST")),
        };
        let widest = days(&self.widest).ok_or_else(|| Flaw::new(&key("widest"), NO_DURATION))?;
        let widest_filtered = match &self.widest_filtered {
            Some(text) => days(text).ok_or_else(|| Flaw::new(&key("widest_filtered"), NO_DURATION))?,
            None => widest,
        };
        ensure(types.contains_key(&self.columns), "columns", "there is no such type in this file")?;
        let fields = columns::columns(types, &self.columns, &[])?;
        let is =
            |column: &str, fit: &dyn Fn(&DataType) -> bool| fields.find(column).is_some_and(|f| fit(f.1.data_type()));
        let id = is(&self.id, &|t| matches!(t, DataType::Utf8 | DataType::Int64));
        ensure(id, "id", "names no column that is a string or an int64")?;
        ensure(is(&self.time, &|t| *t == columns::timestamp()), "time", "names no column that is a timestamp")?;
        let never_null = |field: &Arc<Field>| {
            let nullable = *field.name() != self.id && *field.name() != self.time;
            Field::clone(field).with_nullable(nullable)
        };
        Ok(Dataset {
            version: self.version,
            method,
            permission: self.permission,
            total: self.total,
            widest,
            widest_filtered,
            page_size: self.page_size,
            depth: self.depth.unwrap_or(u64::MAX),
            schema: Arc::new(Schema::new(fields.iter().map(never_null).collect::<Vec<_>>())),
            body: Template::read_table(&key("body"), self.body)?,
            path: self.path,
            rows: self.rows,
            id: self.id,
            time: self.time,
            name,
        })
    }
}

const NO_DURATION: &str = "a duration above zero is written like 7d or 12h";

/// A duration above zero; a day has 24 hours.
fn days(text: &str) -> Option<Duration> {
    let span: jiff::Span = text.parse().ok()?;
    let duration = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(duration).ok().filter(|duration| !duration.is_zero())
}

#[cfg(test)]
mod tests;
