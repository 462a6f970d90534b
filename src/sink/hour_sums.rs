//! The rows of a file by the hour of their time and their media type, with their handle time.

use std::{collections::BTreeMap, fs::File, sync::Arc};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{Float64Type, Int64Type},
};
use parquet::{
    arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder},
    errors::ParquetError,
};

use crate::{
    catalog::{Dataset, ValuePath},
    decode::{millisecond, times_of},
    ledger::HourRecord,
    tables::Values,
};

const HOUR_MS: i64 = 3_600_000;

/// The most media types that are told apart; rows of further ones are counted together (G8).
const MOST_MEDIA: usize = 50;

/// The media type of rows whose own comes after the first [`MOST_MEDIA`].
const OTHER_MEDIA: &str = "(other)";

/// The longest media type, in characters; the rest is cut off.
const MEDIA_CHARS: usize = 64;

/// The rows of an hour with one media type.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    rows: u64,
    rows_handled: u64,
    handle_ms: f64,
}

/// The sums of rows.
#[derive(Debug, Default)]
pub(crate) struct HourSums {
    /// By media type, and by the number of the hour since 1970.
    sums: BTreeMap<String, BTreeMap<i64, Sum>>,
}

impl HourSums {
    /// Adds the rows of a batch with the columns of `dataset`. A column that is not there counts as
    /// null.
    pub(crate) fn add(&mut self, dataset: &Dataset, batch: &RecordBatch) {
        let times = batch.column_by_name(&dataset.time).and_then(|times| times_of(times));
        let Some(times) = times else { return };
        let columns = &dataset.sums;
        let media = columns.media.as_ref().and_then(|path| Values::of(batch, path));
        let handle = columns.handle.as_ref().and_then(|path| Values::of(batch, path));
        for row in 0..batch.num_rows() {
            let hour = millisecond(times.value(row)).div_euclid(HOUR_MS);
            let media = media.as_ref().and_then(|values| first_text(values, row)).unwrap_or("");
            let handle = handle.as_ref().and_then(|values| sum(values, row));
            let sum = self.of(media).entry(hour).or_default();
            sum.rows += 1;
            if let Some(handle) = handle {
                sum.rows_handled += 1;
                sum.handle_ms += handle * columns.handle_ms;
            }
        }
    }

    /// Adds other sums.
    pub(crate) fn append(&mut self, other: &Self) {
        for (media, hours) in &other.sums {
            let own = self.of(media);
            for (&hour, sum) in hours {
                let own = own.entry(hour).or_default();
                own.rows += sum.rows;
                own.rows_handled += sum.rows_handled;
                own.handle_ms += sum.handle_ms;
            }
        }
    }

    /// The sums as the ledger records them.
    pub(crate) fn into_records(self) -> Vec<HourRecord> {
        let mut records = Vec::new();
        for (media, hours) in self.sums {
            records.extend(hours.into_iter().map(|(hour, sum)| HourRecord {
                hour_ms: hour * HOUR_MS,
                media: media.clone(),
                rows: sum.rows,
                rows_handled: sum.rows_handled,
                handle_ms: sum.handle_ms.round() as i64,
            }));
        }
        records
    }

    /// The sums of the rows of a Parquet file, of which only the columns in question are read.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn of_file(content: File, dataset: &Dataset) -> Result<Self, ParquetError> {
        let reader = ParquetRecordBatchReaderBuilder::try_new(content)?;
        let paths = [&dataset.sums.media, &dataset.sums.handle].into_iter().flatten();
        let columns = paths.filter_map(|ValuePath(steps)| Some(steps.first()?.name.as_str()));
        let columns: Vec<&str> = columns.chain([dataset.time.as_str()]).collect();
        let schema = Arc::clone(reader.schema());
        let known = schema.fields().iter().enumerate();
        let roots = known.filter(|(_, field)| columns.contains(&field.name().as_str()));
        let mask = ProjectionMask::roots(reader.parquet_schema(), roots.map(|(index, _)| index));
        let mut sums = Self::default();
        for batch in reader.with_projection(mask).build()? {
            sums.add(dataset, &batch?);
        }
        Ok(sums)
    }

    fn of(&mut self, media: &str) -> &mut BTreeMap<i64, Sum> {
        let known = self.sums.contains_key(media);
        let media = match media.char_indices().nth(MEDIA_CHARS) {
            _ if known => media,
            _ if self.sums.len() >= MOST_MEDIA => OTHER_MEDIA,
            Some((end, _)) => &media[..end],
            None => media,
        };
        if !self.sums.contains_key(media) {
            self.sums.insert(media.to_owned(), BTreeMap::new());
        }
        self.sums.entry(media.to_owned()).or_default()
    }
}

