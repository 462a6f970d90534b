//! A dataset: one kind of row, its columns, and the endpoints that return it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arrow::datatypes::{Schema, SchemaRef};

use jiff::tz::TimeZone;

use crate::{
    catalog::{
        endpoint::Endpoint,
        personal::PersonalColumn,
        schema::{self, WireForm},
        sums::SumColumns,
        tables::{self, Table},
        type_places,
    },
    ledger::FileKind,
    time::interval::Interval,
};

/// One kind of row, and how to request it.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// The key in the catalog, and the name of the folder of its files: `[a-z0-9-]+`.
    pub name: String,
    /// The version of the columns, from 1. Files of different versions have different schemas.
    pub version: u32,
    /// The permission that a credential needs; named when the platform refuses a request.
    pub permission: Option<String>,
    /// The columns that together identify a row. A single one is a string or an int64, never null.
    pub id: Vec<String>,
    /// The column that decides which shard owns a row (G4): a timestamp, never null.
    pub time: String,
    /// Whether responses lack the `time` column, so that rows get the start of the shard.
    pub synthesizes_time: bool,
    /// Whether the rows are the current state, whatever the requested interval.
    pub snapshot: bool,
    /// The column that tells which of two copies of a row is newer. `None` if the copy that was
    /// received last is kept.
    pub newest: Option<String>,
    /// The column that is null while a row is unfinished, such as the end of a conversation. `None`
    /// if rows are final once they are there.
    pub open: Option<String>,
    /// Which columns tell the media type and the handle time of a row, for sums that people look
    /// at.
    pub sums: SumColumns,
    /// How long after their time rows are complete.
    pub lag: Duration,
    /// Requested intervals begin and end on multiples of this since 1970. Zero if they may begin
    /// anywhere.
    pub alignment: Duration,
    /// Whether a shard can be bisected.
    pub divisible: bool,
    /// Whether the columns are known. If not, the schema has only those that the other keys name.
    pub has_columns: bool,
    /// The columns. All are nullable except `time` and an `id` of one column. The last one,
    /// [`EXTRA`](crate::catalog::EXTRA), keeps the values that fit no other column.
    pub schema: SchemaRef,
    /// The flat tables of its rows: the one with a row for each row first, and each after that of
    /// the list around it. Empty if the catalog names none.
    pub tables: Vec<Arc<Table>>,
    /// The columns whose values responses write in a special form, by the patterns of their paths,
    /// such as `legs[].took`.
    pub forms: BTreeMap<String, WireForm>,
    /// The zone of the times in responses that name none.
    pub zone: TimeZone,
    /// Other names of columns in responses, as pairs of alias and column.
    pub aliases: Vec<(String, String)>,
    /// Fields that are neither columns nor kept among the values that fit no column, by the
    /// patterns of their paths, such as `participants[].settings`.
    pub ignore: Vec<String>,
    /// The columns with personal data, which `[privacy]` can hide.
    pub personal: Vec<PersonalColumn>,
    /// The version of these marks, if the catalog gives one: outputs of the same version are
    /// continued although a new column is marked, too.
    pub personal_version: Option<u32>,
    /// The names of the catalog's types by the patterns of the paths where they stand; that of the
    /// row is the empty pattern. Empty if the columns are not known.
    pub types: BTreeMap<String, String>,
    /// The endpoint that responds at once, page by page.
    pub query: Option<Arc<Endpoint>>,
    /// The endpoint that is submitted, polled and then read.
    pub job: Option<Arc<Endpoint>>,
    /// The endpoint that returns rows by their ids, as many in a request as its page has rows. It
    /// follows up open rows. `None` if the platform has none.
    pub by_id: Option<Arc<Endpoint>>,
}

