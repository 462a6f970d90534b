//! Runs a scenario: runs, crashes and resumes until the job is complete, and compares with the
//! truth.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use cxbackfill::testing::{
    Config, Environment, Ledger, OutputStore, Region, RunOutcome, Scope, Stats, Summary, run,
};
use object_store::memory::InMemory;
use tokio_util::sync::CancellationToken;

use super::{
    committed_ids::CommittedIds,
    crash_store::CrashStore,
    environment::{environment, on_virtual_time},
    faulty_transport::FaultyTransport,
    flat_tables,
    scenario::{Scenario, Stop},
    scenario_rows::{Rows, has_extra, lost_values, read, truth},
    tally::Tally,
};

/// The largest number of runs of one scenario.
const MAX_RUNS: usize = 16;

/// `job.follow_open` where open rows are followed up, however old the data are.
const YEARS: Duration = Duration::from_secs(40 * 365 * 86_400);

/// The result of a scenario.
pub struct ScenarioResult {
    pub trace: Vec<String>,
    pub rows: Rows,
    pub truth: Rows,
    /// Files that the ledger does not name, and rows that occur twice.
    pub strays: Vec<String>,
    /// Committed ids that were missing or occurred twice at some step.
    pub violations: Vec<String>,
    /// Values of drifted rows that are neither in a column nor in `_extra`, or that are made up.
    pub lost_values: Vec<String>,
    /// Jobs that the program used and that the region still has.
    pub jobs_left: Vec<String>,
    /// Counts of the region, and the largest number of requests sent in a window's length of a run.
    pub stats: Stats,
    pub most_sent: u64,
    pub summary: Summary,
    pub tally: Tally,
}

