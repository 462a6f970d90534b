use std::io::Write;

use object_store::memory::InMemory;

use super::*;
use crate::{
    sink::{
        Committed, Layout, ParquetSettings, RewriteError, Write as WriteRows,
        tests::{Fixture, START, calls},
        upgrade::Upgrader,
    },
    time::interval::iso,
};

async fn put(output: &OutputStore, path: &str, content: &[u8]) -> FileRecord {
    let mut spool = output.spool_file().spool();
    spool.write_all(content).unwrap();
    output.put(path, 1, spool).await.unwrap()
}

#[tokio::test]
async fn only_partial_uploads_of_the_named_files_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let output = OutputStore::directory(folder.path()).unwrap();
    put(&output, "d/kept.parquet", b"rows").await;
    for name in ["a.parquet#1", "a.parquet#2", "a.parquet#old", "b.parquet#1"] {
        std::fs::write(folder.path().join("d").join(name), "ro").unwrap();
    }
    let named = ["d/a.parquet", "d/kept.parquet", "missing/c.parquet"].map(str::to_owned);
    assert_eq!(output.remove_partial_uploads(named.into()).await.unwrap(), 2);
    let exists = |name: &str| folder.path().join("d").join(name).exists();
    assert!(exists("kept.parquet") && exists("a.parquet#old") && exists("b.parquet#1"));
}

#[cfg(unix)]
#[tokio::test]
async fn no_file_is_written_or_deleted_through_a_linked_folder() {
    let [folder, elsewhere] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    std::fs::create_dir(elsewhere.path().join("date=2024-01-01")).unwrap();
    let precious = elsewhere.path().join("date=2024-01-01/file");
    std::fs::write(&precious, b"text").unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), folder.path().join("d")).unwrap();
    let output = OutputStore::directory(folder.path()).unwrap();
    put(&output, "_staging/file", b"new").await;
    let path = "d/date=2024-01-01/file";
    let spool = output.spool_file().spool();
    for refused in [
        output.put(path, 1, spool).await.map(|_| ()),
        output.rename(&[("_staging/file".into(), path.into())]).await,
        output.remove(&[path.to_owned()]).await.map(|_| ()),
    ] {
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("d is a symbolic link, which is not followed"), "{error}");
    }
    assert_eq!(std::fs::read(precious).unwrap(), b"text");
}

#[tokio::test]
async fn a_renamed_file_replaces_the_one_that_had_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let output = OutputStore::directory(folder.path()).unwrap();
    put(&output, "d/file", b"old").await;
    put(&output, "_staging/file", b"new").await;
    output.rename(&[("_staging/file".into(), "d/file".into())]).await.unwrap();
    assert_eq!(std::fs::read(folder.path().join("d/file")).unwrap(), b"new");
    assert!(!folder.path().join("_staging/file").exists());
}

#[tokio::test]
async fn a_file_of_many_parts_arrives_complete_with_its_checksum() {
    let output = OutputStore::over(Arc::new(InMemory::new()));
    let content = vec![7u8; 3 * PART_BYTES + 11];
    let record = put(&output, "big", &content).await;
    assert_eq!(record.bytes, content.len() as u64);
    assert_eq!(record.sha256, format!("{:x}", Sha256::digest(&content)));
    assert_eq!(
        output.store().get(&Path::from("big")).await.unwrap().bytes().await.unwrap(),
        content
    );
}

/// An output whose files are in memory, so that a sync of its directory does not find them: it
/// fails at the first.
fn output_without_sync(folder: &FsPath) -> OutputStore {
    OutputStore { store: Arc::new(InMemory::new()), root: Some(folder.to_owned()) }
}

