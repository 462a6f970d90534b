//! The real binary on outputs without a ledger, with another one, or that may only be read.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use cxbackfill::testing::{LEDGER, catalog};

use crate::common::binary::{Job, Sandbox};

const FROM: &str = "2024-01-01T00:00:00Z";
const TO: &str = "2024-01-04T00:00:00Z";

/// The content of every file below a folder, by path, without the ledger's and the report's.
fn contents(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut folders, mut contents) = (vec![root.to_owned()], BTreeMap::new());
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if !["_ledger", "_report"]
                .iter()
                .any(|own| path.file_name().unwrap().to_str().unwrap().starts_with(own))
            {
                contents.insert(path.clone(), fs::read(path).unwrap());
            }
        }
    }
    contents
}

fn text(output: &Output) -> String {
    String::from_utf8([output.stdout.clone(), output.stderr.clone()].concat()).unwrap()
}

/// Runs a command of the job and returns its standard output. It must end with `code`.
fn execute(job: &Job, command: &[&str], settings: &[&str], code: i32) -> String {
    let output = job.command_of(command, FROM, TO, settings).output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{command:?}: {}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn remove_ledger(job: &Job) {
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(job.folder(&format!("{LEDGER}{suffix}")));
    }
}

#[test]
fn after_a_rebuild_status_and_verify_say_what_they_said_before_the_ledger_was_lost() {
    for platform in ["genesys-cloud", "nice-cxone"] {
        let sandbox = Sandbox::start(&["sandbox.conversations_per_day=60"]);
        let job = Job::new(&sandbox);
        let names: Vec<_> = catalog::builtin(platform).unwrap().datasets.keys().collect();
        let platform = format!("source.platform={platform}");
        let settings = [platform.as_str(), &format!("job.datasets={names:?}")];
        job.run(FROM, TO, &settings);
        let status = execute(&job, &["status", "--json"], &settings, 0);
        let verified = execute(&job, &["verify"], &settings, 0);
        let files = contents(&job.folder(""));

        remove_ledger(&job);
        let refused = job.command(FROM, TO, &settings).output().unwrap();
        let message = text(&refused);
        assert_eq!(refused.status.code(), Some(2), "{message}");
        for way_on in ["no ledger", "another output.path", "cxbackfill rebuild"] {
            assert!(message.contains(way_on), "{message}");
        }
        execute(&job, &["rebuild"], &settings, 0);
        assert_eq!(execute(&job, &["status", "--json"], &settings, 0), status);
        assert_eq!(execute(&job, &["verify"], &settings, 0), verified);
        assert_eq!(job.run(FROM, TO, &settings)["requests"], 0);
        assert!(contents(&job.folder("")) == files, "no file has changed");
    }
}

#[test]
fn an_output_without_a_ledger_is_refused_and_no_file_is_touched() {
    let sandbox = Sandbox::start(&[]);
    let job = Job::new(&sandbox);
    fs::create_dir_all(job.rows()).unwrap();
    fs::write(job.rows().join("of-somebody-else.parquet"), "x").unwrap();
    let files = contents(&job.folder(""));
    let output = job.command(FROM, TO, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("of-somebody-else.parquet"), "{}", text(&output));
    assert_eq!(contents(&job.folder("")), files);
    assert!(!job.folder(LEDGER).exists(), "a refused run creates no ledger");
}

#[test]
fn a_foreign_file_is_named_by_verify_and_survives_runs() {
    let sandbox = Sandbox::start(&[]);
    let job = Job::new(&sandbox);
    job.run(FROM, "2024-01-02T00:00:00Z", &[]);
    let foreign = job.rows().join("of-somebody-else.parquet");
    fs::write(&foreign, "x").unwrap();
    job.run(FROM, TO, &[]);
    assert!(foreign.exists(), "a run deletes only files that it was about to write");
    let differences = execute(&job, &["verify"], &[], 1);
    assert!(differences.contains("this program did not write it"), "{differences}");
}

#[test]
fn columns_that_changed_without_a_new_version_are_refused_by_name() {
    let sandbox = Sandbox::start(&[]);
    let job = Job::new(&sandbox);
    job.run(FROM, "2024-01-02T00:00:00Z", &[]);
    let ledger = rusqlite::Connection::open(job.folder(LEDGER)).unwrap();
    let sql = "UPDATE dataset_schema SET columns = replace(columns, 'conversationEnd', 'ending')";
    assert_eq!(ledger.execute(sql, []).unwrap(), 1);
    drop(ledger);
    let output = job.command(FROM, TO, &[]).output().unwrap();
    let message = text(&output);
    assert_eq!(output.status.code(), Some(2), "{message}");
    for change in ["`conversationEnd` is new", "`ending` is gone", "version is still"] {
        assert!(message.contains(change), "{message}");
    }
}

#[cfg(unix)]
#[test]
fn status_and_verify_work_on_an_output_that_may_only_be_read() {
    use std::os::unix::{fs::PermissionsExt, process::CommandExt};

    let sandbox = Sandbox::start(&[]);
    let job = Job::new(&sandbox);
    job.run(FROM, TO, &[]);
    let root = job.folder("").parent().unwrap().to_owned();
    let set_mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    // root may write anywhere, so it runs the command as nobody
    let is_root = runs_as_root();
    set_mode(&root, 0o755);
    set_mode(&job.folder(""), 0o555);
    let mut outputs = Vec::new();
    for command in ["status", "verify"] {
        let mut command = job.command_of(&[command], FROM, TO, &[]);
        if is_root {
            command.uid(65_534);
        }
        outputs.push(command.output());
    }
    set_mode(&job.folder(""), 0o755);
    for output in outputs {
        match output {
            Ok(output) => assert_eq!(output.status.code(), Some(0), "{}", text(&output)),
            // nobody may not read the folder of the binary
            Err(error) => eprintln!("skipped: {error}"),
        }
    }
}

#[cfg(unix)]
fn runs_as_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}
