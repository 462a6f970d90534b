//! Outputs that get another layout.

use super::*;

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
    let builtin = include_str!("../../../src/catalog/genesys.toml");
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
