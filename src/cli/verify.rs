//! `cxbackfill verify`.

use tokio_util::sync::CancellationToken;

use crate::{
    config::{self, Config, Given},
    error::Error,
    history::History,
    ledger::LEDGER,
    output::Output,
    run,
    verify::{days, verify},
};

/// Exit code: something is not as the ledger says, or the platform.
const DIFFERS: u8 = 1;

/// Arguments of `verify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Holds every whole day against the platform's own count, too: a request a day.
    #[arg(long)]
    remote: bool,
}

/// Says what differs, a line each, and then what was looked at.
pub async fn execute(given: &Given, args: &Args) -> Result<u8, Error> {
    let job = config::load_job(given)?;
    let ledger = job.output.join(LEDGER);
    // before the directory is opened, which would make it
    let history = History::read(&ledger)?;
    let output = Output::directory(&job.output)?;
    let verified = verify(&output, &ledger, &job.catalog, &mut |difference| println!("{difference}")).await?;
    println!("{verified}");
    let differs = verified.differences > 0 || (args.remote && remote(given, &history).await? > 0);
    Ok(if differs { DIFFERS } else { 0 })
}

/// Says what the platform counts otherwise, and how many days that are.
async fn remote(given: &Given, history: &History) -> Result<usize, Error> {
    let config = Config::load(given)?;
    let mut held = Vec::new();
    for dataset in &config.datasets {
        let records = history.datasets.get(&dataset.name);
        held.extend(records.into_iter().flat_map(|records| days(dataset, records, config.interval)));
    }
    let differences = run::compare(&config, &held, CancellationToken::new()).await?;
    differences.iter().for_each(|difference| println!("{difference}"));
    println!("{} days: {} as the platform counts them", held.len(), held.len() - differences.len());
    Ok(differences.len())
}
