use std::collections::BTreeSet;

use super::*;
use arrow::datatypes::DataType;

use crate::catalog::{self, Dataset, EXTRA, PLATFORMS};

const CATALOG: &str = r#"
[dataset.calls]
version = 1
id      = "callId"
time    = "startedAt"
columns = "call"
query   = { path = "/calls", rows = "/calls", paging = "none" }
TABLES
[type.call]
callId    = "string"
medium    = "string"
startedAt = "timestamp"
endedAt   = "timestamp"
agent     = "agent"
legs      = "list<leg>"
notes     = "map"
[type.agent]
agentId = "int64"
skills  = "list<string>"
[type.leg]
agentId   = "string"
startedAt = "timestamp"
seconds   = "double"
parts     = "list<part>"
[type.part]
kind = "string"
ms   = "int64"
medium = "string"
"#;

const TABLES: &str = r#"
[dataset.calls.tables.parts]
rows    = "legs[].parts[]"
inherit = ["agent.agentId", "legs[].seconds"]
columns = { callSeconds = { seconds = ["startedAt", "endedAt"] }, ms_of_leg = { sum = "legs[].parts[].ms" } }
[dataset.calls.tables.calls]
[dataset.calls.tables.legs]
rows = "legs[]"
[dataset.calls.tables.notes]
rows = "notes[]"
"#;

fn read(tables: &str) -> Result<Dataset, String> {
    let catalog = catalog::read("own.toml", &CATALOG.replace("TABLES", tables));
    catalog.map(|catalog| Dataset::clone(&catalog.datasets["calls"])).map_err(|e| e.to_string())
}

fn columns(table: &Table) -> Vec<&str> {
    table.schema.fields().iter().map(|field| field.name().as_str()).collect()
}

#[test]
fn a_table_has_keys_positions_inherited_own_and_computed_columns() {
    let dataset = read(TABLES).unwrap();
    let names: Vec<_> = dataset.tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(names, ["calls", "legs", "notes", "parts"], "outer ones first");
    let [calls, legs, notes, parts] =
        dataset.tables.iter().map(|table| &**table).collect::<Vec<_>>()[..]
    else {
        panic!("{names:?}")
    };
    let expected =
        ["callId", "startedAt", "medium", "endedAt", "agent_agentId", "agent_skills", EXTRA];
    assert_eq!(columns(calls), expected);
    assert_eq!(columns(notes), ["callId", "startedAt", "noteNumber", "key", "value"]);
    let expected = [
        "callId",
        "startedAt",
        "legNumber",
        "partNumber",
        "agent_agentId",
        "seconds",
        "kind",
        "ms",
        "medium",
        "callSeconds",
        "ms_of_leg",
    ];
    assert_eq!(columns(parts), expected);
    let types = ["ms_of_leg", "callSeconds", "partNumber", "agent_agentId"]
        .map(|name| parts.schema.field_with_name(name).unwrap().data_type().clone());
    let integer = DataType::Int64;
    assert_eq!(types, [integer.clone(), DataType::Float64, integer.clone(), integer]);
    assert!(calls.is_root() && !legs.is_root());
}

#[test]
fn a_position_is_called_by_the_name_of_one_element() {
    for (dataset, table, expected) in [
        ("conversations", "properties", "propertyNumber"),
        ("conversations", "sessions", "sessionNumber"),
        ("users", "addresses", "addressNumber"),
        ("audits", "entity_changes", "entityChangeNumber"),
    ] {
        let tables = &catalog::test_dataset(dataset).tables;
        let table = tables.iter().find(|found| found.name == table).unwrap();
        let position = table.key_columns + table.rows.len() - 1;
        assert_eq!(columns(table)[position], expected);
    }
}

