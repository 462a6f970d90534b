//! Writes `_report.html` and `_report.json` into an output: the page with its data as one file, and
//! the data alone.
//!
//! Readers of the data ignore names that begin with an underscore. Each file is written under a
//! temporary name and then takes its own, so that nobody reads half a report.

use std::{collections::BTreeMap, io::Write, sync::Arc};

use serde_json::{Value, json};

use crate::{
    commands::overview::{DayOverview, DayState, Overview, ShardHistory},
    error::Error,
    sink::store::{OutputStore, StoreError},
    system::blocking::offload_wait,
    time::interval::{DAY_MS, Interval},
    web::{Source, page},
};

/// The page of the report.
pub(crate) const HTML: &str = "_report.html";
/// The numbers of the report.
pub(crate) const JSON: &str = "_report.json";

/// A report of so few days has the history of each.
const FEW_DAYS: usize = 62;
/// The most days whose history is part of a report with more days.
const MOST_HISTORIES: usize = 400;

/// Writes the report of an output. Takes no lock: whoever writes last is read.
///
/// # Errors
/// If the ledger cannot be read or a file cannot be written.
pub(crate) async fn write(source: Arc<Source>) -> Result<(), Error> {
    let (folder, mode) = (source.scope().output.clone(), source.scope().file_mode);
    let (json, html) = offload_wait(move || {
        let overview = source.overview()?;
        Ok::<_, Error>((overview.json(), html(&source, &overview)?))
    })
    .await?;
    let output = OutputStore::create(&folder, mode)?;
    for (name, text) in [(JSON, json), (HTML, html)] {
        output.remove_partial_uploads(vec![name.to_owned()]).await?;
        let mut spool = output.spool_file().spool();
        let path = folder.join(name).display().to_string();
        let written = spool.write_all(text.as_bytes());
        written.map_err(|source| StoreError::Io { path, source })?;
        output.put(name, 0, spool).await?;
    }
    Ok(())
}

/// The page with the overview and the histories of the days that someone may ask about.
fn html(source: &Source, overview: &Overview) -> Result<String, Error> {
    let mut histories: BTreeMap<&str, BTreeMap<&str, ShardHistory>> = BTreeMap::new();
    let count: usize = overview.datasets.iter().map(|dataset| dataset.days.len()).sum();
    let days = overview.datasets.iter().flat_map(|dataset| {
        let days = dataset.days.iter().filter(|day| count <= FEW_DAYS || is_special(day));
        days.map(|day| (dataset.name.as_str(), day.date.as_str()))
    });
    for (dataset, date) in days.take(MOST_HISTORIES) {
        let Some(interval) = day(date) else { continue };
        let history = source.history(dataset, interval)?;
        histories.entry(dataset).or_default().insert(date, history);
    }
    let overview: Value = serde_json::to_value(overview).unwrap_or_default();
    let data = json!({ "live": false, "overview": overview, "histories": histories });
    Ok(page::html(&data))
}

/// Whether someone may ask how a day came about although the report has many days.
fn is_special(day: &DayOverview) -> bool {
    match day.state {
        DayState::Committed | DayState::Waiting => day.split,
        // of a day of which nothing is committed there is nothing to tell
        DayState::Denied => day.split || day.shards > 0,
        DayState::Partial | DayState::Fetching | DayState::Doubtful | DayState::Failed => true,
    }
}

/// The interval of a UTC day. `None` if it is none.
fn day(date: &str) -> Option<Interval> {
    let midnight: jiff::Timestamp = format!("{date}T00:00:00Z").parse().ok()?;
    let from = midnight.as_millisecond();
    Interval::new(from, from + DAY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_report_has_the_history_of_a_denied_day_if_a_part_of_it_is_committed() {
        let day = |shards| DayOverview {
            date: "2024-01-01".to_owned(),
            state: DayState::Denied,
            rows: 0,
            bytes: 0,
            requests: None,
            retries: None,
            duration_s: None,
            open_rows: 0,
            shards,
            split: false,
        };
        assert!(is_special(&day(1)));
        assert!(!is_special(&day(0)));
    }
}
