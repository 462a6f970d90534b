//! From nothing to a first run: `init`, the help, completions and the manual.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

use crate::common::binary::program;

/// What a first configuration reads from the environment.
const VARIABLES: [&str; 6] = [
    "CXBACKFILL_CLIENT_ID",
    "CXBACKFILL_CLIENT_SECRET",
    "CXBACKFILL_REFRESH_TOKEN",
    "CXBACKFILL_ACCESS_KEY_ID",
    "CXBACKFILL_ACCESS_KEY_SECRET",
    "CXBACKFILL_TOKEN",
];

fn init(folder: &Path, arguments: &[&str], answers: &str) -> Output {
    let mut command = program(folder, &["init"]);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // it may have ended without reading
    let _ = child.stdin.take().unwrap().write_all(answers.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = program(folder, arguments);
    for variable in VARIABLES {
        command.env(variable, "s3cret-value");
    }
    command.output().unwrap()
}

#[test]
fn check_accepts_the_configuration_that_init_writes_for_the_simulator() {
    let folder = TempDir::new().unwrap();
    let arguments = ["--platform", "genesys-cloud", "--region", "sandbox"];
    let arguments =
        [&arguments[..], &["--grant", "client-credentials", "--output", "calls"]].concat();
    let written = init(folder.path(), &arguments, "");
    assert_eq!(written.status.code(), Some(0), "{}", text(&written.stderr));
    // no variable is set
    let checked = program(folder.path(), &["check"]).output().unwrap();
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stdout));
}

#[test]
fn the_configuration_of_every_platform_and_grant_is_valid_and_holds_no_secret() {
    for (platform, region) in [("genesys-cloud", "eu-central-1"), ("nice-cxone", "na1")] {
        for grant in [
            "client-credentials",
            "authorization-code",
            "refresh-token",
            "password",
            "access-key",
            "static",
        ] {
            let folder = TempDir::new().unwrap();
            let arguments = ["--platform", platform, "--region", region, "--grant", grant];
            let written = init(folder.path(), &[&arguments[..], &["--output", "out"]].concat(), "");
            assert_eq!(written.status.code(), Some(0), "{}", text(&written.stderr));
            let planned = run(folder.path(), &["plan"]);
            let said = text(&planned.stderr);
            assert_eq!(planned.status.code(), Some(0), "{platform} {grant}: {said}");
            let file = fs::read_to_string(folder.path().join("config.toml")).unwrap();
            assert!(!file.contains("s3cret"), "{file}");
            for named in VARIABLES.iter().filter(|name| file.contains(*name)) {
                assert!(text(&written.stdout).contains(named), "{named} is told");
            }
            assert_eq!(
                file.matches("env = \"CXBACKFILL_").count(),
                text(&written.stdout).matches("CXBACKFILL_").count(),
                "{file}"
            );
        }
    }
}

#[test]
fn init_asks_for_what_no_argument_says_and_asks_again_after_a_wrong_answer() {
    let folder = TempDir::new().unwrap();
    let answers = "\nmars-1\neu-central-1\n\n\n";
    let written = init(folder.path(), &["--config", "calls.toml"], answers);
    let said = text(&written.stderr);
    assert_eq!(written.status.code(), Some(0), "{said}");
    assert!(said.contains("unknown region `mars-1`: expected `sandbox` or one of us-east-1"));
    let file = fs::read_to_string(folder.path().join("calls.toml")).unwrap();
    for line in [
        "platform = \"genesys-cloud\"",
        "region = \"eu-central-1\"",
        "grant = \"client-credentials\"",
        "path = \"out\"",
    ] {
        assert!(file.lines().any(|written| written == line), "{line}: {file}");
    }
    assert!(text(&written.stdout).ends_with("then: cxbackfill run --config calls.toml\n"));
}

#[test]
fn init_without_an_answer_names_the_argument_and_writes_nothing() {
    let folder = TempDir::new().unwrap();
    let ended = init(folder.path(), &["--platform", "genesys-cloud"], "");
    assert_eq!(ended.status.code(), Some(2));
    let said = text(&ended.stderr);
    let message = "error: --region: missing: give it, or answer the question\n";
    assert!(said.ends_with(message), "{said}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn init_replaces_a_file_only_with_force() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("config.toml");
    fs::write(&path, "mine").unwrap();
    let arguments = ["--region", "sandbox"];
    let refused = init(folder.path(), &arguments, "\n\n\n");
    assert_eq!(refused.status.code(), Some(2));
    assert_eq!(
        text(&refused.stderr),
        "error: config.toml: exists already: name another file with --config, or replace it with \
         --force\n"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    let replaced = init(folder.path(), &[&arguments[..], &["--force"]].concat(), "\n\n\n");
    assert_eq!(replaced.status.code(), Some(0), "{}", text(&replaced.stderr));
    assert!(fs::read_to_string(&path).unwrap().starts_with("# Made by `cxbackfill init`"));
}

#[test]
fn the_shells_accept_their_completions() {
    let folder = TempDir::new().unwrap();
    for (shell, check) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let printed = program(folder.path(), &["completions", shell]).output().unwrap();
        assert_eq!(printed.status.code(), Some(0));
        assert!(text(&printed.stdout).contains("retry-failed"), "{shell} knows the options");
        let script = folder.path().join(shell);
        fs::write(&script, &printed.stdout).unwrap();
        match Command::new(shell).arg(check).arg(&script).output() {
            Ok(checked) => assert!(checked.status.success(), "{}", text(&checked.stderr)),
            Err(error) => eprintln!("not checked: {shell}: {error}"),
        }
    }
}

#[test]
fn bash_completes_commands_and_options() {
    let folder = TempDir::new().unwrap();
    let printed = program(folder.path(), &["completions", "bash"]).output().unwrap();
    let script = format!(
        "{}\nCOMP_WORDS=(cxbackfill run --retry); COMP_CWORD=2\n\
         _cxbackfill cxbackfill --retry run\necho \"${{COMPREPLY[@]}}\"\n",
        text(&printed.stdout)
    );
    let Ok(completed) = Command::new("bash").args(["-c", &script]).output() else {
        eprintln!("not checked: there is no bash");
        return;
    };
    assert_eq!(text(&completed.stdout), "--retry-failed\n", "{}", text(&completed.stderr));
}

#[test]
fn the_manual_has_a_page_for_the_program_and_one_for_each_command() {
    let folder = TempDir::new().unwrap();
    let page = |arguments: &[&str]| {
        let printed = program(folder.path(), arguments).output().unwrap();
        assert_eq!(printed.status.code(), Some(0), "{}", text(&printed.stderr));
        text(&printed.stdout)
    };
    assert!(page(&["man"]).contains("Fetch what is missing"));
    assert!(page(&["man", "run"]).contains("\\-\\-retry\\-failed"));
    let refused = program(folder.path(), &["man", "fetch"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let said = text(&refused.stderr);
    assert!(said.starts_with("error: man: there is no command `fetch`: expected init, "), "{said}");
}
