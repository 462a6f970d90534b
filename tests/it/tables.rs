//! `output.layout = "both"`: the flat tables against the nested rows, by a script that shares
//! nothing with the program.

use std::process::Command;

use cxbackfill::testing::catalog;
use serde_json::Value;

use crate::common::{
    binary::{Job, Sandbox},
    reader::python,
};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tables.py");

/// Conversations of a day.
const A_DAY: usize = 1_000;

/// How many conversations are compared: `CONVERSATIONS`, or a few thousand.
fn conversations() -> usize {
    let wanted = std::env::var("CONVERSATIONS").ok();
    wanted.map_or(3 * A_DAY, |wanted| wanted.parse().expect("CONVERSATIONS is a number"))
}

/// Fetches all datasets of a platform that have tables, and compares both layouts. Returns what the
/// script counted. `None` without a suitable Python.
fn compare(platform: &str, conversations: usize, settings: &[&str]) -> Option<Value> {
    let python = python()?;
    let days = conversations.div_ceil(5 * A_DAY).max(3);
    let a_day = format!("sandbox.conversations_per_day={}", conversations.div_ceil(days));
    let sandbox = Sandbox::start(&[&a_day]);
    let job = Job::new(&sandbox);
    let datasets = catalog::builtin(platform).unwrap().datasets.values();
    let names: Vec<_> = datasets
        .filter(|dataset| !dataset.tables.is_empty())
        .map(|dataset| &dataset.name)
        .collect();
    let wanted = [format!("source.platform={platform}"), format!("job.datasets={names:?}")];
    let wanted: Vec<_> = wanted.iter().map(String::as_str).collect();
    let both = ["output.layout=both", "fetch.page_size=100"];
    let to = format!("2024-01-{:02}T00:00:00Z", days + 1);
    job.run("2024-01-01T00:00:00Z", &to, &[&wanted, &both[..], settings].concat());
    let out = job.folder("");
    let read = Command::new(python).arg(SCRIPT).arg(out).output().unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let told: Value = serde_json::from_slice(&read.stdout).unwrap();
    let compared = told["datasets"].as_object().unwrap();
    assert_eq!(compared.keys().collect::<Vec<_>>(), names, "each has rows and tables");
    Some(told)
}

#[test]
fn joins_of_the_tables_give_the_nested_rows_and_their_numbers_are_those_of_a_recount() {
    let conversations = conversations();
    let settings = ["fetch.attributes=true", "fetch.page_size=1000"];
    let Some(told) = compare("genesys-cloud", conversations, &settings) else { return };
    let kinds = &told["conversations"];
    assert!(kinds["all"].as_u64().unwrap() > conversations as u64 * 9 / 10, "{told}");
    let needed = [
        "open",
        "transferred",
        "abandoned",
        "answered",
        "late",
        "several agents",
        "without agents",
    ];
    assert!(needed.iter().all(|kind| kinds[kind].as_u64() > Some(0)), "{told}");
    let tables = &told["tables"];
    for table in ["attributes", "sessions", "segments", "metrics", "flow_outcomes"] {
        let name = format!("conversations.{table}");
        assert!(tables[&name].as_u64() > Some(0), "{name}: {told}");
    }
    if conversations > 3 * A_DAY {
        println!("{told}");
    }
}

#[test]
fn the_tables_of_cxone_give_the_nested_rows() {
    let Some(told) = compare("nice-cxone", 300, &[]) else { return };
    assert!(told["tables"]["contacts.tags"].as_u64() > Some(0), "{told}");
}
