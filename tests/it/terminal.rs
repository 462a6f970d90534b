//! What a person sees of a run: in a terminal of 60 and of 200 columns, and in a pipe.

use std::{
    collections::BTreeSet,
    process::{Command, Output},
};

use serde_json::Value;

use crate::common::{
    binary::{Job, Sandbox},
    reader,
};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/terminal.py");
const FROM: &str = "2024-01-01T00:00:00Z";
const TO: &str = "2024-01-06T00:00:00Z";

/// A run that takes some seconds, has two datasets, and is throttled.
const SETTINGS: [&str; 5] = [
    "job.datasets=['conversations', 'audits']",
    "fetch.strategy=query",
    "fetch.shard=1d",
    "fetch.actors=2",
    "budget.requests=3000",
];

fn slow_sandbox() -> Sandbox {
    Sandbox::start(&["sandbox.latency.base=60ms", "sandbox.throttle_every=40"])
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The command in a terminal: what [`SCRIPT`] prints. `None` without a suitable Python.
fn in_terminal(command: &Command, columns: usize, variables: &[(&str, &str)]) -> Option<Value> {
    let mut terminal = Command::new(reader::python()?);
    terminal.arg(SCRIPT).arg(columns.to_string()).arg(command.get_program());
    terminal.args(command.get_args()).current_dir(command.get_current_dir().unwrap());
    for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "RUST_LOG", "COLUMNS"] {
        terminal.env_remove(variable);
    }
    let Output { status, stdout, stderr } =
        terminal.env("TERM", "xterm").envs(variables.iter().copied()).output().unwrap();
    assert!(status.success(), "{}", text(&stderr));
    Some(serde_json::from_slice(&stdout).unwrap())
}

fn lines(screen: &Value) -> Vec<String> {
    screen.as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect()
}

/// What does not depend on timing: numbers become `N`, the bar becomes `#`.
fn normalized(line: &str) -> String {
    let (mut text, mut last) = (String::new(), ' ');
    for character in line.chars() {
        let shown = match character {
            '0'..='9' => 'N',
            ',' | '.' if last == 'N' => 'N',
            '█' | '░' => '#',
            other => other,
        };
        if !(shown == last && matches!(shown, 'N' | '#')) {
            text.push(shown);
        }
        last = shown;
    }
    // numbers are aligned by spaces in front of them
    text.replace("#   N", "#  N").replace("#    N", "#  N")
}

fn is_bar(line: &str) -> bool {
    line.contains(['█', '░'])
}

/// The lines of the progress in a screen, from the bar on.
fn progress(screen: &Value) -> Option<Vec<String>> {
    let lines = lines(screen);
    let bar = lines.iter().position(|line| is_bar(line))?;
    Some(lines[bar..].to_vec())
}

/// Checks that every screen is whole: one bar with the lines of both datasets below it, and above
/// it only lines of the log that begin as such. Returns the progress of all of them, normalized.
fn whole_screens(seen: &Value, columns: usize) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for screen in seen["screens"].as_array().unwrap() {
        let Some(progress) = progress(screen) else { continue };
        let all_lines = lines(screen);
        assert!(all_lines.iter().all(|line| line.chars().count() <= columns));
        assert_eq!(all_lines.iter().filter(|line| is_bar(line)).count(), 1, "{all_lines:#?}");
        // a screen may be read while it is drawn
        if progress.len() == 3 {
            assert!(progress[1].starts_with("  audits  "), "{progress:#?}");
            assert!(progress[2].starts_with("  conversations  "), "{progress:#?}");
            all.push(progress.iter().map(|line| normalized(line)).collect());
        }
        assert!(progress.len() <= 3, "{progress:#?}");
    }
    all
}

