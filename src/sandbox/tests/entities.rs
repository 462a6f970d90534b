//! Entity lists.

use super::*;

const PATHS: [(&str, &str, usize); 9] = [
    ("users", "/api/v2/users", 500),
    ("queues", "/api/v2/routing/queues", 500),
    ("wrapup-codes", "/api/v2/routing/wrapupcodes", 100),
    ("skills", "/api/v2/routing/skills", 100),
    ("languages", "/api/v2/routing/languages", 100),
    ("groups", "/api/v2/groups", 100),
    ("flows", "/api/v2/flows", 100),
    ("divisions", "/api/v2/authorization/divisions", 100),
    ("presence-definitions", "/api/v2/presence/definitions", 100),
];

/// All entities of a list, following the links.
fn pages(region: &Region, token: &str, first: &str) -> Vec<Value> {
    let mut next = Some(first.to_owned());
    let mut all = Vec::new();
    while let Some(path) = next {
        let page = value(&get(region, START, token, &path));
        all.extend(page["entities"].as_array().unwrap().clone());
        next = page.get("nextUri").map(|uri| uri.as_str().unwrap().to_owned());
    }
    all
}

fn entities(region: &Region, dataset: &str) -> Vec<Value> {
    truth_of(region, dataset, days(DAY, DAY + 1))
}

#[test]
fn a_list_has_pages_with_relative_links_and_equals_the_truth() {
    let region = region(Settings::default());
    let token = token(&region, START, "a");
    for (dataset, path, max) in PATHS {
        let truth = entities(&region, dataset);
        assert!(truth.len() > 3, "{dataset}");
        assert_eq!(pages(&region, &token, path), truth, "{dataset}");
        assert_eq!(pages(&region, &token, &format!("{path}?pageSize={}", max)), truth, "{dataset}");
    }
    let page = value(&get(
        &region,
        START,
        &token,
        "/api/v2/users?pageSize=500&pageNumber=2&sortOrder=ASC",
    ));
    assert_eq!(
        (&page["total"], &page["pageCount"], page.get("nextUri")),
        (&json!(520), &json!(2), None)
    );
    assert_eq!(page["previousUri"], "/api/v2/users?pageSize=500&pageNumber=1&sortOrder=ASC");
    let past = value(&get(&region, START, &token, "/api/v2/users?pageSize=500&pageNumber=3"));
    assert_eq!(past["entities"], json!([]));
    assert_eq!(pages(&region, &token, "/api/v2/users?state=any&pageSize=500").len(), 560);
}

#[test]
fn a_page_size_above_the_maximum_is_answered_400() {
    let region = region(Settings::default());
    let token = token(&region, START, "a");
    for (_, path, max) in PATHS.iter().filter(|(_, _, max)| *max > 0) {
        for query in
            [format!("pageSize={}", max + 1), "pageSize=0".to_owned(), "pageNumber=0".to_owned()]
        {
            error_message(
                &get(&region, START, &token, &format!("{path}?{query}")),
                400,
                "invalid.value",
            );
        }
    }
}

#[test]
fn conversations_refer_to_the_users_and_queues_of_the_lists() {
    let region = region(Settings::default());
    let ids = |dataset: &str| -> std::collections::HashSet<Value> {
        entities(&region, dataset).iter().map(|entity| entity["id"].clone()).collect()
    };
    let (users, queues, codes) = (ids("users"), ids("queues"), ids("wrapup-codes"));
    assert_eq!((users.len(), queues.len(), codes.len()), (520, 24, 130));
    let mut seen = [0; 3];
    for conversation in truth(&region, days(DAY, DAY + 1)) {
        for participant in conversation["participants"].as_array().unwrap() {
            let segments = participant["sessions"]
                .as_array()
                .unwrap()
                .iter()
                .flat_map(|s| s["segments"].as_array().unwrap());
            for (n, id, known) in segments
                .flat_map(|segment| {
                    [(1, segment.get("queueId"), &queues), (2, segment.get("wrapUpCode"), &codes)]
                })
                .chain([(0, participant.get("userId"), &users)])
            {
                if let Some(id) = id.filter(|id| **id != "ININ-WRAP-UP-TIMEOUT") {
                    seen[n] += 1;
                    assert!(known.contains(id), "{id} is in no list");
                }
            }
        }
    }
    assert!(seen.iter().all(|&count| count > 100), "{seen:?}");
}

