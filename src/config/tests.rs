//! What is refused, and in which words.

use std::{fs, path::Path};

use tempfile::TempDir;

use super::*;
use crate::auth::{ClientAuthMethod, Grant};

fn load(set: &[&str]) -> Result<Config, String> {
    let overrides =
        Overrides { set: set.iter().map(|&set| set.to_owned()).collect(), ..Overrides::default() };
    Config::load(&overrides).map(|mut configs| configs.remove(0)).map_err(|error| error.to_string())
}

#[test]
fn a_grant_without_what_it_needs_or_with_what_it_does_not_is_refused_by_key() {
    let table: [(&[&str], &str); 9] = [
        (&["auth.grant=refresh-token", "auth.cache=c"], "auth.refresh_token"),
        (&["auth.grant=refresh-token", "auth.refresh_token=r"], "auth.cache"),
        (&["auth.grant=authorization-code"], "auth.cache"),
        (&["auth.grant=access-key", "auth.access_key_id=a"], "auth.access_key_secret"),
        (&["auth.grant=static"], "auth.token"),
        (&["auth.grant=static", "auth.token=t", "auth.cache=c"], "auth.cache"),
        (&["auth.token=t"], "auth.token"),
        (&["auth.form.grant_type=x"], "auth.form.grant_type"),
        (&["auth.redirect_url=http://example.com:1/"], "auth.redirect_url"),
    ];
    for (set, key) in table {
        let message = load(set).unwrap_err();
        assert!(message.contains(&format!("{key}: ")), "{set:?}: {message}");
    }
}

#[test]
fn only_a_login_with_a_browser_does_without_a_client_secret() {
    let public = ["auth.client_secret=\"\"", "auth.cache=c", "auth.grant=authorization-code"];
    assert!(load(&public).unwrap().auth.credentials.client.secret.is_none());
    assert!(load(&public[..2]).unwrap_err().contains("auth.client_secret: it is empty"));
}

#[test]
fn scope_and_fields_of_the_form_are_sent() {
    let config =
        load(&["auth.scope=a b", "auth.form={ audience = \"x\" }", "auth.send=body"]).unwrap();
    let names: Vec<_> =
        config.auth.credentials.form.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        (names, config.auth.credentials.client.send),
        (vec!["scope", "audience"], ClientAuthMethod::Body)
    );
    assert!(matches!(config.auth.credentials.grant, Grant::ClientCredentials));
}

#[test]
fn a_share_is_a_percentage_that_is_not_nothing() {
    assert_eq!(load(&["budget.share=\"60%\""]).unwrap().quota_settings.share, 60);
    for share in ["0%", "101%", "-5%", "60", "1.5%", "half"] {
        let message = load(&[&format!("budget.share=\"{share}\"")]).unwrap_err();
        assert!(
            message.contains("budget.share") && message.contains("is no share"),
            "{share}: {message}"
        );
    }
}

#[test]
fn g10_a_token_is_not_sent_in_the_clear() {
    for key in ["auth.token_url", "auth.refresh_url"] {
        let message = load(&[&format!("{key}=http://login.example.com/oauth/token")]).unwrap_err();
        assert!(message.contains("use https"), "{message}");
    }
}

#[test]
fn g10_neither_what_was_given_nor_what_came_of_it_prints_a_secret() {
    let set = [
        "auth.client_secret=hush",
        "auth.grant=password",
        "auth.access_key_id=hush",
        "auth.access_key_secret=hush",
    ];
    let overrides = Overrides { set: set.map(str::to_owned).to_vec(), ..Overrides::default() };
    let printed = format!("{overrides:?} {:?}", Config::load(&overrides).unwrap());
    assert!(printed.contains("auth.client_secret") && !printed.contains("hush"), "{printed}");
}

/// The datasets of a platform of the user's own: `tickets`, and its own `conversations`.
fn write_catalog(folder: &TempDir) {
    let ours = include_str!("../catalog/genesys.toml");
    let theirs = ours.replace("[dataset.conversations", "[dataset.tickets");
    fs::write(folder.path().join("tickets.toml"), theirs).unwrap();
    fs::write(
        folder.path().join("conversations.toml"),
        ours.replacen("version ", "version = 7 #", 1),
    )
    .unwrap();
}

/// Loads the file `text`, which lies beside the catalogues.
fn load_file(text: &str, set: &[&str]) -> Result<Vec<Config>, String> {
    let folder = TempDir::new().unwrap();
    write_catalog(&folder);
    let path = folder.path().join("job.toml");
    fs::write(&path, text).unwrap();
    let set = set.iter().map(|&set| set.to_owned()).collect();
    Config::load(&Overrides { path: Some(path), set, source: None })
        .map_err(|error| error.to_string())
}

const CXONE: &str =
    "[source]\nplatform = 'nice-cxone'\ncatalog = 'tickets.toml'\n[job]\ndatasets = ['tickets']\n";
const CUSTOM: &str =
    "[source]\nplatform = 'custom'\ncatalog = 'tickets.toml'\n[job]\ndatasets = ['tickets']\n";

fn hosts(config: &Config) -> [String; 2] {
    match &config.hosts {
        HostSettings::Network { api, login } => [api, login].map(Url::to_string),
        other => panic!("{other:?}"),
    }
}

