//! `cxbackfill report`.

use std::sync::Arc;

use crate::{
    cli::sources,
    config::{self, Overrides},
    error::Error,
    exit_code::ExitCode,
    web::{Source, report},
};

/// Writes the report of each source into its output, and prints where it is.
pub(super) async fn execute(overrides: &Overrides) -> Result<ExitCode, Error> {
    let mut codes = Vec::new();
    for scope in config::load_scopes(overrides)? {
        let (name, folder) = (scope.source.clone(), scope.output.clone());
        let written = report::write(Arc::new(Source::new(scope, None))).await;
        let result = written.map(|()| {
            sources::print_heading(name.as_deref());
            for file in [report::HTML, report::JSON] {
                sayln!("{}", folder.join(file).display());
            }
            ExitCode::Complete
        });
        codes.push(sources::exit_code(name.as_deref(), result));
    }
    Ok(ExitCode::of_all(&codes))
}
