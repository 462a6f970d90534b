//! `cxbackfill init`.

use std::{
    io::BufRead,
    path::{Path, PathBuf},
};

use clap::builder::PossibleValuesParser;
use jiff::{Timestamp, ToSpan, tz::TimeZone};

use crate::{
    commands::init::{self, Answers},
    config::{ConfigError, Overrides, values::parse_time},
    error::Error,
    exit_code::ExitCode,
    time::clock,
};

/// The days before today with which the interval begins, if nothing else is said.
const FIRST_DAYS: i64 = 7;

#[derive(Debug, clap::Args)]
pub(super) struct InitArgs {
    /// Whose API it is.
    #[arg(long, value_parser = platform_names())]
    platform: Option<String>,
    /// Where the organization is; `sandbox` is a simulator in its place.
    #[arg(long)]
    region: Option<String>,
    /// How tokens are requested.
    #[arg(long, value_parser = grant_names())]
    grant: Option<String>,
    /// The folder of the Parquet files.
    #[arg(long, value_name = "FOLDER")]
    output: Option<String>,
    /// The start of the interval [default: a week ago].
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<String>,
    /// Replace the file if it exists.
    #[arg(long)]
    force: bool,
}

/// Checks `--from`, which the file has as it was typed.
fn time(text: &str) -> Result<String, String> {
    match parse_time(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("expected a time such as 2024-01-01 or today-7d".to_owned()),
    }
}

fn platform_names() -> PossibleValuesParser {
    PossibleValuesParser::new(init::platforms().map(|(platform, _)| platform.name()))
}

fn grant_names() -> PossibleValuesParser {
    PossibleValuesParser::new(init::GRANTS.iter().map(|grant| grant.name))
}

/// Asks on standard error for what no argument says, and writes the configuration.
pub(super) fn execute(overrides: &Overrides, args: InitArgs) -> Result<ExitCode, Error> {
    let path = overrides.path.clone().unwrap_or_else(|| PathBuf::from("config.toml"));
    if path.exists() && !args.force {
        // before anything is asked
        init::write(&path, "", false)?;
    }
    let mut input = std::io::stdin().lock();
    let mut ask = |given: Option<String>, question: &Question| ask(&mut input, given, question);
    let mut platforms = init::platforms();
    let platform_names: Vec<_> = platforms.by_ref().map(|(platform, _)| platform.name()).collect();
    let named = |name: &str| init::platforms().find(|(platform, _)| platform.name() == name);
    let platform = ask(
        args.platform,
        &Question {
            text: &format!("platform ({})", platform_names.join(" or ")),
            flag: "--platform",
            default: platform_names.first().copied(),
            check: &|name| match named(name) {
                Some(_) => Ok(()),
                None => Err(format!("expected {}", platform_names.join(" or "))),
            },
        },
    )?;
    let Some((platform, starter)) = named(&platform) else {
        return Err(ConfigError::at("--platform", "there is no such platform").into());
    };
    let region = ask(
        args.region,
        &Question {
            text: &format!("region, such as {}, or sandbox for a simulator", starter.regions),
            flag: "--region",
            default: None,
            check: &|region| init::check_region(platform, region),
        },
    )?;
    let grant_names: Vec<_> = init::GRANTS.iter().map(|grant| grant.name).collect();
    let grant = ask(
        args.grant,
        &Question {
            text: &format!("grant ({})", grant_names.join(", ")),
            flag: "--grant",
            default: Some(starter.grant),
            check: &|name| match init::grant(name) {
                Some(_) => Ok(()),
                None => Err(format!("expected one of {}", grant_names.join(", "))),
            },
        },
    )?;
    let Some(grant) = init::grant(&grant) else {
        return Err(ConfigError::at("--grant", "there is no such grant").into());
    };
    let output = Question {
        text: "folder of the Parquet files",
        flag: "--output",
        default: Some("out"),
        check: &|_| Ok(()),
    };
    let output = ask(args.output, &output)?;
    let answers = Answers {
        platform,
        region,
        grant,
        output,
        from: args.from.unwrap_or_else(|| first_day(clock::now())),
    };
    init::write(&path, &answers.text(starter), args.force)?;
    print_next_steps(&path, overrides, &answers);
    Ok(ExitCode::Complete)
}

/// The start of the day some days before `now`.
fn first_day(now: Timestamp) -> String {
    let today = TimeZone::UTC.to_datetime(now).date();
    let day = today.checked_sub(FIRST_DAYS.days()).unwrap_or(today);
    format!("{day}T00:00:00Z")
}

fn print_next_steps(path: &Path, overrides: &Overrides, answers: &Answers) {
    let config = match &overrides.path {
        Some(path) => format!(" --config {}", path.display()),
        None => String::new(),
    };
    sayln!("wrote {}", path.display());
    let variables = answers.variables();
    if !variables.is_empty() {
        sayln!("set {}, in the environment or in a file .env", variables.join(", "));
    }
    if answers.grant.name == "authorization-code" {
        sayln!("then: cxbackfill login{config}");
    }
    sayln!("then: cxbackfill check{config}");
    sayln!("then: cxbackfill run{config}");
}

/// What is asked for if no argument says it.
struct Question<'q> {
    text: &'q str,
    flag: &'static str,
    default: Option<&'static str>,
    check: &'q dyn Fn(&str) -> Result<(), String>,
}

/// The given answer, or the first valid one that is typed. An empty line is the default.
///
/// # Errors
/// If the given answer is not valid, or if the input ends before there is an answer.
fn ask(
    input: &mut impl BufRead,
    given: Option<String>,
    question: &Question,
) -> Result<String, ConfigError> {
    let Question { text, flag, default, check } = question;
    if let Some(given) = given {
        return match check(&given) {
            Ok(()) => Ok(given),
            Err(message) => Err(ConfigError::at(*flag, message)),
        };
    }
    loop {
        tell_part!("{text}{}: ", default.map_or(String::new(), |default| format!(" [{default}]")));
        let mut line = String::new();
        let length = input
            .read_line(&mut line)
            .map_err(|error| ConfigError::at("standard input", format!("{error}; give {flag}")))?;
        if length == 0 {
            // nobody ended the line of the question
            tell!("");
        }
        let answer = match (line.trim(), default) {
            ("", Some(default)) => *default,
            ("", None) if length == 0 => {
                return Err(ConfigError::at(*flag, "missing: give it, or answer the question"));
            }
            (answer, _) => answer,
        };
        match check(answer) {
            Ok(()) => return Ok(answer.to_owned()),
            // the same end of the input would be read for ever
            Err(message) if length == 0 => return Err(ConfigError::at(*flag, message)),
            Err(message) => tell!("{message}"),
        }
    }
}
