//! `cxbackfill plan`.

use tokio_util::sync::CancellationToken;

use crate::{
    config::{Config, Given},
    error::Error,
    estimate::Table,
    run,
};

/// Arguments of `plan`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Asks the platform how many rows there are, at the cost of a request a day that is left.
    #[arg(long)]
    probe: bool,
    /// Prints one JSON object for programs.
    #[arg(long)]
    json: bool,
}

/// Says what a run would cost.
pub async fn execute(given: &Given, args: &Args) -> Result<u8, Error> {
    let config = Config::load(given)?;
    if args.probe {
        run::probe(&config, CancellationToken::new()).await?;
    }
    let estimates = run::estimate(&config)?;
    match args.json {
        true => println!("{}", serde_json::to_string(&estimates).unwrap_or_default()),
        false => print!("{}", Table(&estimates)),
    }
    if estimates.values().any(|estimate| estimate.requests.is_none()) {
        eprintln!("nobody knows yet how many rows there are: `cxbackfill plan --probe` asks, a request a day");
    }
    Ok(0)
}
