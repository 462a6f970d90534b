//! The real binary on outputs of older versions of the program, kept in `tests/fixtures/`.

use std::{fs, path::Path};

use cxbackfill::testing::{LEDGER, Snapshot};

use crate::common::fixture::{self, LEDGER_1, copy};

/// Runs a command of the job that wrote the fixture, until `to`. Returns its exit code and output.
fn execute(folder: &Path, command: &[&str], to: &str) -> (i32, String) {
    let to = format!("job.to={to}T00:00:00Z");
    let settings = [r#"job.datasets=["audits"]"#, "sandbox.conversations_per_day=5", to.as_str()];
    fixture::execute(folder, command, &settings)
}

#[test]
fn an_output_with_a_ledger_of_version_1_is_read_and_continued() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out");
    copy(Path::new(LEDGER_1), &output);

    // reading does not migrate
    let (code, text) = execute(folder.path(), &["verify"], "2024-01-03");
    assert!(code == 0 && text.ends_with("all as the ledger says\n"), "{text}");
    let (code, text) = execute(folder.path(), &["status"], "2024-01-03");
    assert!(code == 0 && text.ends_with(": complete\n"), "{text}");
    let before = Snapshot::read(&output.join(LEDGER)).unwrap();
    assert_eq!(before.paths().count(), 2);

    // files that the old ledger does not know: one of the program, one of somebody else
    let folder_of_day = output.join("audits/date=2024-01-02");
    let file = fs::read_dir(&folder_of_day).unwrap().next().unwrap().unwrap().path();
    let [unknown, foreign] =
        ["unknown.parquet", "foreign.parquet"].map(|name| folder_of_day.join(name));
    fs::copy(file, &unknown).unwrap();
    fs::write(&foreign, "x").unwrap();

    // its files have the columns of an earlier version
    let (code, text) = execute(folder.path(), &["run"], "2024-01-04");
    assert!(code == 2 && text.contains("`cxbackfill upgrade`"), "{text}");
    let (code, text) = execute(folder.path(), &["upgrade"], "2024-01-04");
    assert_eq!(code, 0, "{text}");
    let before = Snapshot::read(&output.join(LEDGER)).unwrap();

    // the two days are not requested again
    let (code, text) = execute(folder.path(), &["run"], "2024-01-04");
    assert_eq!(code, 0, "{text}");
    let after = Snapshot::read(&output.join(LEDGER)).unwrap();
    let shards = &after.datasets["audits"].shards;
    assert_eq!(shards.len(), 3, "{shards:?}");
    for (old, new) in before.datasets["audits"].shards.iter().zip(shards) {
        assert_eq!((old.interval, &old.files), (new.interval, &new.files));
    }
    assert!(foreign.exists() && !unknown.exists());
    assert!(text.contains("moved files that the ledger does not know"), "{text}");
    let orphaned = fs::read_dir(output.join("_orphaned")).unwrap().next().unwrap().unwrap();
    assert!(orphaned.path().join("audits/date=2024-01-02/unknown.parquet").exists());
    fs::remove_file(foreign).unwrap();
    let (code, text) = execute(folder.path(), &["verify"], "2024-01-04");
    assert!(code == 0 && text.ends_with("all as the ledger says\n"), "{text}");

    // from now on an unknown file of the program is refused
    let known = fs::read_dir(output.join("audits/date=2024-01-03")).unwrap().next().unwrap();
    fs::copy(known.unwrap().path(), output.join("audits/date=2024-01-03/unknown.parquet")).unwrap();
    let (code, text) = execute(folder.path(), &["run"], "2024-01-05");
    assert!(code == 2 && text.contains("cxbackfill rebuild"), "{text}");
    let (code, text) = execute(folder.path(), &["rebuild"], "2024-01-05");
    assert!(code == 1 && text.contains("it is a copy of a file of the ledger"), "{text}");
    let (code, text) = execute(folder.path(), &["run"], "2024-01-05");
    assert_eq!(code, 0, "{text}");
}
