//! Logins, tokens, limits and paths.

use std::collections::BTreeMap;

use super::*;

#[test]
fn a_token_is_opaque_and_has_no_refresh_token() {
    let region = region(Settings {
        token_lifetime: Duration::from_millis(86_399_900),
        ..Settings::default()
    });
    let reply = login(&region, START, "a");
    assert_eq!(reply.status(), 200);
    let body = value(&reply);
    assert_eq!(
        body.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["access_token", "expires_in", "token_type"]
    );
    assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("bearer"), &json!(86_399)));
    assert_eq!(body["access_token"].as_str().unwrap().len(), 86);
}

#[test]
fn credentials_may_be_in_the_form() {
    let region = region(Settings::default());
    let post = |form: &str| region.reply(START, &request(Method::POST, "/oauth/token", &[], form));
    assert_eq!(post("grant_type=client_credentials&client_id=a&client_secret=b").status(), 200);
    let missing = post("grant_type=client_credentials&client_id=a&client_secret=");
    assert_eq!(
        (missing.status().as_u16(), &value(&missing)["error"]),
        (401, &json!("invalid_client"))
    );
    let unknown = post("grant_type=magic&client_id=a&client_secret=b");
    assert_eq!(
        (unknown.status().as_u16(), &value(&unknown)["error"]),
        (400, &json!("unsupported_grant_type"))
    );
    assert_eq!(get(&region, START, "", "/oauth/token").status(), 405);
}

#[test]
fn a_client_with_a_secret_needs_no_pkce_and_a_public_one_does() {
    let region = region(Settings::default());
    let code = |challenge: &str| {
        let path = format!(
            "/oauth/authorize?response_type=code&client_id=a&redirect_uri=http://x/{challenge}"
        );
        let reply = region.reply(START, &request(Method::GET, &path, &[], ""));
        assert_eq!(reply.status(), 302, "{path}");
        let to: url::Url = reply.headers()["location"].to_str().unwrap().parse().unwrap();
        to.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned()
    };
    let exchange = |code: &str, rest: &str| {
        let form = format!(
            "grant_type=authorization_code&code={code}&client_id=a&redirect_uri=http://x/{rest}"
        );
        region.reply(START, &request(Method::POST, "/oauth/token", &[], &form)).status().as_u16()
    };
    assert_eq!(exchange(&code(""), "&client_secret=s"), 200);
    assert_eq!(exchange(&code(""), ""), 400, "neither secret nor verifier");
    assert_eq!(exchange(&code(""), "&client_secret=s&code_verifier=v"), 400, "no challenge");
    // the challenge of RFC 7636, appendix B
    let challenge = "&code_challenge_method=S256\
                     &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let verifier = "&code_verifier=dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    assert_eq!(exchange(&code(challenge), verifier), 200);
    assert_eq!(exchange(&code(challenge), "&client_secret=s"), 400, "no verifier");
    let plain =
        "/oauth/authorize?response_type=code&client_id=a&redirect_uri=http://x/&code_challenge=c";
    assert_eq!(region.reply(START, &request(Method::GET, plain, &[], "")).status(), 400);
}

#[test]
fn a_wrong_secret_is_an_invalid_client_and_the_right_one_is_never_printed() {
    let settings =
        |secret: &str| Settings { client_secret: Some(secret.into()), ..Settings::default() };
    let wrong = login(&region(settings("other")), START, "a");
    assert_eq!((wrong.status().as_u16(), &value(&wrong)["error"]), (400, &json!("invalid_client")));
    assert_eq!(value(&wrong)["description"], value(&wrong)["error_description"]);
    assert_eq!(login(&region(settings("secret")), START, "a").status(), 200);
    assert!(!format!("{:?}", region(settings("hush"))).contains("hush"));
}

#[test]
fn too_many_token_requests_are_answered_400_rate_limit_exceeded() {
    let region = region(Settings::default());
    for _ in 0..oauth::TOKEN_REQUESTS {
        assert_eq!(login(&region, Duration::from_secs(3), "a").status(), 200);
    }
    let reply = login(&region, Duration::from_secs(62), "a");
    assert_eq!(
        (reply.status().as_u16(), &value(&reply)["error"]),
        (400, &json!("invalid_request"))
    );
    assert!(
        value(&reply)["error_description"].as_str().unwrap().starts_with("rate limit exceeded;")
    );
    assert_eq!(login(&region, Duration::from_secs(63), "a").status(), 200);
}

#[test]
fn a_token_expires_at_its_lifetime() {
    let region =
        region(Settings { token_lifetime: Duration::from_millis(1500), ..Settings::default() });
    let token = token(&region, Duration::from_secs(1), "a");
    assert_eq!(
        get(&region, Duration::from_millis(2499), &token, "/api/v2/tokens/me").status(),
        200
    );
    let late = get(&region, Duration::from_millis(2500), &token, "/api/v2/tokens/me");
    assert_eq!(error_message(&late, 401, "bad.credentials"), "Invalid login credentials.");
}

