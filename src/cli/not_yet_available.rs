//! Says which end of the requested interval is not yet available.

use std::sync::Arc;

use tracing::Level;

use crate::{catalog::Dataset, telemetry, time::interval::Interval};

/// Prints a line to standard error for each end of `interval` that the platform cannot return at
/// `now`, in milliseconds since 1970. A later run fetches it.
pub(super) fn print(source: Option<&str>, datasets: &[Arc<Dataset>], interval: Interval, now: i64) {
    for note in notes(datasets, interval, now) {
        telemetry::tell(Level::INFO, source, &note);
    }
}

/// A note for each end of the interval, with the datasets that it applies to.
fn notes(datasets: &[Arc<Dataset>], interval: Interval, now: i64) -> Vec<String> {
    let mut ends: Vec<(Interval, Vec<&str>)> = Vec::new();
    for dataset in datasets {
        let Some(end) = dataset.not_yet_available(interval, now) else { continue };
        match ends.iter_mut().find(|(other, _)| *other == end) {
            Some((_, names)) => names.push(&dataset.name),
            None => ends.push((end, vec![&dataset.name])),
        }
    }
    let note = |(end, names): &(Interval, Vec<&str>)| {
        format!("{end} of {} is not yet available: a later run fetches it", names.join(", "))
    };
    ends.iter().map(note).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;

    #[test]
    fn a_note_names_the_end_that_is_not_yet_available_and_its_datasets() {
        let datasets = &catalog::builtin("nice-cxone").unwrap().datasets;
        let named = ["contacts", "agents", "agent-state-history"].map(|name| &datasets[name]);
        let interval: Interval = "2024-01-01T00:00:00Z/2024-01-03T00:00:00Z".parse().unwrap();
        let at = |now: &str| {
            let now: jiff::Timestamp = now.parse().unwrap();
            notes(&named.map(Arc::clone), interval, now.as_millisecond())
        };
        let note = "2024-01-02T11:30:00.000Z/2024-01-03T00:00:00.000Z of contacts, \
                    agent-state-history is not yet available: a later run fetches it";
        assert_eq!(at("2024-01-02T12:00:00Z"), [note]);
        assert_eq!(at("2024-01-03T00:30:00Z"), [""; 0]);
    }
}
