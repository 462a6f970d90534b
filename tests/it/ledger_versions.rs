//! The real binary on outputs of older versions of the program, kept in `tests/fixtures/`.

use std::{fs, path::Path};

use cxbackfill::testing::{LEDGER, Snapshot};

use crate::common::binary::{SIMULATED, program, set};

/// Written by the last program with a ledger of version 1: two days of `audits`.
const VERSION_1: &str = "tests/fixtures/output-v1";

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// Runs a command of the job that wrote the fixture, until `to`. Returns its exit code and output.
fn execute(folder: &Path, command: &[&str], to: &str) -> (i32, String) {
    let mut program = program(folder, command);
    set(&mut program, &SIMULATED);
    let to = format!("job.to={to}T00:00:00Z");
    let settings = [r#"job.datasets=["audits"]"#, "sandbox.conversations_per_day=5", to.as_str()];
    set(&mut program, &settings);
    let output = program.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

#[test]
fn an_output_with_a_ledger_of_version_1_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out");
    copy(Path::new(VERSION_1), &output);

    // reading does not migrate
    let (code, text) = execute(folder.path(), &["verify"], "2024-01-03");
    assert!(code == 0 && text.ends_with("all as the ledger says\n"), "{text}");
    let (code, text) = execute(folder.path(), &["status"], "2024-01-03");
    assert!(code == 0 && text.ends_with(": complete\n"), "{text}");
    let before = Snapshot::read(&output.join(LEDGER)).unwrap();
    assert_eq!(before.paths().count(), 2);

    // its files have another version of the columns
    let (code, text) = execute(folder.path(), &["run"], "2024-01-04");
    assert!(code == 2 && text.contains("dataset.audits.version"), "{text}");
}
