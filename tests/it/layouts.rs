//! The real binary with flat tables of its rows, in place of nested rows or beside them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use cxbackfill::testing::{LEDGER, catalog};

use crate::common::{
    binary::{Job, Sandbox},
    reader::python,
};

const FROM: &str = "2024-01-01T00:00:00Z";
const TO: &str = "2024-01-03T00:00:00Z";

const LAYOUTS: [&str; 3] = ["nested", "tables", "both"];

fn said(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat()
}

/// Runs a command of the job, which must end with this code, and returns what it printed.
#[track_caller]
fn execute(job: &Job, command: &[&str], settings: &[&str], code: i32) -> String {
    let output = job.command_of(command, FROM, TO, settings).output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{command:?}: {}", said(&output));
    said(&output)
}

/// The content of every Parquet file below a folder, by path.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut folders, mut files) = (vec![root.to_owned()], BTreeMap::new());
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "parquet") {
                let content = fs::read(&path).unwrap();
                files.insert(path.strip_prefix(root).unwrap().to_owned(), content);
            }
        }
    }
    files
}

/// The folders of files, without those of the days.
fn folders(files: &BTreeMap<PathBuf, Vec<u8>>) -> BTreeSet<String> {
    let folder = |path: &PathBuf| path.ancestors().nth(2).unwrap().display().to_string();
    files.keys().map(folder).collect()
}

/// Deletes the ledger.
fn lose_ledger(job: &Job) {
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(job.folder(&format!("{LEDGER}{suffix}")));
    }
}

/// Checks with pyarrow, DuckDB and Polars that the tables of an output have what its rows have,
/// which are read from another output with nested rows.
fn expect_tables_of(nested: &Path, output: &Path) {
    let Some(python) = python() else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/layouts.py");
    let compared = Command::new(python).arg(script).arg(nested).arg(output).output().unwrap();
    assert!(
        compared.status.success() && said(&compared).ends_with("equal\n"),
        "{}",
        said(&compared)
    );
}

#[test]
fn every_layout_has_the_same_rows_and_outlives_its_ledger() {
    for platform in ["genesys-cloud", "nice-cxone"] {
        let sandbox = Sandbox::start(&["sandbox.conversations_per_day=20"]);
        let names: Vec<_> = catalog::builtin(platform).unwrap().datasets.keys().collect();
        let (platform, datasets) =
            (format!("source.platform={platform}"), format!("job.datasets={names:?}"));
        let mut nested = None;
        for layout in LAYOUTS {
            let job = Job::new(&sandbox);
            let layout_setting = format!("output.layout={layout}");
            let settings = [platform.as_str(), &datasets, &layout_setting];
            let rows = job.run(FROM, TO, &settings)["rows_written"].clone();
            let verified = execute(&job, &["verify"], &settings, 0);
            let status = execute(&job, &["status", "--json"], &settings, 0);
            let written = files(&job.folder(""));
            let has_tables = folders(&written).iter().any(|folder| folder.contains(".tables/"));
            assert_eq!(has_tables, layout != "nested", "{:?}", folders(&written));

            lose_ledger(&job);
            execute(&job, &["rebuild"], &settings, 0);
            assert_eq!(execute(&job, &["verify"], &settings, 0), verified, "{layout}");
            assert_eq!(execute(&job, &["status", "--json"], &settings, 0), status, "{layout}");
            assert_eq!(job.run(FROM, TO, &settings)["requests"], 0, "{layout}");
            assert!(files(&job.folder("")) == written, "{layout}: no file has changed");
            match &nested {
                None => nested = Some((job, rows)),
                Some((first, expected)) => {
                    assert_eq!(rows, *expected, "{layout}");
                    if first.rows().is_dir() {
                        expect_tables_of(&first.folder(""), &job.folder(""));
                    }
                }
            }
        }
    }
}

