//! Checks that a run may write to an output: that its ledger knows all its files and their columns.
//!
//! A run never deletes or moves a file that this program did not write, and it does not write
//! beside files that the ledger does not know: their rows would be doubled.

use std::collections::HashSet;

use object_store::ObjectStoreExt;

use crate::{
    config::Config,
    error::Error,
    ledger::{
        Columns, FileKind, LEDGER, Ledger,
        file_kind::{dataset_of, folders_of},
    },
    sink::{
        output_error::OutputError,
        read,
        store::{OutputStore, StoreError},
    },
    system::blocking::offload,
    time::clock,
};

/// The folder of files that the ledger does not know and that a migration or `rebuild` moved away.
/// The underscore hides it from readers of the data.
pub(super) const ORPHANED: &str = "_orphaned";

/// Refuses an output with data files but without a ledger. To be called before the ledger is
/// opened, which creates it.
pub(crate) async fn refuse_missing_ledger(
    config: &Config,
    output: &OutputStore,
) -> Result<(), Error> {
    if config.output.join(LEDGER).exists() {
        return Ok(());
    }
    let files = data_files(config, output).await?;
    match files.first() {
        Some(example) => Err(Error::Refused(OutputError::NoLedger {
            path: config.output.display().to_string(),
            count: files.len(),
            example: example.clone(),
        })),
        None => Ok(()),
    }
}

/// Checks the files and columns of the datasets that the run fetches. To be called after leftovers
/// of killed runs are deleted.
///
/// # Errors
/// [`OutputError`] if the ledger does not know a file, [`LedgerError`](crate::ledger::LedgerError)
/// if the columns of a dataset changed without a new version.
pub(crate) async fn check(
    config: &Config,
    output: &OutputStore,
    ledger: &Ledger,
) -> Result<(), Error> {
    check_files(config, output, ledger).await?;
    check_columns(config, output, ledger).await
}

async fn check_files(config: &Config, output: &OutputStore, ledger: &Ledger) -> Result<(), Error> {
    let mut known = ledger.file_paths()?;
    known.extend(ledger.intents()?);
    known.extend(ledger.garbage()?);
    let mut unknown = Vec::new();
    for path in data_files(config, output).await? {
        if !known.contains(&path) && is_ours(output, &path).await? {
            unknown.push(path);
        }
    }
    if ledger.must_move_unrecorded_files()? {
        let folder = move_to_orphaned(output, &unknown).await?;
        if !unknown.is_empty() {
            tracing::warn!(
                files = unknown.len(),
                folder,
                "moved files that the ledger does not know: a killed run of an older version left \
                them, or somebody replaced the ledger"
            );
        }
        ledger.moved_unrecorded_files()?;
        return Ok(());
    }
    match unknown.first() {
        Some(example) => Err(Error::Refused(OutputError::UnknownFiles {
            count: unknown.len(),
            example: example.clone(),
        })),
        None => Ok(()),
    }
}

/// Compares the columns of each dataset with the recorded ones or, in an output of an older version
/// of this program, with those of a file.
async fn check_columns(
    config: &Config,
    output: &OutputStore,
    ledger: &Ledger,
) -> Result<(), Error> {
    let recorded = ledger.file_paths()?;
    for dataset in &config.datasets {
        if !ledger.has_columns(&dataset.name)?
            && let Some((version, columns)) = file_columns(output, &dataset.name, &recorded).await?
        {
            ledger.record_columns(&dataset.name, version, &columns)?;
        }
        let columns = config.format.layout.columns(dataset);
        ledger.record_columns(&dataset.name, dataset.version, &columns)?;
    }
    Ok(())
}

/// The version and columns of a recorded file of a dataset. `None` if it has no readable file.
async fn file_columns(
    output: &OutputStore,
    dataset: &str,
    recorded: &HashSet<String>,
) -> Result<Option<(u32, Columns)>, Error> {
    let is_file =
        |path: &&String| FileKind::of(path) == FileKind::Nested && dataset_of(path) == dataset;
    let Some(path) = recorded.iter().find(is_file) else { return Ok(None) };
    let Some(content) = open(output, path).await? else { return Ok(None) };
    let footer = offload(move || read::footer(&content)).await;
    Ok(footer.map(|footer| (footer.schema_version, Columns::of(&footer.schema))))
}

/// The data files in the folders of the datasets that the run fetches, in order.
async fn data_files(config: &Config, output: &OutputStore) -> Result<Vec<String>, StoreError> {
    let datasets = config.datasets.iter();
    let folders: Vec<_> = datasets.flat_map(|dataset| folders_of(&dataset.name)).collect();
    let mut files: Vec<_> =
        output.list(&folders).await?.into_iter().map(|path| path.to_string()).collect();
    files.sort_unstable();
    Ok(files)
}

/// Whether this program wrote a file. Files in the quarantine folder have no footer that says so.
pub(crate) async fn is_ours(output: &OutputStore, path: &str) -> Result<bool, StoreError> {
    if FileKind::of(path) == FileKind::Quarantine {
        return Ok(true);
    }
    let Some(content) = open(output, path).await? else { return Ok(false) };
    Ok(offload(move || read::footer(&content)).await.is_some())
}

/// Opens a file. `None` if it is missing.
async fn open(output: &OutputStore, path: &str) -> Result<Option<std::fs::File>, StoreError> {
    match read::open(output, path).await {
        Ok(content) => Ok(Some(content)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(source) => Err(output.error(path, source)),
    }
}

/// Moves files to a folder of their own below `_orphaned/`, and returns that folder.
pub(crate) async fn move_to_orphaned(
    output: &OutputStore,
    paths: &[String],
) -> Result<String, StoreError> {
    let time = clock::now().strftime("%Y%m%dT%H%M%SZ");
    let folder = format!("{ORPHANED}/{time}");
    for path in paths {
        let target = format!("{folder}/{path}");
        let renamed = output.store().rename(&path.as_str().into(), &target.into()).await;
        renamed.map_err(|source| output.error(path, source))?;
    }
    Ok(folder)
}
