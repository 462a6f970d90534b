//! The real binary forgets rows, and no later command brings them back.

use std::{collections::BTreeSet, fs};

use cxbackfill::testing::LEDGER;
use serde_json::Value;

use crate::common::{
    binary::{Job, Sandbox},
    fixture::copy,
    output_rows::rows_by_folder,
    reader::expect_equal,
};

const FROM: &str = "2024-01-01T00:00:00Z";
const TO: &str = "2024-01-04T00:00:00Z";

/// Runs a command of the job, which must end with this code, and returns what it printed.
#[track_caller]
fn execute(job: &Job, arguments: &[&str], code: i32) -> String {
    execute_with(job, arguments, &[], code)
}

/// The same with settings.
#[track_caller]
fn execute_with(job: &Job, arguments: &[&str], settings: &[&str], code: i32) -> String {
    let output = job.command_of(arguments, FROM, TO, settings).output().unwrap();
    let text = [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    text
}

/// The rows of the sandbox that are kept, and the ids of those that are not.
fn split_truth(
    sandbox: &Sandbox,
    mut is_kept: impl FnMut(&Value) -> bool,
) -> (String, Vec<String>) {
    let (mut kept, mut ids) = (String::new(), Vec::new());
    for line in sandbox.truth(FROM, TO).lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        match is_kept(&row) {
            true => kept.push_str(&format!("{line}\n")),
            false => ids.push(row["conversationId"].as_str().unwrap().to_owned()),
        }
    }
    (kept, ids)
}

fn without_ledger(job: &Job) {
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(job.folder(&format!("{LEDGER}{suffix}")));
    }
}

fn rows_forgotten(job: &Job) -> u64 {
    let status: Value = serde_json::from_str(&execute(job, &["status", "--json"], 0)).unwrap();
    status["datasets"][0]["rows_forgotten"].as_u64().unwrap()
}

#[test]
fn forgotten_conversations_are_gone_and_neither_refresh_nor_rebuild_brings_them_back() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=60"]);
    let job = Job::new(&sandbox);
    job.run(FROM, TO, &[]);
    let mut number = 0;
    // one of the first day and two of the last
    let (kept, ids) = split_truth(&sandbox, |_| {
        number += 1;
        ![7, 130, 140].contains(&number)
    });
    assert_eq!(ids.len(), 3);
    let mut forget = vec!["forget"];
    forget.extend(ids.iter().flat_map(|id| ["--id", id.as_str()]));
    let refused = execute(&job, &forget, 2);
    assert!(refused.contains("conversations: 3 rows and 0 quarantined rows of 3 ids"), "{refused}");
    assert!(refused.contains("--yes: "), "{refused}");
    expect_equal(&job.rows(), &sandbox.truth(FROM, TO));

    let said = execute(&job, &[&forget[..], &["--yes"]].concat(), 0);
    assert!(said.contains("in 2 committed intervals\nforgot 3 ids"), "{said}");
    let expect_forgotten = || {
        expect_equal(&job.rows(), &kept);
        execute(&job, &["verify"], 0);
        execute(&job, &["verify", "--remote"], 0);
        assert_eq!(rows_forgotten(&job), 3);
    };
    expect_forgotten();
    for file in [LEDGER, "_forgotten.json"] {
        let bytes = fs::read(job.folder(file)).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(ids.iter().all(|id| !text.contains(id)), "{file} names a forgotten id");
    }
    let refreshed = job.run(FROM, TO, &["job.refresh=30d"]);
    assert_eq!(
        (&refreshed["rows_received"], &refreshed["rows_written"], &refreshed["rows_forgotten"]),
        (&180.into(), &177.into(), &3.into())
    );
    expect_forgotten();
    without_ledger(&job);
    execute(&job, &["rebuild"], 0);
    expect_forgotten();
    job.run(FROM, TO, &["job.refresh=30d", "fetch.shard=6h"]);
    execute(&job, &["compact"], 0);
    expect_forgotten();

    let again = execute(&job, &[&forget[..], &["--yes"]].concat(), 0);
    assert!(again.contains("0 rows and 0 quarantined rows of 3 ids, in 0 "), "{again}");
    fs::remove_file(job.folder("_forgotten.json")).unwrap();
    let lost = job.command(FROM, TO, &["job.refresh=30d"]).output().unwrap();
    let lost = [&lost.stdout[..], &lost.stderr].map(String::from_utf8_lossy).concat();
    assert!(lost.contains("_forgotten.json") && lost.contains("it is missing"), "{lost}");
    expect_equal(&job.rows(), &kept);
}

