//! Compares the requests of a dataset with the schema.

use serde_json::{Map, Value, json};

/// Paths that the platforms document but the schemas do not have: only their names are checked.
const UNDOCUMENTED: [&str; 4] = [
    "/incontactapi/services/{api_version}/campaigns",
    "/incontactapi/services/{api_version}/dispositions",
    "/incontactapi/services/{api_version}/skills",
    "/incontactapi/services/{api_version}/teams",
];

/// Compares one dataset with the schema, and collects mistakes.
pub(super) struct Review<'s> {
    pub schema: &'s Map<String, Value>,
    pub types: &'s Value,
    pub dataset: &'s str,
    pub permission: Option<&'s str>,
    /// Columns that only the other endpoint returns.
    pub extras: Vec<&'s str>,
    /// Other names of columns.
    pub aliases: Vec<&'s str>,
    /// The schema of a row.
    pub row: Value,
    pub mistakes: Vec<String>,
    pub requests: u32,
}

impl Review<'_> {
    fn mistake(&mut self, text: &str) {
        let mistake = format!("{}: {text}", self.dataset);
        if !self.mistakes.contains(&mistake) {
            self.mistakes.push(mistake);
        }
    }

    /// Checks all requests of an endpoint.
    pub fn endpoint(&mut self, dataset: &Value, endpoint: &Value) {
        if let Some(submit) = endpoint.get("submit") {
            let reply = self.request(submit, "POST");
            self.pointer(&reply, submit.get("task"));
        }
        if let Some(poll) = endpoint.get("poll") {
            let reply = self.request(poll, "GET");
            let state = self.pointer(&reply, poll.get("state"));
            for list in ["done", "failed", "gone"].iter().filter_map(|list| poll.get(*list)) {
                self.value(&state, &list[0], "state");
                self.value(&json!({"type": "array", "items": state}), list, "state");
            }
            self.pointer(&reply, poll.get("error"));
            self.pointer(&reply, endpoint.get("download"));
        }
        endpoint.get("delete").map(|delete| self.request(delete, "DELETE"));
        if let Some(available) = endpoint.get("available") {
            let reply = self.request(available, "GET");
            self.pointer(&reply, available.get("until"));
        }
        if endpoint.get("path").is_some() {
            let reply = self.request(endpoint, "GET");
            for pointer in ["total", "next"] {
                self.pointer(&reply, endpoint.get(pointer));
            }
            if endpoint.get("format").is_none() {
                self.rows(dataset, endpoint, &reply);
            }
        }
    }

    /// Checks a request, and returns the schema of its reply.
    fn request(&mut self, request: &Value, method: &str) -> Value {
        self.requests += 1;
        let path = request["path"].as_str().unwrap();
        let known = self
            .schema
            .iter()
            .find(|(known, _)| same_path(path, known))
            .map(|(_, methods)| methods);
        let method = request.get("method").and_then(Value::as_str).unwrap_or(method);
        let Some(known) = known else {
            if !UNDOCUMENTED.contains(&path) {
                self.mistake(&format!("the schema has no path {path}"));
            }
            return json!({});
        };
        let Some(known) = known.get(method) else {
            self.mistake(&format!("{path} has no {method}"));
            return json!({});
        };
        let keys = |table: &str| {
            request.get(table).and_then(Value::as_object).cloned().unwrap_or_default()
        };
        let (mut query, mut body) = (keys("query"), keys("body"));
        if method == "GET" { &mut query } else { &mut body }.extend(keys("defaults"));
        for name in query.keys() {
            if !known["query"]
                .as_array()
                .is_some_and(|names| names.iter().any(|known| known == name))
            {
                self.mistake(&format!("{method} {path} has no parameter {name}"));
            }
        }
        match known.get("body") {
            Some(tree) => self.value(tree, &Value::Object(body), path),
            None if body.is_empty() => {}
            None => self.mistake(&format!("{method} {path} takes no body")),
        }
        self.permitted(path, known);
        known.get("reply").cloned().unwrap_or(json!({}))
    }

    fn permitted(&mut self, path: &str, known: &Value) {
        let needed = known.get("permissions").and_then(Value::as_array);
        let named = needed
            .is_none_or(|needed| needed.iter().any(|needed| needed.as_str() == self.permission));
        if !named {
            self.mistake(&format!("{path} does not need {:?}", self.permission));
        }
    }

    /// Checks a value in a body, as a state or as a row.
    pub fn value(&mut self, tree: &Value, value: &Value, of: &str) {
        let kind = tree.get("type").and_then(Value::as_str);
        match value {
            Value::Object(keys) => {
                let known = tree.get("properties").and_then(Value::as_object);
                for (key, value) in keys {
                    match known.map(|known| known.get(key)) {
                        Some(Some(tree)) => self.value(tree, value, &format!("{of} {key}")),
                        Some(None) => self.mistake(&format!("{of} has no key {key}")),
                        None if kind.is_none_or(|kind| kind == "object") => {}
                        None => self.mistake(&format!("{of} must not be an object")),
                    }
                }
            }
            Value::Array(elements) if kind.is_none_or(|kind| kind == "array") => {
                let open = json!({});
                elements.iter().for_each(|element| {
                    self.value(tree.get("items").unwrap_or(&open), element, of)
                });
            }
            Value::String(text) if text.starts_with('{') => {}
            _ => {
                let fits = match kind {
                    None => true,
                    Some("string") => value.is_string(),
                    Some("boolean") => value.is_boolean(),
                    Some("integer") => {
                        value.is_i64()
                            || value.as_str().is_some_and(|text| text.parse::<i64>().is_ok())
                    }
                    Some(kind) => kind == "number" && value.is_number(),
                };
                let listed = tree
                    .get("enum")
                    .and_then(Value::as_array)
                    .is_none_or(|list| list.contains(value));
                if !(fits && listed) {
                    self.mistake(&format!("{of} does not take {value}"));
                }
            }
        }
    }

    /// The schema of the value in a reply to which a JSON pointer leads.
    fn pointer(&mut self, reply: &Value, pointer: Option<&Value>) -> Value {
        let pointer = pointer.and_then(Value::as_str).unwrap_or_default();
        let mut tree = reply.clone();
        for key in pointer.split('/').skip(1) {
            let Some(known) = tree.get("properties") else { return json!({}) };
            let Some(inner) = known.get(key) else {
                self.mistake(&format!("no reply has {key}, as {pointer} says"));
                return json!({});
            };
            tree = inner.clone();
        }
        tree
    }

    /// Checks that the rows are where the catalogue says, and have its columns.
    fn rows(&mut self, dataset: &Value, endpoint: &Value, reply: &Value) {
        let rows = match endpoint["rows"].as_str().unwrap() {
            "*" => only_list(reply),
            _ => self.pointer(reply, endpoint.get("rows")),
        };
        let mut known = rows["items"]["properties"].as_object().cloned().unwrap_or_default();
        if known.is_empty() {
            return;
        }
        for list in endpoint
            .get("explode")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            match known.remove(list).map(|list| list["items"]["properties"].clone()) {
                Some(Value::Object(inner)) => known.extend(inner),
                _ => self.mistake(&format!("the list {list} to explode does not exist")),
            }
        }
        for column in
            [endpoint.get("each").and_then(|each| each.get("column")), synthesized_time(dataset)]
                .into_iter()
                .flatten()
        {
            known.insert(column.as_str().unwrap().to_owned(), json!({}));
        }
        for (column, alias) in
            dataset.get("aliases").and_then(Value::as_object).into_iter().flatten()
        {
            if let Some(tree) = known.get(alias.as_str().unwrap_or_default()).cloned() {
                known.entry(column.clone()).or_insert(tree);
            } else if let (Some(tree), Some(name)) = (known.get(column).cloned(), alias.as_str()) {
                known.insert(name.to_owned(), tree);
            }
        }
        self.row = json!({"properties": known});
        self.columns("", dataset["columns"].as_str().unwrap(), &self.row.clone());
    }

    /// Checks that a row, or a nested value of it, has the columns of a type, and that every field
    /// of it is a column or left out on purpose.
    fn columns(&mut self, outer: &str, name: &str, tree: &Value) {
        let types = self.types;
        let Some(known) = tree.get("properties").and_then(Value::as_object) else { return };
        let columns = types[name].as_object().unwrap();
        let ignored = columns.get("ignore").and_then(Value::as_array);
        let inside = |field: &str| match outer {
            "" => field.to_owned(),
            outer => format!("{outer}.{field}"),
        };
        for field in known.keys() {
            let is_alias = outer.is_empty() && self.aliases.contains(&field.as_str());
            let is_ignored = ignored.is_some_and(|names| names.iter().any(|name| name == field));
            if !columns.contains_key(field) && !is_alias && !is_ignored {
                let of = inside(field);
                self.mistake(&format!("{of} is neither a column nor ignored by [type.{name}]"));
            }
        }
        for (column, kind) in columns {
            let Some(kind) = kind.as_str() else { continue };
            let of = inside(column);
            match known.get(column) {
                Some(tree) => self.column(&of, kind, tree),
                None if self.extras.contains(&of.as_str()) => {}
                None => self.mistake(&format!("no reply has {of}")),
            }
        }
    }

    fn column(&mut self, of: &str, kind: &str, tree: &Value) {
        let Some(is) = tree.get("type").and_then(Value::as_str) else { return };
        let fits = match (kind, is) {
            ("string", "string") => tree.get("format").is_none(),
            ("timestamp" | "duration" | "interval", "string")
            | ("boolean", "boolean")
            | ("double", "number" | "integer") => true,
            ("int64", "integer" | "number") => true,
            ("map", "object") => tree.get("properties").is_none(),
            (list, "array") if list.starts_with("list<") => {
                let inner = &list["list<".len()..list.len() - 1];
                return self.column(of, inner, &tree["items"]);
            }
            (name, "object") if self.types.get(name).is_some() => {
                return self.columns(of, name, tree);
            }
            _ => false,
        };
        if !fits {
            self.mistake(&format!("{of} is {is}, not {kind}"));
        }
    }
}

/// The column that the program fills itself.
fn synthesized_time(dataset: &Value) -> Option<&Value> {
    let is_synthesized =
        ["stamp", "snapshot"].iter().any(|key| dataset.get(*key) == Some(&json!(true)));
    dataset.get("time").filter(|_| is_synthesized)
}

/// The only list at the top of a reply.
fn only_list(reply: &Value) -> Value {
    let mut fields = reply["properties"].as_object().into_iter().flat_map(Map::values);
    fields.find(|tree| tree["type"] == "array").cloned().unwrap_or(json!({}))
}

/// Whether a path of a catalogue is a path of the schema: `{…}` matches `{…}` with any name, and
/// the placeholder of the version matches any version.
fn same_path(path: &str, known: &str) -> bool {
    let same = |(one, other): (&str, &str)| match one {
        "{api_version}" => other.starts_with('v'),
        _ if one.starts_with('{') => other.starts_with('{'),
        _ => one == other,
    };
    path.split('/').count() == known.split('/').count()
        && path.split('/').zip(known.split('/')).all(same)
}
