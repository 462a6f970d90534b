//! The built-in catalogues ask nothing that the platforms' schemas do not know, and the sandbox
//! answers nothing else.
//!
//! The catalogues are read as plain TOML, without the program's reader: what that overlooks shows
//! here. The schemas are extracts (`schemas/*.json`, each names its source), as trees of
//! `{type, enum, properties, items}`; `{}` is a part that was cut off, which takes anything.

use std::{fs, path::Path};

use cxbackfill::testing::{Region, Settings};
use serde_json::{Map, Value, json};

/// The platforms: a word in the name of the catalogue's file, the sandbox's name, and the schema.
const PLATFORMS: [(&str, &str, &str); 2] = [
    ("genesys", "genesys-cloud", include_str!("../schemas/genesys.json")),
    ("cxone", "nice-cxone", include_str!("../schemas/nice-cxone.json")),
];
/// Paths that the platforms have and the schemas lack: known from the platforms' pages alone, so
/// that nothing but their names is vouched for.
const LACKING: [&str; 4] = [
    "/incontactapi/services/{api_version}/campaigns",
    "/incontactapi/services/{api_version}/dispositions",
    "/incontactapi/services/{api_version}/skills",
    "/incontactapi/services/{api_version}/teams",
];

/// What is wrong with a catalogue.
struct Review<'s> {
    schema: &'s Map<String, Value>,
    types: &'s Value,
    dataset: &'s str,
    permission: Option<&'s str>,
    /// Columns that only the other way to fetch it brings.
    extras: Vec<&'s str>,
    /// What the schema knows of a row.
    row: Value,
    flaws: Vec<String>,
    requests: u32,
}

#[test]
fn the_catalogues_ask_only_what_the_schemas_know() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/catalog");
    let mut requests = 0;
    let mut flaws = Vec::new();
    for file in fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
        if file.extension().is_some_and(|extension| extension == "toml") {
            let name = file.file_name().unwrap().to_str().unwrap();
            let (_, platform, schema) =
                PLATFORMS.iter().find(|(word, ..)| name.contains(word)).expect(name);
            let (count, found) = review(&fs::read_to_string(&file).unwrap(), platform, schema);
            requests += count;
            flaws.extend(found.iter().map(|flaw| format!("{name}: {flaw}")));
        }
    }
    assert!(flaws.is_empty(), "\n{}", flaws.join("\n"));
    assert!(requests >= 30, "only {requests} requests were found");
}

#[test]
fn a_slip_in_a_catalogue_is_named() {
    let good = r#"
        [dataset.queues]
        permission = "routing:queue:view"
        time = "snapshotTime"
        snapshot = true
        columns = "queue"
        [dataset.queues.query]
        method = "GET"
        path = "/api/v2/routing/queues"
        query = { pageSize = "{page_size}" }
        rows = "/entities"
        [dataset.sums]
        permission = "analytics:conversationAggregate:view"
        columns = "sum"
        [dataset.sums.query]
        method = "POST"
        path = "/api/v2/analytics/conversations/aggregates/query"
        body = { interval = "{interval}", filter = { type = "and" } }
        defaults = { metrics = ["nOffered"] }
        rows = "/results"
        explode = ["data"]
        [type.queue]
        snapshotTime = "timestamp"
        memberCount = "int64"
        [type.sum]
        group = "map"
        interval = "interval"
    "#;
    let (_, platform, schema) = PLATFORMS[0];
    assert_eq!(review(good, platform, schema), (2, vec![]));
    for (from, to, word) in [
        ("/routing/queues", "/routing/queue", "no path"),
        ("\"GET\"", "\"DELETE\"", "DELETE"),
        ("pageSize", "page_size", "page_size"),
        ("routing:queue:view", "routing:queue:edit", "routing:queue:edit"),
        ("/entities", "/items", "items"),
        ("memberCount", "members", "members"),
        ("\"int64\"", "\"boolean\"", "boolean"),
        ("type = \"and\"", "kind = \"and\"", "kind"),
        ("type = \"and\"", "type = \"nor\"", "nor"),
        ("nOffered", "nOffers", "nOffers"),
        ("[\"nOffered\"]", "\"nOffered\"", "nOffered"),
        ("explode = [\"data\"]", "", "interval"),
        ("[\"data\"]", "[\"rows\"]", "rows"),
    ] {
        let (_, flaws) = review(&good.replacen(from, to, 1), platform, schema);
        assert!(!flaws.is_empty() && flaws[0].contains(word), "{from} → {to}: {flaws:?}");
    }
}

/// The number of requests in a catalogue, and what is wrong with them or with the sandbox's rows.
fn review(catalogue: &str, platform: &str, schema: &str) -> (u32, Vec<String>) {
    let catalogue: Value = toml::from_str(catalogue).unwrap();
    let schema: Value = serde_json::from_str(schema).unwrap();
    let region = Region::new(Settings::default());
    let (mut requests, mut flaws) = (0, Vec::new());
    for (dataset, entry) in catalogue["dataset"].as_object().unwrap() {
        let mut review = Review {
            schema: schema["paths"].as_object().unwrap(),
            types: &catalogue["type"],
            dataset,
            permission: entry.get("permission").and_then(Value::as_str),
            extras: Vec::new(),
            row: json!({}),
            flaws: Vec::new(),
            requests: 0,
        };
        if let Some(job) = entry.get("job") {
            review.endpoint(entry, job);
            review.extras = job
                .get("extras")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
        }
        if let Some(query) = entry.get("query") {
            review.endpoint(entry, query);
        }
        let row = review.row.clone();
        for line in sandbox_rows(&region, platform, dataset) {
            review.value(&row, &line, "the sandbox's row");
        }
        requests += review.requests;
        flaws.append(&mut review.flaws);
    }
    (requests, flaws)
}

