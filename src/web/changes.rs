//! What differs between two overviews, so that a browser is sent no more than that.
//!
//! A change is a JSON object: keys that differ with their new value, removed keys with `null`.
//! Objects are compared key by key. Lists whose elements have a key of their own ([`KEYS`]) become
//! `{"$by": key, "$set": changed elements, "$cut": keys of removed elements}`; other lists are
//! replaced as a whole. `merge` in `page/main.js` is the counterpart.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

/// The lists whose elements have a key of their own, and that key.
const KEYS: [(&str, &[&str]); 6] = [
    ("/datasets", &["name"]),
    ("/datasets/days", &["date"]),
    ("/samples", &["at"]),
    ("/sums", &["dataset"]),
    ("/sums/days", &["date", "media"]),
    ("/sums/hours", &["weekday", "hour", "media"]),
];

/// What changed from `old` to `new`. `None` if nothing did.
pub(super) fn changes(old: &Value, new: &Value) -> Option<Value> {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => objects("", old, new, &[]),
        _ => (old != new).then(|| new.clone()),
    }
}

/// What changed of the object at `path`. The values of `always` are told even if they did not.
fn objects(
    path: &str,
    old: &Map<String, Value>,
    new: &Map<String, Value>,
    always: &[&str],
) -> Option<Value> {
    let mut changed = Map::new();
    for (key, value) in new {
        let inner = format!("{path}/{key}");
        let change = match (old.get(key), value) {
            (Some(Value::Object(before)), Value::Object(after)) => {
                objects(&inner, before, after, &[])
            }
            (Some(Value::Array(before)), Value::Array(after)) => lists(&inner, before, after),
            (Some(before), after) if before == after => None,
            (_, after) => Some(after.clone()),
        };
        if let Some(change) = change {
            changed.insert(key.clone(), change);
        }
    }
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        changed.insert(key.clone(), Value::Null);
    }
    if changed.is_empty() {
        return None;
    }
    for key in always {
        changed.insert((*key).to_owned(), new.get(*key).cloned().unwrap_or_default());
    }
    Some(changed.into())
}

fn lists(path: &str, old: &[Value], new: &[Value]) -> Option<Value> {
    if old == new {
        return None;
    }
    let Some((_, by)) = KEYS.iter().find(|(list, _)| *list == path) else {
        return Some(new.into());
    };
    let key = |value: &Value| json!(by.iter().map(|key| value.get(*key)).collect::<Vec<_>>());
    let mut before: HashMap<String, &Value> =
        old.iter().map(|value| (key(value).to_string(), value)).collect();
    let mut set = Vec::new();
    for value in new {
        let change = match (before.remove(&key(value).to_string()), value) {
            (Some(Value::Object(old)), Value::Object(new)) => objects(path, old, new, by),
            (Some(old), new) if old == new => None,
            (_, new) => Some(new.clone()),
        };
        set.extend(change);
    }
    let cut: Vec<Value> = before.into_values().map(key).collect();
    Some(json!({ "$by": by, "$set": set, "$cut": cut }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_sent() {
        let old = json!({
            "totals": { "rows": 1, "files": 2 }, "name": "a", "gone": 1, "pauses": [1],
            "datasets": [
                { "name": "calls", "rows": 1, "days": [
                    { "date": "1", "rows": 1 }, { "date": "2", "rows": 2 }
                ] },
                { "name": "users", "rows": 7, "days": [] }
            ],
            "samples": [{ "at": "a", "rows": 1 }, { "at": "b", "rows": 2 }]
        });
        let new = json!({
            "totals": { "rows": 3, "files": 2 }, "name": "a", "pauses": [1, 2],
            "datasets": [
                { "name": "calls", "rows": 1, "days": [
                    { "date": "1", "rows": 1 }, { "date": "2", "rows": 4 }
                ] },
                { "name": "users", "rows": 7, "days": [] }
            ],
            "samples": [{ "at": "b", "rows": 2 }, { "at": "c", "rows": 3 }]
        });
        let days = json!({ "$by": ["date"], "$set": [{ "date": "2", "rows": 4 }], "$cut": [] });
        let expected = json!({
            "totals": { "rows": 3 }, "gone": null, "pauses": [1, 2],
            "datasets": {
                "$by": ["name"], "$set": [{ "name": "calls", "days": days }], "$cut": []
            },
            "samples": { "$by": ["at"], "$set": [{ "at": "c", "rows": 3 }], "$cut": [["a"]] }
        });
        assert_eq!(changes(&old, &new), Some(expected));
        assert_eq!(changes(&old, &old), None);
    }
}
