//! Refused lists of sources: the messages name the source, its key and line.

use std::fs;

use tempfile::TempDir;

use crate::{
    cli::{refused, unknown_region},
    common::binary::{SIMULATED, quiet_program},
};

/// Two sources, of which the second has a section of its own.
const TWO: &str = "[job]\nname = 'x'\n[[source]]\nname = 'emea'\n[[source]]\nname = 'apac'\n[source.auth]\nsend = 'body'\n";

#[test]
fn a_key_of_one_source_is_refused_by_its_name_and_line() {
    for (more, arguments, message) in [
        ("client_id = ''\n", &[][..], "job.toml:9: source.apac.auth.client_id: the text is empty"),
        (
            "secret = 'x'\n",
            &[],
            "job.toml:9: source.apac.auth.secret: unknown key `secret`, expected one of `grant`, `client_id`, \
             `client_secret`, `send`, `scope`, `form`, `token_url`, `refresh_url`, `refresh_token`, `access_key_id`, \
             `access_key_secret`, `token`, `cache`, `authorize_url`, `redirect_url`, `login_timeout`, `refresh_ahead`, \
             `refresh_at`",
        ),
        (
            "grant = 'static'\n",
            &[],
            "job.toml: source.apac.auth.token: missing: the grant in auth.grant needs it",
        ),
        (
            "",
            &["--set", "source.apac.budget.per=0s"],
            "--set: source.apac.budget.per: must be above zero",
        ),
        (
            "",
            &["--set", "source.apac.datasets=[]"],
            "--set: source.apac.datasets: the list is empty: name at least one dataset",
        ),
        ("", &["--set", "source.apac.region=x"], &unknown_region("--set: source.apac.region")),
        (
            "",
            &["--set", "fetch.actors=0"],
            "--set: fetch.actors: invalid number 0: expected 1 to 1000",
        ),
    ] {
        refused(&format!("{TWO}{more}"), arguments, message);
    }
}

#[test]
fn an_unknown_source_is_refused_with_the_known_ones() {
    refused(
        TWO,
        &["--source", "emae"],
        "--source: there is no source `emae`: there are emea, apac",
    );
    refused("", &["--source", "emea"], "--source: the only source has no name: leave --source out");
    let set = "source.emae.auth.send=body";
    let message = "--set source.emae.auth.send: there is no source `emae`: there are emea, apac";
    refused(TWO, &["--set", set], message);
}

#[test]
fn a_source_name_must_be_a_valid_directory_name() {
    let long = "x".repeat(65);
    for (name, message) in [
        ("", "source.name: missing: a source of a list needs a name, such as \"emea\"".to_owned()),
        (
            "name = 'EMEA'",
            "source.name: two sources are called `EMEA`: each needs a folder of its own".to_owned(),
        ),
        ("name = '../x'", unfit("../x")),
        ("name = '_quarantine'", unfit("_quarantine")),
        (&format!("name = '{long}'"), unfit(&long)),
    ] {
        refused(
            &format!("[[source]]\nname = 'emea'\n[[source]]\n{name}\n"),
            &[],
            &format!("job.toml:3: {message}"),
        );
    }
}

#[test]
fn a_list_without_a_source_or_with_another_name_is_refused() {
    refused(
        "source = []\n",
        &[],
        "job.toml:1: source: the list is empty: write at least one [[source]]",
    );
    refused(
        "source = [3]\n",
        &[],
        "job.toml:1: source: an element is not a section: write [[source]]",
    );
    let message = "--set: source.name: only the file can name a source of a list: leave it out";
    refused(TWO, &["--set", "source.name=emea"], message);
}

fn unfit(name: &str) -> String {
    format!(
        "source.name: `{name}` is not a valid name of a source: expected letters, digits, `-` and `_`, at most 64"
    )
}

#[test]
fn g6_two_sources_do_not_share_a_quota() {
    let region = "region = 'eu-central-1'\n";
    let list = format!("[[source]]\nname = 'a'\n{region}[[source]]\nname = 'b'\n{region}");
    let message = "the source a has the same credential and therefore the same quota: list the datasets of both in one source";
    refused(&list, &["--set", "auth.client_id=x"], &format!("--set: auth.client_id: {message}"));
    refused(
        &format!("{list}[source.auth]\nclient_id = 'x'\n"),
        &["--set", "source.a.auth.client_id=x"],
        &format!("job.toml:8: source.b.auth.client_id: {message}"),
    );
}

#[test]
fn a_command_for_one_source_requires_its_name() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("config.toml"), TWO).unwrap();
    for command in ["login", "sandbox"] {
        let message = "error: --source: there are several sources: name one of them\n";
        let mut run = quiet_program(folder.path());
        run.arg(command).args(SIMULATED.iter().flat_map(|given| ["--set", given]));
        run.assert().code(2).stdout("").stderr(message);
    }
}