#[test]
fn cxone_has_its_hosts_by_area_and_grant() {
    let key = ["auth.access_key_id=k", "auth.access_key_secret=s"];
    for (set, login) in [
        (["source.region=na1", "auth.grant=password"], "https://cxone.niceincontact.com/"),
        (["source.region=na1", "auth.grant=access-key"], "https://na1.nice-incontact.com/"),
    ] {
        let config = load_file(CXONE, &[&set[..], &key].concat()).unwrap().remove(0);
        assert_eq!(hosts(&config), ["https://api-na1.niceincontact.com/", login]);
        assert_eq!(config.api_version.as_deref(), Some("v34.0"));
    }
    let simulated = load_file(CXONE, &[]).unwrap().remove(0);
    assert!(matches!(simulated.hosts, HostSettings::Sandbox(_)));
    for area in ["na1.evil.example/", "a@b", "NA1", "\"\""] {
        let message = load_file(CXONE, &[&format!("source.region={area}")]).unwrap_err();
        assert!(
            message.contains("source.region: ") && message.contains("an area such as na1"),
            "{message}"
        );
    }
}

#[test]
fn a_version_of_an_api_fits_into_a_path_and_stays_with_its_output() {
    let config = load_file(CXONE, &["source.api_version=v33.0"]).unwrap().remove(0);
    assert_eq!(config.identity["api_version"], "v33.0");
    for version in ["v34/../..", "..", "\"\"", "v34?x", "v 34"] {
        let message = load_file(CXONE, &[&format!("source.api_version={version}")]).unwrap_err();
        assert!(
            message.contains("source.api_version: ") && message.contains("like v34.0"),
            "{message}"
        );
    }
    assert!(load(&["source.api_version=v2"]).unwrap_err().contains("genesys-cloud has only one"));
    assert!(!load(&[]).unwrap().identity.contains_key("api_version"));
}

#[test]
fn a_custom_platform_needs_its_hosts_and_its_datasets() {
    let (api, login) = ("source.api_url=https://a.example", "source.login_url=https://l.example");
    let endpoint = "auth.token_url=https://l.example/token";
    for (set, login) in [
        (&[api, login][..], "https://l.example/"),
        (&[api, endpoint], "https://l.example/token"),
        (&[api, "auth.grant=static", "auth.token=t"], "https://a.example/"),
    ] {
        assert_eq!(hosts(&load_file(CUSTOM, set).unwrap()[0]), ["https://a.example/", login]);
    }
    for (set, key) in [
        (&[login][..], "source.api_url"),
        (&[api], "source.login_url"),
        (&[api, login, "source.region=eu-west-1"], "source.region"),
        (&[api, login, "source.catalog=lost.toml"], "source.catalog"),
        (&[api, login, "job.datasets=[\"conversations\"]"], "job.datasets"),
    ] {
        let message = load_file(CUSTOM, set).unwrap_err();
        assert!(message.contains(&format!(" {key}: ")), "{set:?}: {message}");
    }
    let message = load(&["source.platform=custom", api, login]).unwrap_err();
    assert!(message.contains("source.catalog: custom has no datasets of its own"), "{message}");
}

#[test]
fn a_catalogue_of_the_users_adds_datasets_and_replaces_those_of_its_names() {
    let both =
        "[source]\ncatalog = 'tickets.toml'\n[job]\ndatasets = ['tickets', 'conversations']\n";
    assert_eq!(load_file(both, &[]).unwrap()[0].datasets.len(), 2);
    let replaced = load_file("[source]\ncatalog = 'conversations.toml'\n", &[]).unwrap();
    assert_eq!(replaced[0].datasets[0].version, 7);
    let message = load_file("[source]\ncatalog = 'job.toml'\n", &[]).unwrap_err();
    assert!(message.contains("job.toml: source: unknown field"), "{message}");
}

#[test]
fn each_dataset_has_a_filter_of_its_own_which_stays_with_its_output() {
    let set = ["source.catalog=tickets.toml", "job.datasets=[\"tickets\", \"conversations\"]"];
    let config = load_file("[filter.tickets]\na = 1\n", &set).unwrap().remove(0);
    assert_eq!((config.filter("tickets").len(), config.filter("conversations").len()), (1, 0));
    let identity =
        ["filter.tickets", "filter.conversations"].map(|key| config.identity[key].as_str());
    assert_eq!(identity, [r#"{"a":1}"#, "{}"]);
}

#[test]
fn what_a_source_says_for_itself_lies_between_the_file_and_the_command_line() {
    let list = "[budget]\nrequests = 1\n[[source]]\nname = 'a'\n[[source]]\nname = 'b'\n[source.budget]\nrequests = 2\n";
    let requests = |set: &[&str]| {
        let configs = load_file(list, set).unwrap();
        [&configs[0], &configs[1]].map(|config| config.quota_settings.limit.unwrap().requests.get())
    };
    assert_eq!(requests(&[]), [1, 2]);
    assert_eq!(requests(&["budget.requests=3"]), [3, 3]);
    assert_eq!(requests(&["source.b.budget.requests=4"]), [1, 4]);
    assert_eq!(requests(&["source.a.budget.requests=4", "budget.requests=3"]), [4, 3]);
    let outputs = load_file(list, &[]).unwrap().into_iter().map(|config| config.output);
    assert_eq!(outputs.collect::<Vec<_>>(), [Path::new("out/a"), Path::new("out/b")]);
}
