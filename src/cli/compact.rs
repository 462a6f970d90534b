//! `cxbackfill compact`.

use indicatif::{HumanBytes, HumanCount};
use jiff::Timestamp;

use crate::{
    cli::{interval_args::check_order, sources},
    commands::compact::{CompactRequest, Compaction, DatasetCompaction, FileTotals},
    config::{
        self, BackfillScope, Overrides,
        values::{size_argument, time_argument},
    },
    error::Error,
    exit_code::ExitCode,
};

#[derive(Debug, clap::Args)]
pub(super) struct CompactArgs {
    /// Merge the files of this dataset only; can be given several times.
    #[arg(long, value_name = "NAME")]
    dataset: Vec<String>,
    /// Leave committed intervals alone that begin before this time, such as 2024-01-01 or today-7d.
    #[arg(long, value_name = "TIME", value_parser = time_argument)]
    from: Option<Timestamp>,
    /// Leave committed intervals alone that end after this time.
    #[arg(long, value_name = "TIME", value_parser = time_argument)]
    to: Option<Timestamp>,
    /// Files are merged until they would be larger together than this.
    #[arg(long, value_name = "SIZE", value_parser = size_argument, default_value = "256MiB")]
    target_size: u64,
}

/// Merges the files of each source, and prints what became of them.
pub(super) async fn execute(overrides: &Overrides, args: &CompactArgs) -> Result<ExitCode, Error> {
    check_order(args.from, args.to)?;
    let mut codes = Vec::new();
    for scope in &config::load_scopes(overrides)? {
        let source = scope.source.as_deref();
        sources::print_heading(source);
        let result = compact_source(scope, args).await.map(|()| ExitCode::Complete);
        codes.push(sources::exit_code(source, result));
    }
    Ok(ExitCode::of_all(&codes))
}

async fn compact_source(scope: &BackfillScope, args: &CompactArgs) -> Result<(), Error> {
    let request = CompactRequest {
        datasets: args.dataset.clone(),
        from_ms: args.from.map(Timestamp::as_millisecond),
        to_ms: args.to.map(Timestamp::as_millisecond),
        target_bytes: args.target_size,
    };
    let compaction = Compaction::prepare(scope, &request).await?;
    let before: Vec<_> = compaction.datasets.iter().map(described).collect();
    let written = compaction.execute().await?;
    for ((text, merged), written) in before.iter().zip(&written) {
        match merged.files {
            0 => sayln!("{text}"),
            _ => sayln!("{text} merged to {}", totals(*written)),
        }
    }
    Ok(())
}

/// What is to be said of a dataset before its files are merged, and what these are.
fn described(compaction: &DatasetCompaction) -> (String, FileTotals) {
    let (name, merged) = (&compaction.name, compaction.merged());
    let text = match (&compaction.dataset, merged.files) {
        (None, _) => format!("{name}: left alone, since the catalog has no such dataset"),
        (Some(_), 0) => format!("{name}: nothing to merge"),
        (Some(_), _) => format!("{name}: {}", totals(merged)),
    };
    (text, merged)
}

fn totals(totals: FileTotals) -> String {
    let FileTotals { files, rows, bytes } = totals;
    let plural = if files == 1 { "" } else { "s" };
    format!("{} file{plural}, {} rows, {}", HumanCount(files), HumanCount(rows), HumanBytes(bytes))
}
