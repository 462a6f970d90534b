mod dialects;

use clap::ValueEnum;

use super::*;
use crate::catalog::{self, Catalog, PLATFORMS};

/// A user's own dataset with tables.
const CALLS: &str = r#"
[dataset.calls]
version = 1
id = "no"
time = "at"
columns = "call"
[dataset.calls.query]
path = "/calls"
query = { page = "{page}" }
rows = "/calls"
paging = "page-number"
page_size = 10
[dataset.calls.tables.calls.columns]
seconds = { sum = "legs[kind=it's].ms", unit = "ms" }
agent   = { last = "legs[].agent", by = "legs[].parts[].at" }
number  = { first = "numbers[]" }
points  = { sum = "legs[].points[]" }
late    = { any = "flags[]" }
tagged  = { any = "tags[]" }
[dataset.calls.tables.legs]
rows = "legs[]"
[dataset.calls.tables.parts]
rows = "legs[].parts[]"
inherit = ["legs[].agent"]
columns = { ofLeg = { any = "legs[]" } }
[dataset.calls.tables.tags]
rows = "tags[]"
[type.call]
no   = "int64"
at   = "timestamp"
tags = "map"
legs = "list<leg>"
numbers = "list<string>"
flags   = "list<boolean>"
[type.leg]
kind  = "string"
agent = "string"
ms    = "int64"
points = "list<int64>"
parts = "list<part>"
[type.part]
at = "timestamp"
"#;

fn printed(catalog: &Catalog, dialect: Dialect, schema: Option<&str>) -> String {
    let names = Namespace { dialect, schema: schema.map(str::to_owned) };
    views(catalog, &names, Layout::Nested, "custom").print()
}

fn views<'v>(
    catalog: &'v Catalog,
    names: &'v Namespace,
    layout: Layout,
    platform: &'v str,
) -> Views<'v> {
    let datasets: Vec<_> = catalog.datasets.values().map(AsRef::as_ref).collect();
    let tables = table_names(datasets.iter().copied());
    Views { names, location: "/out", layout, datasets, tables, platform }
}

/// The statement that creates a view.
fn statement<'s>(sql: &'s str, name: &str) -> &'s str {
    let start = format!("CREATE OR REPLACE VIEW {name} AS\n");
    let (_, rest) = sql.split_once(&start).unwrap_or_else(|| panic!("{name} is missing in {sql}"));
    rest.split_once(";\n").unwrap().0
}

#[test]
fn the_tables_of_a_users_own_dataset_are_views() {
    let catalog = catalog::read("calls.toml", CALLS).unwrap();
    let sql = printed(&catalog, Dialect::Duckdb, None);
    assert_eq!(
        statement(&sql, "\"calls_rows\""),
        "SELECT * FROM read_parquet('/out/calls/**/*.parquet', hive_partitioning = true)"
    );
    let parts = statement(&sql, "\"parts\"");
    let legs = "FROM (\n    SELECT *, unnest(r.\"legs\") AS _e1,\n    \
        unnest(range(1, len(r.\"legs\") + 1)) AS _n1 FROM \"calls_rows\" AS r) AS r";
    assert!(parts.contains(legs), "{parts}");
    for column in
        ["r._n1 AS \"legNumber\"", "r._n2 AS \"partNumber\"", "r._e1.\"agent\" AS \"agent\""]
    {
        assert!(parts.contains(column), "{column} is missing in {parts}");
    }
    let calls = statement(&sql, "\"calls\"");
    assert!(calls.contains("JOIN sums1") && calls.contains("JOIN sums2"), "{calls}");
}

#[test]
fn a_view_names_others_with_the_schema_that_was_given() {
    let catalog = catalog::read("calls.toml", CALLS).unwrap();
    for (dialect, rows, legs) in [
        (Dialect::Duckdb, "\"a\".\"b\".\"calls_rows\"", "\"a\".\"b\".\"legs\""),
        (Dialect::Spark, "`a`.`b`.`calls_rows`", "`a`.`b`.`legs`"),
        (Dialect::Snowflake, "\"A\".\"B\".\"CALLS_ROWS\"", "\"A\".\"B\".\"LEGS\""),
        (Dialect::Bigquery, "`a`.`b`.`calls_rows`", "`a`.`b`.`legs`"),
    ] {
        let sql = printed(&catalog, dialect, Some("a.b"));
        assert!(statement(&sql, legs).contains(&format!("FROM {rows} AS r")), "{sql}");
    }
}

