//! The real program, killed, without write permission or out of disk space, and resumed. Each time
//! the output must equal that of an undisturbed run.
//!
//! `SEED=17 cargo test --test it recovery` kills at other times, `KILLS=40` more often.
#![cfg(unix)]

mod disturbed_backfill;
mod rewrites;

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use cxbackfill::testing::{LEDGER, Snapshot};

use self::disturbed_backfill::{Backfill, wait_until};
use crate::common::{
    binary::Sandbox,
    output_rows::{NESTED, Rows, committed_ids, committed_rows, files, merged, rows_by_folder},
};

/// The number of kills of one backfill, unless `KILLS` is set.
const KILLS: u64 = 30;
/// The same of one with tables, which has many more files.
const KILLS_OF_TABLES: u64 = 8;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn start_sandbox() -> Sandbox {
    Sandbox::start(&["sandbox.conversations_per_day=300"])
}

fn undisturbed(sandbox: &Sandbox) -> Rows {
    let rows = Backfill::of(sandbox).complete();
    assert_eq!(rows.len(), 10 * 300);
    rows
}

/// Checks that all rows are equal, and names those that differ.
fn assert_same(rows: &Rows, undisturbed: &Rows) {
    let differ: Vec<_> = undisturbed
        .iter()
        .filter(|(id, row)| rows.get(*id) != Some(row))
        .map(|(id, _)| id)
        .collect();
    let more = rows.len() as i64 - undisturbed.len() as i64;
    assert!(
        differ.is_empty() && more == 0,
        "{more} rows too many; missing or different: {differ:?}"
    );
}

#[test]
fn g3_killed_at_any_instant_and_resumed_the_output_is_that_of_an_undisturbed_run() {
    let sandbox = start_sandbox();
    let mut killed = Backfill::slow(&sandbox);
    let most_kills = number("KILLS").unwrap_or(KILLS);
    kill_and_resume(&mut killed, most_kills, |_, _| {});
    assert_same(&killed.complete(), &undisturbed(&sandbox));
}

#[test]
fn g3_killed_at_any_instant_and_resumed_tables_and_nested_rows_agree() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=60"]);
    let backfill = || Backfill::of_layout(&sandbox, "both", "2024-01-04");
    let undisturbed = backfill();
    undisturbed.complete();
    let expected = rows_by_folder(&undisturbed.output());
    assert!(expected.len() > 10 && expected[NESTED].len() == 3 * 60);
    let mut killed = backfill().slowly();
    let most_kills = number("KILLS").unwrap_or(KILLS_OF_TABLES);
    kill_and_resume(&mut killed, most_kills, |killed, label| {
        if !killed.output().join(LEDGER).exists() {
            return;
        }
        let folders = merged(committed_rows(&killed.output()));
        let Some(nested) = folders.get(NESTED) else {
            return assert!(folders.is_empty(), "{label}");
        };
        for (folder, expected) in &expected {
            let of_committed = expected.iter().filter(|(id, _)| nested.contains_key(*id));
            assert!(folders[folder].iter().eq(of_committed), "{label}: {folder}");
        }
    });
    killed.complete();
    assert!(rows_by_folder(&killed.output()) == expected, "the rows differ");
}

/// Kills a backfill so often, at random instants, in other shards and with other actors each time.
/// `check` sees the killed output with the label of the kill.
fn kill_and_resume(killed: &mut Backfill, most_kills: u64, check: impl Fn(&Backfill, &str)) {
    let seed = number("SEED").unwrap_or(4);
    let mut rng = fastrand::Rng::with_seed(seed);
    let plain = killed.set.len();
    let (mut kills, mut unrecorded) = (0, 0);
    while kills < most_kills {
        let shape =
            [format!("fetch.shard={}h", rng.u32(2..9)), format!("fetch.actors={}", rng.u32(1..8))];
        killed.set.splice(plain.., shape);
        let mut run = killed.start("run");
        sleep(Duration::from_millis(rng.u64(20..120)));
        if rng.bool() {
            // commits are short: wait for one
            let written =
                || files(&killed.output()).iter().filter(|file| file.contains(".parquet")).count();
            let before = written();
            wait_until("a file is written", || written() > before || run.has_ended());
            sleep(Duration::from_micros(rng.u64(0..4_000)));
        }
        if run.has_ended() {
            break;
        }
        drop(run);
        kills += 1;
        unrecorded += u32::from(has_uncommitted_file(killed));
        check(killed, &format!("seed {seed}, kill {kills}"));
    }
    eprintln!(
        "seed {seed}: killed {kills} times, and {unrecorded} times there was a file without a record"
    );
    assert!(kills > 5, "seed {seed}: {kills} kills prove little");
}

#[test]
fn g3_a_run_that_a_second_interrupt_ended_leaves_what_a_killed_one_leaves() {
    // requests are slow for some seconds: an interrupted run needs them to delete its jobs at the
    // platform
    let latency = "sandbox.latency={ base = \"0s\", jitter = \"0s\", capacity = 0, steps = [\
                   { after = \"8s\", base = \"4s\" }, { after = \"16s\", base = \"0s\" }] }";
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=300", latency]);
    let mut ended = Backfill::of(&sandbox);
    let plain = ended.set.len();
    ended.set.extend([
        "fetch.strategy=job".to_owned(),
        "fetch.actors=3".to_owned(),
        "budget.requests=20".to_owned(),
        "budget.per=1s".to_owned(),
    ]);
    let run = ended.start("run");
    let report = ended.output().join("_report.html");
    sleep(Duration::from_secs(10));
    run.interrupt();
    // interrupts within a second are one
    sleep(Duration::from_millis(1_050));
    run.interrupt();
    let (code, said) = run.end();
    assert_eq!(code, 130, "{said}");
    assert!(said.contains("`_report.html` is not written"), "{said}");
    assert!(!report.exists());
    ended.set.truncate(plain);
    has_uncommitted_file(&ended);
    assert_same(&ended.complete(), &undisturbed(&sandbox));
    assert!(report.exists());
}

