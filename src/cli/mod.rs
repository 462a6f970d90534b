//! The command line: arguments in, printing and exit code out.
//!
//! There is one file per command; what the command does is in `commands`. Results go to standard
//! output, errors, warnings and progress to standard error. Start with [`Cli::execute`].

/// Prints to standard output. An error is ignored, so that a closed pipe (`| head`) ends nothing.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = write!(std::io::stdout().lock(), $($text)*);
    }};
}

/// Prints a line to standard output, as `say!` does.
macro_rules! sayln {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout().lock(), $($text)*);
    }};
}

/// Prints a line to standard error. An error is ignored, so that a closed or full one ends nothing.
macro_rules! tell {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr().lock(), $($text)*);
    }};
}

/// Prints to standard error without ending the line, as `tell!` does.
macro_rules! tell_part {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = write!(std::io::stderr().lock(), $($text)*);
    }};
}

/// The examples at the end of a command's help: command lines without the name of the program.
macro_rules! example {
    ($first:literal $(, $next:literal)*) => {
        concat!("Example:\n  cxbackfill ", $first $(, "\n  cxbackfill ", $next)*)
    };
}

mod accept;
mod check;
mod compact;
mod confirm;
mod dataset_text;
mod datasets;
mod drop;
mod export;
mod forget;
mod generated;
mod init;
mod interrupts;
mod interval_args;
mod login;
mod not_yet_available;
mod plan;
mod progress;
mod rebuild;
mod report;
mod run;
mod run_pages;
mod sandbox;
mod sources;
mod status;
mod summary;
mod table;
mod ui;
mod upgrade;
mod verify;
mod views;

use std::{path::PathBuf, process::ExitCode};

use clap::{ArgAction, Parser, Subcommand};

use crate::{
    config::Overrides,
    telemetry::{self, LogFormat, LogSettings},
};

/// Backfill contact-centre analytics from rate-limited REST APIs into Parquet, exactly once.
#[derive(Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 complete, 1 complete with gaps, 2 configuration or usage, \
    3 credentials or permission, 4 any other error, 130 interrupted and resumable. \
    Several sources have one exit code: the first of 4, 2, 3, 130, 1 that any of them ended \
    with.\n\n\
    Environment: RUST_LOG selects log lines instead of -q and -v, such as \
    `cxbackfill::fetch=trace,warn`. NO_COLOR, CLICOLOR and CLICOLOR_FORCE decide about colours. \
    HTTPS_PROXY, ALL_PROXY, NO_PROXY and SSL_CERT_FILE apply to connections."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// The configuration file [default: config.toml, if it exists].
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Override a key of the configuration; a value that is not valid TOML is taken as a string.
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Use only the source with this name of a `[[source]]` list.
    #[arg(long, global = true, value_name = "NAME")]
    source: Option<String>,
    /// Log each request, commit and decision; twice: the libraries, too.
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    verbose: u8,
    /// Log errors only.
    #[arg(short, long, global = true)]
    quiet: bool,
    /// The form of log lines.
    #[arg(long, global = true, value_enum, default_value = "text", value_name = "FORMAT")]
    log_format: LogFormat,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a first configuration from a few answers, which are asked for if no argument says
    /// them.
    #[command(after_help = example!(
        "init --region eu-central-1 --output /data/calls",
        "init --region sandbox"
    ))]
    Init(init::InitArgs),
    /// Fetch what is missing, and end when nothing is.
    #[command(after_help = example!(
        "run --config calls.toml",
        "run --config calls.toml --refresh 4d --summary json",
        "run --config calls.toml --again 2024-03-07"
    ))]
    Run(run::RunArgs),
    /// Estimate what a run would cost: shards, rows, requests, minutes, size of the Parquet files.
    #[command(after_help = example!("plan --config calls.toml --probe"))]
    Plan(plan::PlanArgs),
    /// Try everything that a run needs, without fetching anything.
    #[command(after_help = example!("check --config calls.toml"))]
    Check,
    /// Log a user in with a browser, for the grant `authorization-code`.
    #[command(after_help = example!("login --config calls.toml"))]
    Login,
    /// Show what is committed, failed and missing, by dataset and UTC day, from the ledger alone.
    #[command(after_help = example!("status --config calls.toml"))]
    Status(status::StatusArgs),
    /// Show an output and its runs in a browser, live, from the ledger alone.
    #[command(after_help = example!(
        "ui --config calls.toml",
        "ui --config calls.toml --listen 0.0.0.0:8787"
    ))]
    Ui(ui::UiArgs),
    /// Write `_report.html` and `_report.json` into the output, as every run does at its end.
    #[command(after_help = example!("report --config calls.toml"))]
    Report,
    /// Accept gaps that can never be closed: they stay visible, but the exit code is 0.
    #[command(after_help = example!(
        "accept --dataset conversations --from 2024-03-01T00:00:00Z --to 2024-03-02T00:00:00Z \
            --reason \"purged by the platform\""
    ))]
    Accept(accept::AcceptArgs),
    /// Read every file again and compare it with the ledger; exit code 1 if anything differs.
    #[command(after_help = example!("verify --config calls.toml --remote"))]
    Verify(verify::VerifyArgs),
    /// Make a missing or incomplete ledger anew from the files of the output.
    #[command(after_help = example!("rebuild --config calls.toml"))]
    Rebuild,
    /// Rewrite files that have the columns of an older version, on this machine, without requests.
    #[command(after_help = example!("upgrade --config calls.toml --dry-run"))]
    Upgrade(upgrade::UpgradeArgs),
    /// Merge the small files of each day into larger ones, on this machine, without requests.
    #[command(after_help = example!(
        "compact --config calls.toml",
        "compact --from today-7d --target-size 128MiB"
    ))]
    Compact(compact::CompactArgs),
    /// Forget an interval, its files and its record, so that the next run fetches it again.
    #[command(after_help = example!(
        "drop --from 2024-03-01 --to 2024-03-02 --dataset conversations"
    ))]
    Drop(drop::DropArgs),
    /// Remove the rows of some ids from every file, and keep them from being fetched again.
    #[command(after_help = example!(
        "forget --id 0b8a1c4e-6c1f-4f0c-9d5a-3f1d2f6f7a10",
        "forget --where \"externalTag = 'case-17'\" --dataset conversations"
    ))]
    Forget(forget::ForgetArgs),
    /// Write committed rows as CSV, JSON lines or Parquet, in order of time.
    #[command(after_help = example!(
        "export --columns conversationId,conversationStart --output calls.csv"
    ))]
    Export(export::ExportArgs),
    /// Print SQL views over the files: flat tables, current entities, and usual questions.
    #[command(after_help = example!("views --dialect duckdb | duckdb calls.duckdb"))]
    Views(views::ViewsArgs),
    /// List the datasets that can be fetched, or describe one of them.
    #[command(after_help = example!("datasets --config calls.toml", "datasets queues --json"))]
    Datasets(datasets::DatasetsArgs),
    /// Serve the embedded API simulator until it is interrupted.
    #[command(after_help = example!("sandbox --set sandbox.port=8080"))]
    Sandbox(sandbox::SandboxArgs),
    /// Print the completions for a shell.
    #[command(after_help = example!(
        "completions bash > ~/.local/share/bash-completion/completions/cxbackfill"
    ))]
    Completions(generated::CompletionsArgs),
    /// Print the page of the manual of the program or of a command.
    #[command(after_help = example!("man run | man -l -"))]
    Man(generated::ManArgs),
}