#[test]
fn a_day_is_refreshed_replaced_and_dropped_with_its_tables() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=60"]);
    for layout in ["tables", "both"] {
        let job = Job::new(&sandbox);
        let layout_setting = format!("output.layout={layout}");
        let settings = [layout_setting.as_str()];
        job.run(FROM, TO, &settings);
        let verified = execute(&job, &["verify"], &settings, 0);
        assert!(verified.contains(" 120 rows, "), "{layout}: {verified}");
        let written = files(&job.folder(""));
        // a rebuild keeps what is recorded, and takes no file for one of another table
        let is_of_sessions = |path: &&PathBuf| path.starts_with("conversations.tables/sessions");
        let of_sessions = job.folder("").join(written.keys().find(is_of_sessions).unwrap());
        let of_segments = of_sessions.parent().unwrap().display().to_string();
        let of_segments = of_segments.replace("/sessions/", "/segments/");
        fs::copy(&of_sessions, Path::new(&of_segments).join("copy.parquet")).unwrap();
        let rebuilt = execute(&job, &["rebuild"], &settings, 1);
        let reason = "its footer says that it belongs in the folder conversations.tables/sessions/";
        assert!(rebuilt.contains(reason), "{rebuilt}");
        fs::remove_dir_all(job.folder("_orphaned")).unwrap();
        assert_eq!(execute(&job, &["verify"], &settings, 0), verified, "{layout}");
        let is_of_day = |path: &PathBuf| path.display().to_string().contains("date=2024-01-02");

        for command in [&["run", "--again", "2024-01-02"][..], &["run", "--refresh", "2d"]] {
            execute(&job, command, &settings, 0);
            execute(&job, &["verify"], &settings, 0);
            let replaced = files(&job.folder(""));
            assert!(replaced.keys().eq(written.keys()), "{layout}: {:?}", replaced.keys());
            for (path, content) in replaced.iter().filter(|(path, _)| is_of_day(path)) {
                assert!(*content != written[path], "{}: another commit", path.display());
            }
        }
        let drop = ["drop", "--from", "2024-01-02", "--to", "2024-01-03", "--yes"];
        execute(&job, &drop, &settings, 0);
        let mut rest = written.clone();
        rest.retain(|path, _| !is_of_day(path));
        assert!(files(&job.folder("")).keys().eq(rest.keys()), "{layout}");
        execute(&job, &["verify"], &settings, 0);
        job.run(FROM, TO, &settings);
        assert!(files(&job.folder("")).keys().eq(written.keys()), "{layout}");
        execute(&job, &["verify"], &settings, 0);
    }
}

#[test]
fn another_layout_is_refused_until_an_upgrade_has_rewritten_the_output() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=60"]);
    let [fetched, upgraded] = [Job::new(&sandbox), Job::new(&sandbox)];
    let both = ["output.layout=both"];
    fetched.run(FROM, TO, &both);
    upgraded.run(FROM, TO, &[]);
    let nested = files(&upgraded.folder(""));
    let refused = execute(&upgraded, &["run"], &both, 2);
    assert!(refused.contains("output.layout = nested, and now it is both"), "{refused}");
    assert!(refused.contains("cxbackfill upgrade"), "{refused}");
    let dry = execute(&upgraded, &["upgrade", "--dry-run"], &both, 0);
    assert!(dry.contains("output.layout becomes both"), "{dry}");
    assert!(files(&upgraded.folder("")) == nested, "a dry run writes nothing");
    let refused = execute(&upgraded, &["upgrade", "--dataset", "conversations"], &both, 2);
    assert!(refused.contains("concerns all of its datasets: leave --dataset out"), "{refused}");

    execute(&upgraded, &["upgrade"], &both, 0);
    let verified = execute(&upgraded, &["verify"], &both, 0);
    let expected = files(&fetched.folder(""));
    assert!(files(&upgraded.folder("")).keys().eq(expected.keys()));
    expect_tables_of(&fetched.folder(""), &upgraded.folder(""));
    lose_ledger(&upgraded);
    execute(&upgraded, &["rebuild"], &both, 0);
    assert_eq!(execute(&upgraded, &["verify"], &both, 0), verified);
    assert_eq!(upgraded.run(FROM, TO, &both)["requests"], 0);

    execute(&upgraded, &["upgrade"], &[], 0);
    execute(&upgraded, &["verify"], &[], 0);
    assert!(files(&upgraded.folder("")).keys().eq(nested.keys()), "the tables are gone");
    execute(&upgraded, &["upgrade"], &["output.layout=tables"], 0);
    execute(&upgraded, &["verify"], &["output.layout=tables"], 0);
    assert!(!folders(&files(&upgraded.folder(""))).contains("conversations"));
    // the nested rows come back from the tables alone
    execute(&upgraded, &["upgrade"], &[], 0);
    execute(&upgraded, &["verify"], &[], 0);
    expect_tables_of(&upgraded.folder(""), &fetched.folder(""));
}

