//! A request with placeholders, and the request that results when they are filled in.

use std::sync::Arc;

use http::Method;
use serde_json::{Map, Value};

use crate::catalog::{
    placeholder::{Placeholder, PlaceholderValues},
    template::{Piece, Template, fill_path, fill_table},
};

/// A request with placeholders.
#[derive(Debug, Clone)]
pub struct RequestTemplate {
    /// The HTTP method.
    pub method: Method,
    pub(super) path: Vec<Piece>,
    pub(super) query: Vec<(String, Template)>,
    pub(super) body: Vec<(String, Template)>,
    /// Keys that a filter may replace.
    pub(super) defaults: Map<String, Value>,
    /// The limit that it counts against in addition to that of all requests.
    pub bucket: Option<Arc<str>>,
}

/// A request that is ready to be sent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ApiRequest {
    /// The HTTP method.
    pub method: Method,
    /// The path and query below the API's host, or the next link of a response.
    pub target: String,
    /// The JSON body.
    pub body: Option<Value>,
    /// The limit that it counts against in addition to that of all requests.
    pub bucket: Option<Arc<str>>,
    /// Whether it is sent without a token, and may therefore go to another host.
    pub anonymous: bool,
}

impl RequestTemplate {
    /// Returns the request for `values`, without a filter.
    pub fn fill(&self, values: &PlaceholderValues) -> ApiRequest {
        self.fill_filtered(values, &Map::new())
    }

    /// Returns the request for `values` with the user's `filter`: keys for the top level of the
    /// body, or of the URL's query if the method is not POST. The keys of the template's `body` or
    /// `query`, which the configuration refuses in a filter (see [`Endpoint::reserved_keys`]), win
    /// over the filter, and the filter wins over the `defaults`.
    ///
    /// [`Endpoint::reserved_keys`]: crate::catalog::Endpoint::reserved_keys
    pub fn fill_filtered(
        &self,
        values: &PlaceholderValues,
        filter: &Map<String, Value>,
    ) -> ApiRequest {
        let mut filtered = self.defaults.clone();
        filtered.extend(filter.clone());
        let mut query = fill_table(&self.query, values);
        let body = if self.method == Method::POST {
            filtered.extend(fill_table(&self.body, values));
            Some(Value::Object(filtered))
        } else {
            filtered.extend(query);
            query = filtered;
            None
        };
        let mut target = fill_path(&self.path, values);
        if !query.is_empty() {
            let mut pairs = url::form_urlencoded::Serializer::new(String::new());
            for (name, value) in &query {
                pairs.append_pair(name, &query_text(value));
            }
            // every server reads `%20` as a space, but not every server reads `+` as one
            target = format!("{target}?{}", pairs.finish().replace('+', "%20"));
        }
        ApiRequest {
            method: self.method.clone(),
            target,
            body,
            bucket: self.bucket.clone(),
            anonymous: false,
        }
    }

    /// Returns the keys that the template sets itself.
    pub(super) fn reserved_keys(&self) -> impl Iterator<Item = &str> {
        let entries = if self.method == Method::POST { &self.body } else { &self.query };
        entries.iter().map(|(key, _)| key.as_str())
    }

    /// Whether the placeholder is used in the path.
    pub(super) fn path_uses(&self, placeholder: &Placeholder) -> bool {
        let is_wanted =
            |piece: &Piece| matches!(piece, Piece::Placeholder(other) if other == placeholder);
        self.path.iter().any(is_wanted)
    }

    /// Whether the placeholder is used anywhere in the request.
    pub(super) fn uses(&self, placeholder: &Placeholder) -> bool {
        self.path_uses(placeholder)
            || self.query.iter().chain(&self.body).any(|(_, value)| value.uses(placeholder))
    }

    /// Returns the path as the catalog writes it, for people.
    pub fn path(&self) -> String {
        let text = |piece: &Piece| match piece {
            Piece::Literal(text) => text.clone(),
            Piece::Placeholder(placeholder) => format!("{{{}}}", placeholder.name()),
        };
        self.path.iter().map(text).collect()
    }
}

/// Writes a value into a URL: a text as it is, a list with commas, anything else as JSON.
fn query_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(query_text).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}