#[test]
fn a_list_without_a_table_stays_a_column() {
    let dataset =
        read("[dataset.calls.tables.calls]\n[dataset.calls.tables.legs]\nrows = 'legs[]'").unwrap();
    assert_eq!(columns(&dataset.tables[0])[6..], ["notes", EXTRA]);
    assert_eq!(columns(&dataset.tables[1])[3..], ["agentId", "leg_startedAt", "seconds", "parts"]);
}

#[test]
fn an_error_names_the_key_of_the_table_and_the_reason() {
    for (tables, expected) in [
        ("calls]\nrows = 'legs['", "calls.rows: `legs[` is not a path"),
        (
            "calls]\nrows = 'legs'",
            "calls.rows: `legs` does not lead to a list of objects or to a map",
        ),
        (
            "calls]\nrows = 'agent.skills[]'",
            "calls.rows: `agent.skills[]` does not lead to a list of",
        ),
        ("calls]\nrows = 'legs[agentId=a]'", "calls.rows: `legs[agentId=a]` does not lead to"),
        ("legs]\nrows = 'legs[]'", "legs.rows: what contains these rows is no table"),
        ("calls]\n[dataset.calls.tables.two]", "two.rows: another table has the same rows"),
        ("Calls]", "Calls: `Calls` is not a valid name of a table"),
        ("calls]\nrow = 'legs[]'", "calls.row: unknown field `row`"),
        (
            "calls]\ninherit = ['medium']",
            "calls.inherit: `medium` is no value of what contains a row",
        ),
        (
            "calls]\n[dataset.calls.tables.l]\nrows='legs[]'\ninherit=['agent']",
            "l.inherit: `agent` is no",
        ),
        (
            "calls]\n[dataset.calls.tables.l]\nrows='legs[]'\ninherit=['legs[].parts[].kind']",
            "l.inherit: ",
        ),
        (
            "calls]\n[dataset.calls.tables.l]\nrows='legs[]'\ninherit=['nr']",
            "l.inherit: `nr` leads to no column",
        ),
        (
            "calls]\n[dataset.calls.tables.l]\nrows='legs[]'\ncolumns.x = { first = 'legs[agentId=a].seconds' }",
            "l.columns.x: `legs[agentId=a].seconds`: it `legs` is a list that contains the table's row",
        ),
        (
            "calls]\ncolumns.x = { }",
            "calls.columns.x: give one of `first`, `last`, `sum`, `any` and `seconds`",
        ),
        (
            "calls]\ncolumns.x = { first = 'medium', any = 'legs[]' }",
            "calls.columns.x: give one of",
        ),
        ("calls]\ncolumns.x = { any = 'legs[]', by = 'endedAt' }", "calls.columns.x: `by` orders"),
        (
            "calls]\ncolumns.x = { any = 'legs[]', unit = 'ms' }",
            "calls.columns.x: `unit` is that of",
        ),
        (
            "calls]\ncolumns.x = { sum = 'legs[].seconds', unit = 'h' }",
            "calls.columns.x.unit: unknown variant `h`",
        ),
        (
            "calls]\ncolumns.x = { sum = 'legs[].agentId' }",
            "calls.columns.x: `legs[].agentId` is not an int64",
        ),
        ("calls]\ncolumns.x = { first = 'legs[]' }", "calls.columns.x: `legs[]` is not a value"),
        (
            "calls]\ncolumns.x = { first = 'legs[seconds=1].agentId' }",
            "calls.columns.x: `legs[seconds=1].agentId`: it leads to no column",
        ),
        (
            "calls]\ncolumns.x = { first = 'legs[].agentId', by = 'legs[].agentId' }",
            "calls.columns.x: `legs[].agentId` is not a timestamp",
        ),
        (
            "calls]\ncolumns.x = { first = 'legs[].agentId', by = 'startedAt' }",
            "calls.columns.x: `startedAt`: it has no list in common",
        ),
        (
            "calls]\ncolumns.x = { first = 'legs[].agentId', by = 'legs[agentId=a].startedAt' }",
            "calls.columns.x: `legs[agentId=a].startedAt`: a list that it shares with the values has another filter",
        ),
        (
            "calls]\ncolumns.x = { seconds = ['startedAt', 'medium'] }",
            "calls.columns.x: `medium` is not one timestamp",
        ),
        (
            "calls]\ncolumns.x = { seconds = ['startedAt', 'legs[].startedAt'] }",
            "calls.columns.x: `legs[].startedAt` is not one",
        ),
        (
            "calls]\ncolumns.Medium = { any = 'legs[]' }",
            "calls: two of its columns are called `medium`",
        ),
        ("calls]\ncolumns.Date = { any = 'legs[]' }", "calls: a column cannot be called `date`"),
    ] {
        let error = read(&format!("[dataset.calls.tables.{tables}")).map(|_| ()).unwrap_err();
        let expected = format!("own.toml: dataset.calls.tables.{expected}");
        assert!(error.starts_with(&expected), "{error}\n{expected}");
    }
    let many: String = (0..51).map(|n| format!("[dataset.calls.tables.t{n}]\n")).collect();
    let error = read(&many).map(|_| ()).unwrap_err();
    assert!(error.ends_with("dataset.calls.tables: there are 51 tables: at most 50"), "{error}");
}

