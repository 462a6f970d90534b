use super::*;
use crate::{
    config::Overrides,
    ledger::{DoubtfulInterval, GapKind},
    telemetry::metrics::GivenUp,
    time::interval::Interval,
};

fn doubtful(reason: &str) -> DoubtfulInterval {
    let interval = Interval::new(0, 10).unwrap();
    let (dataset, reason) = ("d".to_owned(), reason.to_owned());
    DoubtfulInterval { dataset, interval, kind: GapKind::Quarantined, reason }
}

#[test]
fn a_doubtful_interval_counts_in_the_run_that_committed_it_unless_it_is_accepted() {
    let gaps = [Gap::from(doubtful("1 row"))];
    let of_this_run = FetchTotals { doubtful: vec![doubtful("1 row")], ..FetchTotals::default() };
    assert_eq!(open_gaps(&gaps, &of_this_run), gaps);
    assert_eq!(open_gaps(&gaps, &FetchTotals::default()), []);
    let [gap] = gaps;
    let accepted = Gap { accepted: Some("lost".to_owned()), ..gap };
    assert_eq!(open_gaps(&[accepted], &of_this_run), []);
}

#[test]
fn the_summary_of_an_aborted_run_names_the_denied_datasets() {
    let folder = tempfile::tempdir().unwrap();
    let keys = [
        "source.region=sandbox",
        "job.from=2024-01-01T00:00:00Z",
        "job.to=2024-01-02T00:00:00Z",
        "job.datasets=['audits', 'queues']",
        &format!("output.path={:?}", folder.path()),
    ];
    let overrides = Overrides { set: keys.map(str::to_owned).to_vec(), ..Overrides::default() };
    let config = Config::load(&overrides).unwrap().remove(0);
    let metrics = Metrics::default();
    metrics.give_up("audits", GivenUp::Denied("403".to_owned()));
    let report = report_of_aborted(&config, &metrics).unwrap();
    assert!(matches!(report.outcome, RunOutcome::Interrupted), "{:?}", report.outcome);
    let denied = report.datasets.iter().map(|dataset| dataset.denied.as_deref());
    assert_eq!(denied.collect::<Vec<_>>(), [Some("403"), None]);
}