#[test]
#[allow(clippy::disallowed_methods)] // another process is killed in real time
fn g3_killed_during_refreshes_a_reader_of_the_ledger_finds_every_id_once() {
    let seed = number("SEED").unwrap_or(7);
    let most_kills = number("KILLS").unwrap_or(6);
    let mut rng = fastrand::Rng::with_seed(seed);
    let sandbox = start_sandbox();
    let mut refreshed = Backfill::slow(&sandbox);
    let undisturbed = refreshed.complete();
    let ids: BTreeSet<_> = undisturbed.keys().cloned().collect();
    refreshed.set.push("job.refresh=30d".to_owned());
    let plain = refreshed.set.len();
    let (mut kills, mut reads, mut staged) = (0, 0, 0);
    while kills < most_kills {
        let shape =
            [format!("fetch.shard={}h", rng.u32(3..60)), format!("fetch.actors={}", rng.u32(1..8))];
        refreshed.set.splice(plain.., shape);
        let mut run = refreshed.start("run");
        let deadline = Instant::now() + Duration::from_millis(rng.u64(30..1_500));
        while Instant::now() < deadline && !run.has_ended() {
            assert_eq!(committed_ids(&refreshed.output()), ids, "seed {seed}, while it runs");
            reads += 1;
        }
        kills += u64::from(!run.has_ended());
        drop(run);
        let is_staged = |file: &String| file.starts_with("_staging/");
        staged += u32::from(files(&refreshed.output()).iter().any(is_staged));
        assert_eq!(committed_ids(&refreshed.output()), ids, "seed {seed}, after {kills} kills");
    }
    refreshed.set.truncate(plain - 1);
    assert_same(&refreshed.complete(), &undisturbed);
    eprintln!(
        "seed {seed}: killed {kills} refreshes, {staged} of them with staged files, and read \
        {reads} times while they ran"
    );
}

/// Checks that the output of a killed run is as its ledger says, except for files that were not
/// committed yet. Returns whether there is such a file.
fn has_uncommitted_file(killed: &Backfill) -> bool {
    if !killed.output().join(LEDGER).exists() {
        return false;
    }
    let (code, said) = killed.start("verify").end();
    let files = files(&killed.output());
    let lines: Vec<_> = said.lines().filter(|line| line.contains(".parquet: ")).collect();
    assert!(lines.iter().all(|line| line.contains("the ledger does not know it")), "{said}");
    assert_eq!(code, i32::from(!lines.is_empty()), "{said}");
    !lines.is_empty() || files.iter().any(|file| file.contains('#'))
}

/// Disturbs a run after its first file: it must name the cause, and resume after the disturbance.
fn expect_resume_after(disturb: impl Fn(&Path), restore: impl Fn(&Path)) {
    let sandbox = start_sandbox();
    let backfill = Backfill::slow(&sandbox);
    let run = backfill.start("run");
    let output = backfill.output();
    wait_until("a file is written", || {
        files(&output).iter().any(|file| file.ends_with(".parquet"))
    });
    disturb(&output);
    let (code, said) = run.end();
    restore(&output);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("error: the output failed") && said.contains("then run again"), "{said}");
    let committed =
        Snapshot::read(&output.join(LEDGER)).unwrap().datasets["conversations"].shards.len();
    assert!((1..40).contains(&committed), "{committed} shards were committed");
    assert_same(&backfill.complete(), &undisturbed(&sandbox));
}

#[test]
fn a_folder_that_cannot_be_made_ends_the_run_with_4_and_can_be_resumed() {
    let folder = |output: &Path| output.join("conversations/date=2024-01-10");
    expect_resume_after(
        |output| fs::write(folder(output), "in the way").unwrap(),
        |output| fs::remove_file(folder(output)).unwrap(),
    );
}

#[test]
fn an_output_that_becomes_read_only_ends_the_run_with_4_and_can_be_resumed() {
    let set =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let probe = tempfile::tempdir().unwrap();
    set(probe.path(), 0o555);
    if fs::write(probe.path().join("file"), "").is_ok() {
        return eprintln!("skipped: this user may write anywhere");
    }
    expect_resume_after(
        |output| set(&output.join("conversations"), 0o555),
        |output| set(&output.join("conversations"), 0o755),
    );
}

#[test]
fn a_full_disk_ends_the_run_with_4_and_can_be_resumed() {
    let sandbox = start_sandbox();
    let backfill = Backfill::fine(&sandbox);
    // too small for the ledger, for a Parquet file, for the ledger's log
    for blocks in [8, 160, 400] {
        let (code, said) = backfill.start_with_files_of(blocks).end();
        assert_eq!(code, 4, "{blocks} blocks: {said}");
        assert!(said.contains("error: ") && said.contains("disk"), "{blocks} blocks: {said}");
        assert!(!said.contains("panicked"), "{blocks} blocks: {said}");
        eprintln!(
            "{blocks} blocks: {}",
            said.lines().find(|line| line.starts_with("error")).unwrap_or_default()
        );
    }
    assert_same(&backfill.complete(), &undisturbed(&sandbox));
}
