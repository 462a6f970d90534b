use super::{open::copy, *};
use crate::ledger::{LEDGER, Ledger, schema};

fn interval(from: i64, to: i64) -> Interval {
    Interval::new(from, to).unwrap()
}

fn record(from: i64, to: i64) -> ShardRecord {
    let file =
        FileRecord { path: format!("d/{from}.parquet"), rows: 7, bytes: 2, sha256: "00".into() };
    ShardRecord {
        dataset: "d".into(),
        interval: interval(from, to),
        counts: Counts { received: 9, written: 7, not_owned: 2, ..Counts::default() },
        files: vec![file],
        commit_id: "c".into(),
        open_rows: 3,
        details: ShardDetails::default(),
    }
}

#[test]
fn a_ledger_is_read_while_a_run_has_it_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(LEDGER);
    let ledger = Ledger::open(&path).unwrap();
    ledger.record_identity(&BTreeMap::from([("source".into(), "here".into())])).unwrap();
    ledger.commit(&[record(10, 20)], &[], &[], false).unwrap();
    let failure = Failure {
        dataset: "d".into(),
        interval: interval(30, 40),
        reason: "no".into(),
        correlation: "c".into(),
    };
    ledger.fail(&failure).unwrap();
    let doubt = DoubtfulInterval {
        dataset: "d".into(),
        interval: interval(10, 20),
        kind: GapKind::Quarantined,
        reason: "2 of 9 rows".into(),
    };
    ledger.record_doubt(&doubt).unwrap();

    let snapshot = Snapshot::read(&path).unwrap();
    assert_eq!(snapshot.identity["source"], "here");
    let records = &snapshot.datasets["d"];
    assert_eq!((&records.failures, &records.doubtful), (&vec![failure], &vec![doubt]));
    let (shard, expected) = (&records.shards[0], record(10, 20));
    assert_eq!((shard.interval, shard.counts), (expected.interval, expected.counts));
    assert_eq!((&shard.files, shard.open_rows), (&expected.files, expected.open_rows));
    // reading does not block the run
    ledger.commit(&[record(20, 30)], &[], &[], false).unwrap();
    assert_eq!(Snapshot::read(&path).unwrap().paths().count(), 2);
}

/// The names of the files beside the ledger, its own included.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

#[test]
fn the_last_reader_leaves_the_ledger_alone_and_its_commits_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(LEDGER);
    let ledger = Ledger::open(&path).unwrap();
    ledger.commit(&[record(10, 20)], &[], &[], false).unwrap();
    Snapshot::read(&path).unwrap();
    assert_eq!(names(folder.path()).len(), 3, "the run still needs what is beside it");
    // what is left of a killed run: its last connection was not closed
    let killed = copy(&path).unwrap();
    let copied = killed.path().join(LEDGER);
    assert_eq!(Snapshot::read(&copied).unwrap().paths().count(), 1);
    assert_eq!(names(killed.path()), [LEDGER]);
    drop(ledger);
    assert_eq!(Snapshot::read(&path).unwrap().paths().count(), 1);
    assert_eq!(names(folder.path()), [LEDGER]);
}

#[test]
fn a_connection_of_a_reader_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(LEDGER);
    drop(Ledger::open(&path).unwrap());
    let delete = |view: &Connection, _| view.execute("DELETE FROM identity", []);
    let error = read(&path, delete).unwrap_err().to_string();
    assert!(error.contains("readonly"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_ledger_that_may_only_be_read_is_read() {
    use std::{fs::set_permissions, os::unix::fs::PermissionsExt};

    for mode in [0o600, 0o400] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LEDGER);
        let ledger = Ledger::open(&path).unwrap();
        ledger.commit(&[record(10, 20)], &[], &[], false).unwrap();
        drop(ledger);
        set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        set_permissions(folder.path(), PermissionsExt::from_mode(0o500)).unwrap();
        assert_eq!(Snapshot::read(&path).unwrap().paths().count(), 1);
        assert_eq!(names(folder.path()), [LEDGER]);
        set_permissions(folder.path(), PermissionsExt::from_mode(0o700)).unwrap();
    }
}

#[test]
fn a_copied_ledger_has_the_commits_of_its_write_ahead_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(LEDGER);
    let ledger = Ledger::open(&path).unwrap();
    ledger.commit(&[record(10, 20)], &[], &[], false).unwrap();
    let copied = copy(&path).unwrap();
    let snapshot = Snapshot::read(&copied.path().join(LEDGER)).unwrap();
    assert_eq!(snapshot.paths().count(), 1);
}

#[test]
fn a_missing_ledger_and_a_file_that_is_not_a_ledger_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(LEDGER);
    let error = Snapshot::read(&path).unwrap_err().to_string();
    assert!(error.contains("there is no ledger at") && error.contains(LEDGER), "{error}");
    std::fs::write(&path, "not a database, but long enough to be checked".repeat(10)).unwrap();
    let error = Snapshot::read(&path).unwrap_err().to_string();
    assert!(error.contains("cannot be read"), "{error}");
}

#[test]
fn a_ledger_of_a_newer_version_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(LEDGER);
    drop(Ledger::open(&path).unwrap());
    let newer = Connection::open(&path).unwrap();
    newer.pragma_update(None, "user_version", schema::VERSION + 1).unwrap();
    let error = Snapshot::read(&path).unwrap_err().to_string();
    assert!(error.contains("update cxbackfill"), "{error}");
}

#[test]
fn a_ledger_whose_run_was_killed_before_its_first_record_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(LEDGER);
    std::fs::write(&path, "").unwrap();
    assert!(Snapshot::read(&path).unwrap().datasets.is_empty());
    assert!(path.metadata().unwrap().len() == 0, "reading writes nothing");
}
