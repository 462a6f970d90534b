//! Reads every file of an output: its checksum, and its footer or number of lines.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, BufReader, Seek},
};

use crate::{
    catalog::{Catalog, Dataset},
    commands::rebuild::LeftOut,
    error::Error,
    ledger::{
        FileKind, FileRecord,
        file_kind::{QUARANTINE, dataset_of},
    },
    sink::{
        hour_sums::HourSums,
        read::{self, FileFooter},
        store::{OutputStore, StoreError},
    },
    system::blocking::offload,
};

/// The files of an output.
pub(super) struct Scan {
    /// Files of this program, by path.
    pub files: BTreeMap<String, ScannedFile>,
    /// Files that this program did not write or that cannot be read.
    pub left_out: Vec<LeftOut>,
}

/// A file of this program.
pub(super) struct ScannedFile {
    /// The record that the ledger would have of it.
    pub record: FileRecord,
    /// Its footer. `None` for a quarantine file.
    pub footer: Option<FileFooter>,
    /// The sums of its rows, if it has nested rows and the catalog knows the dataset; else
    /// empty.
    pub sums: HourSums,
}

/// Reads all data files in the folders that may hold them: the datasets' and the quarantine folder.
pub(super) async fn scan(output: &OutputStore, catalog: &Catalog) -> Result<Scan, Error> {
    let mut scan = Scan { files: BTreeMap::new(), left_out: Vec::new() };
    for path in output.list(&data_folders(output).await?).await? {
        let path = path.to_string();
        let reason = match read::open(output, &path).await {
            Ok(content) => {
                let dataset = catalog.datasets.get(dataset_of(&path)).cloned();
                let file_path = path.clone();
                match offload(move || scan_file(content, file_path, dataset.as_deref())).await {
                    Ok(Some(file)) => {
                        scan.files.insert(path, file);
                        continue;
                    }
                    Ok(None) => "this program did not write it".to_owned(),
                    Err(error) => format!("it cannot be read: {error}"),
                }
            }
            Err(error) => format!("it cannot be read: {error}"),
        };
        scan.left_out.push(LeftOut { path, reason, is_ours: false });
    }
    Ok(scan)
}

/// The folders at the top of the output, without those that readers skip.
async fn data_folders(output: &OutputStore) -> Result<Vec<String>, StoreError> {
    let listed = output.store().list_with_delimiter(None).await;
    let listed = listed.map_err(|source| output.error("", source))?;
    let mut folders: Vec<_> =
        listed.common_prefixes.into_iter().map(|folder| folder.to_string()).collect();
    folders.retain(|name| name == QUARANTINE || !name.starts_with(['_', '.']));
    Ok(folders)
}

/// `None` if this program did not write the file.
fn scan_file(
    mut content: File,
    path: String,
    dataset: Option<&Dataset>,
) -> io::Result<Option<ScannedFile>> {
    let mut sums = HourSums::default();
    let (rows, footer) = if FileKind::of(&path) == FileKind::Quarantine {
        let mut rows = 0;
        for line in BufReader::new(&content).split(b'\n') {
            line?;
            rows += 1;
        }
        content.rewind()?;
        (rows, None)
    } else {
        let Some(footer) = read::footer(&content) else { return Ok(None) };
        if let (FileKind::Nested, Some(dataset)) = (footer.kind(), dataset) {
            sums = HourSums::of_file(content.try_clone()?, dataset).map_err(io::Error::other)?;
        }
        (footer.rows, Some(footer))
    };
    let (bytes, sha256) = read::digest(&mut content)?;
    Ok(Some(ScannedFile { record: FileRecord { path, rows, bytes, sha256 }, footer, sums }))
}
