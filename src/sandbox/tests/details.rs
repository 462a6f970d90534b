//! The conversation details query.

use std::collections::BTreeSet;

use super::*;
use crate::sandbox::time::iso;

#[test]
fn an_interval_of_eight_days_without_a_filter_is_answered_400() {
    let region = region(Settings { conversations_per_day: 1, ..Settings::default() });
    let filter =
        json!([{"type": "and", "predicates": [{"dimension": "mediaType", "value": "voice"}]}]);
    let send = |days_long, filter: &Value| {
        query(
            &region,
            &json!({"interval": days(DAY, DAY + days_long).to_string(), "segmentFilters": filter}),
        )
    };
    assert_eq!(send(7, &json!([])).status(), 200);
    let message =
        "You must specify a search interval as part of your query that does not exceed 7 days.";
    assert_eq!(error_message(&send(8, &json!([])), 400, "bad.request"), message);
    assert_eq!(
        error_message(&send(8, &json!([{"type": "and", "predicates": []}])), 400, "bad.request"),
        message
    );
    assert_eq!(send(31, &filter).status(), 200);
    assert_eq!(error_message(&send(32, &filter), 400, "bad.request"), message.replace('7', "31"));
}

#[test]
fn page_size_and_paging_depth_are_limited() {
    let region = region(Settings { conversations_per_day: 1, ..Settings::default() });
    let send = |paging: Value| {
        query(&region, &json!({"interval": days(DAY, DAY + 1).to_string(), "paging": paging}))
    };
    assert_eq!(send(json!({"pageSize": 100, "pageNumber": 1000})).status(), 200);
    let deep = send(json!({"pageSize": 100, "pageNumber": 1001}));
    assert_eq!(
        error_message(&deep, 400, "bad.request"),
        "Pagination may not exceed 100000 results."
    );
    error_message(&send(json!({"pageSize": 100, "pageNumber": i64::MAX})), 400, "bad.request");
    for paging in [json!({"pageSize": 101}), json!({"pageSize": 0}), json!({"pageNumber": 0})] {
        error_message(&send(paging), 400, "invalid.value");
    }
}

