//! The built-in catalogues request only what the platforms' schemas have, and so does the sandbox
//! answer.
//!
//! The catalogues are read as plain TOML, without the program's reader, to find what that
//! overlooks. The schemas are extracts (`schemas/*.json`, each names its source) as trees of
//! `{type, enum, properties, items}`; `{}` is an omitted part that accepts anything.

mod review;

use std::{fs, path::Path};

use cxbackfill::testing::{Region, Settings};
use serde_json::{Value, json};

use self::review::Review;

/// The platforms: a part of the catalogue's file name, the name in the sandbox, and the schema.
const PLATFORMS: [(&str, &str, &str); 2] = [
    ("genesys", "genesys-cloud", include_str!("../../schemas/genesys.json")),
    ("cxone", "nice-cxone", include_str!("../../schemas/nice-cxone.json")),
];

/// What the platform does and its schema does not have: presence definitions come in pages.
const BEYOND_THE_SCHEMA: [&str; 3] = [
    "presence-definitions: GET /api/v2/presence/definitions has no parameter pageNumber",
    "presence-definitions: GET /api/v2/presence/definitions has no parameter pageSize",
    "presence-definitions: no reply has nextUri, as /nextUri says",
];

#[test]
fn the_catalogues_request_only_what_the_schemas_have() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/catalog");
    let mut requests = 0;
    let mut mistakes = Vec::new();
    for file in fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
        if file.extension().is_some_and(|extension| extension == "toml") {
            let name = file.file_name().unwrap().to_str().unwrap();
            let (_, platform, schema) =
                PLATFORMS.iter().find(|(word, ..)| name.contains(word)).expect(name);
            let (count, found) = review(&fs::read_to_string(&file).unwrap(), platform, schema);
            requests += count;
            let found = found.iter().filter(|flaw| !BEYOND_THE_SCHEMA.contains(&flaw.as_str()));
            mistakes.extend(found.map(|flaw| format!("{name}: {flaw}")));
        }
    }
    assert!(mistakes.is_empty(), "\n{}", mistakes.join("\n"));
    assert!(requests >= 30, "only {requests} requests were found");
}

#[test]
fn a_mistake_in_a_catalogue_is_named() {
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
        ignore = [
            "id", "name", "division", "description", "dateCreated", "dateModified",
            "modifiedBy", "createdBy", "userMemberCount", "joinedMemberCount", "mediaSettings",
            "routingRules", "conditionalGroupRouting", "conditionalGroupActivation", "bullseye",
            "scoringMethod", "lastAgentRoutingMode", "acwSettings", "skillEvaluationMethod",
            "memberGroups", "queueFlow", "emailInQueueFlow", "messageInQueueFlow",
            "whisperPrompt", "onHoldPrompt", "defaultMediaLanguage", "autoAnswerOnly",
            "cannedResponseLibraries", "enableTranscription", "enableAudioMonitoring",
            "enableManualAssignment", "agentOwnedRouting", "directRouting", "callingPartyName",
            "callingPartyNumber", "defaultScripts", "outboundMessagingAddresses",
            "outboundEmailAddress", "peerId", "suppressInQueueCallRecording", "selfUri"
        ]
        [type.sum]
        group = "map"
        interval = "interval"
        ignore = ["metrics", "views"]
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
        ("\"views\"", "\"view\"", "views is neither a column nor ignored by [type.sum]"),
    ] {
        let (_, mistakes) = review(&good.replacen(from, to, 1), platform, schema);
        assert!(mistakes.iter().any(|m| m.contains(word)), "{from} → {to}: {mistakes:?}");
    }
}

/// The number of requests in a catalogue, and the mistakes in them or in the sandbox's rows.
fn review(catalogue: &str, platform: &str, schema: &str) -> (u32, Vec<String>) {
    let mut catalogue: Value = toml::from_str(catalogue).unwrap();
    for entry in catalogue["dataset"].as_object_mut().unwrap().values_mut() {
        if let Some(entity) = entry.get("entity").cloned() {
            entry["job"]["submit"]["defaults"] = entity;
        }
    }
    let schema: Value = serde_json::from_str(schema).unwrap();
    let region = Region::new(Settings::default());
    let (mut requests, mut mistakes) = (0, Vec::new());
    for (dataset, entry) in catalogue["dataset"].as_object().unwrap() {
        let mut review = Review {
            schema: schema["paths"].as_object().unwrap(),
            types: &catalogue["type"],
            dataset,
            permission: entry.get("permission").and_then(Value::as_str),
            extras: Vec::new(),
            aliases: (entry.get("aliases").and_then(Value::as_object).into_iter().flatten())
                .map(|(alias, _)| alias.as_str())
                .collect(),
            row: json!({}),
            mistakes: Vec::new(),
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
        mistakes.append(&mut review.mistakes);
    }
    (requests, mistakes)
}

/// The rows of a day in the sandbox. Empty if it does not simulate the dataset.
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
