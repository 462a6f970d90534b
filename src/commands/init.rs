//! `init`: a first configuration from a few answers.
//!
//! Secrets are never part of it: it names the environment variables that hold them.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    path::Path,
};

use toml::Value;

use crate::{
    auth::Grant,
    config::{ConfigError, sections::source::SANDBOX},
    platform::{Platform, Starter},
};

/// A grant, and the keys of `[auth]` that are read from the environment for it.
#[derive(Debug)]
pub(crate) struct GrantKeys {
    pub name: &'static str,
    pub keys: &'static [&'static str],
    /// Whether tokens are kept in a file from run to run.
    has_cache: bool,
}

/// All grants, by their names in the configuration.
pub(crate) const GRANTS: [GrantKeys; 6] = [
    GrantKeys {
        name: "client-credentials",
        keys: &["client_id", "client_secret"],
        has_cache: false,
    },
    GrantKeys {
        name: "authorization-code",
        keys: &["client_id", "client_secret"],
        has_cache: true,
    },
    GrantKeys {
        name: "refresh-token",
        keys: &["client_id", "client_secret", "refresh_token"],
        has_cache: true,
    },
    GrantKeys {
        name: "password",
        keys: &["client_id", "client_secret", "access_key_id", "access_key_secret"],
        has_cache: false,
    },
    GrantKeys {
        name: "access-key",
        keys: &["access_key_id", "access_key_secret"],
        has_cache: false,
    },
    GrantKeys { name: "static", keys: &["token"], has_cache: false },
];

/// What a first configuration is made from.
#[derive(Debug)]
pub(crate) struct Answers {
    pub platform: Platform,
    pub region: String,
    pub grant: &'static GrantKeys,
    /// The folder of the output.
    pub output: String,
    /// The start of the interval.
    pub from: String,
}

/// The platforms that a first configuration can be made for, with what they need.
pub(crate) fn platforms() -> impl Iterator<Item = (Platform, &'static Starter)> {
    let starter = |platform: Platform| Some((platform, platform.profile().starter.as_ref()?));
    Platform::ALL.into_iter().filter_map(starter)
}

/// The grant of this name.
pub(crate) fn grant(name: &str) -> Option<&'static GrantKeys> {
    GRANTS.iter().find(|grant| grant.name == name)
}

/// Checks a region.
///
/// # Errors
/// With what is expected, if the platform has no such region.
pub(crate) fn check_region(platform: Platform, region: &str) -> Result<(), String> {
    let is_known = region == SANDBOX
        // the grant does not decide whether there is such a region
        || platform.hosts(region, &Grant::AuthorizationCode).is_some();
    match is_known {
        true => Ok(()),
        false => Err(format!(
            "unknown region `{region}`: expected `{SANDBOX}` or {}",
            platform.expected_region()
        )),
    }
}

impl Answers {
    /// The environment variables that the configuration reads.
    pub(crate) fn variables(&self) -> Vec<String> {
        let keys = if self.needs_no_secret() { &[] } else { self.grant.keys };
        keys.iter().map(|key| variable(key)).collect()
    }

    /// Whether the simulator has its own credentials.
    fn needs_no_secret(&self) -> bool {
        self.region == SANDBOX && self.grant.name == GRANTS[0].name
    }

    /// The configuration.
    pub(crate) fn text(&self, starter: &Starter) -> String {
        let quoted = |text: &str| Value::from(text).to_string();
        let auth = self.auth();
        format!(
            "# Made by `cxbackfill init`. Keys that are not here have their defaults.\n\
             # `cxbackfill check` tries everything that a run needs, and fetches nothing.\n\
             \n\
             [job]\n\
             # Every row whose time lies in [from, to) is fetched: a time in UTC, or one relative to the\n\
             # start of the program, such as \"now-30m\".\n\
             from = {from}\n\
             to = \"now-30m\"\n\
             # What is fetched; `cxbackfill datasets` lists what there is.\n\
             datasets = [{dataset}]\n\
             # For a job that runs every night: fetch the last days again, since wrap-ups and evaluations\n\
             # are added later.\n\
             # refresh = \"4d\"\n\
             \n\
             [source]\n\
             platform = {platform}\n\
             # Where the organization is, such as {regions}; \"{SANDBOX}\" is a simulator in its place.\n\
             # A credential is valid in its own region only.\n\
             region = {region}\n\
             \n\
             [auth]\n\
             grant = {grant}\n\
             {access}\
             {auth}\
             \n\
             [budget]\n\
             {budget}\
             \n\
             [output]\n\
             # The folder of the Parquet files and of the ledger, relative to this file.\n\
             path = {output}\n",
            from = quoted(&self.from),
            dataset = quoted(starter.dataset),
            platform = quoted(self.platform.name()),
            regions = starter.regions,
            region = quoted(&self.region),
            grant = quoted(self.grant.name),
            access = starter.access,
            budget = starter.budget,
            output = quoted(&self.output),
        )
    }

    /// The keys of `[auth]` after the grant.
    fn auth(&self) -> String {
        let is_comment = self.needs_no_secret();
        let mut text = match is_comment {
            true => "# The simulator accepts any client. A real organization needs these variables:\n",
            false => {
                "# Set these environment variables, or write NAME=value into a file `.env` in the folder\n\
                 # in which the program is started.\n"
            }
        }
        .to_owned();
        let start = if is_comment { "# " } else { "" };
        for key in self.grant.keys {
            text.push_str(&format!("{start}{key} = {{ env = \"{}\" }}\n", variable(key)));
        }
        if self.grant.has_cache {
            text.push_str(
                "# Tokens are kept here from run to run, readable by you only.\n\
                 cache = \".cxbackfill-tokens.json\"\n",
            );
        }
        text
    }
}

/// The environment variable of a key of `[auth]`.
fn variable(key: &str) -> String {
    format!("CXBACKFILL_{}", key.to_uppercase())
}

/// Writes the configuration.
///
/// # Errors
/// If the file exists, unless it may be replaced, or cannot be written.
pub(crate) fn write(path: &Path, text: &str, replace: bool) -> Result<(), ConfigError> {
    let mut options = OpenOptions::new();
    match replace {
        true => options.write(true).create(true).truncate(true),
        false => options.write(true).create_new(true),
    };
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        let message = match error.kind() {
            io::ErrorKind::AlreadyExists => {
                "exists already: name another file with --config, or replace it with --force"
                    .to_owned()
            }
            _ => format!("cannot be written: {error}"),
        };
        ConfigError::at(path.display().to_string(), message)
    })
}
