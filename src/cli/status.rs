//! `cxbackfill status`.

use crate::{
    config::{self, Given},
    error::Error,
    history::History,
    ledger::LEDGER,
    status::Status,
};

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Prints one JSON object for programs.
    #[arg(long)]
    json: bool,
}

/// Says what the ledger knows.
pub fn execute(given: &Given, args: &Args) -> Result<u8, Error> {
    let job = config::load_job(given)?;
    let status = Status::new(&job, &History::read(&job.output.join(LEDGER))?);
    if args.json {
        println!("{}", status.json())
    } else {
        print!("{status}")
    }
    Ok(0)
}
