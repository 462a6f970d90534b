//! What differs between the dialects.

use arrow::datatypes::DataType;

use super::*;
use crate::commands::views::dialect::Pick;

/// What a dialect writes about the lists of a call: how a column that is chosen from its legs and
/// the parts of these is joined and picked, and how the parts and the tags become rows.
struct Written {
    dialect: Dialect,
    chosen: [&'static str; 2],
    parts: [&'static str; 3],
    tags: [&'static str; 3],
}

const WRITTEN: [Written; 4] = [
    Written {
        dialect: Dialect::Duckdb,
        chosen: [
            "unnest(CASE WHEN len(r.\"legs\") > 0 THEN r.\"legs\" ELSE [NULL] END) AS _e1,\n    \
             unnest(CASE WHEN len(r.\"legs\") > 0 THEN range(1, len(r.\"legs\") + 1) ELSE [NULL] \
             END) AS _n1 FROM",
            "arg_max(r._e1.\"agent\", row(r._e2.\"at\" IS NOT NULL, r._e2.\"at\", r._n1)) FILTER \
             (WHERE r._e1.\"agent\" IS NOT NULL)",
        ],
        parts: [
            "unnest(r._e1.\"parts\") AS _e2,\n    unnest(range(1, len(r._e1.\"parts\") + 1)) AS _n2",
            "r._n1 AS \"legNumber\"",
            "r._e2.\"at\" AS \"part_at\"",
        ],
        tags: [
            "unnest(map_entries(r.\"tags\")) AS _e1",
            "r._n1 AS \"tagNumber\"",
            "r._e1.\"value\" AS \"value\"",
        ],
    },
    Written {
        dialect: Dialect::Spark,
        chosen: [
            "LATERAL VIEW OUTER posexplode(r.`legs`) u1 AS n1, e1\n    \
             LATERAL VIEW OUTER posexplode(e1.`parts`) u2 AS n2, e2",
            "max_by(e1.`agent`, struct(e2.`at` IS NOT NULL, e2.`at`, n1)) FILTER (WHERE e1.`agent` IS \
             NOT NULL)",
        ],
        parts: [
            "LATERAL VIEW posexplode(r.`legs`) u1 AS n1, e1\n    \
             LATERAL VIEW posexplode(e1.`parts`) u2 AS n2, e2",
            "(n1 + 1) AS `legNumber`",
            "e2.`at` AS `part_at`",
        ],
        tags: [
            "LATERAL VIEW posexplode(map_entries(r.`tags`)) u1 AS n1, e1",
            "(n1 + 1) AS `tagNumber`",
            "e1.`value` AS `value`",
        ],
    },
    Written {
        dialect: Dialect::Snowflake,
        chosen: [
            "LATERAL FLATTEN(input => r.\"LEGS\", outer => TRUE) AS u1,\n    \
             LATERAL FLATTEN(input => u1.value:\"parts\", outer => TRUE) AS u2",
            "(array_agg(u1.value:\"agent\"::STRING) WITHIN GROUP (ORDER BY \
             u2.value:\"at\"::TIMESTAMP_TZ IS NOT NULL DESC, u2.value:\"at\"::TIMESTAMP_TZ DESC, \
             u1.index DESC))[0]::STRING AS \"AGENT\"",
        ],
        parts: [
            "LATERAL FLATTEN(input => r.\"LEGS\") AS u1,\n    \
             LATERAL FLATTEN(input => u1.value:\"parts\") AS u2",
            "(u1.index + 1) AS \"LEGNUMBER\"",
            "u2.value:\"at\"::TIMESTAMP_TZ AS \"PART_AT\"",
        ],
        tags: [
            "LATERAL FLATTEN(input => r.\"TAGS\") AS u1",
            "row_number() OVER (PARTITION BY u1.seq ORDER BY u1.key) AS \"TAGNUMBER\"",
            "u1.key AS \"KEY\",\n    u1.value::STRING AS \"VALUE\"",
        ],
    },
    Written {
        dialect: Dialect::Bigquery,
        chosen: [
            "LEFT JOIN UNNEST(r.`legs`) AS e1 WITH OFFSET AS n1\n    \
             LEFT JOIN UNNEST(e1.`parts`) AS e2 WITH OFFSET AS n2",
            "array_agg(e1.`agent` IGNORE NULLS ORDER BY e2.`at` IS NOT NULL DESC, e2.`at` DESC, n1 DESC \
             LIMIT 1)[SAFE_OFFSET(0)] AS `agent`",
        ],
        parts: [
            "CROSS JOIN UNNEST(r.`legs`) AS e1 WITH OFFSET AS n1\n    \
             CROSS JOIN UNNEST(e1.`parts`) AS e2 WITH OFFSET AS n2",
            "(n1 + 1) AS `legNumber`",
            "e2.`at` AS `part_at`",
        ],
        tags: [
            "CROSS JOIN UNNEST(r.`tags`.key_value) AS e1 WITH OFFSET AS n1",
            "(n1 + 1) AS `tagNumber`",
            "e1.`value` AS `value`",
        ],
    },
];

#[test]
fn lists_maps_positions_and_choices_are_written_as_each_dialect_has_them() {
    let catalog = catalog::read("calls.toml", CALLS).unwrap();
    for Written { dialect, chosen, parts, tags } in WRITTEN {
        let sql = printed(&catalog, dialect, None);
        for (view, expected) in [("calls", &chosen[..]), ("parts", &parts), ("tags", &tags)] {
            let view = statement(&sql, &dialect.name(view));
            for part in expected {
                assert!(view.contains(part), "{part} is missing in {view}");
            }
        }
    }
}

#[test]
fn values_without_an_order_are_chosen_by_their_positions_in_every_list() {
    let pick = |dialect: Dialect, is_last, condition, by| {
        dialect.pick(Pick {
            value: "v",
            data_type: &DataType::Utf8,
            condition,
            by,
            positions: &["i".to_owned(), "j".to_owned()],
            is_last,
        })
    };
    for (dialect, first, conditional) in [
        (
            Dialect::Duckdb,
            "arg_min(v, row(i, j)) FILTER (WHERE v IS NOT NULL)",
            "arg_min(v, row(b IS NULL, b, i, j)) FILTER (WHERE v IS NOT NULL AND c)",
        ),
        (
            Dialect::Spark,
            "min_by(v, struct(i, j)) FILTER (WHERE v IS NOT NULL)",
            "min_by(v, struct(b IS NULL, b, i, j)) FILTER (WHERE v IS NOT NULL AND c)",
        ),
        (
            Dialect::Snowflake,
            "(array_agg(v) WITHIN GROUP (ORDER BY i, j))[0]::STRING",
            "(array_agg(CASE WHEN c THEN v END) WITHIN GROUP (ORDER BY b IS NULL, b, i, j))[0]::STRING",
        ),
        (
            Dialect::Bigquery,
            "array_agg(v IGNORE NULLS ORDER BY i, j LIMIT 1)[SAFE_OFFSET(0)]",
            "array_agg(CASE WHEN c THEN v END IGNORE NULLS ORDER BY b IS NULL, b, i, j LIMIT 1)\
             [SAFE_OFFSET(0)]",
        ),
    ] {
        assert_eq!(pick(dialect, false, "", None), first);
        assert_eq!(pick(dialect, false, "c", Some("b")), conditional);
        let last = pick(dialect, true, "", None);
        let is_descending = last.contains("arg_max") || last.contains("max_by");
        assert!(is_descending || last.contains("i DESC, j DESC"), "{last}");
    }
}

#[test]
fn seconds_and_half_hours_are_written_as_each_dialect_has_them() {
    let written = Dialect::value_variants()
        .iter()
        .map(|dialect| [dialect.seconds("a", "b"), dialect.half_hour("a")]);
    let expected = [
        ["(epoch_us(b) - epoch_us(a)) / 1000000", "time_bucket(INTERVAL 30 MINUTE, a)"],
        [
            "(unix_micros(b) - unix_micros(a)) / 1000000",
            "timestamp_seconds(floor(unix_seconds(a) / 1800) * 1800)",
        ],
        [
            "timestampdiff(MICROSECOND, a, b) / 1000000",
            "time_slice(convert_timezone('UTC', a)::TIMESTAMP_NTZ, 30, 'MINUTE')",
        ],
        [
            "timestamp_diff(b, a, MICROSECOND) / 1000000",
            "timestamp_seconds(div(unix_seconds(a), 1800) * 1800)",
        ],
    ];
    assert_eq!(written.collect::<Vec<_>>(), expected);
}

#[test]
fn files_in_a_stage_or_a_bucket_are_read_with_the_types_and_names_that_they_have() {
    let catalog = catalog::read("calls.toml", CALLS).unwrap();
    let sql = printed(&catalog, Dialect::Snowflake, Some("lake"));
    let format = "CREATE OR REPLACE FILE FORMAT \"LAKE\".\"CXBACKFILL_PARQUET\" TYPE = PARQUET \
                  USE_LOGICAL_TYPE = TRUE USE_VECTORIZED_SCANNER = TRUE;\n";
    assert!(sql.starts_with(format), "{sql}");
    let rows = statement(&sql, "\"LAKE\".\"CALLS_ROWS\"");
    for part in [
        "\n    $1:\"no\"::BIGINT AS \"NO\",",
        "\n    $1:\"at\"::TIMESTAMP_TZ AS \"AT\",",
        "\n    $1:\"legs\" AS \"LEGS\",",
        "\n    to_date(regexp_substr(metadata$filename, 'date=([0-9-]+)', 1, 1, 'e')) AS \"DATE\"\n",
        "FROM '/out/calls/' (FILE_FORMAT => '\"LAKE\".\"CXBACKFILL_PARQUET\"', PATTERN => \
         '.*[.]parquet')",
    ] {
        assert!(rows.contains(part), "{part} is missing in {rows}");
    }
    let sql = printed(&catalog, Dialect::Bigquery, Some("lake"));
    let table = "CREATE OR REPLACE EXTERNAL TABLE `lake`.`calls_rows`\n\
                 WITH PARTITION COLUMNS (`date` DATE)\n\
                 OPTIONS (format = 'PARQUET', enable_list_inference = TRUE,\n    \
                 uris = ['/out/calls/*.parquet'],\n    hive_partition_uri_prefix = '/out/calls');\n";
    assert!(sql.contains(table), "{sql}");
}

#[test]
fn an_entry_of_a_map_is_chosen_by_its_position_and_in_snowflake_by_its_key() {
    let column = "tagged  = { any = \"tags[]\" }\n";
    let catalog = CALLS.replace(column, &format!("{column}tag = {{ last = \"tags[].value\" }}\n"));
    let catalog = catalog::read("calls.toml", &catalog).unwrap();
    for (dialect, expected) in [
        (Dialect::Duckdb, "arg_max(r._e1.\"value\", row(r._n1))"),
        (Dialect::Spark, "max_by(e1.`value`, struct(n1))"),
        (
            Dialect::Snowflake,
            "(array_agg(u1.value::STRING) WITHIN GROUP (ORDER BY u1.key DESC))[0]::STRING AS \"TAG\"",
        ),
        (Dialect::Bigquery, "array_agg(e1.`value` IGNORE NULLS ORDER BY n1 DESC LIMIT 1)"),
    ] {
        let sql = printed(&catalog, dialect, None);
        let calls = statement(&sql, &dialect.name("calls"));
        assert!(calls.contains(expected), "{expected} is missing in {calls}");
    }
}

#[test]
fn maps_of_an_id_are_texts_whose_keys_are_sorted() {
    let written = Dialect::value_variants().iter().map(|dialect| dialect.key_text("m"));
    let expected = [
        "to_json(map_from_entries(list_sort(map_entries(m))))::VARCHAR",
        "to_json(map_from_entries(array_sort(map_entries(m))))",
        // an object of Snowflake has its keys in order
        "to_json(m)",
        "(SELECT concat('{', string_agg(concat(to_json_string(entry.key), ':', \
         to_json_string(entry.value)), ',' ORDER BY entry.key), '}') FROM UNNEST(m.key_value) AS entry)",
    ];
    assert_eq!(written.collect::<Vec<_>>(), expected);
}

#[test]
fn characters_of_patterns_in_the_name_of_a_folder_mean_themselves() {
    let written = |dialect| {
        let names = Namespace { dialect, schema: None };
        files::statement(&names, "v", "/it's [1] {2} *?`", &Schema::empty())
    };
    let duckdb = written(Dialect::Duckdb);
    assert!(duckdb.contains("read_parquet('/it''s [[]1] {2} [*][?]`/**/*.parquet'"), "{duckdb}");
    let spark = written(Dialect::Spark);
    assert!(spark.contains("parquet.`/it's \\[1\\] \\{2\\} \\*\\?```;"), "{spark}");
}
