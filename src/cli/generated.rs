//! `cxbackfill completions` and `cxbackfill man`: texts that follow from the command line itself.

use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::{cli::Cli, config::ConfigError, error::Error, exit_code::ExitCode};

/// The name of the program.
const PROGRAM: &str = "cxbackfill";

#[derive(Debug, clap::Args)]
pub(super) struct CompletionsArgs {
    /// The shell that will read them.
    shell: Shell,
}

#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// The command to describe. Not given: the program.
    command: Option<String>,
}

/// Prints the completions for a shell.
pub(super) fn print_completions(args: &CompletionsArgs) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), PROGRAM, &mut script);
    say!("{}", String::from_utf8_lossy(&script));
    ExitCode::Complete
}

/// Prints a page of the manual.
pub(super) fn print_manual(args: &ManArgs) -> Result<ExitCode, Error> {
    let mut program = Cli::command();
    program.build();
    let page = match &args.command {
        None => Man::new(program),
        Some(name) => {
            let command = program.find_subcommand(name).ok_or_else(|| {
                let names: Vec<_> =
                    program.get_subcommands().map(clap::Command::get_name).collect();
                let names = names.join(", ");
                ConfigError::at("man", format!("there is no command `{name}`: expected {names}"))
            })?;
            Man::new(command.clone())
        }
    };
    let mut text = Vec::new();
    page.render(&mut text).map_err(|error| ConfigError::at("man", error.to_string()))?;
    say!("{}", String::from_utf8_lossy(&text));
    Ok(ExitCode::Complete)
}
