//! `cxbackfill status`.

use crate::{
    cli::sources,
    commands::status::{self, Status},
    config::{self, BackfillScope, Overrides},
    error::Error,
    exit_code::ExitCode,
    ledger::{LEDGER, reader::Snapshot},
};

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    /// Prints one JSON object for programs.
    #[arg(long)]
    json: bool,
}

/// Says what the ledger of each source knows.
pub(super) fn execute(overrides: &Overrides, args: &StatusArgs) -> Result<ExitCode, Error> {
    let jobs = config::load_scopes(overrides)?;
    if let ([job], true) = (jobs.as_slice(), args.json) {
        sayln!("{}", read(job)?.json());
        return Ok(ExitCode::Complete);
    }
    let (mut known, mut codes) = (Vec::new(), Vec::new());
    for job in &jobs {
        let source = job.source.as_deref();
        let status = read(job).map(|status| match args.json {
            true => known.push((source.unwrap_or_default(), status)),
            false => {
                sources::print_heading(source);
                say!("{status}");
            }
        });
        codes.push(sources::exit_code(source, status.map(|()| ExitCode::Complete)));
    }
    if args.json {
        sayln!("{}", status::json(known, jobs.len()));
    }
    Ok(ExitCode::of_all(&codes))
}

fn read(job: &BackfillScope) -> Result<Status, Error> {
    Ok(Status::new(job, &Snapshot::read(&job.output.join(LEDGER))?))
}