#[test]
fn texts_and_names_of_a_catalog_cannot_end_the_texts_and_names_of_sql() {
    let catalog = catalog::read("calls.toml", CALLS).unwrap();
    let in_texts = [
        (Dialect::Duckdb, "= 'it''s' THEN"),
        (Dialect::Spark, "= 'it\\'s' THEN"),
        (Dialect::Snowflake, "= 'it\\'s' THEN"),
        (Dialect::Bigquery, "= 'it\\'s' THEN"),
    ];
    for (dialect, expected) in in_texts {
        let sql = printed(&catalog, dialect, None);
        assert!(sql.contains(expected), "{sql}");
    }
    let names = Dialect::value_variants().iter().map(|dialect| dialect.name("a\"b`c\\d"));
    let expected = ["\"a\"\"b`c\\d\"", "`a\"b``c\\d`", "\"A\"\"B`C\\D\"", "`a\"b\\`c\\\\d`"];
    assert_eq!(names.collect::<Vec<_>>(), expected);
}

#[test]
fn a_value_of_a_list_of_values_is_the_element_itself() {
    let catalog = catalog::read("calls.toml", CALLS).unwrap();
    for (dialect, expected) in [
        (Dialect::Duckdb, ["arg_min(r._e1, ", "sum(r._e2)", "WHEN r._e1 THEN", "r._e1 IS NOT"]),
        (Dialect::Spark, ["min_by(e1, ", "sum(e2)", "WHEN e1 THEN", "e1 IS NOT"]),
        (
            Dialect::Snowflake,
            [
                "array_agg(u1.value::STRING)",
                "sum(u2.value::BIGINT)",
                "WHEN u1.value::BOOLEAN THEN",
                "u1.key IS NOT",
            ],
        ),
        (Dialect::Bigquery, ["array_agg(e1 IGNORE", "sum(e2)", "WHEN e1 THEN", "e1 IS NOT"]),
    ] {
        let sql = printed(&catalog, dialect, None);
        let calls = statement(&sql, &dialect.name("calls"));
        for part in expected {
            assert!(calls.contains(part), "{part} is missing in {calls}");
        }
    }
}

#[test]
fn a_current_view_has_the_rows_of_the_latest_snapshot() {
    let catalog = catalog::builtin(PLATFORMS[0]).unwrap();
    let names = Namespace { dialect: Dialect::Duckdb, schema: None };
    for (layout, rows) in [
        (Layout::Nested, "\"queues_rows\""),
        (Layout::Both, "\"queues_rows\""),
        (Layout::Tables, "\"queues\""),
    ] {
        let sql = views(catalog, &names, layout, PLATFORMS[0]).print();
        let latest = format!(
            "SELECT * FROM {rows}\nWHERE \"snapshotTime\" = (SELECT max(\"snapshotTime\") FROM {rows})"
        );
        assert_eq!(statement(&sql, "\"current_queues\""), latest);
    }
}

#[test]
fn tables_are_read_from_their_files_if_the_layout_has_them() {
    let catalog = catalog::read("calls.toml", CALLS).unwrap();
    let names = Namespace { dialect: Dialect::Duckdb, schema: None };
    for (layout, has_rows) in [(Layout::Tables, false), (Layout::Both, true)] {
        let sql = views(&catalog, &names, layout, "custom").print();
        assert_eq!(
            statement(&sql, "\"parts\""),
            "SELECT * FROM read_parquet('/out/calls.tables/parts/**/*.parquet', \
             hive_partitioning = true)"
        );
        assert_eq!(sql.contains("\"calls_rows\""), has_rows, "{sql}");
    }
}

