//! The command `upgrade`: finds the files of an output that have other columns than their datasets
//! have now, or another layout than `output.layout` names, and has them rewritten.
//!
//! The files are rewritten on this machine, without requests, and each commit is recorded in the
//! ledger (G3): after a kill at any instruction every file is the old or the new one, and the next
//! upgrade continues. Times in milliseconds become microseconds, and new columns are null. What
//! cannot be upgraded is refused by name before anything is written. Start with
//! [`Upgrade::prepare`]; the sink rewrites the files of one shard (`sink/upgrade`), batch by batch
//! (`sink/column_upgrade`), and the ledger records them (`ledger/upgrade`).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use arrow::datatypes::Schema;

use crate::{
    catalog::Dataset,
    config::{BackfillScope, ConfigError},
    error::Error,
    ledger::{
        CHANGING_LAYOUT, Columns, FileKind, FileRecord, LEDGER, Ledger, ShardRecord,
        compare_identity, is_job_key, reader::Snapshot, version_key, versioned_dataset,
    },
    sink::{
        Layout, ParquetSettings, Upgrader, clean_up, is_outdated,
        lock::OutputLock,
        output_error::OutputError,
        read::{self, FileFooter},
        store::OutputStore,
    },
    system::blocking::offload,
};

/// What is to be rewritten of a dataset.
#[derive(Debug)]
pub(crate) struct DatasetUpgrade {
    /// The name of the dataset.
    pub name: String,
    /// The dataset. `None` if the catalog has none of this name: its files are left alone.
    pub dataset: Option<Arc<Dataset>>,
    /// The versions of the files that are to be rewritten.
    pub versions: BTreeSet<u32>,
    /// The number of these files, and of their rows and bytes.
    pub files: u64,
    pub rows: u64,
    pub bytes: u64,
    /// The shards that have such files.
    shards: Vec<ShardRecord>,
    /// Whether the ledger records another version than that of the dataset.
    is_recorded: bool,
}

/// An upgrade of an output that is about to start. Nothing is written yet.
pub(crate) struct Upgrade {
    /// The datasets of the output, in the order of their names.
    pub datasets: Vec<DatasetUpgrade>,
    /// The layout that the output gets. `None` if it has it already.
    pub layout: Option<Layout>,
    /// Recorded settings of the job, for files whose footers do not name them.
    job: BTreeMap<String, String>,
    output: OutputStore,
    settings: ParquetSettings,
    /// `None` if the upgrade is only described.
    open: Option<(Ledger, OutputLock)>,
}

impl Upgrade {
    /// Finds out what is to be rewritten: of all datasets of the output, or of `only` these. With
    /// `is_dry` the output is not locked and stays as it is.
    ///
    /// # Errors
    /// [`OutputError`] if a file cannot be upgraded, or if it cannot be read. Errors if the output
    /// has no ledger or another process writes to it.
    pub(crate) async fn prepare(
        scope: &BackfillScope,
        only: &[String],
        is_dry: bool,
    ) -> Result<Self, Error> {
        let path = scope.output.join(LEDGER);
        // read before the output is opened, because that would create a missing folder
        let mut snapshot = Snapshot::read(&path)?;
        compare_identity(&snapshot.identity, &scope.column_identity)?;
        let output = OutputStore::create(&scope.output, scope.file_mode)?;
        let mut open = None;
        if !is_dry {
            let lock = OutputLock::take(&scope.output)?;
            let ledger = Ledger::open(&path)?;
            clean_up(&output, &ledger).await?;
            snapshot = Snapshot::read(&path)?;
            open = Some((ledger, lock));
        }
        let layout = Some(scope.format.layout)
            .filter(|layout| Layout::of_output(&snapshot.identity) != Some(*layout));
        if layout.is_some() && !only.is_empty() {
            let message = "output.layout is not that of the output, and concerns all of its \
                           datasets: leave --dataset out";
            return Err(ConfigError::at("--dataset", message).into());
        }
        let versioned = snapshot.identity.keys().filter_map(|key| versioned_dataset(key));
        let recorded = snapshot.datasets.keys().map(String::as_str);
        let names: BTreeSet<&str> = versioned.chain(recorded).collect();
        if let Some(unknown) = only.iter().find(|name| !names.contains(name.as_str())) {
            let known: Vec<_> = names.into_iter().collect();
            let message =
                format!("the output has no dataset `{unknown}`: it has {}", known.join(", "));
            return Err(ConfigError::at("--dataset", message).into());
        }
        let mut datasets = Vec::new();
        for name in names {
            if only.is_empty() || only.iter().any(|only| only == name) {
                let dataset = scope.catalog.datasets.get(name).cloned();
                datasets
                    .push(inspect(&output, name, dataset, scope.format.layout, &snapshot).await?);
            }
        }
        let mut job = snapshot.identity;
        job.retain(|key, _| is_job_key(key));
        Ok(Self { datasets, layout, job, output, settings: scope.format.clone(), open })
    }

