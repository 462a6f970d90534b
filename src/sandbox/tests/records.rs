//! Size and content of conversation records.

use std::collections::BTreeSet;

use super::*;

#[test]
fn records_are_three_to_nine_kilobytes() {
    let region = region(Settings { conversations_per_day: 3_000, ..Settings::default() });
    let lines: Vec<u8> = region.truth(DAY * DAY_MS..(DAY + 1) * DAY_MS).flatten().collect();
    let sizes: Vec<_> =
        lines.split(|&byte| byte == b'\n').map(<[u8]>::len).filter(|&size| size > 0).collect();
    let (min, max) = (*sizes.iter().min().unwrap(), *sizes.iter().max().unwrap());
    let mean = sizes.iter().sum::<usize>() / sizes.len();
    assert!(
        min >= 2_700 && max <= 10_500 && (4_000..8_000).contains(&mean),
        "{min} to {max}, {mean} on average"
    );
}

#[test]
fn records_have_the_irregularities_of_real_ones() {
    let region = region(Settings { conversations_per_day: 3_000, ..Settings::default() });
    let rows = truth(&region, days(DAY, DAY + 2));
    let count = |matches: &dyn Fn(&Value) -> bool| rows.iter().filter(|row| matches(row)).count();
    let metrics = |row: &Value| -> Vec<Vec<(String, i64)>> {
        let participants = row["participants"].as_array().unwrap().clone();
        let sessions =
            participants.iter().flat_map(|participant| participant["sessions"].as_array().unwrap());
        let read = |metric: &Value| {
            (metric["name"].as_str().unwrap().to_owned(), metric["value"].as_i64().unwrap())
        };
        sessions
            .map(|session| session["metrics"].as_array().unwrap().iter().map(read).collect())
            .collect()
    };
    assert!(count(&|row| row.get("conversationEnd").is_none()) > 5, "live");
    assert!(
        count(&|row| metrics(row).iter().flatten().any(|metric| metric.1 > 1 << 32)) > 0,
        "past 32 bits"
    );
    assert!(metrics(&rows[0]).iter().flatten().all(|metric| metric.1 >= 0));
    let repeats = |row: &Value| {
        metrics(row).iter().any(|session| {
            session.iter().map(|metric| &metric.0).collect::<BTreeSet<_>>().len() < session.len()
        })
    };
    assert!(count(&repeats) > 100, "repeated names");
    assert!(
        count(&|row| row["participants"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|participant| participant["purpose"] == "agent")
            .count()
            > 1)
            > 100
    );
    assert!(
        count(&|row| row.get("mediaStatsMinConversationMos").is_some_and(Value::is_f64)) > 100,
        "MOS"
    );
    assert!(count(&|row| row.to_string().contains("山田太郎")) > 10, "names");
    assert!(count(&|row| row.to_string().contains("\"audio/PCMU\",\"audio/PCMU\"")) > 10, "codecs");
    assert!(
        count(&|row| row["conversationStart"].as_str().unwrap().len() == 20) > 0,
        "times without millis"
    );
    for key in ["evaluations", "surveys", "resolutions", "externalTag"] {
        let with = count(&|row| row.get(key).is_some());
        assert!(with > 0 && with < rows.len() / 2, "{key}");
    }
}

#[test]
fn nothing_ends_before_it_starts_nor_after_its_conversation() {
    let region = region(Settings { conversations_per_day: 2_000, ..Settings::default() });
    for row in truth(&region, days(DAY, DAY + 1)) {
        let start = ms(&row["conversationStart"]);
        let end = row.get("conversationEnd").map_or(i64::MAX, ms);
        assert!(start < end);
        let mut open = 0;
        for participant in row["participants"].as_array().unwrap() {
            for segment in participant["sessions"]
                .as_array()
                .unwrap()
                .iter()
                .flat_map(|s| s["segments"].as_array().unwrap())
            {
                let from = ms(&segment["segmentStart"]);
                let to = segment.get("segmentEnd").map_or_else(
                    || {
                        open += 1;
                        from
                    },
                    ms,
                );
                assert!(start <= from && from <= to && to <= end, "{row}");
            }
        }
        assert_eq!(
            open > 0,
            end == i64::MAX,
            "a conversation is live as long as a segment is: {row}"
        );
    }
}
