//! Which configurations are refused, and with which messages.

use std::{fs, path::Path};

use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::*;
use crate::auth::{ClientAuthMethod, Grant};

fn load(set: &[&str]) -> Result<Config, String> {
    let overrides =
        Overrides { set: set.iter().map(|&set| set.to_owned()).collect(), ..Overrides::default() };
    Config::load(&overrides).map(|mut configs| configs.remove(0)).map_err(|error| error.to_string())
}

#[test]
fn an_error_names_the_key_that_a_grant_lacks_or_does_not_use() {
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
fn only_a_browser_login_works_without_a_client_secret() {
    let public = ["auth.client_secret=\"\"", "auth.cache=c", "auth.grant=authorization-code"];
    assert!(load(&public).unwrap().auth.credentials.client.secret.is_none());
    assert!(load(&public[..2]).unwrap_err().contains("auth.client_secret: the text is empty"));
}

#[test]
fn scope_and_form_fields_are_sent() {
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
fn a_share_is_a_percentage_above_zero() {
    assert_eq!(load(&["budget.share=\"60%\""]).unwrap().quota_settings.share, 60);
    for share in ["0%", "101%", "-5%", "60", "1.5%", "half"] {
        let message = load(&[&format!("budget.share=\"{share}\"")]).unwrap_err();
        assert!(
            message.contains("budget.share") && message.contains("not a valid share"),
            "{share}: {message}"
        );
    }
}

#[test]
fn g10_a_token_is_not_sent_unencrypted() {
    for key in ["auth.token_url", "auth.refresh_url"] {
        let message = load(&[&format!("{key}=http://login.example.com/oauth/token")]).unwrap_err();
        assert!(message.contains("use https"), "{message}");
    }
}

#[test]
fn g10_neither_overrides_nor_config_print_a_secret() {
    let set = [
        "auth.client_secret=hidden",
        "auth.grant=password",
        "auth.access_key_id=hidden",
        "auth.access_key_secret=hidden",
    ];
    let overrides = Overrides { set: set.map(str::to_owned).to_vec(), ..Overrides::default() };
    let printed = format!("{overrides:?} {:?}", Config::load(&overrides).unwrap());
    assert!(printed.contains("auth.client_secret") && !printed.contains("hidden"), "{printed}");
}

/// Writes catalogs of a user: one with `tickets`, one with another version of `conversations`.
fn write_catalog(folder: &TempDir) {
    let builtin = include_str!("../catalog/genesys.toml");
    let tickets = builtin.replace("[dataset.conversations", "[dataset.tickets");
    let tickets =
        tickets.replace("[dataset.tickets.tables.conversations", "[dataset.tickets.tables.tickets");
    let conversations = builtin.replacen("version    = 2", "version = 7", 1);
    fs::write(folder.path().join("tickets.toml"), tickets).unwrap();
    fs::write(folder.path().join("conversations.toml"), conversations).unwrap();
}

/// Loads a file with `text`, beside the catalogs. `@` in a setting is the folder of both.
fn load_file(text: &str, set: &[&str]) -> Result<Vec<Config>, String> {
    let folder = TempDir::new().unwrap();
    write_catalog(&folder);
    let path = folder.path().join("job.toml");
    fs::write(&path, text).unwrap();
    let at = folder.path().display().to_string();
    let set = GIVEN.iter().chain(set).map(|set| set.replace('@', &at)).collect();
    Config::load(&Overrides { path: Some(path), set, source: None })
        .map_err(|error| error.to_string())
}

/// What has no default.
const GIVEN: [&str; 4] = [
    "job.from=2024-01-01T00:00:00Z",
    "job.to=2024-01-11T00:00:00Z",
    "auth.client_id=id",
    "auth.client_secret=secret",
];
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
    let simulated = load_file(CXONE, &["source.region=sandbox"]).unwrap().remove(0);
    assert!(matches!(simulated.hosts, HostSettings::Sandbox(_)));
    for area in ["na1.evil.example/", "a b", "NA1", "\"\""] {
        let message = load_file(CXONE, &[&format!("source.region={area}")]).unwrap_err();
        assert!(
            message.contains("source.region: ") && message.contains("an area such as na1"),
            "{message}"
        );
    }
}

#[test]
fn an_api_version_is_safe_in_a_path_and_part_of_the_identity() {
    let config =
        load_file(CXONE, &["source.region=na1", "source.api_version=v33.0"]).unwrap().remove(0);
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
        (&[api, login, "source.catalog=@/lost.toml"], "source.catalog"),
        (&[api, login, "job.datasets=[\"conversations\"]"], "job.datasets"),
    ] {
        let message = load_file(CUSTOM, set).unwrap_err();
        assert!(message.contains(&format!(" {key}: ")), "{set:?}: {message}");
    }
    let message = load_file("", &["source.platform=custom", api, login]).unwrap_err();
    assert!(
        message.contains("source.catalog: missing: custom has no built-in datasets"),
        "{message}"
    );
}

