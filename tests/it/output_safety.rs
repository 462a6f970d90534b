//! What is in an output is never lost: without its ledger, beside foreign files, after kills.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    thread::sleep,
    time::Duration,
};

use cxbackfill::testing::LEDGER;

use crate::common::{
    binary::{Job, Sandbox, has_files},
    reader::expect_equal,
};

const FROM: &str = "2024-01-01T00:00:00Z";
const TO: &str = "2024-01-04T00:00:00Z";

/// The content of every file below a folder, by path, without the ledger's and the report's.
fn data_files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut folders, mut files) = (vec![folder.to_owned()], BTreeMap::new());
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if !["_ledger.", "_report"].iter().any(|own| name.starts_with(own)) {
                files.insert(path.clone(), fs::read(path).unwrap());
            }
        }
    }
    files
}

fn delete_ledger(job: &Job) {
    for suffix in ["", "-wal", "-shm"] {
        let path = job.folder(&format!("{LEDGER}{suffix}"));
        if path.exists() {
            fs::remove_file(path).unwrap();
        }
    }
}

/// Puts foreign files where a user might, and returns them with their content.
fn add_foreign_files(job: &Job) -> BTreeMap<PathBuf, Vec<u8>> {
    let paths = [
        "conversations/mine.parquet",
        "conversations/date=2024-01-01/mine.parquet",
        "conversations/date=2024-01-02/notes.txt",
        "conversations/date=2030-01-01/other.ndjson",
        "_quarantine/mine.ndjson",
        "reports/date=2024-01-01/week.parquet",
    ];
    for path in paths {
        let path = job.folder(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "this is not ours").unwrap();
    }
    paths.iter().map(|path| (job.folder(path), b"this is not ours".to_vec())).collect()
}

