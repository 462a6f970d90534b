//! The commit protocol (G3).

use crate::{
    blocking::offload,
    ledger::{Ledger, ShardRecord},
    planning::Shard,
    sink::{Committed, OutputStore, ShardWriter, SinkError},
};

/// The commit protocol (G3): finish the files, put each to its final name, synced, then record them
/// all in one transaction. A kill before the transaction leaves files that no record names, which
/// the next start sweeps; a kill after it leaves nothing undone. Files of a committed shard are
/// replaced under their own names, so that no reader sees both; a mark in the ledger says so
/// beforehand, and the next start replaces them again.
pub(super) async fn commit(
    part: ShardWriter,
    shard: Shard,
    output: OutputStore,
    ledger: Ledger,
) -> Result<Committed, SinkError> {
    let (interval, replaces, dataset) =
        (shard.interval, shard.replaces, shard.dataset.name.clone());
    let (whole, counts) = offload(move || part.finish(interval)).await?;
    if replaces {
        let (ledger, dataset) = (ledger.clone(), dataset.clone());
        offload(move || ledger.mark_stale(&dataset, interval)).await?;
    }
    let mut files = Vec::with_capacity(whole.len());
    for file in whole {
        files.push(output.put(&file.path, file.rows, file.content).await?);
    }
    let record =
        ShardRecord { dataset, interval, counts, files, commit_id: String::new(), open_rows: 0 };
    let (record, forgotten) =
        offload(move || ledger.commit(&record, replaces).map(|paths| (record, paths))).await?;
    output.remove(&forgotten).await?;
    Ok(Committed { counts, files: record.files })
}
