//! `cxbackfill verify`.

use indicatif::{HumanBytes, HumanCount};
use tokio_util::sync::CancellationToken;

use crate::{
    cli::sources,
    commands::{
        probe,
        verify::{self, Difference, Verified},
    },
    config::{self, BackfillScope, Config, Overrides, SourceConfig},
    error::Error,
    exit_code::ExitCode,
    ledger::{LEDGER, reader::Snapshot},
    server_text::ServerText,
    sink::store::OutputStore,
};

#[derive(Debug, clap::Args)]
pub(super) struct VerifyArgs {
    /// Compare every whole day with the platform's own count, too; one request per day.
    #[arg(long)]
    remote: bool,
}

/// Prints the differences of each source, one per line, and then what was verified.
pub(super) async fn execute(overrides: &Overrides, args: &VerifyArgs) -> Result<ExitCode, Error> {
    let jobs = config::load_scopes(overrides)?;
    let configs = if args.remote { Config::load_each(overrides)? } else { Vec::new() };
    let mut codes = Vec::new();
    for (number, job) in jobs.iter().enumerate() {
        let source = job.source.as_deref();
        sources::print_heading(source);
        codes.push(sources::exit_code(source, verify_source(job, configs.get(number)).await));
    }
    Ok(ExitCode::of_all(&codes))
}

/// Verifies one source against its ledger and, if `remote` is given, against the platform.
async fn verify_source(
    job: &BackfillScope,
    remote: Option<&SourceConfig>,
) -> Result<ExitCode, Error> {
    let ledger = job.output.join(LEDGER);
    // read before the output is opened, because that would create a missing folder
    let snapshot = Snapshot::read(&ledger)?;
    let output = OutputStore::directory(&job.output)?;
    // paths, ids and texts in it may be those of a server
    let mut print = |difference: Difference| {
        sayln!("{}", ServerText::from(difference.to_string()));
    };
    let verified = verify::verify(&output, &ledger, &job.catalog, &mut print).await?;
    sayln!("{}", text(verified));
    let differs = match remote {
        _ if verified.differences > 0 => true,
        Some(source) => compare_with_platform(source.config()?, &snapshot).await? > 0,
        None => false,
    };
    Ok(if differs { ExitCode::Gaps } else { ExitCode::Complete })
}

/// Prints the days that the platform counts differently, and returns how many there are.
async fn compare_with_platform(config: &Config, snapshot: &Snapshot) -> Result<usize, Error> {
    let mut days = Vec::new();
    for dataset in config.datasets.iter().filter(|dataset| dataset.is_counted()) {
        if let Some(records) = snapshot.datasets.get(&dataset.name) {
            days.extend(verify::committed_days(dataset, records, config.interval));
        }
    }
    let differences = probe::compare(config, &days, CancellationToken::new()).await?;
    for difference in &differences {
        sayln!("{difference}");
    }
    sayln!("{} days: {} as the platform counts them", days.len(), days.len() - differences.len());
    Ok(differences.len())
}

fn text(verified: Verified) -> String {
    let Verified { files, rows, bytes, differences, unrecorded_replacements } = verified;
    let (files, rows, bytes) = (HumanCount(files), HumanCount(rows), HumanBytes(bytes));
    let differences = match differences {
        0 => "all as the ledger says".to_owned(),
        1 => "1 difference".to_owned(),
        more => format!("{} differences", HumanCount(more)),
    };
    let replaced = match unrecorded_replacements {
        0 => String::new(),
        more => {
            format!(", but {} replaced by a refresh or an upgrade that was ended", HumanCount(more))
        }
    };
    format!("{files} files, {rows} rows, {bytes}: {differences}{replaced}")
}
