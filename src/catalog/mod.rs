//! The catalog describes what can be fetched: datasets, their columns and their endpoints, as data.
//!
//! The built-in catalogs are the TOML files beside this one; a user's own file is read by the same
//! code. Everything is checked when a file is read, so that using a dataset cannot fail afterwards.
//! Start with [`dataset`], then [`endpoint`]; `file` reads and checks the TOML.
//!
//! # The file
//! ```toml
//! [bucket.exports]                  # a rate limit of its own, beside that of all requests
//! requests = 1
//! per      = "30s"
//!
//! [dataset.calls]                   # a name has lowercase letters, digits and `-`
//! version    = 1                    # of the columns
//! permission = "calls:view"         # named when the platform refuses a request
//! id         = "callId"             # one column, or a list of columns, that identifies a row
//! time       = "startedAt"          # decides which shard owns a row
//! columns    = "call"               # a type below
//! # stamp    = true                 # responses lack `time`: rows get the start of the shard
//! # snapshot = true                 # the current state, once a UTC day: `time` is that of the run
//! # open     = "endedAt"            # null while a row can change: it is fetched again until then
//! # sums     = { media = "medium", handle = "legs[].parts[kind=talk].seconds", unit = "s" }
//! #                                  # sums of rows by hour, media type and handle time ("s", "ms")
//! # newest   = "changedAt"          # the later of two copies is kept; else the one received last
//! # lag      = "30m"                # rows are complete this long after their time
//! # grain    = "15m"                # alignment: intervals begin and end on multiples of this
//! # divisible = false               # a shard is never bisected
//! # aliases  = { start = "startedAt" }   # other names of columns in responses
//! # entity   = { name = "calls" }   # what a job is asked for: more `defaults` of its submission
//!
//! [dataset.calls.query]             # an endpoint that responds at once, page by page
//! method    = "GET"                 # or POST
//! path      = "/v1/calls"
//! query     = { from = "{from}", to = "{to}", cursor = "{cursor}", limit = "{page_size}" }
//! # body    = { … }                 # of a POST; `[filter.calls]` may replace keys of `defaults`
//! rows      = "/data/calls"         # JSON pointer; "" the response itself; "*" its only list
//! # explode = ["legs"]              # a row for each element of these lists, with the other fields
//! # total   = "/data/count"         # how many items all pages have
//! # total_is = "exact"              # fewer items are a count mismatch; "hint" (default): never
//! paging    = "cursor"              # page-number, offset, cursor (or page-token), next-link,
//!                                   # link-header (rel="next", RFC 8288), none
//! next      = "/next"               # where the cursor or link is
//! # pages   = "/data/pageCount"     # the number of pages, if they are numbered
//! # short_page_is_last = true       # a page that is not full needs no empty one after it; neither
//!                                   # does one that reaches an exact total
//! # without_rows = ["/data"]        # all keys of a response that lacks the list if there are no rows
//! page_size = 500                   # default and maximum
//! # depth = 100000, widest = "7d", widest_filtered = "31d", ordered = true (rows come by time),
//! # bucket = "exports", format = "csv"
//! # each = { dataset = "teams", column = "teamId" }   # one query per id of the parent dataset
//!
//! [dataset.calls.job]               # an asynchronous endpoint: the above describes its results
//! submit    = { path = "/v1/exports", body = { from = "{from}", to = "{to}" }, task = "/id" }
//! poll      = { path = "/v1/exports/{task}", state = "/state", done = ["READY"] }
//! # pending = ["RUNNING"], failed = ["FAILED"], gone = ["EXPIRED"], error = "/message"   # also in
//! #     poll; a state in no list is warned of, and the job fails if it stays so for half an hour
//! # delete = { path = … }, available = { path = …, until = "/until" }, download = "/url",
//! # extras = ["legs.notes"]         # columns that only the job returns
//! # …
//!
//! [dataset.calls.by_id]             # returns open rows by id, `page_size` ids in a request
//! path      = "/v1/calls"
//! query     = { id = "{ids}" }      # a list of ids, with commas
//! rows      = "/data/calls"
//! page_size = 100
//!
//! [type.call]
//! callId    = "int64"      # string, timestamp, int64, double, boolean, map, list<…>, a type;
//! startedAt = "timestamp"  # interval (its start), duration (in seconds), and timestamp(s), (ms), (us):
//!                          # a number of that unit since 1970. A number in a plain timestamp counts
//!                          # milliseconds, from 1990 to 2100
//! # ignore  = ["links"]    # fields that are left out on purpose; others are kept in `_extra`
//!
//! [personal.call]            # what `privacy.set = "platform"` hides of that type
//! identifiers = ["ani"]      # numbers, addresses and names: hashed
//! free_texts  = ["note"]     # what people wrote: dropped
//! # personal_version = 1     # before the first table: an output is continued as long as this is the
//! #                          # same. Raise it if a mark of a column that files have already changes;
//! #                          # a new column needs none. Without it, any other mark is another policy
//! ```
//!
//! # Tables
//! The flat tables of a dataset, for `output.layout` and for views:
//! ```toml
//! [dataset.calls.tables.calls]      # without `rows`, and called after the dataset (`-` as `_`): a
//!                                   # row for each row of the dataset
//! [dataset.calls.tables.calls.columns]                  # columns that are computed
//! lastKind  = { last = "legs[].parts[].kind", by = "legs[].parts[].startedAt" }   # or `first`
//! talk      = { sum = "legs[].parts[kind=talk].ms", unit = "ms" }   # in seconds; 0 if there is none
//! answered  = { any = "legs[].parts[kind=talk]" }       # whether there is any
//! seconds   = { seconds = ["startedAt", "endedAt"] }    # from one time to another
//!
//! [dataset.calls.tables.parts]      # a row for each element of a list of objects, or of a map
//! rows    = "legs[].parts[]"        # the list around it, `legs[]`, must have a table too
//! inherit = ["legs[].agentId"]      # columns of what contains the row
//! ```
//! A table has the columns of the id and the time; the position, from 1, in each list of `rows`
//! (`legNumber`, `partNumber`), which with the id are the keys that join; the inherited columns;
//! its own: those of the list's elements, with objects inside them flattened (`flow_flowId`),
//! without the lists and maps that have tables; and the computed ones. An own column that has the
//! name of one before it gets the list's in front (`leg_startedAt`). The lists that a path shares
//! with `rows` mean those elements that contain the row or are it, and all other lists mean all
//! elements: in `parts`, `legs[].agentId` is the agent of the row's own leg. The elements of a map
//! are its entries, with `key` and `value`. `first` and `last` leave out nulls; values are ordered
//! by the earliest (latest) `by` of the innermost list that both paths share, equal ones stay as
//! they come, and those without `by` count only if none has one. A map that is a part of the id is
//! a JSON text in tables.
//!
//! # Placeholders
//! `{interval}` `{from}` `{to}` `{last}` (the last millisecond) `{page}` `{page0}`
//! (from 0) `{page_size}` `{offset}` `{cursor}` `{task}` (the job's id) `{each}` (the parent's id)
//! `{ids}` (of rows) `{api_version}`. A time takes a format, such as `{from:%Y-%m-%d}` or
//! `{from:ms}`. A text that is one placeholder and nothing else keeps the type of the placeholder.
//! A value that is only `{cursor}` is left out of the first request.