/// Writes the catalog of Genesys Cloud with a change beside the output of a job.
fn write_catalog(job: &Job, text: &str, other: &str) {
    let builtin = include_str!("../../src/catalog/genesys.toml");
    assert!(builtin.contains(text), "{text}");
    let path = job.folder("").with_file_name("own.toml");
    fs::write(path, builtin.replace(text, other)).unwrap();
}

#[test]
fn an_upgrade_refuses_columns_that_are_gone_from_tables_without_nested_rows() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=20"]);
    let job = Job::new(&sandbox);
    let own = ["source.platform=custom", "source.catalog=own.toml", "output.layout=tables"];
    write_catalog(&job, "", "");
    job.run(FROM, TO, &own);
    let written = files(&job.folder(""));
    let column = "acwSkipped                   = \"boolean\"\n";
    let table = "[dataset.conversations.tables.media_endpoint_stats]\n";
    for (text, other, expected) in [
        (column, "", "`sessions/acwSkipped` is gone"),
        (column, "acwSkipped = \"int64\"\n", "`sessions/acwSkipped` is Int64 and was Boolean"),
        (
            table,
            "[dataset.conversations.tables.stats]\n",
            "`media_endpoint_stats/sessionId` is gone",
        ),
    ] {
        write_catalog(&job, text, other);
        for command in [&["upgrade", "--dry-run"][..], &["upgrade"]] {
            let refused = execute(&job, command, &own, 2);
            assert!(refused.contains(expected), "{refused}");
        }
        assert!(files(&job.folder("")) == written, "{expected}: nothing is written");
    }
    // a column that is new is null, and tables beside nested rows are made anew from these
    write_catalog(&job, column, &format!("{column}newColumn = \"string\"\n"));
    execute(&job, &["upgrade"], &own, 0);
    execute(&job, &["verify"], &own, 0);
    let both = Job::new(&sandbox);
    let own = [own[0], own[1], "output.layout=both"];
    write_catalog(&both, "", "");
    both.run(FROM, TO, &own);
    write_catalog(&both, table, "[dataset.conversations.tables.stats]\n");
    let refused = execute(&both, &["run"], &own, 2);
    assert!(refused.contains("`stats/sessionId` is new"), "{refused}");
    execute(&both, &["upgrade"], &own, 0);
    execute(&both, &["verify"], &own, 0);
    assert!(folders(&files(&both.folder(""))).contains("conversations.tables/stats"));
}

#[test]
fn an_output_whose_layout_is_half_changed_is_refused_until_it_is_upgraded() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=20"]);
    let job = Job::new(&sandbox);
    let both = ["output.layout=both"];
    job.run(FROM, TO, &[]);
    let (path, content) = files(&job.folder("")).pop_last().unwrap();
    let mut damaged = content.clone();
    damaged[100] ^= 1;
    // the first day is upgraded, and the second cannot be
    fs::write(job.folder("").join(&path), damaged).unwrap();
    let refused = execute(&job, &["upgrade"], &both, 2);
    assert!(refused.contains("its checksum is another one"), "{refused}");
    assert!(folders(&files(&job.folder(""))).contains("conversations.tables/sessions"));
    fs::write(job.folder("").join(&path), content).unwrap();
    for settings in [&[][..], &both] {
        for command in [&["run"][..], &["views", "--dialect", "duckdb"]] {
            let refused = execute(&job, command, settings, 2);
            assert!(refused.contains("cxbackfill upgrade"), "{refused}");
        }
    }
    execute(&job, &["upgrade"], &both, 0);
    execute(&job, &["verify"], &both, 0);
    assert_eq!(job.run(FROM, TO, &both)["requests"], 0);
}

