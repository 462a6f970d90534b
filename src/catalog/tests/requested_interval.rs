//! The interval that is requested, and the width of shards.

use std::time::Duration;

use super::DAY;
use crate::{catalog::builtin, time::interval::Interval};

/// The part of an interval that is requested at `now`; times are hours and minutes since 1970.
fn requested(
    platform: &str,
    dataset: &str,
    from: [i64; 2],
    to: [i64; 2],
    now: [i64; 2],
) -> Option<[[i64; 2]; 2]> {
    let ms = |[hours, minutes]: [i64; 2]| (hours * 60 + minutes) * 60_000;
    let back = |ms: i64| [ms / 3_600_000, ms / 60_000 % 60];
    let interval = Interval::new(ms(from), ms(to)).unwrap();
    let requested = builtin(platform).unwrap().datasets[dataset].requested(interval, ms(now))?;
    Some([back(requested.from_ms()), back(requested.to_ms())])
}

#[test]
fn a_requested_interval_is_aligned() {
    let late = [1_000, 0];
    let days = |from, to| requested("genesys-cloud", "conversation-aggregates", from, to, late);
    assert_eq!(days([1, 0], [75, 30]), Some([[24, 0], [72, 0]]));
    assert_eq!(days([24, 0], [48, 0]), Some([[24, 0], [48, 0]]));
    assert_eq!(days([25, 0], [71, 59]), None, "the interval has no whole day");
    let quarters = |from, to, now| requested("nice-cxone", "agent-performance", from, to, now);
    assert_eq!(quarters([1, 1], [3, 44], late), Some([[1, 15], [3, 30]]));
    assert_eq!(
        quarters([1, 0], [3, 0], [3, 17]),
        Some([[1, 0], [2, 45]]),
        "half an hour before now"
    );
    assert_eq!(quarters([1, 0], [3, 0], [1, 30]), None);
    let anywhere = [[1, 1], [3, 44]];
    assert_eq!(
        requested("genesys-cloud", "conversations", anywhere[0], anywhere[1], late),
        Some(anywhere)
    );
}

#[test]
fn the_end_of_an_interval_is_held_to_now_minus_the_lag() {
    let conversations = |now| requested("genesys-cloud", "conversations", [1, 0], [9, 0], now);
    assert_eq!(conversations([5, 30]), Some([[1, 0], [5, 30]]), "a dataset without a lag");
    assert_eq!(conversations([9, 1]), Some([[1, 0], [9, 0]]));
    assert_eq!(conversations([1, 0]), None, "nothing of it has happened");
    let contacts = |now| requested("nice-cxone", "contacts", [1, 0], [9, 0], now);
    assert_eq!(contacts([5, 30]), Some([[1, 0], [5, 0]]), "a lag of half an hour");
    let days = |now| requested("genesys-cloud", "usage", [0, 0], [96, 0], now);
    assert_eq!(days([49, 0]), Some([[0, 0], [48, 0]]), "whole days that are over");
}

#[test]
fn a_snapshot_is_of_today_whatever_is_requested() {
    assert_eq!(
        requested("genesys-cloud", "users", [1, 0], [2, 0], [49, 7]),
        Some([[48, 0], [72, 0]])
    );
}

#[test]
fn a_shard_is_aligned_and_at_least_one_unit_wide() {
    let minutes = |count: u64| Duration::from_secs(count * 60);
    let width = |platform, dataset, most| builtin(platform).unwrap().datasets[dataset].shard(most);
    let days = |most| width("genesys-cloud", "conversation-aggregates", most);
    assert_eq!([DAY / 24, DAY, DAY * 3 / 2, 7 * DAY].map(days), [DAY, DAY, DAY, 7 * DAY]);
    let quarters = |most| width("nice-cxone", "agent-performance", most);
    assert_eq!([1, 15, 29, 30].map(|most| quarters(minutes(most))), [15, 15, 15, 30].map(minutes));
    assert_eq!(width("genesys-cloud", "conversations", minutes(7)), minutes(7));
}
