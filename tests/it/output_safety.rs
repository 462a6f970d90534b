//! What is in an output is never lost: without its ledger, beside foreign files, after kills.

use std::{
    collections::BTreeMap, fs, path::PathBuf, process::Stdio, thread::sleep, time::Duration,
};

use crate::common::binary::{Job, Sandbox};

const FROM: &str = "2024-01-01T00:00:00Z";
const TO: &str = "2024-01-04T00:00:00Z";

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