impl Dataset {
    /// Returns the default endpoint: the query if there is one, else the job.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        let endpoint = self.query.as_ref().or(self.job.as_ref());
        endpoint.expect("the catalog refuses a dataset without an endpoint")
    }

    /// Returns the endpoints that return the rows of an interval.
    pub fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.query.iter().chain(&self.job)
    }

    /// Returns the flat table of this name.
    pub fn table(&self, name: &str) -> Option<&Arc<Table>> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// Returns the columns of its files of a kind. `None` if it has no table of that name, or if
    /// the kind has no columns.
    pub(crate) fn schema_of(&self, kind: FileKind) -> Option<&SchemaRef> {
        match kind {
            FileKind::Nested => Some(&self.schema),
            FileKind::Table(name) => self.table(name).map(|table| &table.schema),
            FileKind::Quarantine => None,
        }
    }

    /// Returns the dataset without the columns that only one of two endpoints returns.
    pub fn without_extras(&self) -> Self {
        let mut fields = self.schema.fields().clone();
        let extras = || self.endpoints().flat_map(|endpoint| &endpoint.extras);
        for extra in extras() {
            fields = schema::without(&fields, &extra.split('.').collect::<Vec<_>>());
        }
        let ignored =
            extras().map(|extra| type_places::place_of(self.schema.fields(), extra.split('.')));
        let without_extras = |endpoint: &Arc<Endpoint>| {
            Arc::new(Endpoint { extras: Vec::new(), ..Endpoint::clone(endpoint) })
        };
        let row_key = tables::RowKey { toml: &self.name, id: &self.id, time: &self.time };
        Self {
            tables: tables::without_missing(&self.tables, &fields, &row_key),
            schema: Arc::new(Schema::new(fields)),
            ignore: self.ignore.iter().cloned().chain(ignored).collect(),
            query: self.query.as_ref().map(without_extras),
            job: self.job.as_ref().map(without_extras),
            ..self.clone()
        }
    }

    /// Returns the aligned part of an interval that the platform can return completely at `now`
    /// (milliseconds since 1970), or `None` if there is no such part. Its end is held to `now`
    /// minus the lag. A snapshot has the UTC day of `now`.
    pub fn requested(&self, interval: Interval, now: i64) -> Option<Interval> {
        if self.snapshot {
            return Some(Interval::day_of(now));
        }
        let end = interval.to_ms().min(self.available_until(now));
        let alignment = self.alignment_ms();
        let start = interval.from_ms() + (-interval.from_ms()).rem_euclid(alignment);
        Interval::new(start, end - end.rem_euclid(alignment))
    }

    /// Returns the end of an interval that the platform cannot return completely at `now`
    /// (milliseconds since 1970), or `None` if it can return all of the interval.
    pub fn not_yet_available(&self, interval: Interval, now: i64) -> Option<Interval> {
        if self.snapshot {
            return None;
        }
        Interval::new(interval.from_ms().max(self.available_until(now)), interval.to_ms())
    }

    /// Rows before this time, in milliseconds since 1970, are complete at `now`.
    fn available_until(&self, now: i64) -> i64 {
        now.saturating_sub(i64::try_from(self.lag.as_millis()).unwrap_or(i64::MAX))
    }

    /// Returns the widest aligned shard of at most `width`, but at least one unit of alignment.
    pub fn shard(&self, width: Duration) -> Duration {
        let alignment = u128::try_from(self.alignment_ms()).unwrap_or(1);
        let units = (width.as_millis() / alignment).max(1);
        Duration::from_millis(u64::try_from(units * alignment).unwrap_or(u64::MAX))
    }

    /// Returns the widest shard that is no wider than `width` and that every endpoint accepts, for
    /// requests with a filter of the user or without.
    pub fn widest_shard(&self, width: Duration, has_filter: bool) -> Duration {
        let widest = self.endpoints().map(|endpoint| endpoint.widest[usize::from(has_filter)]);
        self.shard(widest.fold(width, Duration::min))
    }

    fn alignment_ms(&self) -> i64 {
        i64::try_from(self.alignment.as_millis()).unwrap_or(i64::MAX).max(1)
    }

    /// Returns the columns that identify a row across all files: a row with a synthesized time
    /// exists once per shard.
    pub fn key(&self) -> Vec<String> {
        let has_time = !self.synthesizes_time || self.id.contains(&self.time);
        let time = if has_time { None } else { Some(self.time.clone()) };
        time.into_iter().chain(self.id.iter().cloned()).collect()
    }

    /// Where a column for a new field belongs: the name of its type in the catalog, and the
    /// line for it. `None` if the columns are not known, or if no type stands where the field is.
    pub(crate) fn column_line(&self, path: &str, value_type: &str) -> Option<(&str, String)> {
        let (name, of) = type_places::split(&self.types, path)?;
        let column = match value_type {
            "integer" => "int64",
            "number" => "double",
            "boolean" => "boolean",
            "object" => "map",
            "list" => "list<string>",
            _ => "string",
        };
        let is_bare = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        let key = if is_bare { name } else { toml::Value::from(name).to_string() };
        Some((of, format!("{key} = \"{column}\"")))
    }

    /// Whether a query states how many rows an interval has.
    pub fn is_counted(&self) -> bool {
        let counts_rows = |endpoint: &Arc<Endpoint>| {
            endpoint.total.is_some() && endpoint.explode.is_empty() && endpoint.parent.is_none()
        };
        !self.synthesizes_time && self.query.as_ref().is_some_and(counts_rows)
    }

    /// Whether there are columns that only one of two endpoints returns.
    pub fn has_extras(&self) -> bool {
        self.endpoints().any(|endpoint| !endpoint.extras.is_empty())
    }
}

/// Says what to do if the platform refuses a dataset for lack of `permission`.
pub(crate) fn permission_hint(permission: Option<&str>) -> String {
    match permission {
        Some(permission) => format!(
            "grant the permission {permission} to a role of the client, in the divisions to fetch"
        ),
        None => "assign the client a role that may read it".to_owned(),
    }
}
