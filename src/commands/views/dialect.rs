//! How the dialects of SQL write what the views need.

use arrow::datatypes::DataType;
use clap::ValueEnum;

use crate::catalog::schema::timestamp;

/// The dialect of SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dialect {
    /// DuckDB 1.3 or newer.
    Duckdb,
    /// Spark 3.4 or newer, and Databricks.
    Spark,
    /// Snowflake, over the files of a stage.
    Snowflake,
    /// BigQuery, over the files of a bucket.
    Bigquery,
}

use Dialect::{Bigquery, Duckdb, Snowflake, Spark};

/// The elements of a list or the entries of a map, joined to what contains them.
#[derive(Debug)]
pub(super) struct Joined {
    /// Which of the joins of its query it is, from 1.
    pub number: usize,
    /// The list or the map.
    pub list: String,
    /// Whether it is a map.
    pub is_map: bool,
    /// Whether a row without elements stays, with nulls.
    pub is_outer: bool,
}

/// Chooses the first or the last of several values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pick<'q> {
    /// The value, which is not chosen if it is null.
    pub value: &'q str,
    /// Its type.
    pub data_type: &'q DataType,
    /// A condition that it must meet. Empty if there is none.
    pub condition: &'q str,
    /// What values are ordered by before their positions. `None` if only these count.
    pub by: Option<&'q str>,
    /// The positions of the value in its lists.
    pub positions: &'q [String],
    /// Whether the last one is chosen.
    pub is_last: bool,
}

