//! Aggregate queries.

use std::collections::BTreeMap;

use super::*;

fn aggregate_query(region: &Region, subject: &str, body: &Value) -> Response<Bytes> {
    let token = token(region, START, "client");
    let path = format!("/api/v2/analytics/{subject}/aggregates/query");
    let headers =
        [("authorization", &*format!("Bearer {token}")), ("content-type", "application/json")];
    region.reply(START, &request(Method::POST, &path, &headers, &body.to_string()))
}

/// The rows of a reply as the catalogue extracts them, sorted.
fn exploded(reply: &Value) -> Vec<String> {
    let mut rows = Vec::new();
    for result in reply["results"].as_array().unwrap() {
        for span in result["data"].as_array().unwrap() {
            let mut row = span.clone();
            row["group"] = result["group"].clone();
            rows.push(row.to_string());
        }
    }
    rows.sort();
    rows
}

#[test]
fn the_sums_equal_those_of_the_conversations_by_bucket_and_group() {
    let region = region(Settings::default());
    let mut counted: BTreeMap<(String, i64, String), i64> = BTreeMap::new();
    let mut longest = 0;
    for conversation in truth(&region, days(DAY, DAY + 2)) {
        let hour = ms(&conversation["conversationStart"]) / 3_600_000;
        for session in sessions(&conversation) {
            for metric in session["metrics"].as_array().unwrap() {
                let (name, value) =
                    (metric["name"].as_str().unwrap(), metric["value"].as_i64().unwrap());
                if ["nConnected", "nOffered", "tHandle"].contains(&name) {
                    let medium = session["mediaType"].as_str().unwrap().to_owned();
                    *counted.entry((medium, hour, name.to_owned())).or_default() += value;
                }
                longest = longest.max(if name == "tHandle" { value } else { 0 });
            }
        }
    }
    let body = json!({
        "interval": days(DAY, DAY + 2).to_string(),
        "granularity": "PT1H",
        "groupBy": ["mediaType"],
        "metrics": ["nConnected", "nOffered", "tHandle"],
    });
    let reply = value(&aggregate_query(&region, "conversations", &body));
    let (mut reported, mut max) = (BTreeMap::new(), 0.0_f64);
    for result in reply["results"].as_array().unwrap() {
        for span in result["data"].as_array().unwrap() {
            let bucket: TimeRange = span["interval"].as_str().unwrap().parse().unwrap();
            for metric in span["metrics"].as_array().unwrap() {
                let (name, stats) = (metric["metric"].as_str().unwrap(), &metric["stats"]);
                let sum = stats
                    .get("sum")
                    .map_or_else(|| stats["count"].as_i64(), |sum| Some(sum.as_f64()? as i64));
                let medium = result["group"]["mediaType"].as_str().unwrap().to_owned();
                reported.insert((medium, bucket.from / 3_600_000, name.to_owned()), sum.unwrap());
                max = max.max(stats.get("max").map_or(0.0, |max| max.as_f64().unwrap()));
            }
        }
    }
    assert!(reported.len() > 100);
    assert_eq!(reported, counted);
    assert_eq!(max, longest as f64);
}

#[test]
fn a_filter_selects_what_it_names() {
    let region = region(Settings::default());
    let queue = truth_of(&region, "queues", days(DAY, DAY + 1))[3]["id"].clone();
    let filtered = |filter: Value| {
        let body = json!({"interval": days(DAY, DAY + 1).to_string(), "groupBy": ["queueId"], "metrics": ["nOffered"], "filter": filter});
        value(&aggregate_query(&region, "conversations", &body))
    };
    let one =
        filtered(json!({"type": "and", "predicates": [{"dimension": "queueId", "value": queue}]}));
    assert_eq!(one["results"].as_array().unwrap().len(), 1);
    assert_eq!(one["results"][0]["group"], json!({"queueId": queue}));
    assert_eq!(
        one["results"][0]["data"].as_array().unwrap().len(),
        1,
        "without a granularity there is one bucket"
    );
    let without_queue = filtered(
        json!({"type": "and", "predicates": [{"dimension": "queueId", "operator": "notExists"}]}),
    );
    assert_eq!(without_queue, json!({"results": []}), "every offer has a queue");
    let either = json!({"type": "or", "predicates": [
        {"dimension": "queueId", "value": queue},
        {"dimension": "mediaType", "value": "fax"},
    ]});
    assert_eq!(filtered(either), one);
}