impl Cli {
    /// Installs logging as the command line asks for it.
    pub fn init_logging(&self) {
        let filter = match (self.quiet, self.verbose) {
            (true, _) => Some("error"),
            (false, 0) => None,
            (false, 1) => Some("warn,cxbackfill=debug"),
            (false, _) => Some("debug,cxbackfill=trace"),
        };
        telemetry::init(&LogSettings { filter, format: self.log_format, quiet: self.quiet });
    }

    /// Runs the command. Results go to standard output, everything else to standard error.
    pub async fn execute(self) -> ExitCode {
        let mut overrides = Overrides { path: self.config, set: self.set, source: self.source };
        if let Command::Run(run::RunArgs { refresh: Some(refresh), .. }) = &self.command {
            overrides.set.push(format!("job.refresh={refresh}"));
        }
        let result = match self.command {
            Command::Init(args) => init::execute(&overrides, args),
            Command::Run(args) => Ok(run::execute(&overrides, &args).await),
            Command::Plan(args) => plan::execute(&overrides, &args).await,
            Command::Check => check::execute(&overrides).await,
            Command::Login => login::execute(&overrides).await,
            Command::Status(args) => status::execute(&overrides, &args),
            Command::Ui(args) => ui::execute(&overrides, &args).await,
            Command::Report => report::execute(&overrides).await,
            Command::Accept(args) => accept::execute(&overrides, args),
            Command::Verify(args) => verify::execute(&overrides, &args).await,
            Command::Rebuild => rebuild::execute(&overrides).await,
            Command::Upgrade(args) => upgrade::execute(&overrides, &args).await,
            Command::Compact(args) => compact::execute(&overrides, &args).await,
            Command::Forget(args) => forget::execute(&overrides, &args).await,
            Command::Views(args) => views::execute(&overrides, args),
            Command::Drop(args) => drop::execute(&overrides, &args).await,
            Command::Export(args) => export::execute(&overrides, &args).await,
            Command::Datasets(args) => datasets::execute(&overrides, &args).await,
            Command::Sandbox(args) => sandbox::execute(&overrides, &args).await,
            Command::Completions(args) => Ok(generated::print_completions(&args)),
            Command::Man(args) => generated::print_manual(&args),
        };
        sources::exit_code(None, result).into()
    }
}

/// Waits for an interrupt or a request to terminate.
async fn interrupted() -> std::io::Result<()> {
    interrupts::Interrupts::new()?.next().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// The words of a command line up to a pipe or redirection, with double quotes as in a shell.
    fn words(line: &str) -> Vec<String> {
        let line = line.split(['|', '>']).next().unwrap();
        let parts = line.split('"').enumerate();
        parts
            .flat_map(|(number, part)| match number % 2 {
                0 => part.split_whitespace().map(str::to_owned).collect::<Vec<_>>(),
                _ => vec![part.to_owned()],
            })
            .collect()
    }

    #[test]
    fn every_command_has_an_example_that_parses() {
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            let help = command.get_after_help().unwrap_or_default().to_string();
            let examples = help.strip_prefix("Example:\n").unwrap_or_default();
            assert!(!examples.is_empty(), "{name} has no example");
            for example in examples.lines() {
                let words = words(example);
                assert_eq!(words[..2], ["cxbackfill", name], "{example}");
                if let Err(error) = Cli::try_parse_from(&words) {
                    panic!("{example}: {error}");
                }
            }
        }
    }
}