#[test]
fn an_upgrade_refuses_tables_in_which_an_inherited_column_takes_the_name_of_another() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=20"]);
    let own = ["source.platform=custom", "source.catalog=own.toml"];
    for (layout, code) in [("output.layout=tables", 2), ("output.layout=both", 0)] {
        let job = Job::new(&sandbox);
        let own = [own[0], own[1], layout];
        write_catalog(&job, "", "");
        job.run(FROM, TO, &own);
        let written = files(&job.folder(""));
        let path = job.folder("").with_file_name("own.toml");
        let mut catalog = fs::read_to_string(&path).unwrap();
        for (text, other) in [
            ("[type.participant]\n", "[type.participant]\nani = \"string\"\n"),
            (
                "\"participants[].sessions[]\"\ninherit = [",
                "\"participants[].sessions[]\"\ninherit = [\"participants[].ani\", ",
            ),
        ] {
            assert_eq!(catalog.matches(text).count(), 1, "{text}");
            catalog = catalog.replace(text, other);
        }
        fs::write(path, catalog).unwrap();
        let result = execute(&job, &["upgrade"], &own, code);
        if code == 0 {
            // tables beside nested rows are made anew from these
            execute(&job, &["verify"], &own, 0);
        } else {
            let reason = "`sessions/ani` may be what is `sessions/session_ani` now";
            assert!(result.contains(reason), "{result}");
            assert!(files(&job.folder("")) == written, "nothing is written");
        }
    }
}

#[test]
fn a_dataset_with_one_table_gets_another_layout_like_any_other() {
    let sandbox = Sandbox::start(&[]);
    let job = Job::new(&sandbox);
    let skills = "job.datasets=['skills']";
    job.run(FROM, TO, &[skills]);
    assert_eq!(folders(&files(&job.folder(""))), BTreeSet::from(["skills".to_owned()]));
    let tables = [skills, "output.layout=tables"];
    execute(&job, &["upgrade"], &tables, 0);
    execute(&job, &["verify"], &tables, 0);
    let of_table = BTreeSet::from(["skills.tables/skills".to_owned()]);
    assert_eq!(folders(&files(&job.folder(""))), of_table);
}

#[test]
fn a_rebuild_in_the_middle_of_an_upgrade_to_another_layout_loses_no_day() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=20"]);
    let job = Job::new(&sandbox);
    let settings = LAYOUTS.map(|layout| format!("output.layout={layout}"));
    let [nested, tables, both] = settings.each_ref().map(|setting| [setting.as_str()]);
    job.run(FROM, TO, &nested);
    for (from, to) in [(nested, both), (both, tables), (tables, nested), (nested, tables)] {
        let old = files(&job.folder(""));
        execute(&job, &["upgrade"], &to, 0);
        let new = files(&job.folder(""));
        // the files of the second day, of which those with new names come first
        let is_second = |path: &&PathBuf| path.to_str().unwrap().contains("date=2024-01-02");
        let mut renames: Vec<_> = new.keys().filter(is_second).collect();
        renames.sort_by_key(|path| old.contains_key(*path));
        for renamed in [1, renames.len() / 2, renames.len() - 1] {
            lose_ledger(&job);
            for path in new.keys() {
                fs::remove_file(job.folder(path.to_str().unwrap())).unwrap();
            }
            let is_renamed = |path: &&PathBuf| renames[..renamed].contains(path);
            let replaced = new.keys().filter(is_renamed).map(|path| (path, &new[path]));
            for (path, content) in old.iter().chain(replaced) {
                let path = job.folder(path.to_str().unwrap());
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, content).unwrap();
            }
            let label = format!("{from:?} to {to:?}, {renamed} files");
            let rebuilt = execute(&job, &["rebuild"], &to, 0);
            assert!(rebuilt.contains("2 commits"), "{label}: {rebuilt}");
            if renamed < renames.len() - 1 {
                let refused = execute(&job, &["run"], &to, 2);
                assert!(refused.contains("cxbackfill upgrade"), "{label}: {refused}");
            }
            execute(&job, &["upgrade"], &to, 0);
            execute(&job, &["verify"], &to, 0);
            assert!(files(&job.folder("")).keys().eq(new.keys()), "{label}");
            assert_eq!(job.run(FROM, TO, &to)["requests"], 0, "{label}");
        }
    }
}

