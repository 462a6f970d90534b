//! Upgrades that are killed, and continued by the next.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::Path,
    process::Stdio,
    thread::sleep,
    time::Duration,
};

use arrow::array::AsArray;
use cxbackfill::testing::LEDGER;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rusqlite::Connection;
use tempfile::TempDir;

use super::{
    JOB, catalog, expect_agreement, expect_same_rows, files, has_staged_files, old_output,
};
use crate::common::{
    binary::{SIMULATED, program, set},
    fixture::{MILLISECONDS, execute},
};

/// How often each id is found by a reader of all files.
fn ids(root: &Path) -> BTreeMap<String, usize> {
    let mut ids = BTreeMap::new();
    for path in files(root) {
        let file = File::open(root.join(&path)).unwrap();
        for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            let column =
                batch.column_by_name("conversationId").or(batch.column_by_name("id")).unwrap();
            for id in column.as_string::<i32>() {
                *ids.entry(id.unwrap().to_owned()).or_default() += 1;
            }
        }
    }
    ids
}

#[test]
fn g3_an_upgrade_that_is_killed_leaves_each_file_old_or_new_and_is_continued() {
    let expected = ids(Path::new(MILLISECONDS));
    let mut kills = 0;
    for delay in (4..400).step_by(11) {
        let folder = old_output();
        let output = folder.path().join("out");
        // the second process continues what the first was killed in, and is killed itself
        for delay in [delay, delay / 3] {
            let mut upgrade = program(folder.path(), &["upgrade"]);
            set(&mut upgrade, &SIMULATED);
            set(&mut upgrade, &JOB);
            upgrade.stdout(Stdio::null()).stderr(Stdio::null());
            let mut upgrade = upgrade.spawn().unwrap();
            sleep(Duration::from_millis(delay));
            kills += usize::from(upgrade.try_wait().unwrap().is_none());
            upgrade.kill().unwrap();
            upgrade.wait().unwrap();
            assert_eq!(ids(&output), expected, "after {delay} ms");
            let (_, text) = execute(folder.path(), &["verify"], &JOB);
            assert!(text.contains("all as the ledger says"), "after {delay} ms: {text}");
        }
        let (code, text) = execute(folder.path(), &["upgrade"], &JOB);
        assert_eq!(code, 0, "after {delay} ms: {text}");
        assert_eq!(ids(&output), expected, "after {delay} ms");
        assert!(!has_staged_files(&output), "after {delay} ms");
        let (code, text) = execute(folder.path(), &["verify"], &JOB);
        assert!(code == 0 && text.ends_with("all as the ledger says\n"), "{text}");
    }
    assert!(kills > 5, "only {kills} upgrades were killed");
}

#[test]
fn g3_files_that_an_upgrade_replaced_and_did_not_record_are_recorded_by_the_next() {
    let upgraded = old_output();
    let (code, text) = execute(upgraded.path(), &["upgrade"], &JOB);
    assert_eq!(code, 0, "{text}");
    let new = upgraded.path().join("out");
    let paths = files(&new);
    for replaced in 1..=paths.len() {
        for is_rebuilt in [false, true] {
            // the ledger of before, and some files of afterwards
            let folder = old_output();
            let output = folder.path().join("out");
            for path in &paths[..replaced] {
                fs::copy(new.join(path), output.join(path)).unwrap();
            }
            let (_, text) = execute(folder.path(), &["verify"], &JOB);
            assert!(text.contains("all as the ledger says, but"), "{text}");
            let (code, text) = execute(folder.path(), &["run"], &JOB);
            assert!(code == 2 && text.contains("`cxbackfill upgrade`"), "{text}");
            if is_rebuilt {
                let (code, text) = execute(folder.path(), &["rebuild"], &JOB);
                assert!(code == 0 && text.contains("4 commits, 4 files"), "{text}");
            }
            let (code, text) = execute(folder.path(), &["upgrade"], &JOB);
            assert_eq!(code, 0, "{text}");
            expect_agreement(folder.path(), &JOB);
            expect_same_rows(MILLISECONDS, &output);
        }
    }
    // all is recorded but the version
    let ledger = Connection::open(new.join(LEDGER)).unwrap();
    ledger.execute("UPDATE identity SET value = '1' WHERE key LIKE 'dataset.%'", []).unwrap();
    drop(ledger);
    let (code, text) = execute(upgraded.path(), &["upgrade"], &JOB);
    assert_eq!(code, 0, "{text}");
    expect_agreement(upgraded.path(), &JOB);
}

#[test]
fn g3_an_upgrade_that_was_killed_is_continued_to_yet_other_columns() {
    let column = "originatingDirection             = \"string\"\n";
    let execute_with = |folder: &TempDir, columns: &str, command: &str| {
        let catalog = catalog(folder.path(), column, &format!("{column}{columns}"));
        execute(folder.path(), &[command], &[JOB[0], JOB[1], JOB[2], &catalog])
    };
    let add = |folder: &TempDir, columns: &str| execute_with(folder, columns, "upgrade");
    let (first, both) = ("first = \"string\"\n", "first = \"string\"\nsecond = \"int64\"\n");
    let upgraded = old_output();
    let (code, text) = add(&upgraded, first);
    assert_eq!(code, 0, "{text}");
    let new = upgraded.path().join("out");
    let paths = files(&new);
    for replaced in 1..=paths.len() {
        // the ledger of before, and some files of an upgrade that was not recorded
        let folder = old_output();
        let output = folder.path().join("out");
        for path in &paths[..replaced] {
            fs::copy(new.join(path), output.join(path)).unwrap();
        }
        let (code, text) = add(&folder, both);
        assert!(code == 0 && text.ends_with("rewrote 4 files\n"), "{replaced}: {text}");
        assert_eq!(ids(&output), ids(Path::new(MILLISECONDS)));
        let (code, text) = execute_with(&folder, both, "verify");
        assert!(code == 0 && text.ends_with("all as the ledger says\n"), "{text}");
    }
    // a file of such an upgrade in the place of another is not the recorded one
    let folder = old_output();
    let output = folder.path().join("out");
    fs::copy(new.join(&paths[1]), output.join(&paths[0])).unwrap();
    let (code, text) = add(&folder, both);
    assert!(code == 2 && text.contains("its checksum is another one"), "{text}");
}
