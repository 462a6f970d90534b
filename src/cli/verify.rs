//! `cxbackfill verify`.

use crate::{
    config::{self, Given},
    error::Error,
    history::History,
    ledger::LEDGER,
    output::Output,
    verify::verify,
};

/// Exit code: something is not as the ledger says.
const DIFFERS: u8 = 1;

/// Says what differs, a line each, and then what was looked at.
pub async fn execute(given: &Given) -> Result<u8, Error> {
    let job = config::load_job(given)?;
    let ledger = job.output.join(LEDGER);
    // before the directory is opened, which would make it
    History::read(&ledger)?;
    let output = Output::directory(&job.output)?;
    let verified = verify(&output, &ledger, job.catalog, &mut |difference| println!("{difference}")).await?;
    println!("{verified}");
    Ok(if verified.differences == 0 { 0 } else { DIFFERS })
}
