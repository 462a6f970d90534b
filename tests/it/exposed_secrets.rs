//! Warnings where other users of this machine can read a secret.
#![cfg(unix)]

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use tempfile::TempDir;

use crate::common::binary::{program, set};

/// What a secret must never appear as.
const SECRET: &str = "hunter2-is-secret";

/// A folder that every user can enter.
fn open_folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    folder
}

fn write(folder: &Path, name: &str, text: &str, mode: u32) {
    fs::write(folder.join(name), text).unwrap();
    fs::set_permissions(folder.join(name), Permissions::from_mode(mode)).unwrap();
}

/// What `cxbackfill plan` warns of, with a `config.toml` with this secret and mode.
fn warnings(folder: &Path, secret: &str, mode: u32, settings: &[&str]) -> Vec<String> {
    let config = format!(
        "[job]\nfrom = \"2024-01-01T00:00:00Z\"\nto = \"2024-01-02T00:00:00Z\"\n\
         [source]\nregion = \"eu-central-1\"\n[auth]\nclient_id = \"id\"\n{secret}\n"
    );
    write(folder, "config.toml", &config, mode);
    let mut command = program(folder, &["plan"]);
    let output = set(&mut command, settings).env("RUST_LOG", "warn").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(!said.contains(SECRET), "{said}");
    let warnings = said.lines().filter(|line| line.contains("WARN"));
    warnings.map(str::to_owned).collect()
}

#[track_caller]
fn expect_one(warnings: &[String], expected: &str) {
    let [warning] = warnings else { panic!("{warnings:?}") };
    assert!(warning.contains(expected), "{warning}");
}

#[test]
fn a_configuration_with_a_secret_that_every_user_can_read_is_warned_of() {
    let folder = open_folder();
    let secret = format!("client_secret = \"{SECRET}\"");
    let expected = "every user of this machine can read config.toml, which holds a secret: run \
                    `chmod o-r config.toml`";
    expect_one(&warnings(folder.path(), &secret, 0o644, &[]), expected);
    assert_eq!(warnings(folder.path(), &secret, 0o640, &[]), [""; 0]);
    fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
    assert_eq!(warnings(folder.path(), &secret, 0o644, &[]), [""; 0]);
}

#[test]
fn a_secret_file_that_every_user_can_read_is_warned_of() {
    let folder = open_folder();
    let secret = "client_secret = { file = \"secret\" }";
    write(folder.path(), "secret", SECRET, 0o644);
    expect_one(
        &warnings(folder.path(), secret, 0o644, &[]),
        "can read secret, which holds a secret",
    );
    write(folder.path(), "secret", SECRET, 0o600);
    assert_eq!(warnings(folder.path(), secret, 0o644, &[]), [""; 0]);
}

#[test]
fn a_key_of_hashes_that_every_user_can_read_is_warned_of() {
    let folder = open_folder();
    let client = "client_secret = { env = \"PATH\" }";
    let key =
        |source: &str| warnings(folder.path(), client, 0o644, &["privacy.set=platform", source]);
    expect_one(
        &key(&format!("privacy.key={SECRET}")),
        "privacy.key stands on the command line, which other users of this machine can read",
    );
    write(folder.path(), "key", SECRET, 0o644);
    let file = "privacy.key={file=\"key\"}";
    expect_one(&key(file), "can read key, which holds a secret");
    write(folder.path(), "key", SECRET, 0o600);
    assert_eq!(key(file), [""; 0]);
}

#[test]
fn a_dotenv_file_with_a_secret_that_every_user_can_read_is_warned_of() {
    let folder = open_folder();
    let secret = "client_secret = { env = \"CXBACKFILL_TEST_SECRET\" }";
    write(folder.path(), ".env", &format!("CXBACKFILL_TEST_SECRET={SECRET}"), 0o644);
    expect_one(&warnings(folder.path(), secret, 0o644, &[]), "/.env, which holds a secret");
    write(folder.path(), ".env", &format!("CXBACKFILL_TEST_SECRET={SECRET}"), 0o600);
    assert_eq!(warnings(folder.path(), secret, 0o644, &[]), [""; 0]);
}

#[test]
fn a_secret_on_the_command_line_is_warned_of_unless_it_stays_on_this_machine() {
    let folder = open_folder();
    let argument = format!("auth.client_secret={SECRET}");
    let expected = "auth.client_secret stands on the command line, which other users of this \
                    machine can read: refer to it, as in `--set auth.client_secret={env=\"NAME\"}`";
    expect_one(&warnings(folder.path(), "", 0o644, &[&argument]), expected);
    let local = ["source.api_url=http://127.0.0.1:1", "source.login_url=http://127.0.0.1:1"];
    assert_eq!(warnings(folder.path(), "", 0o644, &[&argument, local[0], local[1]]), [""; 0]);
    assert_eq!(warnings(folder.path(), "", 0o644, &[&argument, "source.region=sandbox"]), [""; 0]);
}
