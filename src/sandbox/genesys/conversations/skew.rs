//! Conversations whose sizes and values are spread unevenly: a few with thousands of segments, some
//! with long notes, ids that hardly ever repeat, all in one queue. The same conversation always
//! changes alike.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::sandbox::{rng::Rng, time::iso};

/// Conversations of a thousand that have very many segments, and that have a long note.
const MANY_SEGMENTS_PERMILLE: u64 = 3;
const LONG_NOTE_PERMILLE: u64 = 30;
/// The fewest segments of one that has very many, and the fewest words of a long note. One in ten
/// has ten times as many.
const MANY_SEGMENTS: f64 = 1_000.0;
const LONG_NOTE: f64 = 300.0;
/// Ids that stay as they are, since they tie the parts of a conversation together.
const KEPT_IDS: [&str; 5] = ["conversationId", "participantId", "sessionId", "peerId", "queueId"];
const WORDS: [&str; 12] = [
    "customer",
    "called",
    "about",
    "invoice",
    "Rückfrage",
    "\"urgent\"",
    "refund\n",
    "später",
    "ok",
    "order",
    "again",
    "ご連絡",
];

/// Changes a conversation.
pub(super) fn change(row: &mut Value, rng: &mut Rng) {
    make_ids_unique(row, rng);
    row["externalTag"] = json!(format!("CRM-{:016x}", rng.roll()));
    let Some(segments) = last_segments(row) else { return };
    if rng.permille(LONG_NOTE_PERMILLE)
        && let Some(last) = segments.last_mut()
    {
        last["wrapUpNote"] = note(rng).into();
    }
    if rng.permille(MANY_SEGMENTS_PERMILLE) {
        add_segments(segments, rng);
    }
}

/// Replaces the ids of users, flows, divisions and the like.
fn make_ids_unique(value: &mut Value, rng: &mut Rng) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if value.is_string() && name.ends_with("Id") && !KEPT_IDS.contains(&name.as_str()) {
                    *value = rng.uuid().to_string().into();
                } else {
                    make_ids_unique(value, rng);
                }
            }
        }
        Value::Array(elements) => {
            elements.iter_mut().for_each(|element| make_ids_unique(element, rng));
        }
        _ => {}
    }
}

/// The segments of the last session of the last participant.
fn last_segments(row: &mut Value) -> Option<&mut Vec<Value>> {
    let participant = row["participants"].as_array_mut()?.last_mut()?;
    let session = participant["sessions"].as_array_mut()?.last_mut()?;
    session["segments"].as_array_mut()
}

/// How many of something whose number is spread unevenly.
fn many(fewest: f64, rng: &mut Rng) -> usize {
    (fewest / rng.fraction().max(0.1)) as usize
}

/// Adds short segments that follow each other from the start of the last one.
fn add_segments(segments: &mut Vec<Value>, rng: &mut Rng) {
    let Some(last) = segments.last().cloned() else { return };
    let start = last["segmentStart"].as_str().and_then(|time| time.parse::<Timestamp>().ok());
    let Some(mut at) = start.map(Timestamp::as_millisecond) else { return };
    for _ in 0..many(MANY_SEGMENTS, rng) {
        let end = at + rng.between(20, 20_000);
        segments.push(json!({
            "conference": false,
            "queueId": last["queueId"],
            "segmentEnd": iso(end),
            "segmentStart": iso(at),
            "segmentType": rng.pick(&["interact", "hold"]),
        }));
        at = end;
    }
}

/// A long text that no other conversation has.
fn note(rng: &mut Rng) -> String {
    let words = (0..many(LONG_NOTE, rng)).map(|_| match rng.below(8) {
        0 => rng.below(1_000_000).to_string(),
        _ => rng.pick(&WORDS).to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::{
        genesys::conversations::records::{Records, Variation},
        time::TimeRange,
    };

    fn rows(skew: bool) -> Vec<Value> {
        let mut records = Records::new(1, 2_000);
        records.variation = Variation { skew, ..Variation::default() };
        let pieces = std::sync::Arc::new(records).truth(TimeRange::day(19_800), false);
        let lines: Vec<u8> = pieces.flatten().collect();
        let lines = lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
    }

    /// The values of a key anywhere in a value.
    fn values<'v>(of: &str, value: &'v Value, found: &mut Vec<&'v str>) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    found.extend(value.as_str().filter(|_| key == of));
                    values(of, value, found);
                }
            }
            Value::Array(elements) => {
                elements.iter().for_each(|element| values(of, element, found));
            }
            _ => {}
        }
    }

    #[test]
    fn a_few_conversations_have_most_segments_and_all_are_in_one_queue() {
        let (skewed, usual) = (rows(true), rows(false));
        assert_eq!(skewed, rows(true));
        assert_eq!(skewed.len(), usual.len());
        let segments = |row: &Value| row.to_string().matches("segmentStart").count();
        let sizes: Vec<_> = skewed.iter().map(segments).collect();
        let large: Vec<_> = sizes.iter().filter(|&&segments| segments >= 1_000).collect();
        assert!((1..20).contains(&large.len()), "{large:?}");
        assert!(sizes.iter().filter(|&&segments| segments < 50).count() > 1_900);
        let distinct = |of: &str, rows: &[Value]| {
            let mut found = Vec::new();
            rows.iter().for_each(|row| values(of, row, &mut found));
            (found.iter().collect::<std::collections::HashSet<_>>().len(), found.len())
        };
        assert_eq!(distinct("queueId", &skewed).0, 1);
        assert!(distinct("queueId", &usual).0 > 20);
        let (users, of) = distinct("userId", &skewed);
        assert_eq!(users, of);
        let mut notes = Vec::new();
        skewed.iter().for_each(|row| values("wrapUpNote", row, &mut notes));
        let long = notes.iter().filter(|note| note.len() > 1_500).count();
        assert!((30..100).contains(&long), "{long} long notes");
    }
}