#[test]
fn user_details_refer_to_the_presences_of_the_list() {
    let region = region(Settings::default());
    let definitions: std::collections::HashMap<_, _> = entities(&region, "presence-definitions")
        .iter()
        .map(|entity| (entity["id"].clone(), entity["systemPresence"].clone()))
        .collect();
    let records = truth_of(&region, "user-details", days(DAY, DAY + 1));
    let presences = records.iter().filter_map(|record| {
        Some((record.get("organizationPresenceId")?, record["systemPresence"].as_str()?))
    });
    let mut names = std::collections::BTreeSet::new();
    for (id, name) in presences {
        let listed = definitions[id].as_str().unwrap();
        assert_eq!(listed.to_uppercase(), name.replace('_', ""), "{id}");
        names.insert(name);
    }
    assert!(names.len() >= 8, "{names:?}");
}

#[test]
fn a_flow_has_one_name() {
    let region = region(Settings::default());
    let listed: std::collections::HashMap<_, _> = entities(&region, "flows")
        .iter()
        .map(|flow| (flow["id"].clone(), flow["name"].clone()))
        .collect();
    let mut seen = 0;
    for conversation in truth(&region, days(DAY, DAY + 1)) {
        let sessions = conversation["participants"].as_array().unwrap().iter();
        for flow in sessions
            .flat_map(|participant| participant["sessions"].as_array().unwrap())
            .filter_map(|session| session.get("flow"))
        {
            assert_eq!(listed[&flow["flowId"]], flow["flowName"]);
            seen += 1;
        }
    }
    assert!(seen > 50, "{seen}");
}

#[test]
fn references_to_users_have_the_version_of_the_user() {
    let region = region(Settings::default());
    let versions: std::collections::HashMap<_, _> = entities(&region, "users")
        .iter()
        .map(|user| (user["id"].clone(), user["version"].clone()))
        .collect();
    for flow in entities(&region, "flows") {
        assert_eq!(flow["publishedBy"]["version"], versions[&flow["publishedBy"]["id"]]);
    }
    for owner in entities(&region, "groups").iter().flat_map(|it| it["owners"].as_array().unwrap())
    {
        assert_eq!(owner["version"], versions[&owner["id"]]);
    }
}

#[test]
fn every_queue_has_members_who_are_users() {
    let region = region(Settings::default());
    let token = token(&region, START, "a");
    let mut all = Vec::new();
    for queue in entities(&region, "queues") {
        let path = format!("/api/v2/routing/queues/{}/members", queue["id"].as_str().unwrap());
        let members = pages(&region, &token, &format!("{path}?pageSize=100"));
        assert_eq!(queue["memberCount"], members.len());
        assert_eq!(
            value(&get(&region, START, &token, &path)).get("total"),
            None,
            "the schema has no total"
        );
        all.extend(members.into_iter().map(|mut member| {
            member["queueId"] = queue["id"].clone();
            member
        }));
    }
    assert_eq!(all, entities(&region, "queue-members"));
    assert!(all.len() > 24 * 100, "some queues have more than a page");
    error_message(
        &get(&region, START, &token, "/api/v2/routing/queues/nowhere/members"),
        404,
        "not.found",
    );
    error_message(
        &get(&region, START, &token, "/api/v2/routing/queues/a/b/members"),
        404,
        "not.found",
    );
}

#[test]
fn a_list_needs_its_permission() {
    let deny = vec!["routing:queue:view".to_owned()];
    let region = region(Settings { deny, ..Settings::default() });
    let token = token(&region, START, "a");
    let reply = get(&region, START, &token, "/api/v2/routing/queues");
    assert!(error_message(&reply, 403, "missing.permissions").contains("routing:queue:view"));
    assert_eq!(get(&region, START, &token, "/api/v2/users").status(), 200);
    error_message(
        &region.reply(
            START,
            &request(
                Method::PUT,
                "/api/v2/users",
                &[("authorization", &format!("Bearer {token}"))],
                "",
            ),
        ),
        405,
        "method.not.allowed",
    );
}
