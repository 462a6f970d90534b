//! A request as the file writes it.

use http::Method;
use serde::{Deserialize, Deserializer, de::Error};
use std::sync::Arc;
use url::Url;

use crate::catalog::{
    InvalidKey,
    endpoint::JsonPointer,
    request::RequestTemplate,
    template::{Template, pieces},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RequestEntry {
    pub method: Option<String>,
    pub path: String,
    #[serde(default)]
    pub query: toml::Table,
    #[serde(default)]
    pub body: toml::Table,
    #[serde(default)]
    pub defaults: toml::Table,
    pub bucket: Option<String>,
}

/// A step of an asynchronous job: a request, and where its response has what, in one table.
pub(super) struct JobStep<T> {
    pub request: RequestEntry,
    pub response: T,
}

impl<'de, T: serde::de::DeserializeOwned> Deserialize<'de> for JobStep<T> {
    /// Splits the table by key, since `#[serde(flatten)]` would accept unknown keys.
    fn deserialize<D: Deserializer<'de>>(table: D) -> Result<Self, D::Error> {
        const REQUEST: [&str; 6] = ["method", "path", "query", "body", "defaults", "bucket"];
        let (request, response): (toml::Table, toml::Table) = toml::Table::deserialize(table)?
            .into_iter()
            .partition(|(key, _)| REQUEST.contains(&key.as_str()));
        let request = request.try_into().map_err(D::Error::custom)?;
        Ok(Self { request, response: response.try_into().map_err(D::Error::custom)? })
    }
}

impl RequestEntry {
    /// Checks the request at `key`, whose method is `default_method` unless it is given.
    pub(super) fn check(
        self,
        key: &str,
        default_method: Method,
    ) -> Result<RequestTemplate, InvalidKey> {
        let at = |field: &str| format!("{key}.{field}");
        // a path that names a host would send the token there (G10); URLs are parsed leniently, so
        // that `/\host` names one too
        let resolved = Url::parse("https://api.invalid").and_then(|api| api.join(&self.path));
        let names_no_host = resolved.is_ok_and(|url| url.host_str() == Some("api.invalid"));
        if !self.path.starts_with('/') || !names_no_host {
            return Err(InvalidKey::new(
                &at("path"),
                format!(
                    "`{}` is not a valid path: expected one slash at the beginning and no host",
                    self.path.escape_default()
                ),
            ));
        }
        let method = match self.method.as_deref() {
            None => default_method,
            Some("GET") => Method::GET,
            Some("POST") => Method::POST,
            Some("DELETE") => Method::DELETE,
            Some(other) => {
                return Err(InvalidKey::new(
                    &at("method"),
                    format!("`{other}` is not a valid method: expected GET, POST or DELETE"),
                ));
            }
        };
        if method != Method::POST && !self.body.is_empty() {
            return Err(InvalidKey::new(
                &at("body"),
                "only a POST has a body: write method = \"POST\"",
            ));
        }
        let to_json =
            |(name, value): (String, toml::Value)| Some((name, serde_json::to_value(value).ok()?));
        Ok(RequestTemplate {
            method,
            path: pieces(&self.path).map_err(|reason| InvalidKey::new(&at("path"), reason))?,
            query: Template::read_table(&at("query"), self.query)?,
            body: Template::read_table(&at("body"), self.body)?,
            defaults: self.defaults.into_iter().filter_map(to_json).collect(),
            bucket: self.bucket.map(Arc::from),
        })
    }
}

/// Reads a JSON pointer (RFC 6901).
pub(super) fn json_pointer(key: &str, pointer: &str) -> Result<JsonPointer, InvalidKey> {
    match pointer.split_once('/') {
        None if pointer.is_empty() => Ok(Vec::new()),
        Some(("", keys)) => {
            Ok(keys.split('/').map(|key| key.replace("~1", "/").replace("~0", "~")).collect())
        }
        _ => Err(InvalidKey::new(
            key,
            format!("`{pointer}` is not a valid JSON pointer: write it like /data/rows"),
        )),
    }
}

/// Reads a JSON pointer that may be absent.
pub(super) fn optional_pointer(
    key: &str,
    pointer: Option<&str>,
) -> Result<Option<JsonPointer>, InvalidKey> {
    pointer.map(|pointer| json_pointer(key, pointer)).transpose()
}
