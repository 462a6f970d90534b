//! `cxbackfill status`.

use indicatif::{HumanBytes, HumanCount};

use crate::{
    cli::{
        not_yet_available, sources,
        table::{Column, Table},
    },
    commands::{
        gaps::Gap,
        status::{self, DatasetStatus, RunningJob, Status, Totals},
    },
    config::{self, BackfillScope, Overrides},
    error::Error,
    exit_code::ExitCode,
    ledger::{LEDGER, reader::Snapshot},
    sink::lock::OutputLock,
};

#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    /// Print one JSON object for programs.
    #[arg(long)]
    json: bool,
}

/// Prints what the ledger of each source records.
pub(super) fn execute(overrides: &Overrides, args: &StatusArgs) -> Result<ExitCode, Error> {
    let jobs = config::load_scopes(overrides)?;
    if let ([job], true) = (jobs.as_slice(), args.json) {
        let status = read(job)?;
        sayln!("{}", status.json());
        return Ok(exit_code(&status));
    }
    let (mut statuses, mut codes) = (Vec::new(), Vec::new());
    for job in &jobs {
        let source = job.source.as_deref();
        let result = read(job).map(|status| {
            let code = exit_code(&status);
            if args.json {
                statuses.push((source.unwrap_or_default(), status));
            } else {
                sources::print_heading(source);
                say!("{}", text(&status));
            }
            code
        });
        codes.push(sources::exit_code(source, result));
    }
    if args.json {
        sayln!("{}", status::sources_json(statuses, jobs.len()));
    }
    Ok(ExitCode::of_all(&codes))
}

fn exit_code(status: &Status) -> ExitCode {
    if status.complete { ExitCode::Complete } else { ExitCode::Gaps }
}

fn read(job: &BackfillScope) -> Result<Status, Error> {
    not_yet_available::print(job.source.as_deref(), &job.datasets, job.interval, job.now);
    // the lock first: a run that ends between the two has recorded its end
    let is_held = OutputLock::is_held(&job.output);
    let ledger = Snapshot::read(&job.output.join(LEDGER))?;
    let running = if is_held { RunningJob::new(&ledger) } else { None };
    Ok(Status { running, ..Status::new(job, &ledger) })
}

/// A table per dataset, and the status of the whole job in the last line.
fn text(status: &Status) -> String {
    let mut text = status.running.as_ref().map(running_text).unwrap_or_default();
    for dataset in &status.datasets {
        text.push_str(&dataset_text(dataset));
        text.push('\n');
    }
    let complete = if status.complete { "complete" } else { "not complete" };
    text.push_str(&format!("{} to {}: {complete}\n", status.from, status.to));
    text
}

/// Who runs the job since when, what it is doing, and how far it is, in two lines.
fn running_text(job: &RunningJob) -> String {
    let RunningJob { run, user, host, pid, started, words, .. } = job;
    let host = host.as_ref().map(|host| format!("@{host}")).unwrap_or_default();
    let who = format!("{}{host}", user.as_deref().unwrap_or("somebody"));
    let process = pid.map(|pid| format!(", process {pid}")).unwrap_or_default();
    let left = match job.eta_s {
        Some(seconds) if seconds >= 1.0 => format!(", about {} left", duration_text(seconds)),
        _ => String::new(),
    };
    format!(
        "run {run} of {who}{process} is going on since {started}: {words}\n{} of {} shards ({:.0} \
         %), {} rows, {} requests{left}\n\n",
        HumanCount(job.shards_done),
        HumanCount(job.shards_planned),
        job.share * 100.0,
        HumanCount(job.rows),
        HumanCount(job.requests),
    )
}

fn dataset_text(dataset: &DatasetStatus) -> String {
    let mut text = table(dataset).to_string();
    if let Some(reason) = &dataset.denied {
        text.push_str(&format!("denied: {reason}\n"));
    }
    if dataset.rows_quarantined > 0 {
        let rows = HumanCount(dataset.rows_quarantined);
        text.push_str(&format!("{rows} rows could not be decoded and are in _quarantine\n"));
    }
    if dataset.rows_forgotten > 0 {
        let rows = HumanCount(dataset.rows_forgotten);
        text.push_str(&format!("{rows} rows were left out because their ids were forgotten\n"));
    }
    if dataset.rows_open > 0 {
        let rows = HumanCount(dataset.rows_open);
        text.push_str(&format!(
            "{rows} rows were open when they were fetched, such as calls without an end: later runs \
             fetch them again\n"
        ));
    }
    for field in &dataset.new_fields {
        text.push_str(&format!("no column for {}\n", field.text()));
    }
    for gap in dataset.failed.iter().chain(&dataset.doubtful).chain(&dataset.accepted) {
        let Gap { interval, cause, reason, correlation, accepted, .. } = gap;
        let id = if correlation.is_empty() { String::new() } else { format!(" ({correlation})") };
        let accepted = accepted.as_ref().map_or(String::new(), |why| format!("; accepted: {why}"));
        text.push_str(&format!("{} {interval}: {reason}{id}{accepted}\n", cause.name()));
    }
    text
}

