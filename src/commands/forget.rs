//! `forget`: removes the rows of some ids from an output, and keeps them from coming back.
//!
//! The ids are named, or found by a condition on the rows. Their keyed hashes are written to the
//! output first; then every committed shard that has such a row is replaced by its other rows, in
//! one transaction each (G3). A run leaves out and counts forgotten rows, so a refresh does not
//! bring them back. Rows of the quarantine are found by an id among their values. Start with
//! [`ForgetPlan::prepare`].

use std::{
    collections::HashSet,
    io::{BufRead, BufReader},
    sync::Arc,
};

use crate::{
    catalog::Dataset,
    commands::{
        export::{self, MatchingRows, OpenRows},
        locked_output::LockedOutput,
        output_check,
    },
    config::{BackfillScope, ConfigError},
    decode::id_hash,
    error::Error,
    ledger::{FileKind, ShardRecord},
    sink::{CommittedDay, ForgottenIds, ForgottenRows, RewriteReason, is_mentioned, read},
    system::blocking::offload_wait,
};

/// What is forgotten, as the user says it.
#[derive(Debug)]
pub(crate) struct ForgetRequest {
    /// The dataset. `None` if it is the only one of the job.
    pub dataset: Option<String>,
    /// The ids of rows.
    pub ids: Vec<String>,
    /// The condition that the rows meet. `None` if `ids` names them.
    pub condition: Option<String>,
}

/// Rows that are to be forgotten.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ForgetTotals {
    /// Different ids that the user named, or of the rows that meet the condition.
    pub ids: u64,
    /// Rows of these ids.
    pub rows: u64,
    /// Rows of the quarantine that mention them.
    pub quarantined: u64,
    /// Committed intervals with such rows.
    pub shards: u64,
}

/// A removal that is about to start. The output is locked, and nothing is changed yet.
pub(crate) struct ForgetPlan {
    /// The dataset.
    pub dataset: Arc<Dataset>,
    pub totals: ForgetTotals,
    /// The folder of files that no command reads, which are not searched. `None` if there is none.
    pub unsearched: Option<&'static str>,
    /// The committed shards that have such rows.
    shards: Vec<ShardRecord>,
    forgotten: ForgottenRows,
    output: LockedOutput,
}

impl ForgetPlan {
    /// Finds the rows.
    ///
    /// # Errors
    /// If the dataset or a column does not exist, if ids are named of a dataset whose rows are
    /// identified by several columns, if a file cannot be read, or if another process writes to the
    /// output.
    pub(crate) async fn prepare(
        scope: &BackfillScope,
        request: &ForgetRequest,
    ) -> Result<Self, Error> {
        let dataset = export::dataset(scope, request.dataset.as_deref())?;
        if !request.ids.is_empty() && dataset.id.len() > 1 {
            let condition: Vec<_> = dataset.id.iter().map(|id| format!("{id} = …")).collect();
            let message = format!(
                "rows of {} are identified by {}: write --where \"{}\"",
                dataset.name,
                dataset.id.join(", "),
                condition.join(" and ")
            );
            return Err(ConfigError::at("--id", message).into());
        }
        let matching = Arc::new(MatchingRows::new(&dataset, request.condition.as_deref())?);
        let output = LockedOutput::open(scope, std::slice::from_ref(&dataset.name)).await?;
        output.check_columns(scope, &dataset).await?;
        let mut forgotten = output.forgotten().await?;
        let all = output.wanted.get(&dataset.name).map_or(&[][..], |records| &records.shards);
        let mut ids: HashSet<u128> = request.ids.iter().map(|id| id_hash(id)).collect();
        if request.condition.is_some() {
            for shard in all {
                ids = rows_of(&output, shard, &matching, ids, |ids, id| {
                    ids.insert(id);
                })
                .await?;
            }
        }
        let mut totals = ForgetTotals { ids: ids.len() as u64, ..ForgetTotals::default() };
        forgotten.add(&dataset.name, ids)?;
        let every = Arc::new(MatchingRows::new(&dataset, None)?);
        let of_dataset = forgotten.of_dataset(&dataset);
        let mut shards = Vec::new();
        for shard in all {
            let found = (0, of_dataset.clone());
            let count = |(rows, ids): &mut (u64, ForgottenIds), id| {
                *rows += u64::from(ids.contains(id));
            };
            let (rows, _) = rows_of(&output, shard, &every, found, count).await?;
            let quarantined = quarantined(&output, shard, &of_dataset).await?;
            if rows + quarantined > 0 {
                totals.rows += rows;
                totals.quarantined += quarantined;
                totals.shards += 1;
                shards.push(shard.clone());
            }
        }
        let orphaned = output_check::ORPHANED;
        let unsearched = scope.output.join(orphaned).is_dir().then_some(orphaned);
        Ok(Self { dataset, totals, unsearched, shards, forgotten, output })
    }

    /// Removes the rows.
    ///
    /// # Errors
    /// If a file is not the recorded one, or if the output or the ledger cannot be written. The ids
    /// are remembered then, and the same command continues.
    pub(crate) async fn execute(self, scope: &BackfillScope) -> Result<(), Error> {
        let Self { dataset, shards, forgotten, output, .. } = self;
        forgotten.write(&output.store, &output.ledger).await?;
        let mut rewriter = output.rewriter(scope, forgotten);
        for shard in shards {
            rewriter
                .replace(&dataset, std::slice::from_ref(&shard), RewriteReason::Forgotten)
                .await?;
            tracing::debug!(dataset = dataset.name, interval = %shard.interval, "removed rows");
        }
        Ok(())
    }
}

/// Calls `each` with `found` and the hash of the id of every matching row of a shard. Returns
/// `found`.
async fn rows_of<T: Send + 'static>(
    output: &LockedOutput,
    shard: &ShardRecord,
    matching: &Arc<MatchingRows>,
    mut found: T,
    each: impl Fn(&mut T, u128) + Copy + Send + 'static,
) -> Result<T, Error> {
    for day in CommittedDay::of(&shard.files) {
        let rows = OpenRows::open(&output.store, &day).await?;
        let matching = Arc::clone(matching);
        let read =
            offload_wait(move || matching.ids(rows, |id| each(&mut found, id)).map(|()| found));
        let path = || day.files.first().map_or("", |file| &file.path);
        found = read.await.map_err(|reason| not_as_recorded(path(), reason))?;
    }
    Ok(found)
}

/// The number of quarantined rows of a shard that mention a forgotten id.
async fn quarantined(
    output: &LockedOutput,
    shard: &ShardRecord,
    forgotten: &ForgottenIds,
) -> Result<u64, Error> {
    let mut found = 0;
    for file in shard.files.iter().filter(|file| file.kind() == FileKind::Quarantine) {
        let content = read::open(&output.store, &file.path).await;
        let content = content.map_err(|error| not_as_recorded(&file.path, error.to_string()))?;
        let forgotten = forgotten.clone();
        let read = offload_wait(move || -> std::io::Result<u64> {
            let mut found = 0;
            for line in BufReader::new(content).split(b'\n') {
                found += u64::from(is_mentioned(&line?, &forgotten));
            }
            Ok(found)
        });
        found += read.await.map_err(|error| not_as_recorded(&file.path, error.to_string()))?;
    }
    Ok(found)
}

fn not_as_recorded(path: &str, reason: String) -> Error {
    Error::NotAsRecorded { path: path.to_owned(), reason }
}