#[test]
fn a_malformed_query_is_answered_400() {
    let region = region(Settings::default());
    let token = token(&region, START, "a");
    let day = days(DAY, DAY + 1).to_string();
    let filter = |dimension: &str| json!({"interval": day, "conversationFilters": [{"predicates": [{"dimension": dimension, "value": "x"}]}]});
    for (body, code, words) in [
        ("{".to_owned(), "bad.request", "malformed"),
        ("{}".to_owned(), "bad.request", "7 days"),
        (json!({"interval": "yesterday"}).to_string(), "bad.request", "slash"),
        (json!({"interval": "a/b"}).to_string(), "invalid.date", "`a`"),
        (json!({"interval": day, "order": "up"}).to_string(), "invalid.value", "up"),
        (
            json!({"interval": day, "orderBy": "conversationEnd"}).to_string(),
            "bad.request",
            "conversationEnd",
        ),
        (
            json!({"interval": day, "surveyFilters": [{}]}).to_string(),
            "bad.request",
            "surveyFilters",
        ),
        (filter("shoeSize").to_string(), "bad.request", "shoeSize"),
        (filter("mediaType").to_string(), "bad.request", "mediaType"),
    ] {
        let message = error_message(&post(&region, START, &token, &body), 400, code);
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn a_page_past_the_end_has_no_conversations_key() {
    let region = region(Settings { conversations_per_day: 30, ..Settings::default() });
    let page = |number| {
        let paging = json!({"pageSize": 25, "pageNumber": number});
        value(&query(
            &region,
            &json!({"interval": days(DAY, DAY + 1).to_string(), "paging": paging}),
        ))
    };
    assert_eq!(page(1)["conversations"].as_array().unwrap().len(), 25);
    assert_eq!(page(2)["conversations"].as_array().unwrap().len(), 5);
    assert_eq!(page(3), json!({"totalHits": 30}));
    let before_1970 =
        value(&query(&region, &json!({"interval": "1969-01-01T00:00:00Z/1969-01-02T00:00:00Z"})));
    assert_eq!(before_1970, json!({"totalHits": 0}));
}

#[test]
fn records_do_not_depend_on_the_page_size() {
    let region = region(Settings { conversations_per_day: 130, ..Settings::default() });
    let two_days = days(DAY, DAY + 2);
    let whole = truth(&region, two_days);
    assert_eq!(whole.len(), 260);
    for size in [1, 7, 100] {
        assert_eq!(all_pages(&region, two_days, size, &json!({})), whole);
    }
    let mut backwards = all_pages(&region, two_days, 33, &json!({"order": "desc"}));
    backwards.reverse();
    assert_eq!(backwards, whole);
    assert!(whole.is_sorted_by_key(|row| ms(&row["conversationStart"])));
    let ids: BTreeSet<_> =
        whole.iter().map(|row| row["conversationId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), whole.len());
}

#[test]
fn the_truth_is_byte_for_byte_that_of_the_pages() {
    let region = region(Settings { conversations_per_day: 90, ..Settings::default() });
    let body = json!({"interval": days(DAY, DAY + 1).to_string(), "paging": {"pageSize": 100, "pageNumber": 1}});
    let page = query(&region, &body);
    let day = DAY * DAY_MS..(DAY + 1) * DAY_MS;
    let lines: Vec<u8> = region.truth(day).flatten().collect();
    let joined = String::from_utf8(lines).unwrap().trim_end().replace('\n', ",");
    assert_eq!(page.body(), &format!(r#"{{"conversations":[{joined}],"totalHits":90}}"#));
    let (from, to) = (iso(DAY * DAY_MS + DAY_MS / 2), iso((DAY + 1) * DAY_MS));
    let half = region.reply(
        START,
        &request(Method::GET, &format!("/sandbox/truth?from={from}&to={to}"), &[], ""),
    );
    assert_eq!(
        half.body(),
        &Bytes::from_iter(region.truth(DAY * DAY_MS + DAY_MS / 2..(DAY + 1) * DAY_MS).flatten())
    );
    error_message(
        &region.reply(START, &request(Method::GET, "/sandbox/truth?from=x", &[], "")),
        400,
        "bad.request",
    );
}

#[test]
fn a_query_finds_what_began_on_its_days_and_overlaps_its_interval() {
    let region = region(Settings { conversations_per_day: 400, ..Settings::default() });
    let day = DAY * DAY_MS;
    let everything = truth(&region, days(DAY - 3, DAY + 2));
    for (from, to) in [
        (day + 50_000_000, day + 50_000_000 + 3_600_000),
        (day, day + 1),
        (day - 1, day),
        (day - 3_600_000, day + 3_600_000),
        (day + 40_000_000, day + DAY_MS + 5),
    ] {
        let days = range(from - from.rem_euclid(DAY_MS), to);
        let expected: Vec<_> = everything
            .iter()
            .filter(|row| days.contains(ms(&row["conversationStart"])))
            .filter(|row| row.get("conversationEnd").is_none_or(|end| ms(end) > from))
            .cloned()
            .collect();
        assert!(!expected.is_empty());
        assert_eq!(all_pages(&region, range(from, to), 100, &json!({})), expected);
    }
    let midnight = all_pages(&region, range(day, day + 1), 100, &json!({}));
    assert_eq!(midnight.len(), 1, "the first of a day begins on its first millisecond");
}

#[test]
fn filters_find_the_records_that_match() {
    let region = region(Settings { conversations_per_day: 300, ..Settings::default() });
    let day = days(DAY, DAY + 1);
    let everything = truth(&region, day);
    let has_medium = |row: &Value, medium: &str| {
        sessions(row).iter().any(|session| session["mediaType"] == medium)
    };
    let queue = everything[5]["participants"].to_string().split_once(r#""queueId":""#).unwrap().1
        [..36]
        .to_owned();
    let has_queue = |row: &Value| row.to_string().contains(&queue);
    let outbound = |row: &Value| row["originatingDirection"] == "outbound";
    let is = |dimension: &str, value: &str| json!({"type": "dimension", "dimension": dimension, "operator": "matches", "value": value});
    let check = |query: Value, expected: &dyn Fn(&Value) -> bool| {
        let expected: Vec<_> = everything.iter().filter(|row| expected(row)).cloned().collect();
        assert!(expected.len() < everything.len());
        assert_eq!(all_pages(&region, day, 100, &query), expected, "{query}");
    };
    let segments = |join: &str, predicates: Value| json!({"segmentFilters": [{"type": join, "predicates": predicates}]});
    for medium in ["voice", "callback", "chat", "email", "message", "fax"] {
        check(segments("and", json!([is("mediaType", medium)])), &|row| has_medium(row, medium));
    }
    check(segments("or", json!([is("mediaType", "chat"), is("queueId", &queue)])), &|row| {
        has_medium(row, "chat") || has_queue(row)
    });
    check(segments("and", json!([is("mediaType", "voice"), is("queueId", &queue)])), &|row| {
        has_medium(row, "voice") && has_queue(row)
    });
    check(segments("and", json!([{"dimension": "queueId", "operator": "notExists"}])), &|_| false);
    let mut both = segments("and", json!([is("mediaType", "voice")]));
    both["conversationFilters"] = json!([{"type": "and", "clauses": [{"type": "or", "predicates": [is("originatingDirection", "outbound")]}]}]);
    check(both, &|row| has_medium(row, "voice") && outbound(row));
}

#[test]
fn conversations_are_returned_by_id_and_unknown_ids_are_left_out() {
    let region = region(Settings { conversations_per_day: 120, ..Settings::default() });
    let all = all_pages(&region, days(DAY, DAY + 1), 100, &json!({}));
    let ids: Vec<_> = all.iter().map(|row| row["conversationId"].as_str().unwrap()).collect();
    let token = token(&region, START, "client");
    let by_id = |query: &str| {
        let path = format!("/api/v2/analytics/conversations/details?{query}");
        get(&region, START, &token, &path)
    };
    let rows = |query: &str| value(&by_id(query))["conversations"].as_array().unwrap().clone();
    assert_eq!(rows(&format!("id={}", ids[..100].join(","))), all[..100]);
    assert_eq!(
        rows(&format!("id={}&id=unknown&id={}", ids[7], ids[3])),
        [&all[7], &all[3]].map(Value::clone)
    );
    let message =
        error_message(&by_id(&format!("id={}", ids[..101].join(","))), 400, "bad.request");
    assert_eq!(message, "At most 100 ids are allowed.");
}