#[test]
fn a_users_catalog_adds_datasets_and_replaces_those_of_the_same_name() {
    let both = "[source]\nregion = 'sandbox'\ncatalog = 'tickets.toml'\n[job]\ndatasets = ['tickets', 'conversations']\n";
    assert_eq!(load_file(both, &[]).unwrap()[0].datasets.len(), 2);
    let replaced =
        load_file("[source]\nregion = 'sandbox'\ncatalog = 'conversations.toml'\n", &[]).unwrap();
    assert_eq!(replaced[0].datasets[0].version, 7);
    let message = load_file("[source]\ncatalog = 'job.toml'\n", &[]).unwrap_err();
    assert!(message.contains("job.toml: source: unknown field"), "{message}");
}

#[test]
fn the_filter_of_each_dataset_is_part_of_the_identity() {
    let set = [
        "source.region=sandbox",
        "source.catalog=@/tickets.toml",
        "job.datasets=[\"tickets\", \"conversations\"]",
    ];
    let config = load_file("[filter.tickets]\na = 1\n", &set).unwrap().remove(0);
    assert_eq!((config.filter("tickets").len(), config.filter("conversations").len()), (1, 0));
    let identity =
        ["filter.tickets", "filter.conversations"].map(|key| config.identity[key].as_str());
    assert_eq!(identity, [r#"{"a":1}"#, "{}"]);
}

#[test]
fn with_a_policy_the_identity_has_the_keyed_hash_of_a_filter_which_may_name_a_caller() {
    let filter = "[filter.conversations]\nani = 'tel:+49304711000'\n";
    let identity = |key: &str, filter: &str| {
        let set = [
            "source.region=sandbox",
            "privacy.set=platform",
            &format!("privacy.key={key}"),
            "job.datasets=[\"conversations\", \"users\"]",
        ];
        load_file(filter, &set).unwrap().remove(0).identity
    };
    let first = identity("0123456789abcdef", filter);
    assert_eq!((first["filter.conversations"].len(), &*first["filter.users"]), (64, "{}"));
    assert!(!format!("{first:?}").contains("4711000"), "{first:?}");
    assert_eq!(first, identity("0123456789abcdef", filter));
    let others = [identity("fedcba9876543210", filter), identity("0123456789abcdef", "")];
    for other in others {
        assert_ne!(first["filter.conversations"], other["filter.conversations"]);
    }
}

#[test]
fn the_keys_of_a_source_override_the_file_and_are_overridden_by_arguments() {
    let list = "[budget]\nrequests = 1\n[[source]]\nname = 'a'\n[[source]]\nname = 'b'\n[source.budget]\nrequests = 2\n";
    let requests = |set: &[&str]| {
        let configs = load_file(list, &[set, &["source.region=sandbox"]].concat()).unwrap();
        [&configs[0], &configs[1]].map(|config| config.quota_settings.limit.unwrap().requests.get())
    };
    assert_eq!(requests(&[]), [1, 2]);
    assert_eq!(requests(&["budget.requests=3"]), [3, 3]);
    assert_eq!(requests(&["source.b.budget.requests=4"]), [1, 4]);
    assert_eq!(requests(&["source.a.budget.requests=4", "budget.requests=3"]), [4, 3]);
    let set = ["source.region=sandbox", "output.path=out"];
    let outputs = load_file(list, &set).unwrap().into_iter().map(|config| config.output);
    assert_eq!(outputs.collect::<Vec<_>>(), [Path::new("out/a"), Path::new("out/b")]);
}

/// A minimal file for the simulator.
const SIMULATED: &str = "[source]\nregion = 'sandbox'\n";

#[test]
fn a_configuration_without_region_interval_or_credentials_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("job.toml");
    fs::write(&path, "").unwrap();
    let without = |key: &str| {
        let given = GIVEN.iter().chain(&["source.region=us-east-1"]);
        let set = given.filter(|set| !set.starts_with(key)).map(|&set| set.to_owned()).collect();
        let configs = Config::load(&Overrides { path: Some(path.clone()), set, source: None });
        configs.map(|configs| configs.len()).map_err(|error| error.to_string())
    };
    assert_eq!(without("nothing"), Ok(1));
    for key in ["job.from", "job.to", "auth.client_id", "auth.client_secret", "source.region"] {
        let message = without(key).unwrap_err();
        assert!(message.contains(&format!("{key}: missing: ")), "{message}");
    }
}

#[test]
fn the_simulator_runs_only_if_the_configuration_says_sandbox() {
    let simulated = load_file(SIMULATED, &[]).unwrap().remove(0);
    assert!(matches!(simulated.hosts, HostSettings::Sandbox(_)));
    for set in [&[][..], &["source.platform=nice-cxone", "job.datasets=[\"skills\"]"]] {
        let message = load_file("", set).unwrap_err();
        assert!(message.contains("source.region: missing: "), "{message}");
    }
}

#[test]
fn the_simulator_needs_no_credentials() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("job.toml");
    let interval = "[job]\nfrom = '2024-01-01T00:00:00Z'\nto = '2024-01-02T00:00:00Z'\n";
    fs::write(&path, format!("{SIMULATED}{interval}")).unwrap();
    let configs = Config::load(&Overrides { path: Some(path), ..Overrides::default() });
    assert_eq!(configs.unwrap()[0].auth.credentials.client.id, "sandbox");
}

