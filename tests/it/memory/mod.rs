//! G8: memory does not grow with a shard.
mod many_shards;

use std::{fmt::Write, path::Path, process::Stdio, sync::Arc};

use actix::System;
use bytes::Bytes;
use cxbackfill::testing::{
    Dataset, Endpoint, Interval, LEDGER, Ledger, OutputStore, Plan, RunOutcome, RunReport, Scope,
    Shard, iso, run,
};
use indicatif::HumanCount;
use nix::sys::resource::{UsageWho, getrusage};

use crate::{
    common::{
        binary::{SIMULATED, program, set, summary},
        environment::{config, environment},
        numbered_pages::NumberedPages,
        own_process::is_own_process,
    },
    export,
};

const MIB: i64 = 1 << 20;
const PAGE: u64 = 10_000;
/// The guaranteed limit.
const MAX_BYTES: i64 = 300_000_000;

/// A page of so many rows, one per millisecond from `start_ms` on.
fn page(start_ms: i64, all_rows: u64, number: u64) -> Bytes {
    let mut body = "{\"conversations\":[".to_owned();
    let rows = (number - 1) * PAGE..(number * PAGE).min(all_rows);
    for row in rows.clone() {
        let start = iso(start_ms + i64::try_from(row).unwrap());
        let comma = if row == rows.start { "" } else { "," };
        write!(
            body,
            r#"{comma}{{"conversationId":"{row:032x}","conversationStart":"{start}","originatingDirection":"inbound"}}"#
        )
        .unwrap();
    }
    let end = if rows.is_empty() {
        format!("{{\"totalHits\":{all_rows}}}")
    } else {
        format!("{body}],\"totalHits\":{all_rows}}}")
    };
    end.into()
}

/// The most memory that this process held, in bytes. Linux hands `ru_maxrss` down to a child that
/// measures itself, so `VmHWM` is read where there is one.
fn peak_memory() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let own = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    match own.and_then(|line| line.split_whitespace().next()) {
        Some(kibibytes) => kibibytes.parse::<i64>().unwrap() * 1_024,
        None => getrusage(UsageWho::RUSAGE_SELF).unwrap().max_rss(),
    }
}

/// What is fetched.
struct Case {
    rows: u64,
    /// Whether rows come by time: only then the shard is committed in parts.
    ordered: bool,
    /// Whether the shard replaces a committed one, as a refresh does: then it is committed whole.
    replaces: bool,
}

/// Fetches a day in one shard.
fn fetch_day(folder: &Path, case: &Case, commit_every: &str) -> RunReport {
    let mut config = config(&[
        "fetch.actors=1",
        "fetch.page_size=10000",
        "budget.requests=0",
        &format!("output.commit_every={commit_every}"),
    ]);
    config.interval = Interval::day_of(1_704_067_200_000);
    let mut dataset = Dataset::clone(&config.datasets[0]);
    let mut endpoint = Endpoint::clone(dataset.endpoint());
    (endpoint.page_size, endpoint.depth, endpoint.ordered) = (10_000, u64::MAX, case.ordered);
    (dataset.query, dataset.job) = (Some(Arc::new(endpoint)), None);
    config.datasets = vec![Arc::new(dataset)];
    let report = System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
    })
    .block_on(async {
        let (output, ledger) = (OutputStore::directory(folder).unwrap(), ledger_in(folder));
        let mut plan = run::prepare(&config, Scope::Missing, &output, &ledger).await.unwrap();
        if case.replaces {
            plan = Plan::default();
            let dataset = Arc::clone(&config.datasets[0]);
            plan.add_whole(&Shard::new(dataset, config.interval, true));
        }
        let (start_ms, rows) = (config.interval.from_ms(), case.rows);
        let api = NumberedPages(move |number| page(start_ms, rows, number));
        let environment = environment(Arc::new(api), output, ledger);
        run::backfill(&config, plan, &environment).await.unwrap()
    });
    assert!(matches!(report.outcome, RunOutcome::Complete), "{}", report.outcome);
    assert_eq!(report.summary.rows_written, case.rows);
    report
}

/// Fetches a day in one shard, in a process of its own, and demands that its memory stays within
/// the promise.
fn expect_bounded(test: &str, case: Case) {
    if !is_own_process(test) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let report = fetch_day(folder.path(), &case, "1d");
    let peak = peak_memory();
    println!(
        "{} rows of one shard in {} files: at most {} MB",
        case.rows,
        report.summary.files,
        peak / 1_000_000
    );
    assert!(peak < MAX_BYTES, "{} MB", peak / 1_000_000);
}