#[test]
fn the_times_of_an_agent_add_up_to_every_bucket() {
    let region = region(Settings::default());
    let body = json!({
        "interval": range(DAY * DAY_MS, DAY * DAY_MS + 5_400_000).to_string(),
        "granularity": "PT1H",
        "groupBy": ["userId"],
        "metrics": ["tSystemPresence"],
    });
    let reply = value(&aggregate_query(&region, "users", &body));
    let results = reply["results"].as_array().unwrap();
    assert_eq!(results.len(), 60);
    for result in results {
        let lengths = result["data"].as_array().unwrap().iter().map(|span| {
            span["metrics"]
                .as_array()
                .unwrap()
                .iter()
                .map(|metric| metric["stats"]["sum"].as_f64().unwrap())
                .sum()
        });
        assert_eq!(
            lengths.collect::<Vec<f64>>(),
            [3_600_000.0, 1_800_000.0],
            "the last bucket is clipped"
        );
    }
}

#[test]
fn the_truth_of_aggregates_equals_the_catalogues_query_of_each_day() {
    let region = region(Settings { conversations_per_day: 100, ..Settings::default() });
    let catalogue: toml::Table =
        toml::from_str(include_str!("../../catalog/genesys.toml")).unwrap();
    for (dataset, subject) in [
        ("conversation-aggregates", "conversations"),
        ("queue-aggregates", "conversations"),
        ("flow-aggregates", "flows"),
        ("user-aggregates", "users"),
    ] {
        let mut expected = Vec::new();
        for day in [days(DAY, DAY + 1), days(DAY + 1, DAY + 2)] {
            let mut body =
                serde_json::to_value(&catalogue["dataset"][dataset]["query"]["defaults"]).unwrap();
            body["interval"] = day.to_string().into();
            expected.extend(exploded(&value(&aggregate_query(&region, subject, &body))));
        }
        expected.sort();
        let truth = truth_of(&region, dataset, days(DAY, DAY + 2));
        let mut rows: Vec<_> = truth.iter().map(Value::to_string).collect();
        rows.sort();
        assert!(rows.len() > 30, "{dataset}: {}", rows.len());
        assert_eq!(rows, expected, "{dataset}");
    }
}

#[test]
fn a_malformed_aggregate_query_is_answered_400() {
    let denied =
        Settings { deny: vec!["analytics:userAggregate:view".to_owned()], ..Settings::default() };
    let region = region(denied);
    let day = days(DAY, DAY + 1).to_string();
    for (body, words) in [
        (json!({"interval": day}), "metrics"),
        (json!({"metrics": ["nOffered"]}), "interval"),
        (json!({"interval": day, "metrics": ["nOffered"], "granularity": "P1M"}), "granularity"),
        (
            json!({"interval": day, "metrics": ["nOffered"], "granularity": "PT0.001S"}),
            "granularity",
        ),
        (json!({"interval": day, "metrics": ["nOffered"], "groupBy": ["shoeSize"]}), "shoeSize"),
        (
            json!({"interval": day, "metrics": ["nOffered"], "filter": {"predicates": [{"dimension": "hat"}]}}),
            "hat",
        ),
        (json!({"interval": day, "metrics": ["nOffered"], "views": [{}]}), "views"),
        (json!([]), "malformed"),
    ] {
        let message =
            error_message(&aggregate_query(&region, "conversations", &body), 400, "bad.request");
        assert!(message.contains(words), "{message}");
    }
    let whole = json!({"interval": day, "metrics": ["tSystemPresence"]});
    error_message(&aggregate_query(&region, "users", &whole), 403, "missing.permissions");
}
