//! The catalogue: what can be fetched, as data.
//!
//! A dataset is the columns of its rows and the ways to ask for them. The built-in ones are TOML
//! files beside this one; a user's own file is read by the same code. Everything is checked here,
//! when the file is read: after that nothing about a dataset can fail.

//! # The file
//! ```toml
//! [bucket.exports]                  # a limit of its own, kept beside that of all requests
//! requests = 1
//! per      = "30s"
//!
//! [dataset.calls]
//! version    = 1                    # of the columns
//! permission = "calls:view"         # named when the platform refuses
//! id         = "callId"             # one column, or a list of columns: what tells rows apart
//! time       = "startedAt"          # decides which shard owns a row
//! columns    = "call"               # a type below
//! # stamp    = true                 # `time` is not in the replies: it gets the start of the shard
//! # snapshot = true                 # what there is now: `time` gets the start of the run, once a UTC day
//! # open     = "endedAt"            # null while a row can still change: it is fetched again until then
//! # newest   = "changedAt"          # of two copies the later wins; else the one that came last
//! # lag      = "30m"                # rows are complete so long after their time
//! # grain    = "15m"                # intervals begin and end on multiples of this
//! # divisible = false               # a shard is never bisected
//! # aliases  = { start = "startedAt" }   # other names of columns in replies
//!
//! [dataset.calls.query]             # a way that answers at once, page by page
//! method    = "GET"                 # or POST
//! path      = "/v1/calls"
//! query     = { from = "{from}", to = "{to}", cursor = "{cursor}", limit = "{page_size}" }
//! # body    = { … }                 # of a POST; `defaults` are keys that `[filter.calls]` may replace
//! rows      = "/data/calls"         # JSON pointer; "" the reply itself; "*" its only list
//! # explode = ["legs"]              # each element of these lists of an item is a row, with its other fields
//! # total   = "/data/count"         # how many items all pages have
//! # total_is = "exact"              # fewer items are a count mismatch; "hint" (default): never
//! paging    = "cursor"              # page-number, offset, cursor (or page-token), next-link, none
//! next      = "/next"               # where the cursor or link is
//! page_size = 500                   # default and most
//! # depth = 100000, widest = "7d", widest_filtered = "31d", ordered = true (rows come by time),
//! # bucket = "exports", format = "csv", each = { dataset = "teams", column = "teamId" }
//!
//! [dataset.calls.job]               # another way: as above for the results, and before them
//! submit    = { path = "/v1/exports", body = { from = "{from}", to = "{to}" }, task = "/id" }
//! poll      = { path = "/v1/exports/{task}", state = "/state", done = ["READY"], failed = ["FAILED"], gone = ["EXPIRED"] }
//! # delete = { path = … }, available = { path = …, until = "/until" }, download = "/url", extras = ["legs.notes"]
//! # …
//!
//! [type.call]
//! callId    = "int64"               # string, timestamp, int64, double, boolean, map, list<…>, a type;
//! startedAt = "timestamp"           # on top of a row: interval (its start), duration (its seconds)
//! ```
//! Placeholders: `{interval}` `{from}` `{to}` `{last}` (the last millisecond) `{page}` `{page0}` (from 0)
//! `{page_size}` `{offset}` `{cursor}` `{task}` `{each}` `{api_version}`; a time takes a form, like
//! `{from:%Y-%m-%d}` or `{from:ms}`. What is wholly one placeholder keeps its type, and what is wholly a
//! cursor is left out of the first request.

pub(crate) mod endpoint;
pub(crate) mod file;
pub(crate) mod schema;
pub(crate) mod template;

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
    time::Duration,
};

use arrow::datatypes::{Schema, SchemaRef};

pub use self::endpoint::Endpoint;
pub(crate) use self::{
    endpoint::{ApiRequest, AsyncJob, JsonPointer, Paging, ResponseFormat, RowsAt},
    schema::WireForm,
    template::PlaceholderValues,
};
use crate::{http::rate_limit::RequestLimit, time::interval::Interval};

/// What a file describes.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// Datasets by name.
    pub datasets: BTreeMap<String, Arc<Dataset>>,
    /// Limits of their own, by the bucket that requests name.
    pub buckets: BTreeMap<Arc<str>, RequestLimit>,
}

impl Catalog {
    /// The same without the columns that only one way brings.
    #[must_use]
    pub fn plain(&self) -> Self {
        let plain =
            |(name, dataset): (&String, &Arc<Dataset>)| (name.clone(), Arc::new(dataset.plain()));
        Self { datasets: self.datasets.iter().map(plain).collect(), buckets: self.buckets.clone() }
    }
}

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
pub(crate) struct InvalidKey {
    key: String,
    reason: String,
}

impl InvalidKey {
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
    /// The permission that a credential needs, to name it when the platform refuses.
    pub permission: Option<String>,
    /// The columns that together identify a row. One alone is a string or an int64, and never null.
    pub id: Vec<String>,
    /// The column that decides which shard owns a row (G4): a timestamp, never null.
    pub time: String,
    /// Whether the replies do not have that column: it gets the start of the shard.
    pub synthesizes_time: bool,
    /// Whether the rows are what there is now, whatever the interval.
    pub snapshot: bool,
    /// The column by which the newer of two copies of a row is known; none: the one received last.
    pub newest: Option<String>,
    /// The column that is null while a row is unfinished, such as the end of a conversation. `None`
    /// if rows are final once they are there.
    pub open: Option<String>,
    /// So long after their time rows are complete.
    pub lag: Duration,
    /// Intervals that are asked for begin and end on multiples of this since 1970; zero: anywhere.
    pub alignment: Duration,
    /// Whether a shard of it can be bisected.
    pub divisible: bool,
    /// Whether its columns are known; else the schema has but those that the keys above name.
    pub has_columns: bool,
    /// The columns. All may be null but `time` and an `id` of one column.
    pub schema: SchemaRef,
    /// Columns of the schema, on top of a row, whose values replies write in a form of their own.
    pub forms: BTreeMap<String, WireForm>,
    /// Other names of columns in replies.
    pub aliases: Vec<(String, String)>,
    /// The way that answers at once, page by page.
    pub query: Option<Arc<Endpoint>>,
    /// The way that is submitted and awaited.
    pub job: Option<Arc<Endpoint>>,
}

