//! Sums over time.

use std::collections::BTreeMap;

use super::*;

fn query(region: &Region, subject: &str, body: &Value) -> Response<Bytes> {
    let token = token(region, START, "desk");
    let path = format!("/api/v2/analytics/{subject}/aggregates/query");
    let headers =
        [("authorization", &*format!("Bearer {token}")), ("content-type", "application/json")];
    region.reply(START, &request(Method::POST, &path, &headers, &body.to_string()))
}

/// What a catalogue's reader makes of a reply: the rows, in an order of their own.
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

fn sessions(conversation: &Value) -> Vec<Value> {
    let parties = conversation["participants"].as_array().unwrap();
    parties.iter().flat_map(|party| party["sessions"].as_array().unwrap().clone()).collect()
}

#[test]
fn the_sums_are_those_of_the_conversations_by_span_and_group() {
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
    let reply = value(&query(&region, "conversations", &body));
    let (mut told, mut most) = (BTreeMap::new(), 0.0_f64);
    for result in reply["results"].as_array().unwrap() {
        for span in result["data"].as_array().unwrap() {
            let start: Interval = span["interval"].as_str().unwrap().parse().unwrap();
            for metric in span["metrics"].as_array().unwrap() {
                let (name, stats) = (metric["metric"].as_str().unwrap(), &metric["stats"]);
                let sum = stats
                    .get("sum")
                    .map_or_else(|| stats["count"].as_i64(), |sum| Some(sum.as_f64()? as i64));
                let medium = result["group"]["mediaType"].as_str().unwrap().to_owned();
                told.insert((medium, start.from_ms() / 3_600_000, name.to_owned()), sum.unwrap());
                most = most.max(stats.get("max").map_or(0.0, |max| max.as_f64().unwrap()));
            }
        }
    }
    assert!(told.len() > 100);
    assert_eq!(told, counted);
    assert_eq!(most, longest as f64);
}

#[test]
fn a_filter_leaves_what_it_names() {
    let region = region(Settings::default());
    let queue =
        rows(region.truth_of("genesys-cloud", "queues", days(DAY, DAY + 1)).unwrap())[3]["id"]
            .clone();
    let ask = |filter: Value| {
        let body = json!({"interval": days(DAY, DAY + 1).to_string(), "groupBy": ["queueId"], "metrics": ["nOffered"], "filter": filter});
        value(&query(&region, "conversations", &body))
    };
    let one = ask(json!({"type": "and", "predicates": [{"dimension": "queueId", "value": queue}]}));
    assert_eq!(one["results"].as_array().unwrap().len(), 1);
    assert_eq!(one["results"][0]["group"], json!({"queueId": queue}));
    assert_eq!(
        one["results"][0]["data"].as_array().unwrap().len(),
        1,
        "without a granularity there is one span"
    );
    let of_none = ask(
        json!({"type": "and", "predicates": [{"dimension": "queueId", "operator": "notExists"}]}),
    );
    assert_eq!(of_none, json!({"results": []}), "nothing is offered to no queue");
    let either = json!({"type": "or", "predicates": [
        {"dimension": "queueId", "value": queue},
        {"dimension": "mediaType", "value": "fax"},
    ]});
    assert_eq!(ask(either), one);
}

#[test]
fn an_agent_spends_every_span_whole() {
    let region = region(Settings::default());
    let body = json!({
        "interval": span(DAY * DAY_MS, DAY * DAY_MS + 5_400_000).to_string(),
        "granularity": "PT1H",
        "groupBy": ["userId"],
        "metrics": ["tSystemPresence"],
    });
    let reply = value(&query(&region, "users", &body));
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
            "the last span is cut"
        );
    }
}

#[test]
fn the_truth_of_aggregates_is_what_the_catalogue_asks_for_day_by_day() {
    let region = region(Settings { conversations_per_day: 100, ..Settings::default() });
    let catalogue: toml::Table =
        toml::from_str(include_str!("../../catalog/genesys.toml")).unwrap();
    for (dataset, subject) in [
        ("conversation-aggregates", "conversations"),
        ("queue-aggregates", "conversations"),
        ("flow-aggregates", "flows"),
        ("user-aggregates", "users"),
    ] {
        let mut wanted = Vec::new();
        for day in [days(DAY, DAY + 1), days(DAY + 1, DAY + 2)] {
            let mut body =
                serde_json::to_value(&catalogue["dataset"][dataset]["query"]["defaults"]).unwrap();
            body["interval"] = day.to_string().into();
            wanted.extend(exploded(&value(&query(&region, subject, &body))));
        }
        wanted.sort();
        let told = rows(region.truth_of("genesys-cloud", dataset, days(DAY, DAY + 2)).unwrap());
        let mut told: Vec<_> = told.iter().map(Value::to_string).collect();
        told.sort();
        assert!(told.len() > 30, "{dataset}: {}", told.len());
        assert_eq!(told, wanted, "{dataset}");
    }
}

#[test]
fn an_aggregate_that_cannot_be_understood_is_a_bad_request() {
    let lacks =
        Settings { deny: vec!["analytics:userAggregate:view".to_owned()], ..Settings::default() };
    let region = region(lacks);
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
        let message = refused(&query(&region, "conversations", &body), 400, "bad.request");
        assert!(message.contains(words), "{message}");
    }
    let whole = json!({"interval": day, "metrics": ["tSystemPresence"]});
    refused(&query(&region, "users", &whole), 403, "missing.permissions");
}
