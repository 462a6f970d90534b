//! Configurations that a hostile or careless person writes: each is refused with the place and the
//! limit, within a second, and never ends the process otherwise.

use std::{fmt::Write, fs, path::Path};

use cxbackfill::testing::clock;
use tempfile::TempDir;

use crate::common::binary::{SIMULATED, program, set};

/// The exit code of `cxbackfill plan` with this file and these settings, and what it says.
fn plan(folder: &Path, file: &str, settings: &[&str]) -> (Option<i32>, String) {
    fs::write(folder.join("config.toml"), file).unwrap();
    plan_in(folder, settings)
}

fn plan_in(folder: &Path, settings: &[&str]) -> (Option<i32>, String) {
    let mut command = program(folder, &["plan"]);
    set(&mut command, settings);
    let started = clock::now();
    let output = command.env("RUST_LOG", "warn").output().unwrap();
    let seconds = clock::now().duration_since(started).as_secs();
    assert!(seconds < 20, "{seconds} s: {settings:?}");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The settings of a plan from the sandbox with more.
fn simulated<'s>(more: &[&'s str]) -> Vec<&'s str> {
    SIMULATED.iter().chain(more).copied().collect()
}

#[track_caller]
fn expect_refused(result: (Option<i32>, String), expected: &str) {
    let (code, said) = result;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains(expected), "{said}");
}

#[test]
fn a_configuration_that_nests_too_deep_is_refused_with_its_line() {
    let folder = TempDir::new().unwrap();
    let deep = format!("\nx = {}1{}", "[".repeat(100_000), "]".repeat(100_000));
    expect_refused(plan(folder.path(), &deep, &[]), "config.toml:2: ");
    let key = "a.".repeat(30_000) + "a = 1";
    expect_refused(plan(folder.path(), &key, &[]), "config.toml:1: ");
    let argument = "a.".repeat(30_000) + "a=1";
    expect_refused(plan(folder.path(), "", &[&argument]), "the key has 30001 parts: at most 16");
    let value = format!("fetch.actors={}", "[".repeat(50_000));
    expect_refused(plan(folder.path(), "", &simulated(&[&value])), "--set: fetch.actors: ");
}

#[test]
fn a_configuration_of_many_keys_is_read_in_time_proportional_to_them() {
    let folder = TempDir::new().unwrap();
    let mut many = "[fetch]\n".to_owned();
    for number in 0..100_000 {
        writeln!(many, "k{number}=1").unwrap();
    }
    expect_refused(plan(folder.path(), &many, &[]), "config.toml:2: fetch.k0: unknown key `k0`");
}

#[test]
fn a_list_of_too_many_sources_is_refused() {
    let folder = TempDir::new().unwrap();
    let mut list = String::new();
    for number in 0..1_001 {
        writeln!(list, "[[source]]\nname = \"s{number}\"").unwrap();
    }
    let expected = "config.toml:1: source: the list has 1001 sources: at most 1000";
    expect_refused(plan(folder.path(), &list, &[]), expected);
}