impl Dataset {
    /// The way to ask where nothing speaks for another.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        let endpoint = self.query.as_ref().or(self.job.as_ref());
        endpoint.expect("the catalogue refuses a dataset without a way")
    }

    /// All ways.
    pub fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.query.iter().chain(&self.job)
    }

    /// The same without the columns that only one way brings.
    pub fn plain(&self) -> Self {
        let extras: Vec<_> = self
            .endpoints()
            .flat_map(|endpoint| &endpoint.extras)
            .map(|extra| extra.split('.').collect())
            .collect();
        let fields = extras.iter().fold(self.schema.fields().clone(), |fields, extra: &Vec<_>| {
            schema::without(&fields, extra)
        });
        let plain = |endpoint: &Arc<Endpoint>| {
            Arc::new(Endpoint { extras: Vec::new(), ..Endpoint::clone(endpoint) })
        };
        let (query, job) = (self.query.as_ref().map(plain), self.job.as_ref().map(plain));
        Self { schema: Arc::new(Schema::new(fields)), query, job, ..self.clone() }
    }

    /// The part of a requested time that the platform can give whole, in whole grains; of a snapshot, the
    /// UTC day of `now` (milliseconds since 1970), which has one.
    pub fn requested(&self, interval: Interval, now: i64) -> Option<Interval> {
        if self.snapshot {
            return Some(Interval::day_of(now));
        }
        let lag = i64::try_from(self.lag.as_millis()).unwrap_or(i64::MAX);
        let end =
            if lag == 0 { interval.to_ms() } else { interval.to_ms().min(now.saturating_sub(lag)) };
        let grain = self.alignment_ms();
        let start = interval.from_ms() + (-interval.from_ms()).rem_euclid(grain);
        Interval::new(start, end - end.rem_euclid(grain))
    }

    /// The widest shard of at most `width` that begins and ends on its grain.
    pub fn shard(&self, width: Duration) -> Duration {
        let grain = u128::try_from(self.alignment_ms()).unwrap_or(1);
        let grains = (width.as_millis() / grain).max(1);
        Duration::from_millis(u64::try_from(grains * grain).unwrap_or(u64::MAX))
    }

    fn alignment_ms(&self) -> i64 {
        i64::try_from(self.alignment.as_millis()).unwrap_or(i64::MAX).max(1)
    }

    /// The columns that identify a row among all files: a stamped one is there once a shard.
    pub fn key(&self) -> Vec<String> {
        let stamp = self.synthesizes_time && !self.id.contains(&self.time);
        stamp.then(|| self.time.clone()).into_iter().chain(self.id.iter().cloned()).collect()
    }

    /// Whether the platform counts the rows of an interval.
    pub fn is_counted(&self) -> bool {
        let counts = |endpoint: &Arc<Endpoint>| {
            endpoint.total.is_some() && endpoint.explode.is_empty() && endpoint.parent.is_none()
        };
        !self.synthesizes_time && self.query.as_ref().is_some_and(counts)
    }

    /// Whether it has columns that only one way brings.
    pub fn has_extras(&self) -> bool {
        self.endpoints().any(|endpoint| !endpoint.extras.is_empty())
    }
}

/// What to do where the platform refuses a dataset for want of `permission`.
pub(crate) fn permission_hint(permission: Option<&str>) -> String {
    match permission {
        Some(permission) => format!(
            "give a role of the client the permission {permission}, in the divisions to fetch"
        ),
        None => "give the client a role that may read it".to_owned(),
    }
}

static GENESYS: LazyLock<Catalog> = LazyLock::new(|| {
    read("genesys.toml", include_str!("genesys.toml")).expect("a test reads the built-in catalogue")
});

static CXONE: LazyLock<Catalog> = LazyLock::new(|| {
    read("cxone.toml", include_str!("cxone.toml")).expect("a test reads the built-in catalogue")
});

/// The datasets that come with the program for a platform, or none if it knows no such platform.
pub fn builtin(platform: &str) -> Option<&'static Catalog> {
    match platform {
        "genesys-cloud" => Some(&GENESYS),
        "nice-cxone" => Some(&CXONE),
        _ => None,
    }
}

/// Reads a catalogue; `file` is its name for messages.
///
/// # Errors
/// Text that is not TOML, an unknown or missing key, a value out of range, an unknown placeholder,
/// an unknown type, a type that contains itself, an `id` or `time` that is no column of a fit type.
pub fn read(file: &str, text: &str) -> Result<Catalog, CatalogError> {
    file::parse(text).map_err(|InvalidKey { key, reason }| CatalogError {
        file: file.to_owned(),
        key,
        reason,
    })
}

const NO_DURATION: &str = "a duration above zero is written like 7d or 12h";

/// A duration above zero; a day has 24 hours.
fn days(text: &str) -> Option<Duration> {
    let span: jiff::Span = text.parse().ok()?;
    let duration = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(duration).ok().filter(|duration| !duration.is_zero())
}

/// The platforms with a built-in catalogue.
#[cfg(test)]
pub(crate) const PLATFORMS: [&str; 2] = ["genesys-cloud", "nice-cxone"];

#[cfg(test)]
mod tests;
