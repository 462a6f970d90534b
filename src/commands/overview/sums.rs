//! Rows and handle time of the committed data, by day and by hour of the week.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    commands::overview::datasets::date,
    ledger::{HourRecord, reader::Snapshot},
    time::interval::DAY_MS,
};

/// 1 January 1970 was a Thursday: day 3 of a week that begins on Monday.
const FIRST_WEEKDAY: i64 = 3;

const HOUR_MS: i64 = DAY_MS / 24;

/// The sums of one dataset.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Sums {
    pub dataset: String,
    /// Committed rows that are in no sum, because an earlier program committed them:
    /// `cxbackfill rebuild` adds them.
    pub rows_missing: u64,
    /// By UTC day and media type, in order.
    pub days: Vec<DaySum>,
    /// By hour of the week and media type, in order.
    pub hours: Vec<HourSum>,
}

/// The rows of a day with one media type.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct DaySum {
    /// The UTC day, such as `2024-01-01`.
    pub date: String,
    #[serde(flatten)]
    pub sum: MediaSum,
}

/// The rows of an hour of the week with one media type, over all weeks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct HourSum {
    /// 0 is Monday.
    pub weekday: u8,
    /// The hour of the UTC day, from 0 to 23.
    pub hour: u8,
    #[serde(flatten)]
    pub sum: MediaSum,
}

/// The sums of rows with one media type.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct MediaSum {
    /// The media type. Empty if rows have none, or the catalog does not name its column.
    pub media: String,
    pub rows: u64,
    /// Those of them that have a handle time.
    pub rows_handled: u64,
    /// The sum of their handle times in seconds.
    pub handle_s: f64,
}

/// Rows, and the rows and milliseconds with a handle time.
#[derive(Default, Clone, Copy)]
struct Sum {
    rows: u64,
    rows_handled: u64,
    handle_ms: i64,
}

impl Sum {
    fn add(&mut self, hour: &HourRecord) {
        self.rows += hour.rows;
        self.rows_handled += hour.rows_handled;
        self.handle_ms += hour.handle_ms;
    }

    fn of_media(self, media: &str) -> MediaSum {
        let Self { rows, rows_handled, handle_ms } = self;
        MediaSum { media: media.to_owned(), rows, rows_handled, handle_s: handle_ms as f64 / 1e3 }
    }
}

/// The sums of every dataset that has committed rows.
pub(super) fn sums(ledger: &Snapshot) -> Vec<Sums> {
    let mut sums = Vec::new();
    for (dataset, hours) in &ledger.sums {
        let mut by_day: BTreeMap<(i64, &str), Sum> = BTreeMap::new();
        let mut by_hour: BTreeMap<(i64, &str), Sum> = BTreeMap::new();
        for hour in hours {
            let number = hour.hour_ms.div_euclid(HOUR_MS);
            let of_week = (number + 24 * FIRST_WEEKDAY).rem_euclid(24 * 7);
            by_day.entry((hour.hour_ms.div_euclid(DAY_MS), &hour.media)).or_default().add(hour);
            by_hour.entry((of_week, &hour.media)).or_default().add(hour);
        }
        let in_sums = by_day.values().map(|sum| sum.rows).sum();
        let days = by_day.into_iter().map(|((day, media), sum)| DaySum {
            date: date(day * DAY_MS),
            sum: sum.of_media(media),
        });
        let hours = by_hour.into_iter().map(|((hour, media), sum)| HourSum {
            weekday: u8::try_from(hour / 24).unwrap_or_default(),
            hour: u8::try_from(hour % 24).unwrap_or_default(),
            sum: sum.of_media(media),
        });
        let records = ledger.datasets.get(dataset).into_iter().flat_map(|records| &records.shards);
        let written: u64 = records.map(|shard| shard.counts.written).sum();
        sums.push(Sums {
            dataset: dataset.clone(),
            rows_missing: written.saturating_sub(in_sums),
            days: days.collect(),
            hours: hours.collect(),
        });
    }
    sums
}
