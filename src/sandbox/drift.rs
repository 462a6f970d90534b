//! What platforms do to their rows from month to month: new fields, values of other types than
//! documented, and values in other forms that mean the same. The same row always changes alike.

use jiff::{
    Timestamp, ZonedDateTime,
    tz::{self, TimeZone},
};
use serde_json::{Map, Value, json};

use crate::sandbox::rng::Rng;

/// A change of a field.
struct Change {
    /// The key that the object stands under. Empty for the row.
    of: &'static str,
    field: &'static str,
    /// In how many of a thousand objects.
    permille: u64,
    to: To,
}

/// How a field changes.
enum To {
    /// An object without the field gets it, with this value as JSON. A field that the documentation
    /// has gets a value that means that it is absent.
    New(&'static str),
    /// The value, if there is one, becomes one that does not fit the documented type.
    Misfit(&'static str),
    /// The value, if there is one, is written in another form.
    Form(fn(&mut Rng, &Value) -> Value),
}

/// The changes of a conversation. Types and names are documented in the platform's specification.
const CONVERSATION: &[Change] = &[
    new("", "summary", 500, r#"{"text":"Zoë 😀 \"ok\"","score":0.5,"tags":["a",null,{}]}"#),
    new("", "new.field", 300, "7"),
    new("", "first name", 100, r#""Siobhán""#),
    new("", "resolutions", 200, r#""""#),
    misfit("", "externalTag", 300, "[1,2]"),
    misfit("", "mediaStatsMinConversationMos", 200, r#""n/a""#),
    misfit("", "divisionIds", 50, r#"{"home":"none"}"#),
    form("", "mediaStatsMinConversationRFactor", as_text),
    form("", "customerParticipation", as_number_or_name),
    form("", "conversationEnd", other_time),
    new("participants", "locale", 300, r#""de-DE""#),
    misfit("participants", "participantName", 50, r#"{"first":"Zoë"}"#),
    new("sessions", "transcribed", 300, "true"),
    new("sessions", "flow", 300, "[]"),
    new("sessions", "recording", 100, r#""""#),
    misfit("sessions", "direction", 50, r#"["in","out"]"#),
    form("sessions", "recording", as_number_or_name),
    new("segments", "sentiment", 300, "-0.25"),
    new("segments", "q850ResponseCodes", 50, r#""""#),
    misfit("segments", "conference", 50, r#""maybe""#),
    misfit("segments", "segmentEnd", 50, r#""yesterday""#),
    form("segments", "segmentStart", other_time),
    form("segments", "conference", as_number_or_name),
    new("metrics", "unit", 100, r#""ms""#),
    misfit("metrics", "value", 50, "18446744073709551615"),
    misfit("metrics", "emitDate", 50, "[]"),
    form("metrics", "value", as_text_or_double),
];

/// The changes of a contact. Not among them are what requests filter by, and what tells two copies
/// apart in other forms only.
const CONTACT: &[Change] = &[
    new("", "sentimentScore", 300, r#"{"score":-0.5,"text":"Zoë \"fine\"","topics":[null,{}]}"#),
    new("", "channel.id", 300, r#""chat""#),
    new("", "agentId", 500, r#""""#),
    new("", "callbackTime", 300, r#""""#),
    new("", "holdCount", 300, r#""""#),
    new("", "isLogged", 300, r#""""#),
    new("", "refuseTime", 300, r#""""#),
    new("", "tags", 200, r#""""#),
    misfit("", "acwSeconds", 50, r#""n/a""#),
    misfit("", "dateContactWarehoused", 50, r#""0000-00-00""#),
    misfit("", "endReason", 50, r#"["Agent",7]"#),
    misfit("", "primaryDispositionId", 50, r#"{"id":4}"#),
    misfit("", "routingTime", 50, "18446744073709551615"),
    misfit("", "serviceLevelFlag", 50, "0.5"),
    form("", "abandoned", as_number_or_name),
    form("", "contactStartDate", other_time),
    form("", "dateContactWarehoused", other_time),
    form("", "isOutbound", as_number_or_name),
    form("", "lastUpdateTime", other_time),
    form("", "masterContactId", as_text),
    form("", "routingTime", as_text_or_double),
    form("", "totalDurationSeconds", as_text),
    new("tags", "color", 500, r#""red""#),
    misfit("tags", "tagName", 200, r#"{"en":"callback"}"#),
    form("tags", "tagId", as_text_or_double),
];

const fn new(of: &'static str, field: &'static str, permille: u64, json: &'static str) -> Change {
    Change { of, field, permille, to: To::New(json) }
}

const fn misfit(
    of: &'static str,
    field: &'static str,
    permille: u64,
    json: &'static str,
) -> Change {
    Change { of, field, permille, to: To::Misfit(json) }
}

const fn form(of: &'static str, field: &'static str, to: fn(&mut Rng, &Value) -> Value) -> Change {
    Change { of, field, permille: 300, to: To::Form(to) }
}

/// Changes a conversation.
pub(super) fn change_conversation(row: &mut Value, rng: &mut Rng) {
    if let Value::Object(fields) = row {
        change(CONVERSATION, "", fields, rng);
    }
}

/// Changes a contact.
pub(super) fn change_contact(row: &mut Map<String, Value>, rng: &mut Rng) {
    change(CONTACT, "", row, rng);
}

/// Changes an object that stands under `key`, and the objects in its lists.
fn change(changes: &[Change], key: &str, fields: &mut Map<String, Value>, rng: &mut Rng) {
    for Change { of, field, permille, to } in changes {
        if *of != key || !rng.permille(*permille) {
            continue;
        }
        let read = |text: &str| serde_json::from_str(text).unwrap_or_default();
        match (to, fields.get_mut(*field)) {
            (To::New(text), None) => drop(fields.insert((*field).to_owned(), read(text))),
            (To::Misfit(text), Some(value)) => *value = read(text),
            (To::Form(form), Some(value)) => *value = form(rng, value),
            _ => {}
        }
    }
    for (key, value) in fields {
        let Value::Array(elements) = value else { continue };
        for element in elements {
            if let Value::Object(inner) = element {
                change(changes, key, inner, rng);
            }
        }
    }
}

/// A number as text.
fn as_text(_: &mut Rng, value: &Value) -> Value {
    if value.is_number() { value.to_string().into() } else { value.clone() }
}

/// A whole number as text, or with a fraction of zero.
fn as_text_or_double(rng: &mut Rng, value: &Value) -> Value {
    /// The largest whole number up to which doubles represent every whole number.
    const EXACT: i64 = 1 << 53;
    let Some(number) = value.as_i64().filter(|number| number.abs() < EXACT) else {
        return value.clone();
    };
    if rng.permille(500) { number.to_string().into() } else { json!(number as f64) }
}

/// A boolean as a number or a text.
fn as_number_or_name(rng: &mut Rng, value: &Value) -> Value {
    let Some(flag) = value.as_bool() else { return value.clone() };
    match rng.below(3) {
        0 => json!(u8::from(flag)),
        1 => json!(if flag { "True" } else { "False" }),
        _ => json!(if flag { "TRUE" } else { "FALSE" }),
    }
}

/// The same time with an offset, with microseconds, in the basic format, or as a number of
/// milliseconds since 1970.
fn other_time(rng: &mut Rng, value: &Value) -> Value {
    let Some(time) = value.as_str().and_then(|text| text.parse::<Timestamp>().ok()) else {
        return value.clone();
    };
    let utc = ZonedDateTime::new(time, TimeZone::UTC);
    match rng.below(4) {
        0 => {
            let ahead = ZonedDateTime::new(time, tz::offset(5).to_time_zone());
            json!(ahead.strftime("%Y-%m-%dT%H:%M:%S%.f+05:00").to_string())
        }
        1 => json!(utc.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()),
        2 if time.subsec_nanosecond() == 0 => json!(utc.strftime("%Y%m%dT%H%M%SZ").to_string()),
        _ => json!(time.as_millisecond()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_changes_alike_each_time_and_another_one_otherwise() {
        let row = json!({
            "externalTag": "a",
            "customerParticipation": true,
            "conversationEnd": "2024-01-01T00:00:00Z",
            "participants": [{"sessions": [{"metrics": [{"value": 7}]}]}],
        });
        let changed = |seed: u64| {
            let mut row = row.clone();
            change_conversation(&mut row, &mut Rng::new([seed, 0, 0, 0]));
            row
        };
        assert_eq!(changed(1), changed(1));
        let different: std::collections::BTreeSet<_> =
            (0..20).map(|seed| changed(seed).to_string()).collect();
        assert!(different.len() > 15, "{different:?}");
    }

    #[test]
    fn another_form_of_a_time_is_the_same_time() {
        let time = json!("2024-03-01T23:59:58.120Z");
        let forms: std::collections::BTreeSet<_> = (0..30)
            .map(|seed| other_time(&mut Rng::new([seed, 0, 0, 0]), &time).to_string())
            .collect();
        let expected = [
            r#""2024-03-01T23:59:58.120000Z""#,
            r#""2024-03-02T04:59:58.12+05:00""#,
            "1709337598120",
        ];
        assert_eq!(forms.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    }
}
