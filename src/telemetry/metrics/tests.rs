use super::*;

const DAY_MS: i64 = 86_400_000;

fn days(from: i64, to: i64) -> Interval {
    Interval::new(from * DAY_MS, to * DAY_MS).unwrap()
}

/// Metrics of a run with two shards of `calls` and one of `users`.
fn planned() -> Metrics {
    let metrics = Metrics::default();
    let shards = [("calls", days(0, 1)), ("calls", days(1, 2)), ("users", days(0, 2))];
    metrics.plan(shards.into_iter(), Some(100));
    metrics
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_says_how_far_each_dataset_is() {
    let metrics = planned();
    let shard = metrics.fetch_shard("calls", days(1, 2));
    metrics.settle("calls", days(0, 1));
    metrics.fail("users", days(0, 2));
    metrics.receive_rows("calls", 7);
    let snapshot = metrics.snapshot();
    assert_eq!((snapshot.shards_planned, snapshot.shards_done, snapshot.rows), (3, 2, 7));
    assert_eq!(snapshot.share, 0.75);
    let calls = &snapshot.datasets["calls"];
    assert_eq!((calls.words.as_str(), calls.share, calls.shards_done), ("fetching", 0.5, 1));
    assert_eq!(calls.fetching[0].from, "1970-01-02T00:00:00.000Z");
    let users = &snapshot.datasets["users"];
    assert_eq!((users.words.as_str(), users.shards_failed), ("done", 1));
    drop(shard);
    assert_eq!(metrics.snapshot().words, "waiting");
}

#[tokio::test(start_paused = true)]
async fn a_dataset_that_is_given_up_is_no_part_of_what_is_left() {
    let metrics = planned();
    metrics.settle("calls", days(0, 1));
    tokio::time::advance(Duration::from_secs(10)).await;
    metrics.give_up("users", GivenUp::Denied("403".to_owned()));
    metrics.give_up("users", GivenUp::Failing);
    // a shard that another fetcher was at
    metrics.settle("users", days(0, 2));
    let snapshot = metrics.snapshot();
    assert_eq!((snapshot.share, snapshot.eta_s), (0.5, Some(10.0)));
    let users = &snapshot.datasets["users"];
    assert_eq!((users.words.as_str(), users.denied.as_deref()), ("denied", Some("403")));
    metrics.give_up("calls", GivenUp::Failing);
    let calls = &metrics.snapshot().datasets["calls"];
    assert_eq!((calls.words.as_str(), &calls.denied), ("given up", &None));
    assert_eq!(metrics.snapshot().words, "done");
}

#[tokio::test(start_paused = true)]
async fn a_run_is_done_if_all_datasets_are_given_up() {
    let metrics = planned();
    for dataset in ["calls", "users"] {
        metrics.give_up(dataset, GivenUp::Denied("403".to_owned()));
    }
    let snapshot = metrics.snapshot();
    let told = (snapshot.words.as_str(), snapshot.share, snapshot.eta_s);
    assert_eq!(told, ("done", 1.0, Some(0.0)));
}

#[tokio::test(start_paused = true)]
async fn a_pause_of_one_endpoint_is_told_of_its_dataset_alone() {
    let metrics = planned();
    metrics.throttle(Some("calls".into()), Duration::from_secs(42), "429");
    metrics.throttle(Some("calls".into()), Duration::from_secs(20), "429");
    let snapshot = metrics.snapshot();
    assert_eq!((snapshot.words.as_str(), snapshot.rate_limited), ("waiting", 2));
    assert_eq!(snapshot.datasets["calls"].words, "throttled for 42 s");
    assert_eq!(snapshot.datasets["users"].words, "waiting");
    assert_eq!(snapshot.pauses.len(), 1, "the second is within the first");
    metrics.throttle(None, Duration::from_secs(9), "429");
    assert_eq!(metrics.snapshot().words, "throttled for 9 s");
}

#[tokio::test(start_paused = true)]
async fn the_time_that_is_left_is_not_told_before_it_is_known() {
    let unknown = Metrics::default();
    unknown.plan([("calls", days(0, 100))].into_iter(), None);
    assert_eq!(unknown.snapshot().eta_s, None);
    tokio::time::advance(Duration::from_secs(10)).await;
    unknown.settle("calls", days(0, 1));
    assert_eq!(unknown.snapshot().eta_s, None, "1 % says nothing");
    unknown.settle("calls", days(1, 50));
    assert_eq!(unknown.snapshot().eta_s, Some(10.0));

    let metrics = planned();
    let limit = LimitUse { key: "api".into(), used: 0, limit: 300, per_s: 60.0 };
    metrics.set_limit_view(move || vec![limit.clone()]);
    assert_eq!(metrics.snapshot().eta_s, Some(20.0), "100 requests at 5 a second");
    tokio::time::advance(Duration::from_secs(20)).await;
    for _ in 0..20 {
        drop(metrics.send_request(None));
    }
    assert_eq!(metrics.snapshot().eta_s, Some(80.0), "80 requests at 1 a second");
}

#[tokio::test(start_paused = true)]
async fn requests_are_counted_by_dataset_and_status() {
    let metrics = planned();
    let calls = Some(metrics.dataset("calls"));
    let request = metrics.send_request(calls.clone());
    assert_eq!((metrics.in_flight.get(), metrics.dataset("calls").in_flight.get()), (1, 1));
    tokio::time::advance(Duration::from_millis(100)).await;
    request.answered(Some(StatusCode::OK));
    metrics.send_request(calls.clone()).answered(Some(StatusCode::TOO_MANY_REQUESTS));
    metrics.send_request(calls).answered(None);
    let answers: Vec<_> =
        metrics.dataset("calls").answers().filter(|(_, count)| *count > 0).collect();
    assert_eq!(answers, [("2xx", 1), ("429", 1), ("none", 1)]);
    let (_, count, total_s) = metrics.latency();
    assert_eq!((count, total_s, metrics.in_flight.get()), (2, 0.1, 0));
}

#[test]
fn g8_the_newest_tokens_are_kept() {
    let metrics = Metrics::default();
    for lifetime in 0..MOST_MARKS as u64 + 5 {
        metrics.token_issued(Some(Duration::from_secs(lifetime)));
    }
    let tokens = metrics.snapshot().tokens;
    let life = |token: &TokenLife| {
        let [issued, expires] = [&token.issued, token.expires.as_ref().unwrap()]
            .map(|time| time.parse::<Timestamp>().unwrap());
        expires.duration_since(issued).as_secs()
    };
    assert_eq!((tokens.len(), life(&tokens[0])), (MOST_MARKS, 5));
}

#[test]
fn a_sample_holds_what_happened_since_the_last_one() {
    let metrics = planned();
    metrics.receive_rows("calls", 5);
    metrics.sample();
    metrics.receive_rows("calls", 3);
    metrics.retry("timeout");
    metrics.sample();
    let (samples, _) = metrics.samples();
    let counts: Vec<_> = samples.iter().map(|sample| (sample.rows, sample.retries)).collect();
    assert_eq!(counts, [(3, 1)]);
}