impl Review<'_> {
    fn flaw(&mut self, text: &str) {
        let flaw = format!("{}: {text}", self.dataset);
        if !self.flaws.contains(&flaw) {
            self.flaws.push(flaw);
        }
    }

    /// All requests of a way to fetch a dataset.
    fn endpoint(&mut self, dataset: &Value, endpoint: &Value) {
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

    /// One request: where it goes, what it sends. Gives what the schema knows of its reply.
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
            if !LACKING.contains(&path) {
                self.flaw(&format!("the schema has no path {path}"));
            }
            return json!({});
        };
        let Some(known) = known.get(method) else {
            self.flaw(&format!("{path} has no {method}"));
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
                self.flaw(&format!("{method} {path} has no parameter {name}"));
            }
        }
        match known.get("body") {
            Some(tree) => self.value(tree, &Value::Object(body), path),
            None if body.is_empty() => {}
            None => self.flaw(&format!("{method} {path} takes no body")),
        }
        self.permitted(path, known);
        known.get("reply").cloned().unwrap_or(json!({}))
    }

    fn permitted(&mut self, path: &str, known: &Value) {
        let needed = known.get("permissions").and_then(Value::as_array);
        let named = needed
            .is_none_or(|needed| needed.iter().any(|needed| needed.as_str() == self.permission));
        if !named {
            self.flaw(&format!("{path} does not need {:?}", self.permission));
        }
    }

    /// Whether the schema takes a value, in a body, as a state or as a row.
    fn value(&mut self, tree: &Value, value: &Value, of: &str) {
        let kind = tree.get("type").and_then(Value::as_str);
        match value {
            Value::Object(keys) => {
                let known = tree.get("properties").and_then(Value::as_object);
                for (key, value) in keys {
                    match known.map(|known| known.get(key)) {
                        Some(Some(tree)) => self.value(tree, value, &format!("{of} {key}")),
                        Some(None) => self.flaw(&format!("{of} has no key {key}")),
                        None if kind.is_none_or(|kind| kind == "object") => {}
                        None => self.flaw(&format!("{of} is no object")),
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
                    self.flaw(&format!("{of} does not take {value}"));
                }
            }
        }
    }

    /// What the schema knows of the place in a reply that a JSON pointer names.
    fn pointer(&mut self, reply: &Value, pointer: Option<&Value>) -> Value {
        let pointer = pointer.and_then(Value::as_str).unwrap_or_default();
        let mut tree = reply.clone();
        for key in pointer.split('/').skip(1) {
            let Some(known) = tree.get("properties") else { return json!({}) };
            let Some(inner) = known.get(key) else {
                self.flaw(&format!("no reply has {key}, as {pointer} says"));
                return json!({});
            };
            tree = inner.clone();
        }
        tree
    }

    /// Whether the rows are where the catalogue says, and have its columns.
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
                _ => self.flaw(&format!("there is no list {list} to explode")),
            }
        }
        for column in [endpoint.get("each").and_then(|each| each.get("column")), stamp(dataset)]
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

    /// Whether a row, or what is in a column of it, has the columns of a type.
    fn columns(&mut self, outer: &str, name: &str, tree: &Value) {
        let types = self.types;
        let Some(known) = tree.get("properties") else { return };
        for (column, kind) in types[name].as_object().unwrap() {
            let of = if outer.is_empty() { column.clone() } else { format!("{outer}.{column}") };
            match known.get(column) {
                Some(tree) => self.column(&of, kind.as_str().unwrap(), tree),
                None if self.extras.contains(&of.as_str()) => {}
                None => self.flaw(&format!("no reply has {of}")),
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
            self.flaw(&format!("{of} is {is}, not {kind}"));
        }
    }
}

/// A day's rows, as the sandbox has them; none of a dataset that it does not play.
fn sandbox_rows(region: &Region, platform: &str, dataset: &str) -> Vec<Value> {
    let day = 1_710_720_000_000..1_710_806_400_000; // 2024-03-18
    let lines: Vec<u8> =
        region.truth_of(platform, dataset, day).into_iter().flatten().flatten().collect();
    lines
        .split(|&byte| byte == b'\n')
        .filter(|l| !l.is_empty())
        .map(|l| serde_json::from_slice(l).unwrap())
        .collect()
}

/// The column that the program fills itself.
fn stamp(dataset: &Value) -> Option<&Value> {
    let stamped = ["stamp", "snapshot"].iter().any(|key| dataset.get(*key) == Some(&json!(true)));
    dataset.get("time").filter(|_| stamped)
}

/// The only list at the top of a reply.
fn only_list(reply: &Value) -> Value {
    let mut fields = reply["properties"].as_object().into_iter().flat_map(Map::values);
    fields.find(|tree| tree["type"] == "array").cloned().unwrap_or(json!({}))
}

/// Whether a path of a catalogue is one of the schema: `{…}` stands for `{…}`, whatever their
/// names, and the version for any.
fn same_path(path: &str, known: &str) -> bool {
    let same = |(one, other): (&str, &str)| match one {
        "{api_version}" => other.starts_with('v'),
        _ if one.starts_with('{') => other.starts_with('{'),
        _ => one == other,
    };
    path.split('/').count() == known.split('/').count()
        && path.split('/').zip(known.split('/')).all(same)
}
