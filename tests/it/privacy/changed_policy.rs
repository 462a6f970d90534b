//! Commands on an output whose rows were written under another policy: those that would write rows
//! of responses are refused, the others keep what is hidden as it is.

use std::fs;

use cxbackfill::testing::LEDGER;

use super::{FROM, KEY, SET, TO, column, said};
use crate::common::{
    binary::{Job, Sandbox},
    reader::python,
};

const OTHER_KEY: &str = "privacy.key=another key of enough bytes";

/// Commands that would write rows, or plan to.
const REFUSED: [&[&str]; 6] = [
    &["run"],
    &["run", "--refresh", "1d"],
    &["run", "--again", "2024-01-01"],
    &["run", "--retry-failed"],
    &["plan"],
    &["run", "--ui=127.0.0.1:0"],
];

fn without_ledger(job: &Job) {
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(job.folder(&format!("{LEDGER}{suffix}")));
    }
}

/// The callers in the nested rows and in the table of sessions, whichever there are.
fn callers(job: &Job) -> Option<Vec<String>> {
    let python = python()?;
    let mut callers = column(python, &job.rows(), "participants.sessions.ani");
    callers.extend(column(python, &job.folder("conversations.tables/sessions"), "ani"));
    callers.retain(|caller| !caller.is_empty());
    callers.sort();
    callers.dedup();
    Some(callers)
}

#[test]
fn a_command_under_another_policy_is_refused_or_keeps_what_is_hidden() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=20"]);
    let truth = sandbox.truth(FROM, TO);
    let first: serde_json::Value = serde_json::from_str(truth.lines().next().unwrap()).unwrap();
    let id = first["conversationId"].as_str().unwrap();
    let rule = "privacy.columns.conversations={'participants[].sessions[].provider'='drop'}";
    for (written, changed, layouts) in [
        (&[SET, KEY][..], &[][..], ["nested", "both"]),
        (&[SET, KEY], &[], ["both", "nested"]),
        (&[SET, KEY], &[SET, OTHER_KEY], ["nested", "both"]),
        (&[SET, KEY], &[SET, OTHER_KEY], ["both", "tables"]),
        (&[SET, KEY], &[SET, KEY, "privacy.new_fields=keep"], ["nested", "tables"]),
        (&[SET, KEY], &[SET, KEY, rule], ["both", "nested"]),
        (&[], &[SET, KEY], ["nested", "both"]),
        (&[], &[SET, KEY], ["both", "tables"]),
    ] {
        let job = Job::new(&sandbox);
        let layouts = layouts.map(|layout| format!("output.layout={layout}"));
        let mut layout = &layouts[0];
        let common = ["fetch.shard=6h", "fetch.strategy=query"];
        let execute = |arguments: &[&str], layout: &String, policy: &[&str], code: i32| {
            let settings = [&common[..], &[layout], policy].concat();
            let output = job.command_of(arguments, FROM, TO, &settings).output().unwrap();
            let text = said(&output);
            let what = format!("{written:?} {changed:?} {layout}: {arguments:?}: {text}");
            assert_eq!(output.status.code(), Some(code), "{what}");
            (text, what)
        };
        let expect_refused = |layout: &String| {
            for arguments in REFUSED {
                let (text, what) = execute(arguments, layout, changed, 2);
                let expected = "the rows of `conversations` in this output were written with another \
                                [privacy], or another privacy.key, or without: rows of both would mix; \
                                restore it, or choose another output.path";
                assert!(text.contains(expected), "{what}");
            }
        };
        let expect_continued = |layout: &String| {
            let (text, what) = execute(&["run", "--summary", "json"], layout, written, 0);
            assert!(text.contains("\"requests\":0,"), "{what}");
        };
        execute(&["run"], layout, written, 0);
        let before = callers(&job);
        let is_hidden = !written.is_empty();
        for caller in before.iter().flatten() {
            assert_eq!(caller.len() == 64, is_hidden, "{caller}");
        }
        expect_refused(layout);
        execute(&["compact"], layout, changed, 0);
        execute(&["verify"], layout, changed, 0);
        assert_eq!(callers(&job), before);
        execute(&["forget", "--id", id, "--yes"], layout, changed, 0);
        let kept = callers(&job);
        layout = &layouts[1];
        execute(&["upgrade"], layout, changed, 0);
        assert_eq!(callers(&job), kept);
        expect_refused(layout);
        expect_continued(layout);
        without_ledger(&job);
        execute(&["rebuild"], layout, changed, 0);
        assert_eq!(callers(&job), kept);
        expect_refused(layout);
        execute(&["verify"], layout, changed, 0);
        expect_continued(layout);
        if let (Some(before), Some(kept)) = (before, kept) {
            assert!(kept.len() >= 5 && kept.iter().all(|caller| before.contains(caller)));
        }
    }
}
