//! `cxbackfill rebuild`.

use indicatif::HumanCount;

use crate::{
    cli::sources,
    commands::rebuild::{self, Rebuilt},
    config::{self, Overrides},
    error::Error,
    exit_code::ExitCode,
};

/// Makes the ledger of each source anew, and prints what was taken in and what was not.
pub(super) async fn execute(overrides: &Overrides) -> Result<ExitCode, Error> {
    let mut codes = Vec::new();
    for scope in &config::load_scopes(overrides)? {
        let source = scope.source.as_deref();
        sources::print_heading(source);
        let result = rebuild::rebuild(scope).await.map(|rebuilt| {
            print(&rebuilt);
            // what this program wrote and did not take in is missing until it is fetched again
            if rebuilt.orphaned.is_some() { ExitCode::Gaps } else { ExitCode::Complete }
        });
        codes.push(sources::exit_code(source, result));
    }
    Ok(ExitCode::of_all(&codes))
}

fn print(rebuilt: &Rebuilt) {
    for file in &rebuilt.left_out {
        sayln!("not taken in: {}: {}", file.path, file.reason);
    }
    if let Some(folder) = &rebuilt.orphaned {
        sayln!("files of this program that were not taken in are in {folder}");
    }
    let (commits, files) = (HumanCount(rebuilt.commits), HumanCount(rebuilt.files));
    let rows = HumanCount(rebuilt.rows);
    sayln!("{commits} commits, {files} files, {rows} rows are in the ledger");
    sayln!("the next run fetches what is missing, and intervals without rows, which have no files");
}