#[test]
fn an_output_between_two_layouts_is_exported_whole_and_refused_where_one_layout_is_needed() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=20"]);
    let job = Job::new(&sandbox);
    let tables = ["output.layout=tables"];
    let rows = || -> BTreeSet<String> {
        let export = ["export", "--format", "csv", "--columns", "conversationId,conversationStart"];
        let output = job.command_of(&export, FROM, TO, &tables).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    };
    job.run(FROM, TO, &[]);
    let (old, all) = (files(&job.folder("")), rows());
    assert!(all.len() > 30, "{all:?}");
    execute(&job, &["upgrade"], &tables, 0);
    // the ledger and the files of an upgrade that was killed after the first day
    lose_ledger(&job);
    let is_second = |path: &&PathBuf| path.to_str().unwrap().contains("date=2024-01-02");
    for path in files(&job.folder("")).keys().filter(is_second) {
        fs::remove_file(job.folder(path.to_str().unwrap())).unwrap();
    }
    for path in old.keys().filter(is_second) {
        fs::write(job.folder(path.to_str().unwrap()), &old[path]).unwrap();
    }
    let rebuilt = execute(&job, &["rebuild"], &tables, 0);
    assert!(rebuilt.contains("2 commits"), "{rebuilt}");

    assert_eq!(rows(), all);
    let table = ["export", "--format", "csv", "--table", "sessions"];
    let forget = ["forget", "--yes", "--dataset", "conversations", "--id", "x"];
    for command in [&["run"][..], &forget, &table, &["views", "--dialect", "duckdb"]] {
        let refused = execute(&job, command, &tables, 2);
        let reason = "error: an upgrade of the output to another output.layout was interrupted: \
                      finish it with `cxbackfill upgrade`\n";
        assert!(refused.ends_with(reason), "{command:?}: {refused}");
    }
    execute(&job, &["upgrade"], &tables, 0);
    execute(&job, &["verify"], &tables, 0);
    assert_eq!(rows(), all);

    // a day without a file of the table is not left out either
    execute(&job, &table, &tables, 0);
    let ledger = rusqlite::Connection::open(job.folder(LEDGER)).unwrap();
    let second = "DELETE FROM file WHERE path LIKE '%.tables/sessions/date=2024-01-02/%'";
    assert_eq!(ledger.execute(second, []).unwrap(), 1);
    drop(ledger);
    let refused = execute(&job, &table, &tables, 2);
    let reason = "the rows of 2024-01-02T00:00:00.000Z/2024-01-03T00:00:00.000Z have no file of \
                  the table `sessions`";
    assert!(refused.contains(reason), "{refused}");
}

#[test]
fn a_rebuild_restores_the_sums_by_hour_and_media_type_of_every_layout() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=20"]);
    for layout in LAYOUTS {
        let (job, settings) = (Job::new(&sandbox), format!("output.layout={layout}"));
        job.run(FROM, TO, &[&settings]);
        let sums = || -> Vec<(i64, String, i64, i64, i64)> {
            let ledger = rusqlite::Connection::open(job.folder(LEDGER)).unwrap();
            let sql = "SELECT hour_ms, media, rows, rows_handled, handle_ms FROM hour_sum
                       ORDER BY dataset, hour_ms, media";
            let mut query = ledger.prepare(sql).unwrap();
            let sums = query.query_map([], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
            });
            sums.unwrap().map(Result::unwrap).collect()
        };
        let before = sums();
        assert!(before.iter().any(|(_, media, .., handle_ms)| media == "voice" && *handle_ms > 0));
        lose_ledger(&job);
        execute(&job, &["rebuild"], &[&settings], 0);
        assert_eq!(sums(), before, "{layout}");
    }
}
