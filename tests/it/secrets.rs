//! G10: nothing that the program writes contains a secret that it used.

use std::{
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use cxbackfill::testing::Settings;

use crate::common::{binary::set, platform::Platform};

const SECRET: &str = "hush-hush/0123+secret";
const KEY: &str = "key-of-a-user-4711";

/// The texts that must not be found: the secrets, and their encoded forms.
fn forbidden(platform: &Platform, more: &[String]) -> Vec<String> {
    let encoded =
        |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let given = [SECRET.to_owned(), KEY.to_owned()];
    let mut all = [&given[..], more, &platform.tokens.lock().unwrap()].concat();
    all.extend(all.clone().iter().map(|text| encoded(text)));
    all.push(STANDARD.encode(format!("sandbox:{SECRET}")));
    all
}

fn output(mut command: Command) -> Output {
    command.env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full").output().unwrap()
}

/// Searches standard output, standard error, and every file except the token cache.
fn search(folder: &Path, output: &Output, forbidden: &[String]) {
    let mut written = vec![
        ("stdout".to_owned(), output.stdout.clone()),
        ("stderr".to_owned(), output.stderr.clone()),
    ];
    collect(folder, &mut written);
    for (name, text) in &written {
        for secret in forbidden.iter().map(String::as_bytes) {
            let at = text.windows(secret.len()).position(|window| window == secret);
            assert_eq!(at, None, "{name} holds `{}`", String::from_utf8_lossy(secret));
        }
    }
}

fn collect(folder: &Path, written: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, written);
        } else if path.file_name().is_none_or(|name| name != "tokens") {
            written.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_no_secret_is_in_the_output_of_successful_and_failing_runs() {
    let secret = format!("auth.client_secret='{SECRET}'");
    let key = format!("auth.access_key_secret={KEY}");
    let lifetime = Duration::from_secs(1);
    let settings = Settings {
        client_secret: Some(SECRET.into()),
        conversations_per_day: 60,
        token_lifetime: lifetime,
        revoke_every: Duration::from_millis(400),
        ..Settings::default()
    };
    let password = [
        "auth.grant=password",
        "auth.access_key_id=somebody",
        &key,
        "auth.cache=tokens",
        "auth.send=body",
    ];
    let deny =
        Settings { deny: vec!["analytics:conversationDetail:view".into()], ..settings.clone() };
    let wrong = Settings { client_secret: Some("another".into()), ..settings.clone() };
    let table: [(&str, &Settings, &[&str], i32); 7] = [
        ("run", &settings, &[], 0),
        ("run", &settings, &["auth.send=body"], 0),
        ("run", &settings, &password, 0),
        ("check", &settings, &password, 0),
        ("run", &wrong, &[], 3),
        ("check", &wrong, &password, 3),
        ("run", &deny, &[], 3),
    ];
    for (command, settings, more, code) in table {
        let (platform, folder) =
            (Platform::start(settings.clone()).await, tempfile::tempdir().unwrap());
        let mut run = platform.command(folder.path(), &[command, "--set", &secret]);
        set(&mut run, more);
        let output = output(run);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{command} {more:?}: {said}");
        assert!(said.len() > 1_000 || command == "check", "trace is on: {said}");
        search(folder.path(), &output, &forbidden(&platform, &[]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g10_a_refresh_token_is_only_in_the_cache() {
    let platform =
        Platform::start(Settings { conversations_per_day: 5, ..Settings::default() }).await;
    let (folder, first) = (tempfile::tempdir().unwrap(), platform.refresh_token());
    let token = format!("auth.refresh_token={first}");
    for code in [0, 3] {
        let mut run = platform.command(folder.path(), &["run"]);
        set(&mut run, &["auth.grant=refresh-token", "auth.cache=tokens", &token]);
        let output = output(run);
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
        search(folder.path(), &output, &forbidden(&platform, std::slice::from_ref(&first)));
        // the second run has a used token, a broken cache, and rows to fetch
        std::fs::write(folder.path().join("tokens"), "{").unwrap();
        std::fs::remove_dir_all(folder.path().join("out")).unwrap();
    }
}