pub(crate) mod dataset;
pub(crate) mod endpoint;
mod error;
mod file;
pub(crate) mod personal;
pub(crate) mod placeholder;
pub(crate) mod request;
pub(crate) mod schema;
mod sums;
pub(crate) mod tables;
mod template;
pub(crate) mod type_places;
mod value_path;
pub(crate) mod views;

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

pub(crate) use self::template::is_path_segment;
pub use self::{dataset::Dataset, endpoint::Endpoint};
pub(crate) use self::{
    dataset::permission_hint,
    endpoint::{AsyncJob, JsonPointer, Paging, ResponseFormat, RowsAt, TotalAccuracy},
    error::{CatalogError, InvalidKey},
    personal::{PersonalColumn, PersonalKind},
    placeholder::PlaceholderValues,
    request::ApiRequest,
    schema::WireForm,
    tables::{Computation, ListStep, Lookup, Member, Source, Table, Unit, shared_lists},
    value_path::ValuePath,
};
use crate::http::rate_limit::RequestLimit;

/// The name of the folders that partition the files of a dataset by UTC day. Readers take it for a
/// column, so a column of that name would clash with it; some do not distinguish case.
pub(crate) const PARTITION: &str = "date";

/// The column that keeps the values that fit no other one, as raw JSON by their paths. No dataset
/// declares it, and every one has it.
pub(crate) const EXTRA: &str = "_extra";

/// What a catalog file describes.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// Datasets by name.
    pub datasets: BTreeMap<String, Arc<Dataset>>,
    /// Separate rate limits by the bucket name that requests refer to.
    pub buckets: BTreeMap<Arc<str>, RequestLimit>,
}

impl Catalog {
    /// The same catalog without the columns that only one of two endpoints returns.
    #[must_use]
    pub fn without_extras(&self) -> Self {
        let mut datasets = BTreeMap::new();
        for (name, dataset) in &self.datasets {
            datasets.insert(name.clone(), Arc::new(dataset.without_extras()));
        }
        Self { datasets, buckets: self.buckets.clone() }
    }
}

static GENESYS: LazyLock<Catalog> = LazyLock::new(|| {
    read("genesys.toml", include_str!("genesys.toml")).expect("a test reads the built-in catalog")
});

static CXONE: LazyLock<Catalog> = LazyLock::new(|| {
    read("cxone.toml", include_str!("cxone.toml")).expect("a test reads the built-in catalog")
});

/// Returns the built-in datasets of a platform, or `None` if the platform has none.
pub fn builtin(platform: &str) -> Option<&'static Catalog> {
    match platform {
        "genesys-cloud" => Some(&GENESYS),
        "nice-cxone" => Some(&CXONE),
        _ => None,
    }
}

/// Reads a catalog; `file` is its name for error messages.
///
/// # Errors
/// If the text is not TOML, or has an unknown or missing key, a value out of range, an unknown
/// placeholder or type, a type that contains itself, or an `id` or `time` that does not name a
/// column of a suitable type.
pub fn read(file: &str, text: &str) -> Result<Catalog, CatalogError> {
    file::parse(text).map_err(|InvalidKey { key, reason }| CatalogError {
        file: file.to_owned(),
        key,
        reason,
    })
}

/// The platforms that have a built-in catalog.
#[cfg(test)]
pub(crate) const PLATFORMS: [&str; 2] = ["genesys-cloud", "nice-cxone"];

/// A dataset of the built-in catalog that unit tests of other modules use.
#[cfg(test)]
pub(crate) fn test_dataset(name: &str) -> &'static Arc<Dataset> {
    &builtin(PLATFORMS[0]).unwrap().datasets[name]
}

#[cfg(test)]
mod tests;