    /// Rewrites the files. A dry upgrade has nothing to do.
    ///
    /// # Errors
    /// [`OutputError::NotAsRecorded`] if a file is not the recorded one, others if the output or
    /// the ledger cannot be written. What was upgraded until then stays so.
    pub(crate) async fn execute(self) -> Result<(), Error> {
        let Some((ledger, _lock)) = self.open else { return Ok(()) };
        let job = serde_json::to_string(&self.job).unwrap_or_default();
        let settings = ParquetSettings { job, ..self.settings };
        let layout = self.layout.map(Layout::name);
        if layout.is_some() {
            // no run writes to it before all files have the new layout
            let ledger = ledger.clone();
            offload(move || ledger.record_layout(CHANGING_LAYOUT)).await?;
        }
        let upgrader = Upgrader { output: self.output, ledger: ledger.clone(), settings };
        for DatasetUpgrade { name, dataset, shards, is_recorded, .. } in self.datasets {
            let Some(dataset) = dataset else { continue };
            for shard in &shards {
                upgrader.upgrade(&dataset, shard).await?;
                tracing::debug!(dataset = name, interval = %shard.interval, "rewrote a shard");
            }
            if !is_recorded || !shards.is_empty() || layout.is_some() {
                let columns = upgrader.settings.layout.columns(&dataset);
                let ledger = ledger.clone();
                offload(move || ledger.record_version(&name, dataset.version, &columns)).await?;
            }
        }
        if let Some(layout) = layout {
            offload(move || ledger.record_layout(layout)).await?;
        }
        Ok(())
    }
}

/// Finds the files of a dataset that have other columns than the dataset.
async fn inspect(
    output: &OutputStore,
    name: &str,
    dataset: Option<Arc<Dataset>>,
    layout: Layout,
    snapshot: &Snapshot,
) -> Result<DatasetUpgrade, Error> {
    let mut upgrade = DatasetUpgrade {
        name: name.to_owned(),
        dataset: None,
        versions: BTreeSet::new(),
        files: 0,
        rows: 0,
        bytes: 0,
        shards: Vec::new(),
        is_recorded: true,
    };
    let Some(dataset) = dataset else { return Ok(upgrade) };
    let version = dataset.version.to_string();
    upgrade.is_recorded = snapshot.identity.get(&version_key(name)) == Some(&version);
    let shards = snapshot.datasets.get(name).map_or(&[][..], |records| &records.shards);
    for shard in shards {
        let row_files: Vec<_> = shard.row_files().collect();
        let of_days = shard.files.iter().filter(|file| file.kind() != FileKind::Quarantine);
        let has_layout = layout.is_of(&dataset, &shard.files);
        let mut is_pending = !has_layout;
        for file in of_days {
            let footer = footer(output, file).await?;
            refuse(&dataset, &footer, shard.nested_files().next().is_some())?;
            if !has_layout || is_outdated(&footer, shard, &dataset) {
                upgrade.versions.insert(footer.schema_version);
                upgrade.files += 1;
                upgrade.rows += if row_files.contains(&file) { file.rows } else { 0 };
                upgrade.bytes += file.bytes;
                is_pending = true;
            }
        }
        if is_pending {
            upgrade.shards.push(shard.clone());
        }
    }
    upgrade.dataset = Some(dataset);
    Ok(upgrade)
}

async fn footer(output: &OutputStore, file: &FileRecord) -> Result<FileFooter, Error> {
    let error = |reason| OutputError::NotAsRecorded { path: file.path.clone(), reason };
    let content =
        read::open(output, &file.path).await.map_err(|source| error(source.to_string()))?;
    let footer = offload(move || read::footer(&content)).await;
    Ok(footer.ok_or_else(|| error("it is not a complete file of this program".to_owned()))?)
}

/// Refuses files whose rows cannot have the columns of the dataset. Tables are made anew from
/// nested rows, so the columns of their files matter only where they are all that there is.
fn refuse(dataset: &Dataset, footer: &FileFooter, has_nested: bool) -> Result<(), OutputError> {
    let (found, known) = (footer.schema_version, dataset.version);
    if found > known {
        return Err(OutputError::NewerColumns { dataset: dataset.name.clone(), found, known });
    }
    let mut renamed = Vec::new();
    if let FileKind::Table(name) = footer.kind() {
        if has_nested {
            return Ok(());
        }
        let table = dataset.table(name).map(AsRef::as_ref);
        renamed = table.map_or(renamed, |table| table.renamed(&footer.schema));
    }
    let of_file = |schema: &Schema| {
        let mut columns = Columns::default();
        columns.add(footer.kind(), schema);
        columns
    };
    let schema = dataset.schema_of(footer.kind());
    let columns = schema.map_or_else(Columns::default, |schema| of_file(schema));
    let mut obstacles = columns.obstacles(&of_file(&footer.schema));
    let of_table = footer.table.as_deref().unwrap_or_default();
    obstacles.extend(
        renamed
            .into_iter()
            .map(|(old, new)| format!("`{of_table}/{old}` may be what is `{of_table}/{new}` now")),
    );
    if obstacles.is_empty() {
        return Ok(());
    }
    let (dataset, obstacles) = (dataset.name.clone(), obstacles.join(", "));
    Err(OutputError::NoUpgrade { dataset, found, known, obstacles })
}