#[test]
fn rows_that_meet_a_condition_are_forgotten() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=60"]);
    let job = Job::new(&sandbox);
    job.run(FROM, TO, &[]);
    let (kept, ids) = split_truth(&sandbox, |row| row["originatingDirection"] != "outbound");
    assert!(ids.len() > 5 && ids.len() < 150, "{} ids", ids.len());
    let forget =
        |condition: &str, code| execute(&job, &["forget", "--yes", "--where", condition], code);
    let said = forget("originatingDirection = 'outbound'", 0);
    assert!(said.contains(&format!("conversations: {} rows and ", ids.len())), "{said}");
    expect_equal(&job.rows(), &kept);
    execute(&job, &["verify", "--remote"], 0);
    let none = forget("originatingDirection = 'outbound'", 0);
    assert_eq!(none, "conversations: no row meets the condition\n");
    let nearest = forget("originatingDirektion = 'outbound'", 2);
    assert!(nearest.contains("originatingDirection"), "{nearest}");
}

#[test]
fn forgotten_conversations_are_gone_from_every_table_and_no_command_brings_them_back() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=40"]);
    for layout in ["tables", "both"] {
        let job = Job::new(&sandbox);
        let setting = format!("output.layout={layout}");
        let settings = [setting.as_str()];
        job.run(FROM, TO, &settings);
        let execute = |arguments: &[&str]| execute_with(&job, arguments, &settings, 0);
        let mut number = 0;
        let (_, ids) = split_truth(&sandbox, |row| {
            number += 1;
            let session = &row["participants"][0]["sessions"][0];
            number != 7 && session["mediaType"] != "chat"
        });
        assert!((2..60).contains(&ids.len()), "{} ids", ids.len());
        let mut rows = rows_by_folder(&job.folder(""));
        let root = rows["conversations.tables/conversations"].len();
        assert_eq!((root, rows.contains_key("conversations")), (120, layout == "both"));
        let forgotten: BTreeSet<_> = ids.iter().collect();
        rows.values_mut().for_each(|rows| rows.retain(|id, _| !forgotten.contains(id)));
        let (first, by_column) = (number_7(&sandbox), "participants[0].sessions[0].mediaType");
        let said = execute(&["forget", "--yes", "--id", &first]);
        assert!(said.contains("conversations: 1 rows and 0 quarantined rows of 1 ids"), "{said}");
        let condition = format!("{by_column} = 'chat'");
        execute(&["forget", "--yes", "--where", &condition]);
        let expect_forgotten = || {
            assert!(
                rows_by_folder(&job.folder("")) == rows,
                "{layout}: other rows than those kept"
            );
            let verified = execute(&["verify"]);
            assert!(verified.contains("all as the ledger says"), "{verified}");
        };
        expect_forgotten();
        execute(&["verify", "--remote"]);
        let refreshed = job.run(FROM, TO, &[settings[0], "job.refresh=30d", "fetch.shard=6h"]);
        assert_eq!(refreshed["rows_forgotten"], ids.len());
        expect_forgotten();
        execute(&["compact"]);
        expect_forgotten();
        without_ledger(&job);
        execute(&["rebuild"]);
        expect_forgotten();
        assert_eq!(job.run(FROM, TO, &settings)["requests"], 0, "nothing is missing");
        let none = execute(&["forget", "--yes", "--where", &condition]);
        assert_eq!(none, "conversations: no row meets the condition\n");
    }
}

/// The id of the seventh conversation.
fn number_7(sandbox: &Sandbox) -> String {
    let mut number = 0;
    let (_, ids) = split_truth(sandbox, |_| {
        number += 1;
        number != 7
    });
    ids[0].clone()
}

#[test]
fn rows_of_several_id_columns_are_named_by_a_condition() {
    let sandbox = Sandbox::start(&[]);
    let job = Job::new(&sandbox);
    let message = execute(&job, &["forget", "--id", "x", "--dataset", "usage"], 2);
    assert!(message.contains("rows of usage are identified by "), "{message}");
    assert!(message.contains("write --where \""), "{message}");
}

#[test]
fn a_removal_that_was_interrupted_is_completed_by_a_condition_that_no_row_meets_any_more() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=20"]);
    let job = Job::new(&sandbox);
    job.run(FROM, TO, &[]);
    let mut number = 0;
    let (kept, ids) = split_truth(&sandbox, |_| {
        number += 1;
        number != 30
    });
    // killed after it remembered the id, and before it removed the row
    let before = tempfile::tempdir().unwrap();
    copy(&job.folder(""), before.path());
    execute(&job, &["forget", "--yes", "--id", &ids[0]], 0);
    fs::copy(job.folder("_forgotten.json"), before.path().join("_forgotten.json")).unwrap();
    fs::remove_dir_all(job.folder("")).unwrap();
    copy(before.path(), &job.folder(""));
    expect_equal(&job.rows(), &sandbox.truth(FROM, TO));

    let forget = ["forget", "--yes", "--where", "conversationId = 'gone'"];
    let said = execute(&job, &forget, 0);
    assert!(said.contains("1 rows and 0 quarantined rows of ids that were forgotten"), "{said}");
    expect_equal(&job.rows(), &kept);
    execute(&job, &["verify"], 0);
    assert_eq!(execute(&job, &forget, 0), "conversations: no row meets the condition\n");
}
