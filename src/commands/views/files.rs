//! The statements that make the files of a dataset readable by SQL.

use std::fmt::Write;

use arrow::datatypes::Schema;

use crate::{
    catalog::PARTITION,
    commands::views::{
        Namespace,
        dialect::{Dialect, cast},
    },
};

/// What Snowflake needs to read lists and times as such.
const FILE_FORMAT: &str = "cxbackfill_parquet";

/// The statements that come before all others.
pub(super) fn preamble(names: &Namespace) -> String {
    if names.dialect != Dialect::Snowflake {
        return String::new();
    }
    format!(
        "CREATE OR REPLACE FILE FORMAT {} TYPE = PARQUET USE_LOGICAL_TYPE = TRUE \
         USE_VECTORIZED_SCANNER = TRUE;\n\n",
        names.qualified(FILE_FORMAT)
    )
}

/// The statement that creates the view, or in BigQuery the table, `name` over the files in a
/// folder. It has their columns, which are those of `schema`, and the day of their folder.
pub(super) fn statement(names: &Namespace, name: &str, folder: &str, schema: &Schema) -> String {
    let view = names.qualified(name);
    match names.dialect {
        Dialect::Duckdb => format!(
            "CREATE OR REPLACE VIEW {view} AS\nSELECT * FROM read_parquet('{}/**/*.parquet', \
             hive_partitioning = true);\n",
            duckdb_pattern(folder)
        ),
        Dialect::Spark => format!(
            "CREATE OR REPLACE VIEW {view} AS\nSELECT * FROM parquet.`{}`;\n",
            spark_pattern(folder)
        ),
        Dialect::Snowflake => {
            let mut sql = format!("CREATE OR REPLACE VIEW {view} AS\nSELECT");
            for field in schema.fields() {
                let path = format!("$1:\"{}\"", field.name().replace('"', "\"\""));
                let value = cast(&path, field.data_type());
                // writing to a text does not fail
                let _ = write!(sql, "\n    {value} AS {},", names.dialect.name(field.name()));
            }
            let text = |text: &str| names.dialect.text(text);
            let _ = writeln!(
                sql,
                "\n    to_date(regexp_substr(metadata$filename, '{PARTITION}=([0-9-]+)', 1, 1, \
                 'e')) AS {}\nFROM {} (FILE_FORMAT => {}, PATTERN => '.*[.]parquet');",
                names.dialect.name(PARTITION),
                text(&format!("{folder}/")),
                text(&names.qualified(FILE_FORMAT)),
            );
            sql
        }
        Dialect::Bigquery => {
            let text = |text: &str| names.dialect.text(text);
            format!(
                "CREATE OR REPLACE EXTERNAL TABLE {view}\nWITH PARTITION COLUMNS ({} DATE)\n\
                 OPTIONS (format = 'PARQUET', enable_list_inference = TRUE,\n    uris = [{}],\n    \
                 hive_partition_uri_prefix = {});\n",
                names.dialect.name(PARTITION),
                text(&format!("{folder}/*.parquet")),
                text(folder),
            )
        }
    }
}

/// The text of a pattern of DuckDB that means this folder alone.
fn duckdb_pattern(folder: &str) -> String {
    let mut pattern = String::new();
    for one in folder.chars() {
        match one {
            // in brackets a character of a pattern means itself
            '[' | '*' | '?' => pattern.extend(['[', one, ']']),
            '\'' => pattern.push_str("''"),
            one => pattern.push(one),
        }
    }
    pattern
}

/// The text of a pattern of Spark, within backticks, that means this folder alone.
fn spark_pattern(folder: &str) -> String {
    let mut pattern = String::new();
    for one in folder.chars() {
        match one {
            '[' | ']' | '{' | '}' | '*' | '?' | '\\' => pattern.extend(['\\', one]),
            '`' => pattern.push_str("``"),
            one => pattern.push(one),
        }
    }
    pattern
}
