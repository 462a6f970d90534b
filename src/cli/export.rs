//! `cxbackfill export`.

use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    sync::Arc,
};

use indicatif::HumanCount;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::{
    cli::{interrupted, interval_args::check_order},
    commands::export::{
        Export, ExportFile, ExportRequest, Exported, Format, RowWriter, standard_output,
    },
    config::{self, BackfillScope, ConfigError, Overrides, values::time_argument},
    error::Error,
    exit_code::ExitCode,
};

/// The most rows that a spreadsheet holds, the header included.
const MOST_SPREADSHEET_ROWS: u64 = 1_048_576;
/// Uncommitted intervals that are named.
const NAMED_INTERVALS: usize = 3;

#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    /// How rows are written.
    #[arg(long, value_enum, default_value = "csv")]
    format: Format,
    /// The dataset [default: that of the job, if it is the only one].
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
    /// A flat table of the dataset, such as `segments`, if the output has tables [default: its
    /// nested rows].
    #[arg(long, value_name = "NAME")]
    table: Option<String>,
    /// The columns, separated by commas [default: all]. Those of nested rows are paths such as
    /// `participants[0].sessions[0].ani`; a list, an object or a map is written as JSON.
    #[arg(long, value_name = "PATHS")]
    columns: Vec<String>,
    /// Leave out rows before this time, such as 2024-01-01T00:00:00Z, 2024-01-01 or today-7d.
    #[arg(long, value_name = "TIME", value_parser = time_argument)]
    from: Option<Timestamp>,
    /// Leave out rows at this time or later.
    #[arg(long, value_name = "TIME", value_parser = time_argument)]
    to: Option<Timestamp>,
    /// Only rows that meet comparisons by = != < <= > >=, `is null` and `is not null`, joined by
    /// `and`, such as "originatingDirection = 'inbound' and conversationEnd is not null".
    #[arg(long = "where", value_name = "CONDITION")]
    condition: Option<String>,
    /// The file to write. It appears once it is complete [default: standard output].
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// For spreadsheets, with CSV only: mark the file as UTF-8, and put an apostrophe before texts
    /// that would be taken for formulas, numbers or dates, such as =A1, 0049 or 3-4.
    #[arg(long)]
    spreadsheet: bool,
}

/// Exports the rows of the only source.
pub(super) async fn execute(overrides: &Overrides, args: &ExportArgs) -> Result<ExitCode, Error> {
    let scope = config::only(config::load_scopes(overrides)?)?;
    if args.spreadsheet && args.format != Format::Csv {
        return Err(ConfigError::at("--spreadsheet", "it needs --format csv").into());
    }
    if args.format == Format::Parquet && args.output.is_none() && io::stdout().is_terminal() {
        let message = "Parquet is not for a terminal: name a file with --output";
        return Err(ConfigError::at("--format", message).into());
    }
    check_order(args.from, args.to)?;
    let request = ExportRequest {
        dataset: args.dataset.clone(),
        table: args.table.clone(),
        columns: args.columns.clone(),
        from_ms: args.from.map(Timestamp::as_millisecond),
        to_ms: args.to.map(Timestamp::as_millisecond),
        condition: args.condition.clone(),
    };
    let export = Arc::new(Export::prepare(&scope, &request)?);
    let exported = match &args.output {
        Some(path) => {
            let written = write_file(&export, &scope, args, path);
            tokio::select! {
                biased;
                exported = written => exported?,
                _ = interrupted() => None,
            }
        }
        None => write_to_standard_output(export, &scope, args).await?,
    };
    let Some(exported) = exported else { return Ok(ExitCode::Interrupted) };
    warn(&exported, args);
    Ok(ExitCode::Complete)
}

/// Writes the rows to a file. `None` if that was interrupted.
async fn write_file(
    export: &Arc<Export>,
    scope: &BackfillScope,
    args: &ExportArgs,
    path: &Path,
) -> Result<Option<Exported>, Error> {
    let name = path.display().to_string();
    let error = |source| Error::Export { target: name.clone(), source };
    let file = ExportFile::create(path, &scope.output).map_err(error)?;
    let writer = begin(export, scope, args, file.target().map_err(error)?).map_err(error)?;
    // ends the thread that writes if this future is dropped
    let cancelled = CancellationToken::new();
    let _cancel = cancelled.clone().drop_guard();
    let exported = Arc::clone(export).execute(writer, &name, &cancelled).await?;
    if exported.is_some() {
        file.complete().map_err(error)?;
    }
    Ok(exported)
}

/// Writes the rows to standard output. A closed pipe (`| head`) is not an error.
async fn write_to_standard_output(
    export: Arc<Export>,
    scope: &BackfillScope,
    args: &ExportArgs,
) -> Result<Option<Exported>, Error> {
    let name = "standard output";
    let exported = match begin(&export, scope, args, standard_output()) {
        Ok(writer) => export.execute(writer, name, &CancellationToken::new()).await,
        Err(source) => Err(Error::Export { target: name.to_owned(), source }),
    };
    match exported {
        Err(Error::Export { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => {
            Ok(Some(Exported::default()))
        }
        exported => exported,
    }
}

fn begin(
    export: &Export,
    scope: &BackfillScope,
    args: &ExportArgs,
    target: Box<dyn io::Write + Send>,
) -> io::Result<RowWriter> {
    RowWriter::begin(args.format, args.spreadsheet, &export.schema, &scope.format, target)
}

/// Says what the reader of the rows would not see.
fn warn(exported: &Exported, args: &ExportArgs) {
    let Exported { rows, uncommitted } = exported;
    if args.spreadsheet && *rows >= MOST_SPREADSHEET_ROWS {
        tell!(
            "warning: {} rows are more than a spreadsheet holds, which is {}: limit them with \
             --from and --to",
            HumanCount(*rows),
            HumanCount(MOST_SPREADSHEET_ROWS)
        );
    }
    if !uncommitted.is_empty() {
        let named = uncommitted.iter().take(NAMED_INTERVALS).map(ToString::to_string);
        let more = match uncommitted.len().saturating_sub(NAMED_INTERVALS) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        tell!(
            "warning: rows of these intervals are not committed, and so not exported: {}{more}; see \
             `cxbackfill status`",
            named.collect::<Vec<_>>().join(", ")
        );
    }
}