#[test]
fn config_toml_documents_every_default_with_its_value() {
    let read = |text: &str| toml::from_str::<toml::Table>(text).unwrap();
    let documented = read(include_str!("../../config.toml"));
    for (section, keys) in read(include_str!("defaults.toml")) {
        for (key, default) in keys.as_table().unwrap() {
            let shown = &documented[&section][key];
            assert!(shown == default || key == "name", "{section}.{key}: {shown} not {default}");
        }
    }
}

#[test]
fn a_relative_path_is_relative_to_the_file_that_contains_it() {
    let file = "[source]\nregion = 'sandbox'\ncatalog = 'tickets.toml'\n\
                [auth]\ncache = 'tokens.json'\nclient_secret = { file = 'tickets.toml' }\n";
    let folder = TempDir::new().unwrap();
    write_catalog(&folder);
    let path = folder.path().join("job.toml");
    let load = |text: &str, set: &[&str]| {
        fs::write(&path, text).unwrap();
        let set = GIVEN[..3].iter().chain(set).map(|&set| set.to_owned()).collect();
        Config::load(&Overrides { path: Some(path.clone()), set, source: None }).unwrap().remove(0)
    };
    let config = load(file, &[]);
    assert_eq!(config.output, folder.path().join("out"));
    assert_eq!(config.auth.cache, Some(folder.path().join("tokens.json")));
    assert!(config.catalog.datasets.contains_key("tickets"));
    let secret = config.auth.credentials.client.secret.unwrap();
    assert!(secret.expose_secret().contains("[dataset.tickets"));
    let config = load(&format!("{file}[output]\npath = '../rows'\n"), &[]);
    assert_eq!(config.output, folder.path().join("../rows"));
    let config = load(file, &["output.path=rows", "auth.cache=tokens.json"]);
    assert_eq!(config.output, Path::new("rows"));
    assert_eq!(config.auth.cache.as_deref(), Some(Path::new("tokens.json")));
}