/// A row per day. Consecutive days of which everything is missing share a row.
fn table(dataset: &DatasetStatus) -> Table {
    let mut columns = vec![Column::Left(24)];
    columns.extend([9, 8, 8, 10, 10, 6].map(Column::Right));
    let mut table = Table::new(&columns);
    table.row([&dataset.dataset, "committed", "failed", "missing", "rows", "size", "files"]);
    for days in dataset.days.chunk_by(|a, b| a.is_all_missing() && b.is_all_missing()) {
        let (Some(first), Some(last)) = (days.first(), days.last()) else { continue };
        let name = match days.len() {
            1 => first.date.clone(),
            _ => format!("{} to {}", first.date, last.date),
        };
        add_row(&mut table, &name, days.iter().map(|day| day.totals).sum());
    }
    add_row(&mut table, "total", dataset.total);
    table
}

fn add_row(table: &mut Table, name: &str, totals: Totals) {
    let Totals { rows, bytes, files, committed_s, failed_s, missing_s } = totals;
    table.row([
        name,
        &duration_text(committed_s),
        &duration_text(failed_s),
        &duration_text(missing_s),
        &HumanCount(rows).to_string(),
        &HumanBytes(bytes).to_string(),
        &HumanCount(files).to_string(),
    ]);
}

/// A duration in its two largest units, such as `3d 4h`; `-` if it is zero.
fn duration_text(seconds: f64) -> String {
    if seconds <= 0.0 {
        return "-".to_owned();
    }
    if seconds < 1.0 {
        return "<1s".to_owned();
    }
    let mut rest = seconds as u64;
    let units = [(86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')].map(|(length, unit)| {
        let count = rest / length;
        rest %= length;
        (count, unit)
    });
    let first = units.iter().position(|(count, _)| *count > 0).unwrap_or(units.len() - 1);
    let shown = units[first..].iter().take(2).filter(|(count, _)| *count > 0);
    shown.map(|(count, unit)| format!("{count}{unit}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::status::tests::partly_committed;

    #[test]
    fn days_of_which_everything_is_missing_share_a_row() {
        let expected = "\
conversations             committed    failed   missing        rows        size   files
2024-01-01                       1d         -         -           5        50 B       1
2024-01-02                       1d         -         -           3        30 B       1
2024-01-03                       6h        6h       12h           2        20 B       1
2024-01-04 to 2024-01-10          -         -        7d           0         0 B       0
total                         2d 6h        6h    7d 12h          10       100 B       3
2 rows could not be decoded and are in _quarantine
failed 2024-01-03T06:00:00.000Z/2024-01-03T12:00:00.000Z: too slow (c-1)

2024-01-01T00:00:00.000Z to 2024-01-11T00:00:00.000Z: not complete
";
        assert_eq!(text(&partly_committed()), expected);
    }

    #[test]
    fn a_run_that_is_going_on_is_told_with_who_since_when_and_how_far() {
        let job = RunningJob {
            run: 7,
            user: Some("ana".into()),
            host: Some("box".into()),
            pid: Some(12),
            started: "2024-01-20T00:00:00Z".into(),
            at: String::new(),
            words: "throttled for 42 s".into(),
            shards_done: 40,
            shards_planned: 365,
            share: 0.11,
            rows: 12_345,
            requests: 678,
            eta_s: Some(725.0),
        };
        let expected = "run 7 of ana@box, process 12 is going on since 2024-01-20T00:00:00Z: \
            throttled for 42 s\n40 of 365 shards (11 %), 12,345 rows, 678 requests, about 12m 5s \
            left\n\n";
        assert_eq!(running_text(&job), expected);
    }

    #[test]
    fn a_duration_is_printed_in_its_two_largest_units() {
        let seconds = [0.0, 0.2, 59.0, 60.0, 3_661.0, 86_400.0, 90_000.0, 86_460.0];
        let expected = ["-", "<1s", "59s", "1m", "1h 1m", "1d", "1d 1h", "1d"];
        assert_eq!(seconds.map(duration_text), expected);
    }
}