#[test]
fn a_terminal_shows_the_job_and_each_dataset_on_lines_that_neither_wrap_nor_tear() {
    let sandbox = slow_sandbox();
    for (columns, expected) in [
        (
            60,
            [
                "#  N%  N s left  throttled for N s",
                "  audits  N/N shards  throttled for N s",
                "  conversations  N/N shards  throttled for N s",
            ],
        ),
        (
            200,
            [
                "#  N%  N s left  N/N shards  N rows  N rows/s  quota N/N  throttled for N s",
                "  audits  N/N shards  N rows  N rows/s  throttled for N s",
                "  conversations  N/N shards  N rows  N rows/s  throttled for N s",
            ],
        ),
    ] {
        let job = Job::new(&sandbox);
        let command = job.command_of(&["run"], FROM, TO, &SETTINGS);
        let Some(seen) = in_terminal(&command, columns, &[]) else { return };
        assert_eq!(seen["code"], 0, "{seen:#}");
        let screens = whole_screens(&seen, columns);
        // in a narrow terminal it depends on the length of the numbers whether there is room for
        // rows
        let is_narrow = columns < 100;
        let shown = screens.iter().flatten();
        let shown: BTreeSet<_> = shown
            .map(|line| if is_narrow { line.replace("  N rows", "") } else { line.clone() })
            .collect();
        let is_seen = expected.iter().all(|line| shown.contains(*line));
        assert!(is_seen, "{columns}: {shown:#?}");
        assert!(!screens.iter().flatten().any(|line| line.contains(" 0 s left")));
        // the progress is gone at the end, and the log and the summary are whole
        let last = lines(&seen["last"]);
        assert!(!last.iter().any(|line| is_bar(line) || line.contains(" shards  ")), "{last:#?}");
        assert!(last.iter().any(|line| line.starts_with("rows written")), "{last:#?}");
        assert!(last.iter().any(|line| line.contains("throttled: ")), "{last:#?}");
    }
}

#[test]
fn a_dumb_terminal_a_quiet_run_and_lines_of_json_show_no_bar() {
    let sandbox = Sandbox::start(&[]);
    for (arguments, variables) in [
        (&["run"][..], &[("TERM", "dumb")][..]),
        (&["run", "-q"], &[]),
        (&["run", "--log-format", "json"], &[]),
    ] {
        let job = Job::new(&sandbox);
        let command = job.command_of(arguments, FROM, TO, &SETTINGS[..1]);
        let Some(seen) = in_terminal(&command, 80, variables) else { return };
        let screens = seen["screens"].as_array().unwrap();
        assert_eq!(seen["code"], 0, "{seen:#}");
        assert!(!screens.iter().flat_map(lines).any(|line| is_bar(&line)), "{seen:#}");
    }
}

/// The lines of the log without their times.
fn log_lines(output: &Output) -> Vec<String> {
    let said = text(&output.stderr);
    let cut = |line: &str| line.split_once(' ').unwrap_or_default().1.trim_start().to_owned();
    said.lines().map(cut).collect()
}

#[test]
fn without_a_terminal_the_log_has_lines_of_the_progress_and_of_events() {
    let sandbox = slow_sandbox();
    let run = |arguments: &[&str]| {
        let job = Job::new(&sandbox);
        let mut command = job.command_of(&[&["run"], arguments].concat(), FROM, TO, &SETTINGS);
        let output = command.env_remove("RUST_LOG").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        log_lines(&output)
    };
    let lines = run(&["--progress-every", "500ms"]);
    let normalized: Vec<_> = lines.iter().map(|line| normalized(line)).collect();
    let expected = "INFO run: progress: N %, N of N shards, N rows, N rows/s, N of N requests in N s, \
         N s left, fetching";
    assert!(normalized.iter().any(|line| line == expected), "{normalized:#?}");
    for event in ["start ", "got a token", "throttled: "] {
        assert!(lines.iter().any(|line| line.contains(event)), "{event}: {lines:#?}");
    }
    // twenty shards are committed: that many lines would tell nothing
    assert!(!lines.iter().any(|line| line.contains("committed")), "{lines:#?}");
    for arguments in [&["--progress-every", "0"][..], &[][..]] {
        let lines = run(arguments);
        assert!(!lines.iter().any(|line| line.contains("progress: ")), "{lines:#?}");
    }
    let job = Job::new(&sandbox);
    let mut wrong = job.command_of(&["run", "--progress-every", "60"], FROM, TO, &[]);
    let wrong = wrong.output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("expected a number with a unit, such as 5m"));
}
