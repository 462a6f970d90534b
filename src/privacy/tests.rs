//! What is hidden of rows, by paths.

use std::sync::Arc;

use arrow::json::LineDelimitedWriter;
use serde_json::{Value, json};

use super::*;
use crate::{
    catalog::{self, Dataset, PersonalColumn, PersonalKind},
    decode::{Decoder, Page, PageParser},
    time::interval::Interval,
};

const CATALOG: &str = r#"
[dataset.calls]
version = 1
id = "no"
time = "at"
newest = "changed"
open = "ended"
columns = "call"
aliases = { caller = "from" }
query = { path = "/calls", rows = "", paging = "none" }

[type.call]
no = "int64"
at = "timestamp"
changed = "timestamp"
ended = "timestamp"
from = "string"
notes = "map"
legs = "list<list<leg>>"
agent = "person"

[type.leg]
to = "string"
cc = "list<string>"
seconds = "int64"

[type.person]
id = "string"
name = "string"

[personal.call]
identifiers = ["from"]
free_texts = ["notes"]

[personal.leg]
identifiers = ["to", "cc"]

[personal.person]
identifiers = ["name"]
"#;

/// A call with a value in each column.
const CALL: &str = r#"{"no": 1, "at": "2024-01-01T00:00:00Z", "from": "+4930123", "agent": {"id": "a", "name": "Zoë"},
    "notes": {"Phone": "+4930123", "Tier": "gold"},
    "legs": [[{"to": "+4930999", "cc": ["x@y.z", null, ""], "seconds": 7}], [], [{"to": null}]]}"#;

fn dataset() -> Arc<Dataset> {
    Arc::clone(&catalog::read("own.toml", CATALOG).unwrap().datasets["calls"])
}

fn key(text: &str) -> HashKey {
    HashKey::new(&text.into())
}

fn settings() -> PolicySettings {
    PolicySettings { key: key("0123456789abcdef"), hides_personal: false, keeps_new_fields: false }
}

fn rules(rules: &[(&str, &str)]) -> Vec<Rule> {
    let rule = |(path, action): &(&str, &str)| Rule {
        names: catalog::type_places::names_in_pattern(path).unwrap(),
        action: action.parse().unwrap(),
    };
    rules.iter().map(rule).collect()
}

fn policy(settings: &PolicySettings, paths: &[(&str, &str)]) -> Policy {
    Policy::new(settings, &dataset(), &rules(paths)).unwrap()
}

/// Decodes calls, which are hidden by a policy.
fn decode(policy: Policy, rows: &str) -> Page {
    let dataset = dataset();
    let body = format!("[{rows}]").into_bytes();
    let reply = PageParser::new(dataset.endpoint(), Vec::new()).find(body.into()).unwrap();
    let day = Interval::day_of(1_704_067_200_000);
    Decoder::new(&dataset).hiding(Arc::new(policy)).decode(&reply, day).unwrap()
}

