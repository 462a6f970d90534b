//! `[privacy]`: what is hidden of personal data.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use secrecy::ExposeSecret;
use serde::Deserialize;

use crate::{
    catalog::{Catalog, Dataset, type_places::names_in_pattern},
    config::{
        layers::{ConfigError, Layers, environment::EnvironmentVariables},
        nearest::suggestion,
        values::TextSource,
    },
    privacy::{HashKey, Policies, Policy, PolicySettings, Rule, RuleError, SHORTEST_KEY},
    server_text,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PrivacySection {
    set: Option<SetName>,
    key: Option<TextSource>,
    #[serde(default)]
    new_fields: NewFieldsName,
    /// Actions by path, by dataset.
    #[serde(default)]
    columns: BTreeMap<String, BTreeMap<String, String>>,
}

/// A set of columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum SetName {
    /// What the catalog marks as personal.
    Platform,
}

/// What happens to fields that have no column.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum NewFieldsName {
    #[default]
    Drop,
    Keep,
}

/// What the section is checked to.
#[derive(Default)]
pub(super) struct CheckedPrivacy {
    pub policies: Policies,
    /// A sentence for each place in which other users of this machine can see the key.
    pub exposed: BTreeSet<String>,
}

impl PrivacySection {
    /// The policy of each dataset of a catalog. Rules may name every column of the catalog, also one
    /// that the configuration does not fetch.
    pub(super) fn check(
        &self,
        catalog: &Catalog,
        layers: &Layers,
    ) -> Result<CheckedPrivacy, ConfigError> {
        if let Some(unknown) =
            self.columns.keys().find(|name| !catalog.datasets.contains_key(*name))
        {
            let nearest = suggestion(unknown, catalog.datasets.keys().map(String::as_str));
            let message = format!("there is no dataset `{unknown}`{nearest}");
            return Err(layers.error(&format!("privacy.columns.{unknown}"), message));
        }
        if self.set.is_none() && self.columns.is_empty() {
            let message = "missing: write `set = \"platform\"`, name columns in [privacy.columns], \
                           or leave [privacy] out";
            return Err(layers.error("privacy.set", message));
        }
        let mut rules = BTreeMap::new();
        for (dataset, columns) in &self.columns {
            rules.insert(dataset, read_rules(dataset, columns, layers)?);
        }
        server_text::hide_contacts();
        let environment = EnvironmentVariables::read()?;
        let settings = PolicySettings {
            key: self.key(&environment, layers)?,
            hides_personal: self.set == Some(SetName::Platform),
            keeps_new_fields: self.new_fields == NewFieldsName::Keep,
        };
        let mut policies = Policies::new();
        for (name, dataset) in &catalog.datasets {
            let rules = rules.get(name).map(Vec::as_slice).unwrap_or_default();
            let policy = Policy::new(&settings, dataset, rules)
                .map_err(|(rule, error)| rule_error(dataset, &rule, &error, layers))?;
            policies.insert(name.clone(), Arc::new(policy));
        }
        Ok(CheckedPrivacy { policies, exposed: environment.into_exposed() })
    }

    fn key(
        &self,
        environment: &EnvironmentVariables,
        layers: &Layers,
    ) -> Result<HashKey, ConfigError> {
        let Some(key) = &self.key else {
            let message = "missing: the key of the hashes, such as { env = \"CX_PRIVACY_KEY\" }; \
                           make one with `openssl rand -hex 32`, and keep it";
            return Err(layers.error("privacy.key", message));
        };
        let secret = environment.secret(key, "privacy.key", layers)?;
        let bytes = secret.expose_secret().len();
        if bytes < SHORTEST_KEY {
            let message = format!(
                "the key has {bytes} bytes, so that it could be guessed: expected at least \
                 {SHORTEST_KEY}; make one with `openssl rand -hex 32`"
            );
            return Err(layers.error("privacy.key", message));
        }
        Ok(HashKey::new(&secret))
    }
}

fn read_rules(
    dataset: &str,
    columns: &BTreeMap<String, String>,
    layers: &Layers,
) -> Result<Vec<Rule>, ConfigError> {
    let error = |path: &str, reason: String| {
        layers.error(&format!("privacy.columns.{dataset}"), format!("`{path}`: {reason}"))
    };
    let mut rules = Vec::new();
    for (path, action) in columns {
        let invalid =
            || "not a path: write it like `participants[].sessions[].ani` or `name`".to_owned();
        rules.push(Rule {
            names: names_in_pattern(path).ok_or_else(|| error(path, invalid()))?,
            action: action.parse().map_err(|reason| error(path, reason))?,
        });
    }
    Ok(rules)
}

fn rule_error(dataset: &Dataset, rule: &Rule, error: &RuleError, layers: &Layers) -> ConfigError {
    let path = rule.names.join(".");
    let reason = match error {
        RuleError::MarkedNeeded(reason) => {
            let message = format!(
                "the catalog marks `{path}` of `{}` as personal, but the column cannot be hidden, \
                 because {reason}: take it out of [personal] in the catalog, or write \"{path}\" = \
                 \"keep\" in [privacy.columns.{0}]",
                dataset.name
            );
            return layers.error("privacy.set", message);
        }
        RuleError::Extra => {
            "its values follow the rules of other columns by their paths: name the \
                             path itself, or set `new_fields`"
                .to_owned()
        }
        RuleError::NoColumn { name, known } => {
            let nearest = suggestion(name, known.iter().map(String::as_str));
            format!("there is no column `{name}`{nearest}")
        }
        RuleError::NoText => format!(
            "only texts, lists of texts and maps can be hidden by `{}`: name columns inside it, or \
             write drop",
            rule.action
        ),
        RuleError::Needed(reason) => {
            format!("the column cannot be hidden, because {reason}: leave it out")
        }
    };
    layers.error(&format!("privacy.columns.{}", dataset.name), format!("`{path}`: {reason}"))
}