#[test]
fn a_tilde_is_the_home_folder() {
    let output = |path: &str| {
        let text = format!("{SIMULATED}[output]\npath = '{path}'\n");
        load_file(&text, &[]).map(|mut configs| configs.remove(0).output)
    };
    let home = std::env::home_dir().unwrap();
    assert_eq!(output("~/rows").unwrap(), home.join("rows"));
    assert_eq!(output("~").unwrap(), home);
    assert!(output("a~").unwrap().ends_with("a~"));
    assert!(output("~eve/rows").unwrap_err().contains("output.path: `~eve` is not supported"));
}

#[test]
fn the_url_of_another_store_is_refused() {
    for url in ["s3://bucket/rows", "gs://bucket", "file:///rows", "abfss://x@y/z", "https://x/y"] {
        let scheme = url.split(':').next().unwrap();
        let refused = format!("`{url}` is not a path on this machine: `{scheme}` is not supported");
        for (key, text) in [
            ("output.path", format!("{SIMULATED}[output]\npath = '{url}'\n")),
            ("source.catalog", format!("{SIMULATED}catalog = '{url}'\n")),
            ("auth.cache", format!("{SIMULATED}[auth]\ncache = '{url}'\n")),
            ("auth.scope", format!("{SIMULATED}[auth]\nform = {{ x = {{ file = '{url}' }} }}\n")),
        ] {
            let message = load_file(&text, &[]).unwrap_err();
            assert!(message.contains(&refused), "{key}: {message}");
        }
    }
}

#[cfg(unix)]
#[test]
fn every_text_of_auth_may_be_printed_by_a_command() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    let script = folder.path().join("print.sh");
    fs::write(&script, "#!/bin/sh\necho \"$1-printed\"\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    let text = "[job]\nfrom = '2024-01-01'\nto = 'today'\n[source]\nregion = 'sandbox'\n\
                [auth]\ngrant = 'password'\ncache = 'c'\n\
                client_id = { command = ['./print.sh', 'id'] }\n\
                client_secret = { command = ['./print.sh', 'secret'] }\n\
                access_key_id = { command = ['./print.sh', 'key'] }\n\
                access_key_secret = { command = ['./print.sh', 'key-secret'] }\n\
                form = { audience = { command = ['./print.sh', 'audience'] } }\n";
    fs::write(folder.path().join("config.toml"), text).unwrap();
    let overrides =
        Overrides { path: Some(folder.path().join("config.toml")), ..Overrides::default() };
    let config = Config::load(&overrides).unwrap().remove(0);
    let credentials = &config.auth.credentials;
    assert_eq!(credentials.client.id, "id-printed");
    let secret = credentials.client.secret.as_ref().unwrap();
    assert_eq!(secret.expose_secret(), "secret-printed");
    assert_eq!(credentials.form[0].1.expose_secret(), "audience-printed");
    let Grant::Password(key) = &credentials.grant else { panic!("{:?}", credentials.grant) };
    let texts = [&key.id, &key.secret].map(|text| text.expose_secret().to_owned());
    assert_eq!(texts, ["key-printed", "key-secret-printed"]);
    let message = load(&["auth.client_secret={ command = [] }"]).unwrap_err();
    assert!(message.contains("auth.client_secret: the list is empty"), "{message}");
}