#[test]
fn a_dataset_whose_id_is_a_list_or_an_object_has_no_tables() {
    let own = |id: &str, more: &str| {
        let catalog = CATALOG.replace("id      = \"callId\"", id).replace(
            "TABLES",
            &format!(
                "[dataset.calls.tables.calls]
{more}"
            ),
        );
        catalog::read("own.toml", &catalog).map_err(|error| error.to_string())
    };
    let error = own("id = ['callId', 'agent']", "").map(|_| ()).unwrap_err();
    assert!(
        error.contains("dataset.calls.tables.calls: rows of tables are joined by the id"),
        "{error}"
    );
    let error = own("id = ['callId', 'notes']", "").map(|_| ()).unwrap_err();
    assert!(error.contains("add a table with `rows = \"notes[]\"`"), "{error}");
    let notes = "[dataset.calls.tables.notes]\nrows = 'notes[]'";
    let catalog = own("id = ['callId', 'notes']", notes).unwrap();
    let table = &catalog.datasets["calls"].tables[0];
    assert_eq!(columns(table)[..3], ["callId", "notes", "startedAt"]);
    assert_eq!(*table.schema.field(1).data_type(), DataType::Utf8, "a map becomes text");
}

/// Where each leaf of nested columns stands, maps as lists of keys and values.
fn leaves(data_type: &DataType, place: &str, found: &mut BTreeSet<String>) {
    match data_type {
        DataType::Struct(fields) => {
            for field in fields {
                leaves(field.data_type(), &format!("{place}.{}", field.name()), found);
            }
        }
        DataType::List(element) if matches!(element.data_type(), DataType::Struct(_)) => {
            leaves(element.data_type(), &format!("{place}[]"), found);
        }
        DataType::Map(entry, _) if place != format!(".{EXTRA}") => {
            leaves(entry.data_type(), &format!("{place}[]"), found);
        }
        _ => assert!(found.insert(place.to_owned()), "{place}"),
    }
}

/// Where each value stands that a table has as its own.
fn own_columns(table: &Table) -> Vec<String> {
    let names = |members: &[Member]| -> String {
        members.iter().map(|member| format!(".{}", member.name)).collect()
    };
    let rows: String = table.rows.iter().map(|list| names(&list.members) + "[]").collect();
    let mut found = Vec::new();
    for source in &table.columns {
        if let Source::Value { place, is_own: true } = source {
            assert_eq!((place.level, place.lists.len()), (table.rows.len(), 0));
            found.push(format!("{rows}{}", names(&place.value)));
        }
    }
    found
}

