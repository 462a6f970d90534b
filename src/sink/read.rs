//! Reads files of the output: their content, checksum and footer.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Seek, Write},
};

use arrow::datatypes::SchemaRef;
use futures_util::TryStreamExt;
use object_store::{GetResultPayload, ObjectStoreExt};
use parquet::{
    arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions},
    file::metadata::KeyValue,
};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::{
    ledger::{Counts, FileKind, GapKind},
    sink::store::OutputStore,
    system::blocking::offload,
    time::interval::Interval,
};

/// Prefix of the keys of a file's footer.
const KEY_PREFIX: &str = "cxbackfill.";

/// Opens a file of the output. The content of an object store is copied to an unnamed file first.
///
/// # Errors
/// [`object_store::Error::NotFound`] if the file is missing, other errors if it cannot be read.
pub(crate) async fn open(output: &OutputStore, path: &str) -> Result<File, object_store::Error> {
    match output.store().get(&path.into()).await?.payload {
        GetResultPayload::File(file, _) => Ok(file),
        GetResultPayload::Stream(stream) => {
            let spool = tempfile::tempfile().map_err(spool_error)?;
            let append = |mut spool: File, chunk: bytes::Bytes| async move {
                offload(move || spool.write_all(&chunk).map(|()| spool)).await.map_err(spool_error)
            };
            let mut spool = stream.try_fold(spool, append).await?;
            spool.rewind().map_err(spool_error)?;
            Ok(spool)
        }
    }
}

fn spool_error(source: io::Error) -> object_store::Error {
    object_store::Error::Generic { store: "a temporary file", source: source.into() }
}

/// The size and the SHA-256 checksum of a whole file, which is rewound before and afterwards.
///
/// # Errors
/// An I/O error.
pub(crate) fn digest(content: &mut File) -> io::Result<(u64, String)> {
    content.rewind()?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        let read = content.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        bytes += read as u64;
    }
    content.rewind()?;
    Ok((bytes, format!("{:x}", hasher.finalize())))
}

/// What the footer of a Parquet file of this program says.
#[derive(Debug)]
pub(crate) struct FileFooter {
    /// Name of the dataset.
    pub dataset: String,
    /// The table that the rows are of. `None` if they are nested rows.
    pub table: Option<String>,
    /// Version of the dataset's columns.
    pub schema_version: u32,
    /// Interval of the record that the file belongs to.
    pub interval: Interval,
    /// Identity of the job. Empty if the file was written before footers held it.
    pub job: BTreeMap<String, String>,
    /// The commit of the file. `None` if the file was written before footers held it.
    pub commit: Option<CommitFooter>,
    pub rows: u64,
    pub schema: SchemaRef,
}

/// What a footer says about the commit of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommitFooter {
    pub id: String,
    /// Files of the commit, this one included.
    pub files: usize,
    pub counts: Counts,
    /// Written rows that were still open.
    pub open_rows: u64,
    /// Why the record is doubtful, with what was observed. `None` if the footer does not say.
    pub doubts: Option<Vec<(GapKind, String)>>,
}

/// The JSON of a doubt in the footer's key `doubts`.
#[derive(Deserialize)]
struct DoubtJson {
    kind: String,
    reason: String,
}

/// The JSON of the footer's key `counts`.
#[derive(Deserialize)]
struct CountsJson {
    received: u64,
    written: u64,
    not_owned: u64,
    duplicate: u64,
    quarantined: u64,
    /// Missing in files of earlier programs.
    #[serde(default)]
    forgotten: u64,
}

/// Reads the footer of a file. `None` if it is not a complete Parquet file of this program.
pub(crate) fn footer(content: &File) -> Option<FileFooter> {
    footer_of(&ArrowReaderMetadata::load(content, ArrowReaderOptions::default()).ok()?)
}

/// The footer in the metadata of a file. `None` if the file is not one of this program.
pub(crate) fn footer_of(metadata: &ArrowReaderMetadata) -> Option<FileFooter> {
    let file = metadata.metadata().file_metadata();
    let entries = file.key_value_metadata().map_or(&[][..], Vec::as_slice);
    Some(FileFooter {
        dataset: value(entries, "dataset")?.to_owned(),
        table: value(entries, "table").map(str::to_owned),
        schema_version: value(entries, "schema_version")?.parse().ok()?,
        interval: value(entries, "interval")?.parse().ok()?,
        job: value(entries, "job")
            .and_then(|job| serde_json::from_str(job).ok())
            .unwrap_or_default(),
        commit: commit(entries),
        rows: file.num_rows().unsigned_abs(),
        schema: metadata.schema().clone(),
    })
}

impl FileFooter {
    /// What the file holds.
    pub(crate) fn kind(&self) -> FileKind<'_> {
        self.table.as_deref().map_or(FileKind::Nested, FileKind::Table)
    }
}

fn commit(entries: &[KeyValue]) -> Option<CommitFooter> {
    let json: CountsJson = serde_json::from_str(value(entries, "counts")?).ok()?;
    let CountsJson { received, written, not_owned, duplicate, quarantined, forgotten } = json;
    Some(CommitFooter {
        id: value(entries, "commit")?.to_owned(),
        files: value(entries, "commit_files")?.parse().ok()?,
        counts: Counts { received, written, not_owned, duplicate, quarantined, forgotten },
        open_rows: value(entries, "open_rows")?.parse().ok()?,
        doubts: value(entries, "doubts").and_then(doubts),
    })
}

/// The doubts of a footer. `None` if they cannot be read. A kind that this program does not know is
/// left out.
fn doubts(json: &str) -> Option<Vec<(GapKind, String)>> {
    let doubts: Vec<DoubtJson> = serde_json::from_str(json).ok()?;
    let known = |doubt: DoubtJson| Some((GapKind::from_name(&doubt.kind)?, doubt.reason));
    Some(doubts.into_iter().filter_map(known).collect())
}

fn value<'e>(entries: &'e [KeyValue], name: &str) -> Option<&'e str> {
    let entry = entries.iter().find(|entry| entry.key.strip_prefix(KEY_PREFIX) == Some(name))?;
    entry.value.as_deref()
}