/// The rows of a page as JSON, without their times.
fn json(page: &Page) -> Vec<Value> {
    let schema = page.batch.schema();
    let is_time = |&at: &usize| *schema.field(at).data_type() == catalog::schema::timestamp();
    let others: Vec<_> = (0..schema.fields().len()).filter(|at| !is_time(at)).collect();
    let mut writer = LineDelimitedWriter::new(Vec::new());
    writer.write(&page.batch.project(&others).unwrap()).unwrap();
    writer.finish().unwrap();
    let text = String::from_utf8(writer.into_inner()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn hidden(settings: &PolicySettings, paths: &[(&str, &str)], row: &str) -> Value {
    json(&decode(policy(settings, paths), row)).remove(0)
}

/// The HMAC-SHA-256 of a text with the key of [`settings`], as `openssl dgst -hmac` prints it.
const HASH_OF_CALLER: &str = "3b350d02c1ba872ed4716ba3a37860bc39d1bf9647a20c44f71ed02b15a7ead3";

#[test]
fn values_are_dropped_hashed_and_masked_at_any_depth_and_others_stay() {
    let paths = [
        ("from", "hash"),
        ("legs[][].to", "mask(3)"),
        ("legs.cc", "hash"),
        ("agent.name", "drop"),
        ("notes.*phone*", "mask(2)"),
    ];
    let row = hidden(&settings(), &paths, CALL);
    let hash = |text: &str| settings().key.hash(text.as_bytes());
    assert_eq!(row["from"], HASH_OF_CALLER);
    assert_eq!(row["agent"], json!({"id": "a"}));
    assert_eq!(row["notes"], json!({"Phone": "******23", "Tier": "gold"}));
    let legs = json!([
        [{"to": "*****999", "cc": [hash("x@y.z"), null, ""], "seconds": 7}],
        [],
        [{}]
    ]);
    assert_eq!(row["legs"], legs);
    let unchanged = hidden(&settings(), &[], CALL);
    assert_eq!(unchanged["from"], "+4930123");
    assert_eq!((&row["no"], &unchanged["no"]), (&json!(1), &json!(1)));
}

#[test]
fn a_rule_for_what_is_inside_a_column_counts_more_than_one_for_all_of_it() {
    let settings = PolicySettings { hides_personal: true, ..settings() };
    let row = hidden(&settings, &[("notes.tier", "keep"), ("agent.name", "keep")], CALL);
    assert_eq!(row["notes"], json!({"Tier": "gold"}), "the entries without a rule are left out");
    assert_eq!(row["agent"], json!({"id": "a", "name": "Zoë"}));
    assert_eq!(row["from"], HASH_OF_CALLER);
    let row = hidden(&settings, &[("legs", "drop"), ("legs.seconds", "keep")], CALL);
    // the set hashes these
    assert_eq!(row["legs"][0][0]["seconds"], 7);
    let row = hidden(&settings, &[("agent", "drop"), ("legs", "drop")], CALL);
    assert_eq!(row["agent"], json!({"name": settings.key.hash("Zoë".as_bytes())}));
    assert_eq!(row["legs"][0][0]["seconds"], Value::Null);
}

#[test]
fn a_text_that_is_no_longer_than_what_a_mask_keeps_is_masked_whole() {
    let row = |from: &str| {
        let row = format!(r#"{{"no": 1, "at": "2024-01-01T00:00:00Z", "from": "{from}"}}"#);
        hidden(&settings(), &[("from", "mask(4)")], &row)["from"].clone()
    };
    assert_eq!((row("1234"), row("äöü56789")), (json!("****"), json!("****6789")));
    assert_eq!(row(""), "");
}

/// A row with values that fit no column.
const ODD: &str = r#"{"no": 1, "at": "2024-01-01T00:00:00Z", "from": "a", "caller": "+4930123", "seen": "Zoë",
    "changed": "yesterday", "agent": "Zoë", "notes": {"Phone": ["+4930123"]},
    "legs": [[{"to": {"n": "+4930123"}, "seconds": "+4930123", "new": "Zoë"}], "Zoë"]}"#;

#[test]
fn values_that_fit_no_column_are_hidden_by_their_paths() {
    let settings = PolicySettings { hides_personal: true, ..settings() };
    let extra = |settings: &PolicySettings, paths: &[(&str, &str)]| {
        hidden(settings, paths, ODD)["_extra"].clone()
    };
    let hash = |text: &str| json!(settings.key.hash(text.as_bytes())).to_string();
    let kept = extra(&settings, &[]);
    // `agent` and `legs` contain hidden columns, `seen` and `new` are not known
    let expected = json!({
        "caller": hash("+4930123"),
        "changed": "\"yesterday\"",
        "legs[0][0].to": hash(r#"{"n": "+4930123"}"#),
    });
    assert_eq!(kept, expected);
    let new_fields = PolicySettings { keeps_new_fields: true, ..settings.clone() };
    let kept = extra(&new_fields, &[]);
    assert_eq!((&kept["seen"], &kept["legs[0][0].new"]), (&json!("\"Zoë\""), &json!("\"Zoë\"")));
    assert_eq!(kept["agent"], Value::Null);
    let masked = extra(&settings, &[("from", "mask(3)"), ("legs.to", "mask(3)")]);
    assert_eq!(masked["legs[0][0].to"], Value::Null, "an object cannot be masked");
    assert!(!masked.to_string().contains("30123"), "{masked}");
}

#[test]
fn a_row_that_cannot_be_decoded_leaves_its_hash_and_a_reason_without_its_values() {
    let row = r#"{"no": "Zoë 4930123", "at": "2024-01-01T00:00:00Z", "from": "+4930123"}"#;
    let page = decode(policy(&settings(), &[("from", "hash")]), &format!("{CALL}, {row}"));
    let bad: Vec<_> = page.bad.iter().collect();
    assert_eq!((bad.len(), bad[0].raw), (1, row.as_bytes()));
    let is_quoted = bad[0].reason.contains("4930") || bad[0].reason.contains("Zoë");
    assert!(bad[0].key.is_some() && !is_quoted, "{}", bad[0].reason);
    assert!(bad[0].reason.starts_with("`no` is not"), "{}", bad[0].reason);
}

#[test]
fn a_column_that_the_program_needs_cannot_be_hidden() {
    for path in ["no", "at", "changed", "ended"] {
        for action in ["drop", "hash", "mask(1)"] {
            let rules = rules(&[(path, action)]);
            let (_, error) = Policy::new(&settings(), &dataset(), &rules).unwrap_err();
            assert!(matches!(error, RuleError::Needed(_)), "{path} {action}: {error:?}");
        }
        assert!(Policy::new(&settings(), &dataset(), &rules(&[(path, "keep")])).is_ok());
    }
}

#[test]
fn the_column_with_the_parent_of_rows_cannot_be_hidden() {
    let mut columns = 0;
    for platform in catalog::PLATFORMS {
        for dataset in catalog::builtin(platform).unwrap().datasets.values() {
            // the same rows, identified by another column
            let other = Dataset { id: vec!["other".to_owned()], ..Dataset::clone(dataset) };
            for parent in dataset.endpoints().filter_map(|endpoint| endpoint.parent.as_ref()) {
                let rule = Rule { names: vec![parent.column.clone()], action: Action::Drop };
                let (_, error) = Policy::new(&settings(), &other, &[rule]).unwrap_err();
                assert_eq!(error, RuleError::Needed("it names the parent of rows"));
                columns += 1;
            }
        }
    }
    assert!(columns > 0);
}

#[test]
fn a_rule_for_a_map_is_one_for_all_of_its_entries() {
    let hash = |text: &str| settings().key.hash(text.as_bytes());
    for (action, expected) in [
        ("hash", json!({"Phone": hash("+4930123"), "Tier": hash("gold")})),
        ("mask(2)", json!({"Phone": "******23", "Tier": "**ld"})),
        ("drop", Value::Null),
    ] {
        assert_eq!(hidden(&settings(), &[("notes", action)], CALL)["notes"], expected, "{action}");
    }
}

#[test]
fn what_is_no_plain_value_in_a_column_that_is_written_counts_as_new_fields() {
    let row = r#"{"no": 1, "at": "2024-01-01T00:00:00Z", "ended": "never", "from": ["+4930123"],
        "changed": {"by": "Zoë"}}"#;
    let extra = hidden(&settings(), &[], row)["_extra"].clone();
    assert_eq!(extra, json!({"ended": "\"never\""}));
    let new_fields = PolicySettings { keeps_new_fields: true, ..settings() };
    let extra = hidden(&new_fields, &[], row)["_extra"].clone();
    assert_eq!(extra["from"], r#"["+4930123"]"#);
}

#[test]
fn nothing_is_kept_of_a_row_of_which_too_much_fits_no_column() {
    let policy = policy(&settings(), &[("from", "hash")]);
    assert_eq!(policy.extra_value("$", r#"{"from": "+4930123"}"#), None);
    let keeping = PolicySettings { keeps_new_fields: true, ..settings() };
    let policy = Policy::new(&keeping, &dataset(), &[]).unwrap();
    assert_eq!(policy.extra_value("$", r#"{"from": "+4930123"}"#), None);
}

#[test]
fn of_two_patterns_for_an_entry_of_a_map_the_longer_one_counts() {
    let row = r#"{"no": 1, "at": "2024-01-01T00:00:00Z",
        "notes": {"Work Phone": "+4930123", "Phone": "+4930124", "Tier": "gold"}}"#;
    let paths = [("notes", "drop"), ("notes.*PHONE", "mask(2)"), ("notes.work*phone", "keep")];
    let row = hidden(&settings(), &paths, row);
    assert_eq!(row["notes"], json!({"Work Phone": "+4930123", "Phone": "******24"}));
}

#[test]
fn entries_of_a_map_that_fit_no_column_follow_the_rules_of_their_keys() {
    let settings = PolicySettings { hides_personal: true, ..settings() };
    let row = r#"{"no": 1, "at": "2024-01-01T00:00:00Z",
        "notes": {"Tier": ["gold"], "Phone": ["+4930123"], "Fax": ["+4930124"]}}"#;
    let paths = [("notes.tier", "keep"), ("notes.phone", "hash")];
    let extra = hidden(&settings, &paths, row)["_extra"].clone();
    let hash = json!(settings.key.hash(br#"["+4930123"]"#)).to_string();
    assert_eq!(extra, json!({"notes.Tier": r#"["gold"]"#, "notes.Phone": hash}));
    let whole = r#"{"no": 1, "at": "2024-01-01T00:00:00Z", "notes": "+4930123"}"#;
    assert_eq!(hidden(&settings, &paths, whole)["_extra"], json!({}));
}

#[test]
fn only_texts_are_hashed_and_masked() {
    let error = |path: &str, action: &str| {
        let rules = rules(&[(path, action)]);
        Policy::new(&settings(), &dataset(), &rules).map(drop).map_err(|(_, error)| error)
    };
    for path in ["legs.seconds", "legs", "agent"] {
        for action in ["hash", "mask(4)"] {
            assert_eq!(error(path, action), Err(RuleError::NoText), "{path}");
        }
        assert_eq!(error(path, "drop"), Ok(()));
    }
    for path in ["frm", "agent.nme", "from.x", "notes.x.y"] {
        assert!(matches!(error(path, "drop"), Err(RuleError::NoColumn { .. })), "{path}");
    }
}

#[test]
fn a_fingerprint_changes_with_the_policy_and_the_key_and_with_nothing_else() {
    let paths = [("from", "hash"), ("agent.name", "drop")];
    let fingerprint = |settings: &PolicySettings, paths: &[(&str, &str)]| {
        policy(settings, paths).fingerprint().to_owned()
    };
    let first = fingerprint(&settings(), &paths);
    assert_eq!(first, fingerprint(&settings(), &[paths[1], paths[0]]));
    for other in [
        fingerprint(&PolicySettings { key: key("fedcba9876543210"), ..settings() }, &paths),
        fingerprint(&PolicySettings { keeps_new_fields: true, ..settings() }, &paths),
        fingerprint(&PolicySettings { hides_personal: true, ..settings() }, &paths),
        fingerprint(&settings(), &paths[..1]),
        fingerprint(&settings(), &[("from", "drop"), paths[1]]),
    ] {
        assert_ne!(first, other);
    }
}

#[test]
fn built_in_personal_columns_exist_and_are_none_that_the_program_needs() {
    let settings = settings();
    for platform in catalog::PLATFORMS {
        for dataset in catalog::builtin(platform).unwrap().datasets.values() {
            for column in &dataset.personal {
                let rules = [Rule { names: column.names.clone(), action: Action::Drop }];
                let policy = Policy::new(&settings, dataset, &rules);
                assert!(policy.is_ok(), "{}: {:?}", dataset.name, policy.err());
            }
        }
    }
}

#[test]
fn a_rule_for_values_that_fit_no_column_is_refused() {
    for path in ["_extra", "_extra.caller"] {
        for action in ["keep", "drop"] {
            let refused = Policy::new(&settings(), &dataset(), &rules(&[(path, action)]));
            assert_eq!(refused.unwrap_err().1, RuleError::Extra, "{path}");
        }
    }
}

#[test]
fn new_fields_in_a_dropped_column_are_dropped_although_new_fields_are_kept() {
    let settings = PolicySettings { keeps_new_fields: true, ..settings() };
    let row = r#"{"no": 1, "at": "2024-01-01T00:00:00Z", "seen": "x",
        "agent": {"id": "a", "nick": "Zoë"}, "legs": [[{"to": "+49", "new": "Zoë"}]]}"#;
    let all = [("agent", "drop"), ("agent.id", "keep"), ("agent.name", "keep"), ("legs", "drop")];
    let row = hidden(&settings, &[&all[..], &[("legs.to", "keep")]].concat(), row);
    assert_eq!(row["_extra"], json!({"seen": "\"x\""}));
    assert_eq!((&row["agent"]["id"], &row["legs"][0][0]["to"]), (&json!("a"), &json!("+49")));
}

#[test]
fn a_column_that_the_program_needs_cannot_be_marked_as_personal_unless_it_is_kept() {
    let settings = PolicySettings { hides_personal: true, ..settings() };
    for (column, id, kind) in
        [("from", "from", PersonalKind::Identifier), ("at", "no", PersonalKind::FreeText)]
    {
        let mut dataset = Dataset { id: vec![id.to_owned()], ..Dataset::clone(&dataset()) };
        dataset.personal = vec![PersonalColumn { names: vec![column.to_owned()], kind }];
        let (rule, error) = Policy::new(&settings, &dataset, &[]).unwrap_err();
        assert!(matches!(error, RuleError::MarkedNeeded(_)), "{error:?}");
        assert_eq!(rule.names, [column]);
        assert!(Policy::new(&settings, &dataset, &rules(&[(column, "keep")])).is_ok());
    }
}

#[test]
fn one_more_mark_leaves_the_fingerprint_as_it_is_until_the_version_of_the_marks_changes() {
    let settings = PolicySettings { hides_personal: true, ..settings() };
    let fingerprint = |personal_version, marks: usize| {
        let mut dataset = Dataset { personal_version, ..Dataset::clone(&dataset()) };
        dataset.personal.truncate(marks);
        Policy::new(&settings, &dataset, &[]).unwrap().fingerprint().to_owned()
    };
    assert_eq!(fingerprint(Some(1), 1), fingerprint(Some(1), 2));
    assert_ne!(fingerprint(Some(1), 2), fingerprint(Some(2), 2));
    assert_ne!(fingerprint(None, 1), fingerprint(None, 2), "a catalog without a version");
}
