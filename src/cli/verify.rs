//! `cxbackfill verify`.

use tokio_util::sync::CancellationToken;

use crate::{
    cli::sources,
    commands::{
        probe,
        verify::{days, verify},
    },
    config::{self, BackfillScope, Config, Overrides},
    error::Error,
    exit_code::ExitCode,
    ledger::{LEDGER, reader::Snapshot},
    sink::store::OutputStore,
};

/// Arguments of `verify`.
#[derive(Debug, clap::Args)]
pub(super) struct VerifyArgs {
    /// Holds every whole day against the platform's own count, too: a request a day.
    #[arg(long)]
    remote: bool,
}

/// Says of each source what differs, a line each, and then what was looked at.
pub(super) async fn execute(overrides: &Overrides, args: &VerifyArgs) -> Result<ExitCode, Error> {
    let jobs = config::load_scopes(overrides)?;
    let configs = if args.remote { Config::load(overrides)? } else { Vec::new() };
    let mut codes = Vec::new();
    for (number, job) in jobs.iter().enumerate() {
        let source = job.source.as_deref();
        sources::print_heading(source);
        codes.push(sources::exit_code(source, one(job, configs.get(number)).await));
    }
    Ok(ExitCode::of_all(&codes))
}

/// One source, with `remote` against the platform, too.
async fn one(job: &BackfillScope, remote: Option<&Config>) -> Result<ExitCode, Error> {
    let ledger = job.output.join(LEDGER);
    // before the directory is opened, which would make it
    let history = Snapshot::read(&ledger)?;
    let output = OutputStore::directory(&job.output)?;
    let verified =
        verify(&output, &ledger, &job.catalog, &mut |difference| sayln!("{difference}")).await?;
    sayln!("{verified}");
    let differs = match remote {
        _ if verified.differences > 0 => true,
        Some(config) => compare(config, &history).await? > 0,
        None => false,
    };
    Ok(if differs { ExitCode::Gaps } else { ExitCode::Complete })
}

/// Says what the platform counts otherwise, and how many days that are.
async fn compare(config: &Config, history: &Snapshot) -> Result<usize, Error> {
    let mut held = Vec::new();
    for dataset in config.datasets.iter().filter(|dataset| dataset.is_counted()) {
        let records = history.datasets.get(&dataset.name);
        held.extend(
            records.into_iter().flat_map(|records| days(dataset, records, config.interval)),
        );
    }
    let differences = probe::compare(config, &held, CancellationToken::new()).await?;
    differences.iter().for_each(|difference| sayln!("{difference}"));
    sayln!("{} days: {} as the platform counts them", held.len(), held.len() - differences.len());
    Ok(differences.len())
}