/// A ledger on the disk, as a run has it: one in memory would count as the run's memory.
fn ledger_in(folder: &Path) -> Ledger {
    Ledger::open(&folder.join(LEDGER)).unwrap()
}

#[test]
fn g8_a_shard_of_five_million_rows_stays_below_300_megabytes() {
    expect_bounded(
        "memory::g8_a_shard_of_five_million_rows_stays_below_300_megabytes",
        Case { rows: 5_000_000, ordered: true, replaces: false },
    );
}

#[test]
fn g8_an_unordered_shard_of_three_million_rows_stays_below_300_megabytes() {
    expect_bounded(
        "memory::g8_an_unordered_shard_of_three_million_rows_stays_below_300_megabytes",
        Case { rows: 3_000_000, ordered: false, replaces: false },
    );
}

#[test]
fn g8_a_refresh_of_three_million_rows_stays_below_300_megabytes() {
    expect_bounded(
        "memory::g8_a_refresh_of_three_million_rows_stays_below_300_megabytes",
        Case { rows: 3_000_000, ordered: true, replaces: true },
    );
}

#[cfg(target_os = "linux")]
#[test]
fn g8_compact_and_forget_of_a_million_rows_stay_below_300_megabytes() {
    let rows = std::env::var("ROWS").map_or(1_000_000, |rows| rows.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    // each page is committed, so that there are many files to merge
    let case = Case { rows, ordered: true, replaces: false };
    let files = fetch_day(&folder.path().join("out"), &case, "1ms").summary.files;
    assert!(files > 1, "there is nothing to merge");
    let id = format!("{:032x}", rows / 3);
    for (arguments, expected) in [
        (&["compact"][..], format!(" merged to 1 file, {} rows, ", HumanCount(rows))),
        (&["forget", "--yes", "--id", &id], ": 1 rows and 0 quarantined rows of 1 ids".to_owned()),
    ] {
        let mut command = program(folder.path(), arguments);
        let mut child = set(&mut command, &SIMULATED).stdout(Stdio::piped()).spawn().unwrap();
        let peak = i64::try_from(export::peak_memory(&mut child)).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains(&expected), "{arguments:?}: {said}");
        println!("{arguments:?} of {rows} rows: at most {} MB", peak / 1_000_000);
        assert!(peak < MAX_BYTES, "{arguments:?}: {} MB", peak / 1_000_000);
    }
    let mut command = program(folder.path(), &["verify"]);
    let verified = set(&mut command, &SIMULATED).output().unwrap();
    let said = String::from_utf8_lossy(&verified.stdout);
    let expected = format!(" {} rows, ", HumanCount(rows - 1));
    assert!(verified.status.success() && said.contains(&expected), "{said}");
}

/// Fifty organisations of this many conversations a day side by side, three days each, in the
/// program itself, each with a sandbox of its own in the same process.
#[test]
fn g8_fifty_sources_side_by_side_stay_below_700_mebibytes() {
    let rows_per_day = std::env::var("ROWS").unwrap_or_else(|_| "60".to_owned());
    let folder = tempfile::tempdir().unwrap();
    let mut toml = format!(
        "[job]\nname = 'fifty'\nfrom = '2024-01-01T00:00:00Z'\nto = '2024-01-04T00:00:00Z'\n\
         [budget]\nrequests = 0\n[fetch]\nstrategy = 'query'\n\
         [sandbox]\nrequests = 0\nlatency = {{ base = '50ms' }}\nconversations_per_day = {rows_per_day}\n"
    );
    for number in 1..=50 {
        writeln!(
            toml,
            "[[source]]\nname = 's{number}'\nregion = 'sandbox'\n[source.sandbox]\nseed = {number}\n\
             client_secret = 'secret-{number}'\n[source.auth]\nclient_secret = 'secret-{number}'"
        )
        .unwrap();
    }
    std::fs::write(folder.path().join("config.toml"), toml).unwrap();
    let mut run = program(folder.path(), &["run", "--summary", "json"]);
    let output = run.env("RUST_LOG", "off").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let summary = summary(&output);
    let peak = summary["peak_rss_bytes"].as_i64().unwrap();
    println!("50 sources: at most {} MB; {} s of CPU", peak / 1_000_000, summary["cpu_s"]);
    assert!(peak < 700 * MIB, "{} MB", peak / 1_000_000);
}