#[test]
fn with_more_than_max_tokens_the_oldest_is_revoked() {
    let region = region(Settings { max_tokens: 2, ..Settings::default() });
    let tokens = ["a", "b", "a", "a"].map(|client| token(&region, START, client));
    let status = |token: &String| get(&region, START, token, "/api/v2/tokens/me").status().as_u16();
    assert_eq!(tokens.each_ref().map(status), [401, 200, 200, 200]);
}

#[test]
fn a_request_without_a_token_is_answered_401() {
    let reply = region(Settings::default())
        .reply(START, &request(Method::GET, "/api/v2/tokens/me", &[], ""));
    error_message(&reply, 401, "authentication.required");
}

#[test]
fn a_request_above_the_limit_is_answered_429_with_retry_after() {
    let region = Region::new(Settings { requests: 3, ..Settings::default() });
    let (a, same, b) =
        (token(&region, START, "a"), token(&region, START, "a"), token(&region, START, "b"));
    let at = |ms, token: &str| get(&region, Duration::from_millis(ms), token, "/api/v2/tokens/me");
    let limits = |reply: &Response<Bytes>| {
        ["count", "allowed", "reset"].map(|name| {
            reply.headers()[&format!("inin-ratelimit-{name}")]
                .to_str()
                .unwrap()
                .parse::<u64>()
                .unwrap()
        })
    };
    assert_eq!(limits(&at(10_000, &a)), [1, 3, 60]);
    assert_eq!(at(10_000, "unknown").status(), 401, "an invalid token does not count");
    assert_eq!(limits(&at(20_000, &same)), [2, 3, 50]);
    assert_eq!(limits(&at(27_001, &a)), [3, 3, 43]);
    let over = at(28_000, &a);
    let message = error_message(&over, 429, "too.many.requests.retry.after");
    assert_eq!(message, "Rate limit exceeded the maximum. Retry the request in [42] seconds");
    assert_eq!(over.headers()["retry-after"], "42");
    assert_eq!(limits(&at(28_000, &b)), [1, 3, 60], "another client has its own window");
    assert_eq!(at(69_999, &a).status(), 429);
    assert_eq!(limits(&at(70_000, &a)), [1, 3, 60]);
    assert_eq!(region.stats().most_in_window, 5);
}

#[test]
fn every_nth_authenticated_request_gets_a_fault() {
    let region = region(Settings { throttle_every: 2, fail_every: 3, ..Settings::default() });
    let token = token(&region, START, "a");
    let replies: Vec<_> = (0..6)
        .map(|_| {
            get(&region, START, "unknown", "/api/v2/tokens/me");
            get(&region, START, &token, "/api/v2/tokens/me")
        })
        .collect();
    let statuses: Vec<_> = replies.iter().map(|reply| reply.status().as_u16()).collect();
    assert_eq!(statuses, [200, 429, 500, 429, 200, 500]);
    assert_eq!(replies[1].headers()["retry-after"], "1");
    error_message(&replies[2], 500, "internal.server.error");
    let stats = region.stats();
    assert_eq!(stats.api_requests, BTreeMap::from([(200, 2), (401, 6), (429, 2), (500, 2)]));
    let stats = region.reply(START, &request(Method::GET, "/sandbox/stats", &[], ""));
    assert_eq!(
        value(&stats),
        json!({
            "token_requests": {"200": 1},
            "api_requests": {"200": 2, "401": 6, "429": 2, "500": 2},
            "most_in_window": 6,
            "most_in_sliding_window": 6,
            "windows": [{"sent": 6, "refused": 2, "allowed": 0}],
        })
    );
}

#[test]
fn the_platform_identifies_the_client_and_has_no_user_for_it() {
    let region = region(Settings::default());
    let token = token(&region, START, "me");
    let get = |path: &str| get(&region, START, &token, path);
    assert_eq!(value(&get("/api/v2/tokens/me"))["OAuthClient"]["id"], "me");
    let organization = value(&get("/api/v2/organizations/me"));
    assert_eq!(organization["id"], value(&get("/api/v2/tokens/me"))["organization"]["id"]);
    error_message(&get("/api/v2/users/me"), 400, "not.a.user");
    error_message(&get("/api/v2/nowhere"), 404, "not.found");
    error_message(&get("/elsewhere"), 404, "not.found");
    error_message(&get(DETAILS), 405, "method.not.allowed");
    error_message(
        &post(&region, START, &token, &" ".repeat(REQUEST_LIMIT + 1)),
        413,
        "request.entity.too.large",
    );
    let headers = [("authorization", &*format!("Bearer {token}"))];
    error_message(
        &region.reply(START, &request(Method::POST, DETAILS, &headers, "{}")),
        415,
        "unsupported.media.type",
    );
}

#[test]
fn the_same_requests_at_the_same_times_get_the_same_replies() {
    let replies = || {
        let region =
            Region::new(Settings { requests: 2, throttle_every: 3, ..Settings::default() });
        let token = token(&region, START, "a");
        let query = json!({"interval": days(DAY, DAY + 1).to_string()}).to_string();
        let all = (0..4).map(|s| post(&region, Duration::from_secs(s), &token, &query));
        all.map(|reply| format!("{reply:?}")).collect::<Vec<_>>()
    };
    assert_eq!(replies(), replies());
}