#[test]
fn no_two_views_of_a_platform_have_the_same_name() {
    let layouts = [Layout::Nested, Layout::Tables, Layout::Both];
    for (platform, layout) in PLATFORMS.iter().flat_map(|&one| layouts.map(|layout| (one, layout)))
    {
        let catalog = catalog::builtin(platform).unwrap();
        for &dialect in Dialect::value_variants() {
            let names = Namespace { dialect, schema: None };
            let sql = views(catalog, &names, layout, platform).print();
            let created = sql.lines().filter_map(|line| line.strip_prefix("CREATE OR REPLACE "));
            let mut created: Vec<_> = created.collect();
            let count = created.len();
            created.sort_unstable();
            created.dedup();
            assert_eq!(created.len(), count, "{platform}");
            for question in views::questions(platform) {
                let name = names.qualified(question.name);
                assert!(sql.contains(&format!("VIEW {name} AS\n")), "{platform}: {name}");
            }
        }
    }
}

#[test]
fn tables_of_the_same_name_are_told_apart_by_their_datasets() {
    let catalog = catalog::builtin(PLATFORMS[0]).unwrap();
    let names = table_names(catalog.datasets.values().map(AsRef::as_ref));
    assert_eq!(names[&("conversations", "conversations")], "conversations");
    assert_eq!(names[&("conversations", "metrics")], "metrics");
    assert_eq!(names[&("queue-aggregates", "queue_aggregates")], "queue_aggregates");
    assert_eq!(names[&("queue-aggregates", "dimensions")], "queue_aggregates_dimensions");
    assert_eq!(names[&("queue-aggregates", "metrics")], "queue_aggregates_metrics");
}

#[test]
fn a_question_is_left_out_if_a_table_lacks_a_column_that_it_reads() {
    let columns = [("ani", true), ("purpose", false)];
    for (name, expected) in columns {
        let field = arrow::datatypes::Field::new(name, arrow::datatypes::DataType::Utf8, true);
        let schema = SchemaRef::new(Schema::new(vec![field]));
        let schemas = BTreeMap::from([("sessions".to_owned(), schema)]);
        assert_eq!(is_met("sessions.ani", &schemas), expected);
        assert!(is_met("sessions", &schemas) && !is_met("segments.ani", &schemas));
    }
}

#[test]
fn rows_whose_id_has_a_null_keep_their_computed_columns() {
    let catalog = CALLS.replace("id = \"no\"", "id = ['no', 'tags']");
    let catalog = catalog::read("calls.toml", &catalog).unwrap();
    let sql = printed(&catalog, Dialect::Duckdb, None);
    let calls = statement(&sql, "\"calls\"");
    let equal =
        "(flat.\"tags\" = sums1.\"tags\" OR (flat.\"tags\" IS NULL AND sums1.\"tags\" IS NULL))";
    assert!(calls.contains(equal), "{calls}");
}

#[test]
fn filters_of_times_count_and_any_of_a_null_is_false() {
    let catalog = CALLS
        .replace("by = \"legs[].parts[].at\"", "by = \"legs[].parts[kind=talk].at\"")
        .replace("[type.part]\n", "[type.part]\nkind = \"string\"\n")
        .replace("[type.leg]\n", "[type.leg]\ngood = \"boolean\"\n")
        .replace(
            "rows = \"legs[]\"\n",
            "rows = \"legs[]\"\ncolumns.isGood = { any = \"legs[].good\" }\n",
        );
    let catalog = catalog::read("calls.toml", &catalog).unwrap();
    let sql = printed(&catalog, Dialect::Duckdb, None);
    let by = "CASE WHEN r._e2.\"kind\" = 'talk' THEN r._e2.\"at\" END";
    let chosen = format!("arg_max(r._e1.\"agent\", row({by} IS NOT NULL, {by}, r._n1))");
    assert!(statement(&sql, "\"calls\"").contains(&chosen), "{sql}");
    let is_good = "coalesce(r._e1.\"good\", false) AS \"isGood\"";
    assert!(statement(&sql, "\"legs\"").contains(is_good), "{sql}");
}
