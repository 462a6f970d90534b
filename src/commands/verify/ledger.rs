//! Whether the records of the ledger agree with each other.

use std::collections::BTreeMap;

use crate::{
    catalog::Dataset,
    commands::verify::Difference,
    ledger::{
        FileKind, FileRecord, ShardDetails, ShardRecord,
        file_kind::{folder, root_table},
        reader::DatasetRecords,
    },
    sink::Layout,
    time::interval::{Interval, iso},
};

const HOUR_MS: i64 = 3_600_000;

/// Reports shards that overlap, and shards whose row counts do not balance (G5).
pub(crate) fn check_records(records: &DatasetRecords, report: &mut dyn FnMut(Difference)) {
    for pair in records.shards.windows(2) {
        let (first, second) = (&pair[0], &pair[1]);
        if first.interval.overlaps(second.interval) {
            let committed = first.interval;
            let what = format!("it overlaps {committed}, which is committed too: rows are doubled");
            report(difference(second, what));
        }
    }
    for shard in &records.shards {
        let counts = shard.counts;
        if !counts.balance() {
            report(difference(shard, format!("its row counts do not balance: {counts:?}")));
        }
        let rows: u64 = shard.row_files().map(|file| file.rows).sum();
        let files_of = |kind| shard.files.iter().filter(move |file| file.kind() == kind);
        let quarantined: u64 = files_of(FileKind::Quarantine).map(|file| file.rows).sum();
        if rows != counts.written {
            let written = counts.written;
            let what = format!("its files hold {rows} rows, and {written} were written");
            report(difference(shard, what));
        }
        if let Some(what) = difference_of_sums(shard) {
            report(difference(shard, what));
        }
        if quarantined != counts.quarantined {
            let expected = counts.quarantined;
            let what =
                format!("{quarantined} quarantined rows are kept, and {expected} were found");
            report(difference(shard, what));
        }
    }
}

/// Reports days of a shard that do not have the files of the layout, or whose files do not have the
/// same rows.
pub(crate) fn check_layout(
    shard: &ShardRecord,
    dataset: &Dataset,
    layout: Layout,
    report: &mut dyn FnMut(Difference),
) {
    let mut days = BTreeMap::<&str, Vec<&FileRecord>>::new();
    for file in &shard.files {
        if let Some(date) = file.date() {
            days.entry(date).or_default().push(file);
        }
    }
    let (expected, root) = (layout.files(dataset), root_table(&dataset.name));
    for (date, files) in days {
        let rows_of = |kind| files.iter().find(|file| file.kind() == kind).map(|file| file.rows);
        for &kind in expected.iter().filter(|kind| rows_of(**kind).is_none()) {
            let folder = folder(&dataset.name, kind);
            report(difference(shard, format!("it has no file of {date} in {folder}/")));
        }
        let other = files.iter().filter(|file| !expected.contains(&file.kind()));
        for file in other {
            let what = format!("{} is no file of the layout {}", file.path, layout.name());
            report(difference(shard, what));
        }
        if let (Some(nested), Some(rows)) =
            (rows_of(FileKind::Nested), rows_of(FileKind::Table(&root)))
            && nested != rows
        {
            let what = format!("{date} has {nested} nested rows, and {rows} in the table {root}");
            report(difference(shard, what));
        }
    }
}

/// What differs between the rows by hour and the rows that were written. `None` if nothing does, or
/// if an earlier program committed the shard, which recorded no rows by hour.
fn difference_of_sums(shard: &ShardRecord) -> Option<String> {
    let ShardDetails { cost, sums } = &shard.details;
    if cost.is_none() && sums.is_empty() {
        return None;
    }
    let (rows, written) = (sums.iter().map(|hour| hour.rows).sum::<u64>(), shard.counts.written);
    let outside = sums.iter().find(|hour| {
        let of_hour = Interval::new(hour.hour_ms, hour.hour_ms + HOUR_MS);
        !of_hour.is_some_and(|of_hour| of_hour.overlaps(shard.interval))
    });
    match outside {
        _ if rows != written => {
            Some(format!("its sums by hour hold {rows} rows, and {written} were written"))
        }
        Some(hour) => Some(format!("its sums have rows of {}", iso(hour.hour_ms))),
        None => None,
    }
}

fn difference(shard: &ShardRecord, what: String) -> Difference {
    Difference { subject: format!("{} {}", shard.dataset, shard.interval), what }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{catalog, ledger::Counts};

    /// What is reported of a shard that has a file of two rows for each of these kinds.
    fn reported(kinds: &[FileKind], layout: Layout) -> Vec<String> {
        let dataset = catalog::test_dataset("queue-aggregates");
        let interval = Interval::day_of(0);
        let file = |(number, kind): (usize, &FileKind)| FileRecord {
            path: kind.path(&dataset.name, "1970-01-01", interval),
            // the last file has another number of rows
            rows: if number + 1 == kinds.len() { 3 } else { 2 },
            bytes: 1,
            sha256: String::new(),
        };
        let shard = ShardRecord {
            dataset: dataset.name.clone(),
            interval,
            counts: Counts::default(),
            files: kinds.iter().enumerate().map(file).collect(),
            commit_id: String::new(),
            open_rows: 0,
            details: ShardDetails::default(),
        };
        let mut reported = Vec::new();
        check_layout(&shard, dataset, layout, &mut |difference| reported.push(difference.what));
        reported
    }

    #[test]
    fn a_day_without_the_files_of_its_layout_or_with_others_is_reported() {
        let [root, dimensions, metrics] =
            ["queue_aggregates", "dimensions", "metrics"].map(FileKind::Table);
        let all = [FileKind::Nested, root, FileKind::Quarantine, dimensions, metrics];
        let none: [&str; 0] = [];
        assert_eq!(reported(&all, Layout::Both), none);
        assert_eq!(reported(&all[1..], Layout::Tables), none);
        assert_eq!(reported(&all[2..3], Layout::Both), none, "a day of quarantined rows alone");
        assert_eq!(
            reported(&[FileKind::Nested, metrics, root], Layout::Both),
            [
                "it has no file of 1970-01-01 in queue-aggregates.tables/dimensions/",
                "1970-01-01 has 2 nested rows, and 3 in the table queue_aggregates",
            ]
        );
        let other = "queue-aggregates.tables/metrics/date=1970-01-01/\
                     19700101T000000.000Z-19700102T000000.000Z.parquet is no file of the layout nested";
        assert_eq!(reported(&[FileKind::Nested, metrics], Layout::Nested), [other]);
        let nested = reported(&all, Layout::Tables);
        assert!(nested.len() == 1 && nested[0].ends_with("is no file of the layout tables"));
    }
}
