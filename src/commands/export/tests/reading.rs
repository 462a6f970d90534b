//! How files are read: in order, also while they are replaced.

use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};

use super::*;

#[tokio::test]
async fn row_groups_without_a_row_that_meets_the_condition_are_not_read() {
    let rows: Vec<_> = (0..8)
        .map(|row| {
            format!(
                r#"{{"id":"{row}","at":"2024-01-01T0{row}:00:00Z","seconds":{row},"score":{row}.5}}"#
            )
        })
        .collect();
    let calls = Environment::new();
    calls.commit("c-1", days(0, 1), &rows.iter().map(String::as_str).collect::<Vec<_>>(), false);
    let snapshot = Snapshot::read(&calls.folder.path().join(LEDGER)).unwrap();
    let path = snapshot.paths().next().unwrap();
    let content = File::open(calls.folder.path().join(path)).unwrap();
    let metadata = ArrowReaderMetadata::load(&content, ArrowReaderOptions::default()).unwrap();
    for (condition, expected) in [
        ("seconds = 3", vec![1]),
        ("seconds < 2", vec![0]),
        ("seconds <= 2", vec![0, 1]),
        ("seconds > 5 and score < 7", vec![3]),
        ("score >= 6.5", vec![3]),
        ("id = '4'", vec![2]),
        ("at >= 2024-01-01T06:00:00Z", vec![3]),
        ("media = 'x'", vec![0, 1, 2, 3]),
        ("seconds != 3", vec![0, 1, 2, 3]),
    ] {
        let export = Export::prepare(&calls.scope, &request("id", condition)).unwrap();
        let wanted = RowsWanted {
            interval: days(0, 1),
            condition: &export.condition,
            schema: &export.needed,
            dataset: &export.dataset,
            is_table: false,
        };
        assert_eq!(rows::groups(&metadata, &wanted), expected, "{condition}");
    }
}