fn assert_untouched(foreign: &BTreeMap<PathBuf, Vec<u8>>, when: &str) {
    for (path, content) in foreign {
        assert_eq!(fs::read(path).ok().as_ref(), Some(content), "{}: {when}", path.display());
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn without_its_ledger_an_output_is_refused_and_nothing_is_deleted() {
    let sandbox = Sandbox::start(&[]);
    let job = Job::new(&sandbox);
    job.run(FROM, TO, &[]);
    delete_ledger(&job);
    let reports = ["_report.html", "_report.json"].map(|name| job.folder(name));
    for report in &reports {
        fs::remove_file(report).unwrap();
    }
    let has_report = || reports.iter().any(|report| report.exists());
    let before = data_files(&job.folder(""));
    let requests = sandbox.stats();
    for settings in
        [&[][..], &["job.refresh=2d"], &["job.datasets=[\"conversations\", \"audits\"]"]]
    {
        let output = job.command(FROM, TO, settings).output().unwrap();
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains("output.path") && message.contains("rebuild"), "{message}");
        assert_eq!(data_files(&job.folder("")), before, "{settings:?}");
        assert!(!has_report(), "{settings:?}: a report without a ledger");
    }
    let report = job.command_of(&["report"], FROM, TO, &[]).output().unwrap();
    assert!(!report.status.success() && !has_report(), "{}", stderr(&report));
    assert_eq!(sandbox.stats(), requests, "it sends no request");

    let rebuilt = job.command_of(&["rebuild"], FROM, TO, &[]).output().unwrap();
    assert_eq!(rebuilt.status.code(), Some(0), "{}", stderr(&rebuilt));
    assert_eq!(job.run(FROM, TO, &[])["requests"], 0, "no interval that has a file is requested");
    assert_eq!(data_files(&job.folder("")), before);
    expect_equal(&job.rows(), &sandbox.truth(FROM, TO));
}

#[test]
fn finished_commands_leave_exactly_the_documented_files() {
    let sandbox = Sandbox::start(&[]);
    let job = Job::new(&sandbox);
    let names = || {
        let mut names: Vec<_> = fs::read_dir(job.folder(""))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned())
            .collect();
        names.sort_unstable();
        names
    };
    let documented = ["_ledger.lock", LEDGER, "_report.html", "_report.json", "conversations"];
    job.run(FROM, TO, &[]);
    assert_eq!(names(), documented, "after a run");
    job.run(FROM, TO, &["job.refresh=1d"]);
    assert_eq!(names(), documented, "after a refresh");
    for command in ["status", "verify", "compact", "upgrade", "rebuild", "report"] {
        let output = job.command_of(&[command], FROM, TO, &[]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{command}: {}", stderr(&output));
        assert_eq!(names(), documented, "after {command}");
    }
    for date in fs::read_dir(job.rows()).unwrap() {
        for file in fs::read_dir(date.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            assert_eq!(path.extension().unwrap(), "parquet", "{}", path.display());
        }
    }
}

#[test]
fn foreign_files_in_an_output_are_never_touched_and_verify_names_them() {
    let sandbox = Sandbox::start(&[]);
    let job = Job::new(&sandbox);
    job.run(FROM, "2024-01-02T00:00:00Z", &[]);
    let foreign = add_foreign_files(&job);
    job.run(FROM, TO, &[]);
    assert_untouched(&foreign, "after a run");
    job.run(FROM, TO, &["job.refresh=3d"]);
    assert_untouched(&foreign, "after a refresh");

    let slow = ["job.refresh=3d", "fetch.page_size=5", "budget.requests=100", "budget.per=1s"];
    for pause in [30, 150, 400] {
        let mut command = job.command(FROM, TO, &slow);
        let mut run = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        sleep(Duration::from_millis(pause));
        run.kill().unwrap();
        run.wait().unwrap();
        assert_untouched(&foreign, "after a kill");
    }
    job.run(FROM, TO, &["job.refresh=3d"]);
    assert_untouched(&foreign, "after a run that cleans up");

    let verify = job.command_of(&["verify"], FROM, TO, &[]).output().unwrap();
    let text = String::from_utf8_lossy(&verify.stdout);
    for name in ["date=2024-01-01/mine.parquet", "date=2030-01-01/other.ndjson"] {
        assert!(text.contains(name), "{name}: {text}");
    }
}

#[test]
fn a_kill_and_then_a_missing_ledger_lose_no_file() {
    let sandbox = Sandbox::start(&[]);
    let job = Job::new(&sandbox);
    let slow = ["fetch.shard=6h", "fetch.page_size=10", "budget.requests=60", "budget.per=1s"];
    let mut command = job.command(FROM, TO, &slow);
    let mut run = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    for _ in 0..1_500 {
        if has_files(&job.rows()) {
            break;
        }
        sleep(Duration::from_millis(20));
    }
    run.kill().unwrap();
    run.wait().unwrap();
    delete_ledger(&job);
    let before = data_files(&job.rows());
    assert!(!before.is_empty());
    let output = job.command(FROM, TO, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert_eq!(data_files(&job.rows()), before);
}

#[cfg(unix)]
mod permissions {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const DAY: &str = "2024-01-02T00:00:00Z";

    /// The modes of everything in the output of a run, folders and files, under a umask.
    fn modes(umask: &str, settings: &[&str]) -> (Vec<u32>, Vec<u32>) {
        let sandbox = Sandbox::start(&["sandbox.conversations_per_day=20"]);
        let job = Job::new(&sandbox);
        let run = job.command("2024-01-01T00:00:00Z", DAY, settings);
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("umask {umask}; exec \"$@\""), "sh"]).arg(run.get_program());
        shell.args(run.get_args()).current_dir(run.get_current_dir().unwrap());
        let output = shell.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let (mut folders, mut files) = (Vec::new(), Vec::new());
        let mut left = vec![job.folder("")];
        while let Some(path) = left.pop() {
            let metadata = path.metadata().unwrap();
            let mode = metadata.permissions().mode() & 0o777;
            if metadata.is_dir() {
                folders.push(mode);
                left.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            } else {
                files.push(mode);
            }
        }
        for modes in [&mut folders, &mut files] {
            modes.sort_unstable();
            modes.dedup();
        }
        (folders, files)
    }

    #[test]
    fn a_new_output_is_not_for_others_and_follows_a_stricter_umask() {
        assert_eq!(modes("022", &[]), (vec![0o750], vec![0o640]));
        assert_eq!(modes("000", &[]), (vec![0o750], vec![0o640]));
        assert_eq!(modes("077", &[]), (vec![0o700], vec![0o600]));
    }

    #[test]
    fn output_mode_decides_whatever_the_umask_is() {
        assert_eq!(modes("077", &["output.mode=0660"]), (vec![0o770], vec![0o660]));
        assert_eq!(modes("022", &["output.mode=\"0644\""]), (vec![0o755], vec![0o644]));
    }

    #[test]
    fn a_disk_that_is_full_is_named_with_the_path_and_the_run_can_be_resumed() {
        let sandbox = Sandbox::start(&[]);
        let job = Job::new(&sandbox);
        let run = job.command("2024-01-01T00:00:00Z", DAY, &[]);
        // a limit of 8 KiB on the size of files stands for a full disk
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", "trap '' XFSZ; ulimit -f 16; exec \"$@\"", "sh"]).arg(run.get_program());
        shell.args(run.get_args()).current_dir(run.get_current_dir().unwrap());
        let output = shell.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{said}");
        assert!(said.contains("out/") && said.contains("free"), "{said}");
        assert_eq!(job.run("2024-01-01T00:00:00Z", DAY, &[])["rows_written"], 200);
    }
}