/// Runs a scenario until the job is complete: after a crash or an interrupt the next run resumes,
/// and after failures the faults are cleared and the failed shards are retried.
pub fn run_scenario(scenario: &Scenario) -> ScenarioResult {
    let mut config = scenario.config();
    let (mut refresh, mut follows_open, mut is_follow_up) =
        (scenario.refresh, scenario.follows_open, false);
    let region = Arc::new(Region::new(scenario.sandbox.clone()));
    let transport = Arc::new(FaultyTransport::new(scenario, Arc::clone(&region)));
    let memory = Arc::new(InMemory::new());
    let ledger = Ledger::in_memory().unwrap();
    let committed = Arc::new(Mutex::new(CommittedIds::new(Arc::clone(&memory), ledger.clone())));
    let mut tally = Tally::default();
    let mut last = None;
    let mut scope = Scope::Missing;
    let (mut has_gaps, mut is_plain_retry) = (false, false);
    let other = Scenario { auto_width: !scenario.auto_width, ..scenario.clone() }.config();
    let mut other_width = other.fetch.shard;
    for run in 0..MAX_RUNS {
        if run > 0 && scenario.changes_width {
            std::mem::swap(&mut config.fetch.shard, &mut other_width);
        }
        let (crash, shutdown) = (CancellationToken::new(), CancellationToken::new());
        let stops = usize::try_from(tally.crashes + tally.interrupts).unwrap();
        let may_stop = !(refresh && scenario.stops_in_refresh);
        let stop = scenario.stops.get(stops).copied().filter(|_| may_stop);
        transport.start(stop.map(|(step, how)| {
            (step, how, if how == Stop::Kill { &crash } else { &shutdown }.clone())
        }));
        let output = OutputStore::over(Arc::new(CrashStore::new(
            Arc::clone(&memory),
            Arc::clone(&transport),
            Arc::clone(&committed),
        )));
        let ended = run_once(&config, scope, &output, &ledger, &transport, crash, shutdown);
        committed.lock().unwrap().check("at the end of a run");
        let Some((summary, outcome)) = ended else {
            tally.crashes += 1;
            tally.refresh_crashes += tally.refreshes;
            tally.orphans += ledger.remote_jobs().unwrap().len() as u64;
            transport.note("crash".to_owned());
            continue;
        };
        tally += &summary;
        tally.refresh_splits += tally.refreshes * summary.shards_split;
        transport.note(format!("{outcome}"));
        let is_healed = is_plain_retry && matches!(outcome, RunOutcome::Complete);
        tally.healed += u64::from(is_healed && summary.shards_committed > 0);
        is_plain_retry = false;
        tally.followed += u64::from(is_follow_up) * summary.shards_committed;
        is_follow_up = false;
        match outcome {
            // doubtful intervals are only fetched again by `--retry-failed`
            RunOutcome::Complete if !ledger.doubtful("conversations").unwrap().is_empty() => {
                transport.clear();
                scope = Scope::Failed;
            }
            RunOutcome::Complete if refresh => {
                refresh = false;
                tally.refreshes += 1;
                transport.change();
                scope = Scope::Missing;
                config.refresh = config.interval.width();
            }
            // the run was interrupted while it deleted the last job: the next run deletes it
            RunOutcome::Complete if !ledger.remote_jobs().unwrap().is_empty() => {
                tally.interrupts += u64::from(stop.is_some())
            }
            // years later the follow-ups of all open rows are due, and the rows are still open
            RunOutcome::Complete if follows_open => {
                (follows_open, is_follow_up) = (false, true);
                scope = Scope::Missing;
                config.follow_open = YEARS;
                config.now += i64::try_from(YEARS.as_millis()).unwrap() / 2;
            }
            RunOutcome::Complete => {
                last = Some(summary);
                break;
            }
            RunOutcome::Gaps(gaps) => {
                tally.poisoned += gaps.len() as u64;
                tally.refresh_failures += tally.refreshes * gaps.len() as u64;
                transport.clear();
                let given_up = gaps.iter().any(|gap| gap.reason.contains("given up"));
                tally.given_up += u64::from(given_up);
                // an interval that could not be replaced is not failed: it is replaced again
                is_plain_retry = scenario.plain_retry && !has_gaps;
                scope = match scope {
                    _ if is_plain_retry || !config.refresh.is_zero() => Scope::Missing,
                    Scope::Failed | Scope::Again => Scope::Missing,
                    Scope::Missing => Scope::Failed,
                };
                has_gaps = true;
            }
            RunOutcome::Interrupted => tally.interrupts += 1,
            // the outage began before the first answer: the next run tries again
            RunOutcome::Fatal(reason) if is_outage_at_start(&reason) => {}
            other => panic!("seed {}: {other}", scenario.seed),
        }
        last = Some(summary);
    }
    let truth = truth(scenario, &config, &region);
    let (found, mut strays) = read(&memory, &ledger);
    let rows = match scenario.layout {
        "tables" => flat_tables::rows_of(&found.root, &truth),
        _ => found.nested,
    };
    if scenario.layout != "nested" {
        strays.extend(flat_tables::differences(&found.elements, &truth));
    }
    tally.revoked = transport.revoked();
    tally.outages = transport.outages();
    tally.deleted = transport.deleted();
    let faults = transport.job_faults();
    (tally.jobs_unknown, tally.jobs_cancelled) = (faults.unknown, faults.cancelled);
    (tally.jobs_refused, tally.job_replies_lost) = (faults.refused, faults.lost_replies);
    let (jobs_left, most_sent);
    (jobs_left, most_sent, tally.jobs, tally.lost) =
        transport.recorder(|seen| (seen.left(), seen.most_sent, seen.submitted, seen.lost));
    let lost_values = lost_values(scenario, &config, &region, &rows);
    tally.drifted = rows.values().filter(|row| has_extra(row)).count() as u64;
    ScenarioResult {
        trace: transport.trace(),
        lost_values,
        rows,
        truth,
        strays,
        violations: committed.lock().unwrap().violations(),
        jobs_left,
        stats: region.stats(),
        most_sent,
        summary: last.unwrap_or_else(|| panic!("seed {}: no run came to its end", scenario.seed)),
        tally,
    }
}

fn is_outage_at_start(reason: &str) -> bool {
    // without a token nothing is asked of the API
    reason.contains("no request of this run has succeeded") || reason.starts_with("no token")
}

/// One run of the program. `None` if it was killed.
fn run_once(
    config: &Config,
    scope: Scope,
    output: &OutputStore,
    ledger: &Ledger,
    transport: &Arc<FaultyTransport>,
    crash: CancellationToken,
    shutdown: CancellationToken,
) -> Option<(Summary, RunOutcome)> {
    on_virtual_time(async {
        transport.begin();
        let environment = Environment {
            shutdown,
            seed: transport.seed(),
            ..environment(Arc::clone(transport) as Arc<_>, output.clone(), ledger.clone())
        };
        let ran = async {
            let plan = run::prepare(config, scope, output, ledger).await.unwrap();
            run::backfill(config, plan, &environment).await.unwrap()
        };
        let ended = tokio::select! {
            biased;
            () = crash.cancelled() => None,
            report = ran => Some((report.summary, report.outcome)),
        };
        transport.end();
        ended
    })
}