#[test]
fn huge_numbers_and_durations_are_refused_or_work() {
    let folder = TempDir::new().unwrap();
    let most = i64::MAX;
    for (setting, expected) in [
        (format!("fetch.actors={most}"), "fetch.actors: invalid number 9223372036854775807"),
        (format!("fetch.ahead={most}"), "fetch.ahead: invalid number 9223372036854775807"),
        (format!("fetch.jobs={most}"), "fetch.jobs: invalid number 9223372036854775807"),
        ("fetch.actors=99999999999999999999".into(), "fetch.actors: "),
        (format!("fetch.max_body={most}"), "fetch.max_body: invalid size"),
        ("fetch.max_body=0".into(), "fetch.max_body: invalid size"),
        (format!("output.row_group_rows={most}"), "output.row_group_rows: invalid number"),
        ("output.row_group_rows=0".into(), "output.row_group_rows: invalid number 0"),
        ("fetch.timeout=99999y".into(), "invalid duration `99999y`"),
        ("fetch.shard=1ns".into(), "more than 1000000 shards"),
        ("auth.refresh_at=nan".into(), "auth.refresh_at: "),
        ("auth.refresh_at=inf".into(), "auth.refresh_at: "),
        ("budget.requests=4294967296".into(), "budget.requests: "),
        ("job.to=+999999-01-01T00:00:00Z".into(), "job.to: "),
    ] {
        expect_refused(plan(folder.path(), "", &simulated(&[&setting])), expected);
    }
    for setting in [
        "fetch.shard=19998y",
        "fetch.timeout=19998y",
        "job.grace=19998y",
        "job.refresh=19998y",
        "job.follow_open=19998y",
        "auth.refresh_ahead=19998y",
        "auth.login_timeout=19998y",
        "output.commit_every=19998y",
        "fetch.lake_wait=19998y",
        "fetch.smallest_shard=19998y",
        "retry.longest=19998y",
        "retry.give_up_after=19998y",
        "retry.first=19998y",
        "retry.attempts=4294967295",
        "budget.requests=4294967295",
        "budget.per=1ns",
        "budget.per=19998y",
        "sandbox.conversations_per_day=0",
        "fetch.page_size=4294967295",
    ] {
        let (code, said) = plan(folder.path(), "", &simulated(&[setting]));
        let is_refused = code == Some(2) && said.starts_with("error: --set: ");
        assert!(code == Some(0) || is_refused, "{setting}: {code:?} {said}");
        let day = simulated(&[setting, "job.to=2024-01-02T00:00:00Z", "output.path=run"]);
        let mut run = program(folder.path(), &["run"]);
        let run = set(&mut run, &day).arg("--set").arg("sandbox.conversations_per_day=20");
        let output = run.output().unwrap();
        let code = output.status.code();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(code, Some(0..=2)), "{setting}: {code:?} {said}");
        assert!(!said.contains("panicked"), "{setting}: {said}");
        let _ = fs::remove_dir_all(folder.path().join("run"));
    }
}

#[test]
fn a_file_that_is_not_a_regular_one_of_bounded_size_is_refused() {
    let folder = TempDir::new().unwrap();
    let large = "#".repeat((1 << 20) + 1);
    expect_refused(
        plan(folder.path(), &large, &[]),
        "config.toml: is larger than 1024 KiB, the most that is read",
    );
    fs::write(folder.path().join("large.toml"), &large).unwrap();
    fs::write(folder.path().join("secret"), "x".repeat((64 << 10) + 1)).unwrap();
    fs::write(folder.path().join("config.toml"), "").unwrap();
    let path = folder.path().display();
    for (setting, expected) in [
        (
            "source.catalog=large.toml",
            "--set: source.catalog: large.toml is larger than 1024 KiB, the most that is read",
        ),
        (
            "source.catalog=/dev/zero",
            "--set: source.catalog: /dev/zero is a device: expected a regular file",
        ),
        (
            "auth.client_secret={file=\"secret\"}",
            "--set: auth.client_secret: secret is larger than 64 KiB, the most that is read",
        ),
        (
            "auth.client_secret={file=\"/dev/zero\"}",
            "--set: auth.client_secret: /dev/zero is a device: expected a regular file",
        ),
        (
            &format!("auth.client_secret={{file=\"{path}\"}}"),
            &format!("--set: auth.client_secret: {path} is a folder: expected a regular file"),
        ),
    ] {
        expect_refused(plan_in(folder.path(), &simulated(&[setting])), expected);
    }
}

#[cfg(unix)]
#[test]
fn a_configuration_that_is_a_named_pipe_is_refused_and_not_waited_for() {
    let folder = TempDir::new().unwrap();
    let pipe = folder.path().join("config.toml");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let expected = "config.toml: is a named pipe: expected a regular file";
    expect_refused(plan_in(folder.path(), &[]), expected);
}
