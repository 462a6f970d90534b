//! The summary of a run as a table.

use indicatif::{HumanBytes, HumanCount};

use crate::{
    cli::table::{Column, Table},
    commands::{new_fields::NewField, report::Summary},
};

/// The most paths of values without a column that a summary lists.
const MOST_LISTED: usize = 20;

/// The values that fit no column, one line for each path. Empty if there are none.
pub(super) fn new_fields(fields: &[NewField]) -> String {
    let mut text = String::new();
    for field in fields.iter().take(MOST_LISTED) {
        text.push_str(&format!("no column in {} for {}\n", field.dataset, field.text()));
    }
    if let Some(more) = fields.len().checked_sub(MOST_LISTED).filter(|&more| more > 0) {
        text.push_str(&format!("and {more} more: `cxbackfill status` lists them\n"));
    }
    text
}

pub(super) fn table(summary: &Summary) -> Table {
    let count = |number: u64| HumanCount(number).to_string();
    let rate = summary.requests as f64 / summary.elapsed_s.max(0.001);
    let left_out = summary.rows_not_owned
        + summary.rows_duplicate
        + summary.rows_quarantined
        + summary.rows_forgotten;
    let forgotten = match summary.rows_forgotten {
        0 => String::new(),
        rows => format!(", {rows} forgotten"),
    };
    let mismatch = match summary.shards_with_count_mismatch {
        0 => String::new(),
        shards => format!(", {shards} with a count mismatch"),
    };
    let mut table = Table::new(&[Column::Left(13), Column::Right(9), Column::Left(0)]);
    table.row([
        "rows written",
        &count(summary.rows_written),
        &format!("of {} received", count(summary.rows_received)),
    ]);
    table.row([
        "rows left out",
        &count(left_out),
        &format!(
            "{} of other shards, {} duplicates, {} quarantined{forgotten}",
            summary.rows_not_owned, summary.rows_duplicate, summary.rows_quarantined
        ),
    ]);
    table.row([
        "commits",
        &count(summary.shards_committed),
        &format!(
            "of a day or less each; {} shards split, {} failed{mismatch}",
            summary.shards_split, summary.shards_failed
        ),
    ]);
    table.row([
        "requests",
        &count(summary.requests),
        &format!(
            "{rate:.1}/s, {} retries, {} throttled, {} for tokens",
            summary.retries, summary.rate_limited, summary.token_requests
        ),
    ]);
    table.row([
        "files",
        &count(summary.files),
        &format!(
            "{} from {}",
            HumanBytes(summary.bytes_written),
            HumanBytes(summary.bytes_received)
        ),
    ]);
    table.row([
        "time",
        &format!("{:.1} s", summary.elapsed_s),
        &format!(
            "{:.1} s of processor time, {} of memory",
            summary.cpu_s,
            HumanBytes(summary.peak_rss_bytes)
        ),
    ]);
    if let (Some(requests), Some(rows)) = (summary.requests_expected, summary.rows_expected) {
        let detail = format!("requests were expected, for {} rows", count(rows));
        table.row(["plan", &count(requests), &detail]);
    }
    table
}