/// The first text of a row. `None` if it has none.
fn first_text(values: &Values, row: usize) -> Option<&str> {
    let texts = values.leaf.as_string_opt::<i32>()?;
    let mut first = None;
    values.visit(0, row, &mut |index| {
        if texts.is_valid(index) {
            first = Some(texts.value(index));
        }
        first.is_none()
    });
    first
}

/// The sum of the numbers of a row. `None` if it has none.
fn sum(values: &Values, row: usize) -> Option<f64> {
    let add = |sum: Option<f64>, number: f64| Some(sum.unwrap_or(0.0) + number);
    if let Some(numbers) = values.leaf.as_primitive_opt::<Int64Type>() {
        return values.fold(row, None, |sum, index| add(sum, numbers.value(index) as f64));
    }
    let numbers = values.leaf.as_primitive_opt::<Float64Type>()?;
    values.fold(row, None, |sum, index| add(sum, numbers.value(index)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalog,
        decode::{Decoder, PageParser},
        time::interval::Interval,
    };

    const DAY: &str = "2024-01-01T";

    /// The sums of conversations, of which each has a time of day, and sessions with a media type
    /// and metrics.
    fn sums(rows: &[(&str, &str)]) -> Vec<(i64, String, u64, u64, i64)> {
        let dataset = catalog::test_dataset("conversations");
        let rows: Vec<_> = rows
            .iter()
            .enumerate()
            .map(|(id, (time, sessions))| {
                format!(
                    r#"{{"conversationId": "c{id}", "conversationStart": "{DAY}{time}:00.000Z",
                       "participants": [{{}}, {{"sessions": {sessions}}}]}}"#
                )
            })
            .collect();
        let body = format!(r#"{{"conversations": [{}]}}"#, rows.join(","));
        let parser = PageParser::new(dataset.endpoint(), Vec::new());
        let page = parser.find(body.into_bytes().into()).unwrap();
        let owner = Interval::new(0, i64::MAX / 2).unwrap();
        let batch = Decoder::new(dataset).decode(&page, owner).unwrap().batch;
        assert_eq!(batch.num_rows(), rows.len());
        let mut sums = HourSums::default();
        // a slice has other offsets than the whole
        sums.add(dataset, &batch.slice(0, 1));
        sums.add(dataset, &batch.slice(1, batch.num_rows() - 1));
        let start = format!("{DAY}00:00:00Z").parse::<jiff::Timestamp>().unwrap().as_millisecond();
        let records = sums.into_records().into_iter();
        let mut records: Vec<_> = records
            .map(|hour| {
                let of_day = (hour.hour_ms - start) / HOUR_MS;
                (of_day, hour.media, hour.rows, hour.rows_handled, hour.handle_ms)
            })
            .collect();
        records.sort();
        records
    }

    #[test]
    fn rows_are_summed_by_hour_and_first_media_type_with_all_their_handle_times() {
        let voice = r#"[{"metrics": []}, {"mediaType": "voice", "metrics": [
            {"name": "tTalk", "value": 5}, {"name": "tHandle", "value": 1500}]},
            {"mediaType": "chat", "metrics": [{"name": "tHandle", "value": 500}]}]"#;
        let chat = r#"[{"mediaType": "chat", "metrics": [{"name": "tHandle"}]}]"#;
        let found = sums(&[
            ("08:00", voice),
            ("08:59", voice),
            ("09:00", voice),
            ("09:10", chat),
            ("09:20", "[]"),
        ]);
        let expected = [
            (8, "voice".to_owned(), 2, 2, 4_000),
            (9, String::new(), 1, 0, 0),
            (9, "chat".to_owned(), 1, 0, 0),
            (9, "voice".to_owned(), 1, 1, 2_000),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn g8_further_media_types_are_counted_together() {
        let session = |number| format!(r#"[{{"mediaType": "m{number:03}{}"}}]"#, "x".repeat(100));
        let sessions: Vec<_> = (0..MOST_MEDIA + 7).map(session).collect();
        let rows: Vec<_> = sessions.iter().map(|sessions| ("10:00", sessions.as_str())).collect();
        let found = sums(&rows);
        assert_eq!(found.len(), MOST_MEDIA + 1);
        assert_eq!(found[0], (10, OTHER_MEDIA.to_owned(), 7, 0, 0));
        assert_eq!(found[1].1.len(), MEDIA_CHARS);
    }
}
