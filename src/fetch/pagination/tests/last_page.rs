//! Where a sequence of pages ends without a request for a page that has no rows.

use super::*;

/// The requests for pages with these numbers of items, whose total is `total`, and whether they
/// came to an end.
fn requests(endpoint: &str, total: Option<u64>, pages: &[u64]) -> (usize, bool) {
    let mut pager = pager(endpoint);
    let mut sent = targets(&mut pager).len();
    for &items in pages {
        if advance(&mut pager, &page_with_total(items, "", total)).unwrap() {
            break;
        }
        sent += targets(&mut pager).len();
    }
    (sent, pager.is_finished())
}

#[test]
fn a_page_that_is_not_full_and_reaches_an_exact_total_is_the_last() {
    for paging in [PAGES, OFFSET] {
        let exact = format!("{paging}\ntotal = '/total'\ntotal_is = 'exact'");
        assert_eq!(requests(&exact, Some(13), &[10, 3]), (2, true));
        assert_eq!(requests(&exact, Some(20), &[10, 10]), (3, false), "a full page proves nothing");
        assert_eq!(requests(&exact, Some(13), &[10, 2]), (3, false), "a row is missing");
        assert_eq!(requests(&exact, Some(12), &[10, 3]), (3, false), "the total is wrong");
        assert_eq!(requests(&exact, None, &[10, 3]), (3, false), "there is no total");
        let hint = format!("{paging}\ntotal = '/total'");
        assert_eq!(requests(&hint, Some(13), &[10, 3]), (3, false), "a hint proves nothing");
    }
}

#[test]
fn a_short_page_is_the_last_where_the_catalogue_says_so() {
    for paging in [PAGES, OFFSET] {
        let short_is_last = format!("{paging}\ntotal = '/total'\nshort_page_is_last = true");
        for total in [None, Some(13), Some(99)] {
            assert!(requests(&short_is_last, total, &[10, 3]).1);
        }
        assert_eq!(requests(&short_is_last, Some(13), &[10, 3]), (2, true));
        assert_eq!(requests(&short_is_last, Some(20), &[10, 10]), (3, false));
        assert_eq!(requests(paging, None, &[10, 3]), (3, false));
    }
}

/// The datasets whose last page does not say that it is the last, so that an empty one is
/// requested. The heads of the catalogues say what is known about that.
#[test]
fn the_catalogues_say_of_each_dataset_how_its_end_is_proven() {
    let unproven = |platform: &str| -> Vec<String> {
        let datasets = catalog::builtin(platform).unwrap().datasets.values();
        let ends_empty =
            |endpoint: &&Arc<Endpoint>| endpoint.pages_of(1, 10) > endpoint.pages_of(0, 10);
        let queries =
            datasets.filter(|dataset| dataset.query.iter().any(|query| ends_empty(&query)));
        queries.map(|dataset| dataset.name.clone()).collect()
    };
    assert_eq!(unproven("genesys-cloud"), ["conversations", "user-details"]);
    assert_eq!(
        unproven("nice-cxone"),
        [
            "agent-interaction-history",
            "agent-state-history",
            "agents",
            "campaigns",
            "contact-custom-data",
            "contact-state-history",
            "dispositions",
            "skills",
            "sla-summary",
            "teams",
        ]
    );
    let proven = |platform: &str, dataset: &str| {
        let query = &catalog::builtin(platform).unwrap().datasets[dataset].endpoint().clone();
        [0, 1, 10, 11].map(|items| query.pages_of(items, 10))
    };
    assert_eq!(proven("genesys-cloud", "conversations"), [1, 2, 2, 3]);
    assert_eq!(proven("genesys-cloud", "queues"), [1, 1, 1, 2], "a page names the next one");
    assert_eq!(proven("nice-cxone", "contacts"), [1, 1, 2, 2], "the total is exact");
}
