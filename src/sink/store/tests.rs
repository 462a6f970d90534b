use std::io::Write;

use object_store::memory::InMemory;

use super::*;

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
