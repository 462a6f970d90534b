//! Whether one file is what its record says.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek},
};

use arrow::{array::AsArray, datatypes::TimestampMillisecondType};
use parquet::{
    arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder},
    errors::ParquetError,
};
use sha2::{Digest, Sha256};

use crate::{
    commands::{
        status::date_of,
        verify::{Expected, ledger::is_quarantine, unreadable},
    },
    time::interval::{DAY_MS, Interval, iso},
};

/// What differs. Where the bytes do, nothing else is looked at: it could be anything.
pub(crate) fn differences(mut content: File, expected: &Expected) -> Vec<String> {
    match digest(&mut content) {
        Ok((bytes, _)) if bytes != expected.file.bytes => {
            vec![format!("it has {bytes} bytes, and the ledger says {}", expected.file.bytes)]
        }
        Ok((_, sha256)) if sha256 != expected.file.sha256 => {
            vec![format!("its sha256 is {sha256}, and the ledger says {}", expected.file.sha256)]
        }
        Ok(_) if is_quarantine(&expected.file) => lines(content, expected),
        Ok(_) => parquet(content, expected).unwrap_or_else(|error| vec![unreadable(&error)]),
        Err(error) => vec![unreadable(&error)],
    }
}

/// The size and checksum of a file, which is rewound.
fn digest(content: &mut File) -> io::Result<(u64, String)> {
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        let read = content.read(&mut piece)?;
        if read == 0 {
            break;
        }
        hasher.update(&piece[..read]);
        bytes += read as u64;
    }
    content.rewind()?;
    Ok((bytes, format!("{:x}", hasher.finalize())))
}

/// Rows that could not be decoded: one a line.
fn lines(content: File, expected: &Expected) -> Vec<String> {
    let mut lines = BufReader::new(content);
    let mut rows = 0;
    loop {
        match lines.skip_until(b'\n') {
            Ok(0) => break,
            Ok(_) => rows += 1,
            Err(error) => return vec![unreadable(&error)],
        }
    }
    rows_differ(rows, expected).into_iter().collect()
}

fn rows_differ(rows: u64, expected: &Expected) -> Option<String> {
    let recorded = expected.file.rows;
    (rows != recorded).then(|| format!("it has {rows} rows, and the ledger says {recorded}"))
}

/// What the footer says, and when each row is.
fn parquet(content: File, expected: &Expected) -> Result<Vec<String>, ParquetError> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(content)?;
    let footer = reader.metadata().file_metadata();
    let entries = footer.key_value_metadata().map_or(&[][..], Vec::as_slice);
    let mut wrong = Vec::new();
    for (name, recorded) in [
        ("dataset", expected.dataset.name.clone()),
        ("interval", expected.interval.to_string()),
        ("schema_version", expected.version.clone()),
    ] {
        let entry =
            entries.iter().find(|entry| entry.key.strip_prefix("cxbackfill.") == Some(name));
        let said = entry.and_then(|entry| entry.value.as_deref()).unwrap_or("nothing");
        if said != recorded {
            wrong.push(format!("its metadata says {name} {said}, and the ledger {recorded}"));
        }
    }
    wrong.extend(rows_differ(footer.num_rows().unsigned_abs(), expected));
    let known = expected.dataset.version.to_string() == expected.version;
    if known && reader.schema().fields() != expected.dataset.schema.fields() {
        wrong.push(format!("its columns are not those of schema_version {}", expected.version));
    }
    wrong.extend(times(reader, expected)?);
    Ok(wrong)
}

/// G4: the file holds rows of its shard and of its day, and no others.
fn times(
    reader: ParquetRecordBatchReaderBuilder<File>,
    expected: &Expected,
) -> Result<Option<String>, ParquetError> {
    let Some(owned) = owned(expected) else {
        return Ok(Some(format!("its folder is of no day of its shard, {}", expected.interval)));
    };
    let column = expected.dataset.time.as_str();
    let mask = ProjectionMask::columns(reader.parquet_schema(), [column]);
    let (mut strangers, mut first) = (0u64, None);
    for batch in reader.with_projection(mask).build()? {
        let batch = batch?;
        let times = batch
            .column_by_name(column)
            .and_then(|times| times.as_primitive_opt::<TimestampMillisecondType>());
        let Some(times) = times else {
            return Ok(Some(format!("it has no column `{column}` of times")));
        };
        for time in times.iter().filter(|time| !time.is_some_and(|time| owned.contains(time))) {
            strangers += 1;
            first.get_or_insert(time);
        }
    }
    let first = first.map(|time| time.map_or("none".to_owned(), iso));
    Ok(first.map(|first| {
        format!("{strangers} rows are not of {owned}, the first has `{column}` {first}")
    }))
}

/// The time whose rows may be in the file: its shard's, as far as its day holds it.
fn owned(expected: &Expected) -> Option<Interval> {
    let midnight: jiff::Timestamp =
        format!("{}T00:00:00Z", date_of(&expected.file.path)?).parse().ok()?;
    let from = midnight.as_millisecond();
    Interval::new(from, from + DAY_MS)?.intersect(expected.interval)
}