fn is_nested(dataset: &Dataset) -> bool {
    let fields = dataset.schema.fields().iter().filter(|field| field.name() != EXTRA);
    let mut fields = fields.map(|field| field.data_type());
    fields.any(|data_type| match data_type {
        DataType::Struct(_) | DataType::Map(..) => true,
        DataType::List(element) => matches!(element.data_type(), DataType::Struct(_)),
        _ => false,
    })
}

#[test]
fn each_value_of_a_built_in_nested_dataset_is_in_one_table() {
    for platform in PLATFORMS {
        for dataset in catalog::builtin(platform).unwrap().datasets.values() {
            assert_eq!(is_nested(dataset), !dataset.tables.is_empty(), "{}", dataset.name);
            for dataset in [&**dataset, &dataset.without_extras()] {
                if dataset.tables.is_empty() {
                    continue;
                }
                let mut expected = BTreeSet::new();
                leaves(&DataType::Struct(dataset.schema.fields().clone()), "", &mut expected);
                let own = || dataset.tables.iter().flat_map(|table| own_columns(table));
                assert_eq!(own().collect::<BTreeSet<_>>(), expected, "{}", dataset.name);
                assert_eq!(own().count(), expected.len(), "{}: a value twice", dataset.name);
            }
        }
    }
}

#[test]
fn a_table_of_columns_that_are_not_fetched_is_left_out() {
    let dataset = catalog::test_dataset("conversations");
    let names = |dataset: &Dataset| -> BTreeSet<String> {
        dataset.tables.iter().map(|table| table.name.clone()).collect()
    };
    let (all, without) = (names(dataset), names(&dataset.without_extras()));
    let missing: Vec<_> = all.difference(&without).map(String::as_str).collect();
    assert_eq!((missing, all.len()), (vec!["attributes"], 15));
    assert!(without.is_subset(&all));
}

#[test]
fn what_leads_to_a_column_that_is_not_there_is_left_out_of_the_tables() {
    let dataset = read(TABLES).unwrap();
    let key = RowKey { toml: "", id: &dataset.id, time: &dataset.time };
    let without = |path: &[&str]| {
        let fields = catalog::schema::without(dataset.schema.fields(), path);
        let tables = without_missing(&dataset.tables, &fields, &key);
        tables.iter().flat_map(|table| of_table(table)).collect::<BTreeSet<_>>()
    };
    let all: BTreeSet<_> = dataset.tables.iter().flat_map(|table| of_table(table)).collect();
    for (path, expected) in [
        (&["legs", "seconds"][..], vec!["legs.seconds", "parts.seconds"]),
        (&["legs", "parts", "ms"], vec!["parts.ms", "parts.ms_of_leg"]),
        (&["endedAt"], vec!["calls.endedAt", "parts.callSeconds"]),
    ] {
        let found = without(path);
        assert_eq!(all.difference(&found).collect::<Vec<_>>(), expected);
        assert!(found.is_subset(&all));
    }
    assert!(!without(&["legs", "parts"]).iter().any(|column| column.starts_with("parts.")));
}

/// The columns of a table, with its name.
fn of_table(table: &Table) -> Vec<String> {
    columns(table).iter().map(|column| format!("{}.{column}", table.name)).collect()
}

#[test]
fn the_id_and_the_time_are_not_columns_that_only_one_endpoint_returns() {
    for (extra, expected) in [("callId", false), ("startedAt", false), ("medium", true)] {
        let extras = format!(r#""none", extras = ["{extra}"]"#);
        let catalog = CATALOG.replace(r#""none""#, &extras).replace("TABLES", TABLES);
        let read = catalog::read("own.toml", &catalog);
        let error = read.as_ref().map(|_| String::new()).unwrap_or_else(ToString::to_string);
        assert_eq!(error.is_empty(), expected, "{error}");
        let of_extras = "own.toml: dataset.calls.query.extras: names the id or the time";
        assert!(expected || error.starts_with(of_extras), "{error}");
        if let Ok(catalog) = read {
            assert_eq!(catalog.without_extras().datasets["calls"].tables.len(), 4);
        }
    }
}