#[tokio::test]
async fn g8_equal_texts_in_lists_count_as_often_as_they_are_in_memory() {
    let leg = format!(r#"{{"ani":"{}"}}"#, "x".repeat(300));
    let legs = vec![leg; 20].join(",");
    let row = |number| format!(r#"{{"id":"{number}","at":{FIRST_MS},"legs":[{legs}]}}"#);
    let rows: Vec<_> = (0..500).map(row).map(|row| in_iso(&row)).collect();
    let calls = Environment::new();
    calls.commit("c-1", days(0, 1), &rows.iter().map(String::as_str).collect::<Vec<_>>(), false);
    let snapshot = Snapshot::read(&calls.folder.path().join(LEDGER)).unwrap();
    let records = snapshot.datasets.values().next().unwrap();
    let output = OutputStore::directory(calls.folder.path()).unwrap();
    let open = file::OpenFile::open(&output, &records.shards[0].files[0]).await.unwrap();
    let export = Export::prepare(&calls.scope, &request("legs", "")).unwrap();
    let groups = (0..open.metadata.metadata().num_row_groups()).collect();
    let bytes = file::FileReader::new(open, &export.needed, groups).bytes();
    assert!((3_000_000..9_000_000).contains(&bytes), "{bytes}");
}

#[tokio::test]
async fn rows_are_in_order_of_time_although_those_of_the_files_are_not() {
    for calls in [Environment::new(), Environment::of_tables()] {
        expect_order_of_time(&calls).await;
    }
}

async fn expect_order_of_time(calls: &Environment) {
    for (day, id) in [(1, "c-2"), (0, "c-1")] {
        // 600 rows, whose texts take more memory than is sorted at once in tests
        let row = |number: i64| {
            let at = FIRST_MS + day * DAY_MS + (number * 7_919) % 600 * 1_000;
            let legs = format!(r#"[{{"ani":"{number}"}},{{"ani":null}}]"#);
            format!(r#"{{"id":"{day}-{number}","at":{at},"media":"{number:0100}","legs":{legs}}}"#)
        };
        let rows: Vec<_> = (0..600).map(row).map(|row| in_iso(&row)).collect();
        let rows: Vec<_> = rows.iter().map(String::as_str).collect();
        calls.commit(id, days(day, day + 1), &rows, false);
    }
    let columns = request("at,media,legs[0].ani,legs[2],id", "");
    let text = calls.export(&columns, Format::Csv, false).await;
    let rows: Vec<_> = text.split("\r\n").skip(1).filter(|row| !row.is_empty()).collect();
    assert_eq!(rows.len(), 1_200);
    assert!(rows.is_sorted(), "{rows:?}");
    for row in rows {
        let [_, media, ani, "", id] = row.split(',').collect::<Vec<_>>()[..] else {
            panic!("{row}")
        };
        let number: u32 = id.split_once('-').unwrap().1.parse().unwrap();
        let found = (media.parse(), ani.parse());
        assert_eq!(found, (Ok(number), Ok(number)), "what is of a row stays together: {row}");
    }
    let bounds = ExportRequest {
        from_ms: Some(FIRST_MS + 30_000),
        to_ms: Some(FIRST_MS + DAY_MS + 10_000),
        ..request("id", "")
    };
    let text = calls.export(&bounds, Format::Csv, false).await;
    assert_eq!(text.lines().count(), 1 + 570 + 10);
}

/// The row with its time as text.
fn in_iso(row: &str) -> String {
    let (start, rest) = row.split_once("\"at\":").unwrap();
    let (at, end) = rest.split_once(',').unwrap();
    let at = jiff::Timestamp::from_millisecond(at.parse().unwrap()).unwrap();
    format!("{start}\"at\":\"{at}\",{end}")
}

/// Replaces files of the output as soon as the row `old-1` is written.
struct Replacing {
    rows: Memory,
    replace: Option<Box<dyn FnOnce() + Send>>,
}

impl Replacing {
    fn new(rows: &Memory, replace: impl FnOnce() + Send + 'static) -> Self {
        Self { rows: rows.clone(), replace: Some(Box::new(replace)) }
    }
}

impl Write for Replacing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.starts_with(b"old-1")
            && let Some(replace) = self.replace.take()
        {
            replace();
        }
        self.rows.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn nested_rows_of_tables_are_those_of_nested_files() {
    let nested = calls(&[A, B, C]).await;
    let tables = calls_in(Environment::of_tables(), &[A, B, C]);
    for (columns, condition) in [
        ("", ""),
        ("id,legs[0].ani", ""),
        ("id", "legs[1].ani is null and legs[0].ani = '+49 1'"),
        ("id,tags", "legs[0].hops is not null"),
        ("legs", "id != 'b'"),
        ("legs[0].hops,seconds", "seconds < 61"),
        ("id,at", ""),
    ] {
        let request = request(columns, condition);
        for format in [Format::Csv, Format::Ndjson] {
            let expected = nested.export(&request, format, false).await;
            // tables have no row for an empty list
            let (empty, null) = match format {
                Format::Csv => (",[],", ",,"),
                _ => (r#""legs":[]"#, r#""legs":null"#),
            };
            let expected = expected.replace(empty, null);
            let found = tables.export(&request, format, false).await;
            assert_eq!(found, expected, "{columns} {condition}");
        }
    }
}

#[tokio::test]
async fn tables_without_a_wanted_column_are_not_read() {
    let calls = calls_in(Environment::of_tables(), &[A, B, C]);
    let snapshot = Snapshot::read(&calls.folder.path().join(LEDGER)).unwrap();
    let legs = snapshot.paths().find(|path| path.contains("/legs/")).unwrap();
    // the rest of the file cannot be read any more
    let path = calls.folder.path().join(legs);
    let mut content = std::fs::read(&path).unwrap();
    content[4..40].fill(0xff);
    std::fs::write(&path, content).unwrap();
    let text = calls.export(&request("id,media", "seconds = 60"), Format::Csv, false).await;
    assert_eq!(text, "id,media\r\na,voice\r\n");
    let request = request("id,legs[0].ani", "");
    let exported = calls.export_to(&request, Format::Csv, false, io::sink()).await;
    assert!(matches!(exported, Err(Error::NotAsRecorded { .. })), "{exported:?}");
}

#[tokio::test]
async fn columns_that_are_not_wanted_are_not_read() {
    for calls in [Environment::new(), Environment::of_tables()] {
        let calls = calls_in(calls, &[A, B, C]);
        let snapshot = Snapshot::read(&calls.folder.path().join(LEDGER)).unwrap();
        let of_calls = snapshot.paths().find(|path| !path.contains("/legs/")).unwrap();
        let path = calls.folder.path().join(of_calls);
        let wanted = request("id,seconds", "legs[0].ani is not null");
        let expected = calls.export(&wanted, Format::Csv, false).await;
        let file = File::open(&path).unwrap();
        let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::default()).unwrap();
        let mut content = std::fs::read(&path).unwrap();
        let columns = metadata.metadata().row_groups().iter().flat_map(|group| group.columns());
        for column in columns.filter(|column| column.column_path().string() == "media") {
            let (start, bytes) = column.byte_range();
            content[start as usize..(start + bytes) as usize].fill(0xff);
        }
        std::fs::write(&path, content).unwrap();
        assert_eq!(calls.export(&wanted, Format::Csv, false).await, expected, "{of_calls}");
        let damaged = request("media", "");
        let exported = calls.export_to(&damaged, Format::Csv, false, io::sink()).await;
        assert!(matches!(exported, Err(Error::NotAsRecorded { .. })), "{exported:?}");
    }
}

#[tokio::test]
async fn tables_of_different_commits_are_not_put_together() {
    let calls = calls_in(Environment::of_tables(), &[A]);
    let snapshot = Snapshot::read(&calls.folder.path().join(LEDGER)).unwrap();
    let paths: Vec<_> = snapshot.paths().map(|path| calls.folder.path().join(path)).collect();
    let legs = paths.iter().find(|path| path.to_str().unwrap().contains("/legs/")).unwrap();
    let old = std::fs::read(legs).unwrap();
    calls.commit("c-2", days(0, 1), &[B], true);
    // killed after one table got its name
    let new = std::fs::read(legs).unwrap();
    let ledger = rusqlite::Connection::open(calls.folder.path().join(LEDGER)).unwrap();
    let intent = "INSERT INTO intent (path, commit_id, at) VALUES (?1, 'c-1', '')";
    let path = legs.strip_prefix(calls.folder.path()).unwrap().to_str().unwrap();
    ledger.execute(intent, [path]).unwrap();
    std::fs::write(legs, old).unwrap();
    let exported = calls.export_to(&request("", ""), Format::Csv, false, io::sink()).await;
    let message = exported.unwrap_err().to_string();
    assert!(message.contains("another commit than other tables of that day"), "{message}");
    std::fs::write(legs, new).unwrap();
    assert!(calls.export(&request("id", ""), Format::Csv, false).await.contains("\r\nb\r\n"));
}

#[tokio::test]
async fn files_that_a_run_replaces_meanwhile_double_and_lose_no_row() {
    let calls = Arc::new(Environment::new());
    let row = |id: &str, at: &str| format!(r#"{{"id":"{id}","at":"2024-01-0{at}:00Z"}}"#);
    let (first, second) = days(0, 1).bisect().unwrap();
    calls.commit("c-1", first, &[&row("old-1", "1T05:00")], false);
    calls.commit("c-2", second, &[&row("old-2", "1T13:00")], false);
    calls.commit("c-3", days(1, 2), &[&row("old-3", "2T05:00")], false);
    let (rows, replaced) = (Memory::default(), Arc::clone(&calls));
    let target = Replacing::new(&rows, move || {
        // the first half of the first day is exported already
        let (one, two) = (row("new-1", "1T05:00"), row("new-2", "1T13:00"));
        replaced.commit("c-new", days(0, 1), &[&one, &two], true);
        replaced.commit("c-more", days(1, 2), &[&row("new-3", "2T05:00")], true);
    });
    let exported = calls.export_to(&request("id", ""), Format::Csv, false, target).await.unwrap();
    assert_eq!(rows.text(), "id\r\nold-1\r\nnew-2\r\nnew-3\r\n");
    assert_eq!(exported.unwrap().rows, 3);
}

#[tokio::test]
async fn days_that_get_another_layout_meanwhile_are_exported_or_refused_and_never_left_out() {
    let row = |id: &str, day: i64| format!(r#"{{"id":"{id}","at":"2024-01-0{day}T05:00:00Z"}}"#);
    for (table, new) in [(None, Layout::Tables), (Some("calls"), Layout::Nested)] {
        let old = if table.is_none() { Environment::new() } else { Environment::of_tables() };
        let calls = Arc::new(old);
        calls.commit("c-1", days(0, 1), &[&row("old-1", 1)], false);
        calls.commit("c-2", days(1, 2), &[&row("old-2", 2)], false);
        let (rows, changing, second) = (Memory::default(), Arc::clone(&calls), row("old-2", 2));
        let target = Replacing::new(&rows, move || {
            changing.ledger.record_layout(CHANGING_LAYOUT).unwrap();
            changing.commit_in(new, "c-3", days(1, 2), &[&second], true);
        });
        let request = ExportRequest { table: table.map(str::to_owned), ..request("id", "") };
        match calls.export_to(&request, Format::Csv, false, target).await {
            Ok(_) if table.is_none() => assert_eq!(rows.text(), "id\r\nold-1\r\nold-2\r\n"),
            Err(Error::Ledger(LedgerError::ChangingLayout)) if table.is_some() => {}
            other => panic!("{table:?}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_file_that_is_not_the_recorded_one_ends_the_export() {
    let calls = calls(&[A]).await;
    let snapshot = Snapshot::read(&calls.folder.path().join(LEDGER)).unwrap();
    let path = snapshot.paths().next().unwrap().to_owned();
    let ledger = rusqlite::Connection::open(calls.folder.path().join(LEDGER)).unwrap();
    ledger.execute("UPDATE shard SET commit_id = 'c-9'", []).unwrap();
    for (break_it, expected) in
        [(false, "it belongs to another commit; compare"), (true, "cxbackfill verify")]
    {
        if break_it {
            std::fs::remove_file(calls.folder.path().join(&path)).unwrap();
        }
        let exported = calls.export_to(&request("", ""), Format::Csv, false, io::sink()).await;
        let message = exported.unwrap_err().to_string();
        assert!(message.starts_with(&format!("{path} is not as the ledger")), "{message}");
        assert!(message.contains(expected), "{message}");
    }
}
