//! Whether one file is as its record says.

use std::{
    fs::File,
    io::{BufRead, BufReader},
};

use parquet::{
    arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder},
    errors::ParquetError,
};

use crate::{
    commands::verify::{Expected, unreadable},
    decode::{millisecond, times_of},
    ledger::{Columns, FileKind},
    sink::read::{self, digest},
    time::interval::{DAY_MS, Interval, iso},
};

/// How a file compares with its record.
pub(crate) enum FileState {
    /// What differs. Empty if nothing does.
    Differs(Vec<String>),
    /// It is that of the commit that was about to replace the record, in a refresh or an upgrade.
    Replaced,
}

/// Compares a file with its record.
pub(crate) fn compare(content: File, expected: &Expected) -> FileState {
    let commit = read::footer(&content).and_then(|footer| footer.commit);
    match commit {
        Some(commit) if expected.replaced_by.contains(&commit.id) => FileState::Replaced,
        _ => FileState::Differs(differences(content, expected)),
    }
}

/// What differs. If the bytes do, nothing else is compared.
fn differences(mut content: File, expected: &Expected) -> Vec<String> {
    let recorded = &expected.file;
    match digest(&mut content) {
        Ok((bytes, _)) if bytes != recorded.bytes => {
            vec![format!("it has {bytes} bytes, and the ledger says {}", recorded.bytes)]
        }
        Ok((_, sha256)) if sha256 != recorded.sha256 => {
            vec![format!("its sha256 is {sha256}, and the ledger says {}", recorded.sha256)]
        }
        Ok(_) if recorded.kind() == FileKind::Quarantine => {
            quarantine_differences(content, expected)
        }
        Ok(_) => {
            parquet_differences(content, expected).unwrap_or_else(|error| vec![unreadable(&error)])
        }
        Err(error) => vec![unreadable(&error)],
    }
}

/// Compares the rows of a quarantine file, one per line.
fn quarantine_differences(content: File, expected: &Expected) -> Vec<String> {
    let mut lines = BufReader::new(content);
    let mut rows = 0;
    loop {
        match lines.skip_until(b'\n') {
            Ok(0) => break,
            Ok(_) => rows += 1,
            Err(error) => return vec![unreadable(&error)],
        }
    }
    row_count_difference(rows, expected).into_iter().collect()
}

fn row_count_difference(rows: u64, expected: &Expected) -> Option<String> {
    let recorded = expected.file.rows;
    (rows != recorded).then(|| format!("it has {rows} rows, and the ledger says {recorded}"))
}

/// Compares the footer with the record, and the time of each row with the interval of the file.
fn parquet_differences(content: File, expected: &Expected) -> Result<Vec<String>, ParquetError> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(content)?;
    let footer = reader.metadata().file_metadata();
    let entries = footer.key_value_metadata().map_or(&[][..], Vec::as_slice);
    let found = |name: &str| {
        let entry =
            entries.iter().find(|entry| entry.key.strip_prefix("cxbackfill.") == Some(name));
        entry.and_then(|entry| entry.value.as_deref()).unwrap_or("nothing")
    };
    let current = expected.dataset.version.to_string();
    let has_current_version = found("schema_version") == current;
    let mut differences = Vec::new();
    let recorded = &expected.file;
    let table = match recorded.kind() {
        FileKind::Table(name) => name,
        FileKind::Nested | FileKind::Quarantine => "nothing",
    };
    let Some(schema) = expected.dataset.schema_of(recorded.kind()) else {
        return Ok(vec![format!("the catalog has no table `{table}`, so it is not read")]);
    };
    for (name, recorded) in [
        ("dataset", expected.dataset.name.clone()),
        ("table", table.to_owned()),
        ("interval", expected.interval.to_string()),
        ("schema_version", expected.version.clone()),
    ] {
        let found = found(name);
        let is_upgraded = name == "schema_version" && has_current_version;
        if found != recorded && !is_upgraded {
            let what = format!("its metadata says {name} {found}, and the ledger {recorded}");
            differences.push(what);
        }
    }
    differences.extend(row_count_difference(footer.num_rows().unsigned_abs(), expected));
    let is_of_earlier_program = || {
        let columns = Columns::of(schema);
        columns.are_newer_layout_of(&Columns::of(reader.schema()))
    };
    if has_current_version
        && reader.schema().fields() != schema.fields()
        && !is_of_earlier_program()
    {
        differences.push(format!("its columns are not those of schema_version {current}"));
    }
    differences.extend(time_difference(reader, expected)?);
    Ok(differences)
}

/// Whether the file has rows that its shard or its day does not own (G4).
fn time_difference(
    reader: ParquetRecordBatchReaderBuilder<File>,
    expected: &Expected,
) -> Result<Option<String>, ParquetError> {
    let Some(owned) = owned_interval(expected) else {
        let interval = expected.interval;
        return Ok(Some(format!("its folder is not of a day of its shard, {interval}")));
    };
    let column = expected.dataset.time.as_str();
    let mask = ProjectionMask::columns(reader.parquet_schema(), [column]);
    let (mut not_owned, mut first) = (0u64, None);
    for batch in reader.with_projection(mask).build()? {
        let batch = batch?;
        let times = batch.column_by_name(column).and_then(|times| times_of(times));
        let Some(times) = times else {
            return Ok(Some(format!("it has no column `{column}` of times")));
        };
        for time in times.iter().map(|time| time.map(millisecond)) {
            if !time.is_some_and(|time| owned.contains(time)) {
                not_owned += 1;
                first.get_or_insert(time);
            }
        }
    }
    let Some(first) = first else { return Ok(None) };
    let first = first.map_or("none".to_owned(), iso);
    Ok(Some(format!("{not_owned} rows are not of {owned}, the first has `{column}` {first}")))
}

/// The part of the shard's interval that lies on the day of the file's folder. `None` if there is
/// none.
fn owned_interval(expected: &Expected) -> Option<Interval> {
    let midnight: jiff::Timestamp = format!("{}T00:00:00Z", expected.file.date()?).parse().ok()?;
    let from = midnight.as_millisecond();
    Interval::new(from, from + DAY_MS)?.intersect(expected.interval)
}
