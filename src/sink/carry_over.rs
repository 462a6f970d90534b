//! Writes the committed rows of a shard once more.

use std::fs::File;

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::{
    blocking::offload,
    catalog::Dataset,
    decode::CommittedRows,
    planning::Shard,
    sink::{
        ShardWriter, SinkError, commit::Destination, read, shard_writer::QUARANTINE,
        write_error::WriteError,
    },
};

/// The committed rows of a shard that were written once more.
#[derive(Debug, Default)]
pub(crate) struct CarriedRows {
    /// The number of rows.
    pub rows: u64,
    /// The ids of those that are open.
    pub open_ids: Vec<String>,
}

impl Destination {
    /// Writes the committed rows of `shard` to `writer`. `None` if they cannot be read as they were
    /// committed: then they have to be fetched.
    pub(super) async fn carry_over(
        &self,
        mut writer: ShardWriter,
        shard: &Shard,
    ) -> Result<Option<(ShardWriter, CarriedRows)>, SinkError> {
        let (ledger, name) = (self.ledger.clone(), shard.dataset.name.clone());
        let interval = shard.interval;
        let recorded = offload(move || ledger.shard_files(&name, interval)).await?;
        let Some((paths, rows)) = recorded else { return Ok(None) };
        let mut carried = CarriedRows::default();
        for path in paths.iter().filter(|path| !path.starts_with(QUARANTINE)) {
            let file = match read::open(&self.output, path).await {
                Ok(file) => file,
                Err(error) => {
                    tracing::warn!(path, %error, "a committed file cannot be read");
                    return Ok(None);
                }
            };
            let dataset = std::sync::Arc::clone(&shard.dataset);
            let written = offload(move || {
                carry_file(&dataset, file, &mut writer, &mut carried).map(|()| (writer, carried))
            })
            .await;
            match written {
                Ok(written) => (writer, carried) = written,
                Err(error) => {
                    tracing::warn!(path, %error, "a committed file cannot be read");
                    return Ok(None);
                }
            }
        }
        if carried.rows != rows {
            tracing::warn!(
                rows,
                found = carried.rows,
                "committed files have other rows than recorded"
            );
            return Ok(None);
        }
        Ok(Some((writer, carried)))
    }
}

/// Writes the rows of a committed file.
fn carry_file(
    dataset: &Dataset,
    file: File,
    writer: &mut ShardWriter,
    carried: &mut CarriedRows,
) -> Result<(), WriteError> {
    for batch in ParquetRecordBatchReaderBuilder::try_new(file)?.build()? {
        let CommittedRows { page, open_ids } = CommittedRows::new(dataset, &batch?)?;
        carried.rows += page.received;
        carried.open_ids.extend(open_ids);
        writer.write(&page)?;
    }
    Ok(())
}