#[test]
fn every_file_and_folder_of_a_commit_is_synced_once_and_before_what_it_is_in() {
    let paths = ["d/date=1/a", "d.tables/t/date=1/a", "d/date=1/b"];
    let expected = [
        "out/d.tables/t/date=1/a",
        "out/d.tables/t/date=1",
        "out/d.tables/t",
        "out/d.tables",
        "out/d/date=1/b",
        "out/d/date=1/a",
        "out/d/date=1",
        "out/d",
        "out",
    ];
    let mut entries = entries_to_sync(FsPath::new("out"), &paths);
    for (index, entry) in entries.iter().enumerate() {
        let folder = entry.parent().unwrap();
        assert!(!entries[..index].iter().any(|synced| synced == folder), "{}", entry.display());
    }
    entries.sort();
    let mut expected = expected.map(PathBuf::from);
    expected.sort();
    assert_eq!(entries, expected);
}

/// Writes a call and commits it.
async fn commit_call(fixture: &Fixture, replaces: bool) -> Result<Committed, SinkError> {
    let (shard, at) = (fixture.shard(0, 24, replaces), iso(START));
    let page = fixture.decode(&shard, &format!(r#"{{"callId":"a","startedAt":"{at}"}}"#));
    let write = WriteRows { lease: 1, shard: shard.clone(), page };
    fixture.sink.send(write).await.unwrap().unwrap();
    fixture.commit(1, &shard, 1).await
}

#[actix::test]
async fn g3_files_that_cannot_be_synced_are_neither_renamed_nor_recorded() {
    for replaces in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let output = output_without_sync(folder.path());
        let fixture = Fixture::over(output, folder, Layout::Both);
        let error = commit_call(&fixture, replaces).await.unwrap_err();
        assert!(matches!(error, SinkError::OutputStore(StoreError::Io { .. })), "{error:?}");
        assert_eq!(fixture.ledger.committed("calls").unwrap(), []);
        let stored = fixture.stored().await;
        assert_eq!(stored.len(), 3);
        let is_staged = |path: &String| path.starts_with("_staging/");
        assert!(stored.iter().all(|path| is_staged(path) == replaces), "{stored:?}");
    }
}

#[actix::test]
async fn g3_upgraded_files_that_cannot_be_synced_are_not_renamed() {
    let fixture = Fixture::new();
    commit_call(&fixture, false).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let output = output_without_sync(folder.path());
    for path in fixture.recorded().into_iter().map(Path::from) {
        let content = fixture.output.store().get(&path).await.unwrap().bytes().await.unwrap();
        output.store().put(&path, content.into()).await.unwrap();
    }
    let upgrader = Upgrader {
        output: output.clone(),
        ledger: fixture.ledger.clone(),
        settings: ParquetSettings { layout: Layout::Both, ..ParquetSettings::for_tests() },
    };
    let error = upgrader.upgrade(&calls(), &fixture.records()[0]).await.unwrap_err();
    let io_error = |error: &RewriteError| {
        matches!(error, RewriteError::Sink(SinkError::OutputStore(StoreError::Io { .. })))
    };
    assert!(io_error(&error), "{error:?}");
    let renamed = output.list(&["calls.tables".to_owned()]).await.unwrap();
    assert!(renamed.is_empty(), "{renamed:?}");
}

#[tokio::test]
async fn renamed_files_are_synced_by_whoever_renames_the_last_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let output = output_without_sync(folder.path());
    let mut spool = output.spool_file().spool();
    spool.write_all(b"rows").unwrap();
    output.put_unsynced("_staging/file", 1, spool).await.unwrap();
    let renames = [("_staging/file".to_owned(), "d/file".to_owned())];
    for _ in 0..2 {
        let error = output.rename_if_there(&renames).await.unwrap_err();
        let StoreError::Io { path, .. } = error else { panic!("{error}") };
        assert_eq!(path, folder.path().join("d/file").display().to_string());
    }
}

#[tokio::test]
async fn g3_a_deletion_is_only_told_after_a_sync_of_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let output = output_without_sync(folder.path());
    output.store.put(&"d/date=1/a".into(), "rows".into()).await.unwrap();
    let error = output.remove(&["d/date=1/a".to_owned()]).await.unwrap_err().to_string();
    assert!(error.contains("d/date=1"), "{error}");
}
