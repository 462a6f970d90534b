//! What the system does to a process: hang-ups, and outputs that are closed or full.
#![cfg(unix)]

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::common::binary::{CREDENTIALS, Job, SIMULATED, Sandbox, program, set, summary};

const FROM: &str = "2024-01-01T00:00:00Z";
const TO: &str = "2024-01-03T00:00:00Z";

/// A run that takes some seconds. `prefix` is a shell command before it.
fn slow_run(job: &Job, prefix: &str) -> Child {
    let run = job.command(FROM, TO, &["fetch.strategy=query"]);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{prefix} exec \"$@\""), "sh"]);
    shell.arg(run.get_program()).args(run.get_args());
    shell.current_dir(run.get_current_dir().unwrap()).stdin(Stdio::null());
    shell.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// How a run ends that a SIGHUP reaches while it fetches.
fn hung_up(prefix: &str) -> Output {
    let latency = "sandbox.latency={ base = \"1s\", jitter = \"0s\", capacity = 0, steps = [] }";
    let sandbox = Sandbox::start(&[latency, "sandbox.conversations_per_day=20"]);
    let job = Job::new(&sandbox);
    let mut child = slow_run(&job, prefix);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("run: start") {
        assert!(stderr.read_line(&mut said).unwrap() > 0, "{said}");
    }
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGHUP).unwrap();
    stderr.read_to_string(&mut said).unwrap();
    Output { stderr: said.into_bytes(), ..child.wait_with_output().unwrap() }
}

#[test]
fn a_hang_up_interrupts_a_run_in_order() {
    // whoever started the tests may have been told to ignore hang-ups, which children inherit
    let restored = "env --default-signal=HUP true 2>/dev/null \
        && exec env --default-signal=HUP \"$@\";";
    let output = hung_up(restored);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("committing what is complete"), "{said}");
    assert_eq!(summary(&output)["outcome"], "interrupted");
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_that_was_started_to_ignore_hang_ups_goes_on() {
    let output = hung_up("trap '' HUP;");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What is wrong with an output of the process.
#[derive(Debug, Clone, Copy)]
enum Broken {
    Closed,
    Full,
    NoReader,
}

/// Makes standard output or standard error of a command unusable.
fn with_broken(command: &mut Command, broken: Broken, is_stdout: bool) -> Command {
    let redirection = match (broken, is_stdout) {
        (Broken::Closed, true) => ">&-",
        (Broken::Closed, false) => "2>&-",
        _ => "",
    };
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("exec \"$@\" {redirection}"), "sh"]);
    shell.arg(command.get_program()).args(command.get_args());
    shell.current_dir(command.get_current_dir().unwrap()).env("RUST_LOG", "debug");
    shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let file: Stdio = match broken {
        Broken::Closed => return shell,
        Broken::Full => File::options().write(true).open("/dev/full").unwrap().into(),
        Broken::NoReader => std::io::pipe().unwrap().1.into(),
    };
    match is_stdout {
        true => shell.stdout(file),
        false => shell.stderr(file),
    };
    shell
}

/// Commands that need no server, each with its exit code.
fn commands(folder: &Path) -> Vec<(Command, i32)> {
    let day = ["job.to=2024-01-02T00:00:00Z", "sandbox.conversations_per_day=20"];
    let simulated = |arguments: &[&str]| {
        let mut command = program(folder, arguments);
        set(&mut command, &SIMULATED);
        set(&mut command, &day);
        command
    };
    let denied = |arguments: &[&str]| {
        let mut command = simulated(arguments);
        set(&mut command, &CREDENTIALS);
        set(&mut command, &["sandbox.client_secret=other", "output.path=denied"]);
        command
    };
    vec![
        (simulated(&["status"]), 4),
        (simulated(&["plan"]), 0),
        (simulated(&["run"]), 0),
        (simulated(&["run", "--summary", "json"]), 0),
        (simulated(&["status", "--json"]), 0),
        (simulated(&["verify"]), 0),
        (simulated(&["rebuild"]), 0),
        (simulated(&["check"]), 0),
        (simulated(&["datasets"]), 0),
        (simulated(&["datasets", "conversations"]), 0),
        (simulated(&["accept", "--help"]), 0),
        (simulated(&["run", "--no-such-argument"]), 2),
        (simulated(&["login"]), 2),
        (simulated(&["run", "--set", "fetch.actors=0"]), 2),
        (denied(&["check"]), 3),
        (denied(&["run"]), 3),
    ]
}

#[test]
fn a_closed_or_full_output_neither_panics_nor_changes_the_exit_code() {
    for broken in [Broken::Closed, Broken::Full, Broken::NoReader] {
        for is_stdout in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            for (mut command, expected) in commands(folder.path()) {
                let code = with_broken(&mut command, broken, is_stdout).status().unwrap().code();
                let arguments: Vec<_> = command.get_args().take(2).collect();
                let stream = if is_stdout { "stdout" } else { "stderr" };
                assert_eq!(code, Some(expected), "{arguments:?} with {stream} {broken:?}");
            }
        }
    }
}