impl Dialect {
    /// The name of a column or a view. Case does not matter where it is used: Snowflake gets
    /// capitals, as it makes of names without quotation marks.
    pub(super) fn name(self, name: &str) -> String {
        match self {
            Duckdb => format!("\"{}\"", name.replace('"', "\"\"")),
            Snowflake => format!("\"{}\"", name.to_uppercase().replace('"', "\"\"")),
            Spark => format!("`{}`", name.replace('`', "``")),
            Bigquery => format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`")),
        }
    }

    /// A text.
    pub(super) fn text(self, text: &str) -> String {
        match self {
            Duckdb => format!("'{}'", text.replace('\'', "''")),
            Spark | Snowflake | Bigquery => {
                format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
            }
        }
    }

    /// The field that names lead to from an object: a row, an element of a list or an entry of a
    /// map. Without names it is the element itself or, for a map, an expression that is null if the
    /// map has no entry.
    pub(super) fn field(self, value: &Object, names: &[&str], data_type: &DataType) -> String {
        let path = |start: String| {
            names.iter().fold(start, |path, name| format!("{path}.{}", self.name(name)))
        };
        match (self, value) {
            (Duckdb | Spark | Bigquery, Object::Row) => path("r".to_owned()),
            (Duckdb, Object::Element { number, .. }) => path(format!("r._e{number}")),
            (Spark | Bigquery, Object::Element { number, .. }) => path(format!("e{number}")),
            (Snowflake, Object::Row) => {
                let (column, inside) = names.split_first().unwrap_or((&"", &[]));
                let column = format!("r.{}", self.name(column));
                if inside.is_empty() { column } else { variant(&column, inside, data_type) }
            }
            (Snowflake, Object::Element { number, is_map: false }) => {
                variant(&format!("u{number}.value"), names, data_type)
            }
            (Snowflake, Object::Element { number, is_map: true }) => match names {
                [] | ["key"] => format!("u{number}.key"),
                _ => format!("u{number}.value::STRING"),
            },
        }
    }

    /// The clause FROM: the rows `r` of a view, and the elements of lists joined to them.
    pub(super) fn from(self, rows: &str, joins: &[Joined]) -> String {
        let start = if self == Duckdb { rows.to_owned() } else { format!("{rows} AS r") };
        let from = joins.iter().fold(start, |from, joined| self.join(&from, joined));
        if self == Duckdb { format!("{from} AS r") } else { from }
    }

    fn join(self, from: &str, joined: &Joined) -> String {
        let Joined { number, list, is_map, is_outer } = joined;
        let list = match self {
            Duckdb | Spark if *is_map => format!("map_entries({list})"),
            Bigquery if *is_map => format!("{list}.key_value"),
            _ => list.clone(),
        };
        match self {
            // A join with `unnest` in FROM is a hundred times slower: it hashes the nested values.
            Duckdb => {
                let (elements, numbers) = (list.clone(), format!("range(1, len({list}) + 1)"));
                let or_null = |values: String| match is_outer {
                    true => format!("CASE WHEN len({list}) > 0 THEN {values} ELSE [NULL] END"),
                    false => values,
                };
                format!(
                    "(\n    SELECT *, unnest({}) AS _e{number},\n    unnest({}) AS _n{number} FROM \
                     {from} AS r)",
                    or_null(elements),
                    or_null(numbers)
                )
            }
            Spark => {
                let outer = if *is_outer { "OUTER " } else { "" };
                format!(
                    "{from}\n    LATERAL VIEW {outer}posexplode({list}) u{number} AS n{number}, \
                     e{number}"
                )
            }
            Snowflake => {
                let outer = if *is_outer { ", outer => TRUE" } else { "" };
                format!("{from},\n    LATERAL FLATTEN(input => {list}{outer}) AS u{number}")
            }
            Bigquery => {
                let join = if *is_outer { "LEFT" } else { "CROSS" };
                format!(
                    "{from}\n    {join} JOIN UNNEST({list}) AS e{number} WITH OFFSET AS n{number}"
                )
            }
        }
    }

    /// The position of an element in its list, from 1. The entries of a map are numbered in an
    /// order of their own in Snowflake, which sorts them by their keys.
    pub(super) fn position(self, number: usize, is_map: bool) -> String {
        match self {
            Duckdb => format!("r._n{number}"),
            Spark | Bigquery => format!("(n{number} + 1)"),
            Snowflake if is_map => {
                format!("row_number() OVER (PARTITION BY u{number}.seq ORDER BY u{number}.key)")
            }
            Snowflake => format!("(u{number}.index + 1)"),
        }
    }

    /// An expression to sort the elements of a list by, so that they keep the order of the list.
    /// Null in a row whose list is empty.
    pub(super) fn order(self, number: usize, is_map: bool) -> String {
        match self {
            Duckdb => format!("r._n{number}"),
            Spark | Bigquery => format!("n{number}"),
            Snowflake if is_map => format!("u{number}.key"),
            Snowflake => format!("u{number}.index"),
        }
    }

    /// The first or the last of the values of a group.
    pub(super) fn pick(self, pick: Pick) -> String {
        let Pick { value, data_type, condition, by, positions, is_last } = pick;
        let and = if condition.is_empty() { "" } else { " AND " };
        // a value without `by` is chosen only if no value has one
        let (not, descending) = if is_last { ("NOT ", " DESC") } else { ("", "") };
        let key = |direction: &str| {
            let by = by.map(|by| [format!("{by} IS {not}NULL"), by.to_owned()]);
            let keys = by.into_iter().flatten().chain(positions.iter().cloned());
            keys.map(|key| format!("{key}{direction}")).collect::<Vec<_>>().join(", ")
        };
        match self {
            Duckdb | Spark => {
                let function = match (self, is_last) {
                    (Duckdb, false) => "arg_min",
                    (Duckdb, true) => "arg_max",
                    (_, false) => "min_by",
                    (_, true) => "max_by",
                };
                let row = if self == Duckdb { "row" } else { "struct" };
                let key = key("");
                format!(
                    "{function}({value}, {row}({key})) \
                     FILTER (WHERE {value} IS NOT NULL{and}{condition})"
                )
            }
            Snowflake | Bigquery => {
                let value = match condition {
                    "" => value.to_owned(),
                    condition => format!("CASE WHEN {condition} THEN {value} END"),
                };
                let key = key(descending);
                if self == Bigquery {
                    format!(
                        "array_agg({value} IGNORE NULLS ORDER BY {key} LIMIT 1)[SAFE_OFFSET(0)]"
                    )
                } else {
                    cast(
                        &format!("(array_agg({value}) WITHIN GROUP (ORDER BY {key}))[0]"),
                        data_type,
                    )
                }
            }
        }
    }

    /// A sum of integers as an integer of 64 bits.
    pub(super) fn integer(self, sum: &str) -> String {
        // the sum of a type is wider in DuckDB
        if self == Duckdb { format!("CAST({sum} AS BIGINT)") } else { sum.to_owned() }
    }

    /// A map as a JSON object with sorted keys. Null where there is no map.
    pub(super) fn key_text(self, map: &str) -> String {
        match self {
            Duckdb => {
                format!("to_json(map_from_entries(list_sort(map_entries({map}))))::VARCHAR")
            }
            Spark => format!("to_json(map_from_entries(array_sort(map_entries({map}))))"),
            Snowflake => format!("to_json({map})"),
            Bigquery => format!(
                "(SELECT concat('{{', string_agg(concat(to_json_string(entry.key), ':', \
                 to_json_string(entry.value)), ',' ORDER BY entry.key), '}}') FROM \
                 UNNEST({map}.key_value) AS entry)"
            ),
        }
    }

    /// The seconds from one time to another.
    pub(super) fn seconds(self, from: &str, to: &str) -> String {
        match self {
            Duckdb => format!("(epoch_us({to}) - epoch_us({from})) / 1000000"),
            Spark => format!("(unix_micros({to}) - unix_micros({from})) / 1000000"),
            Snowflake => format!("timestampdiff(MICROSECOND, {from}, {to}) / 1000000"),
            Bigquery => format!("timestamp_diff({to}, {from}, MICROSECOND) / 1000000"),
        }
    }

    /// The start of the half hour, in UTC, in which a time lies.
    pub(super) fn half_hour(self, time: &str) -> String {
        match self {
            Duckdb => format!("time_bucket(INTERVAL 30 MINUTE, {time})"),
            Spark => format!("timestamp_seconds(floor(unix_seconds({time}) / 1800) * 1800)"),
            Snowflake => {
                format!("time_slice(convert_timezone('UTC', {time})::TIMESTAMP_NTZ, 30, 'MINUTE')")
            }
            Bigquery => format!("timestamp_seconds(div(unix_seconds({time}), 1800) * 1800)"),
        }
    }
}

/// A value that has fields.
#[derive(Debug, Clone, Copy)]
pub(super) enum Object {
    /// A row of the dataset.
    Row,
    /// An element of a joined list, or an entry of a joined map.
    Element { number: usize, is_map: bool },
}

/// A field of a value of Snowflake's type VARIANT. Without names it is the value itself.
fn variant(value: &str, names: &[&str], data_type: &DataType) -> String {
    if names.is_empty() {
        return cast(value, data_type);
    }
    let path: Vec<_> =
        names.iter().map(|name| format!("\"{}\"", name.replace('"', "\"\""))).collect();
    cast(&format!("{value}:{}", path.join(".")), data_type)
}

/// A VARIANT of Snowflake as a value of a type. Lists, objects and maps stay VARIANT.
pub(super) fn cast(value: &str, data_type: &DataType) -> String {
    let name = match data_type {
        DataType::Utf8 => "STRING",
        DataType::Int64 => "BIGINT",
        DataType::Float64 => "DOUBLE",
        DataType::Boolean => "BOOLEAN",
        data_type if *data_type == timestamp() => "TIMESTAMP_TZ",
        _ => return value.to_owned(),
    };
    format!("{value}::{name}")
}
