//! Rows with duplicate keys, empty values, bad bytes, odd times, and errors after many values.

use super::*;

#[test]
fn one_bad_byte_costs_its_row() {
    let bad_rows: [&[u8]; 4] = [
        b"{\"no\": 7, \"at\": 1, \"name\": \"caf\xe9\"}",
        b"{\"no\": 7, \"at\": 1, \"unknown\": [\"\xff\"]}",
        b"{\"no\": 7, \"at\": 1, \"name\": \"a\x01b\"}",
        b"{\"no\": 7, \"at\": 1, \"unknown\": NaN}",
    ];
    let owner = Interval::new(0, 1_000).unwrap();
    for bad_row in bad_rows {
        let (first, last) = (row(1, ""), row(2, ""));
        let rows = [first.as_bytes(), bad_row, last.as_bytes()].join(b", ".as_slice());
        let body = [br#"{"data": {"calls": ["#, &*rows, br#"], "count": 3}}"#].concat();
        for fixed in [vec![], vec![("name".to_owned(), "x".to_owned())]] {
            let dataset = dataset("calls");
            let parser = PageParser::new(dataset.endpoint(), fixed.clone());
            let reply = parser.find(body.clone().into()).unwrap();
            assert_eq!((reply.items, reply.total), (3, Some(3)));
            let page = Decoder::new(&dataset).decode(&reply, owner).unwrap();
            assert_eq!((ints(&page), page.received), (vec![1, 2], 3));
            let bad: Vec<_> = page.bad.iter().map(|bad| bad.raw).collect();
            let is_utf8 = str::from_utf8(bad_row).is_ok();
            match fixed.as_slice() {
                [_] if is_utf8 => assert_eq!(bad.len(), 1),
                _ => assert_eq!(bad, [bad_row], "{:?}", String::from_utf8_lossy(bad_row)),
            }
        }
    }
}

#[test]
fn of_a_key_that_comes_twice_the_last_wins() {
    let twice = row(
        1,
        r#", "no": 2, "name": "a", "name": "b", "score": 1, "score": null, "legs": [{"seconds": 1}, {}],
            "legs": [{"seconds": 2, "codes": [1]}], "notes": {"a": "1", "b": "2", "a": null, "c": "3", "b": "4"}"#,
    );
    let page = decode(&[row(0, ""), twice, row(3, r#", "legs": [null], "legs": []"#)].join(","));
    assert_eq!(ints(&page), [0, 2, 3]);
    let name = page.batch.column(2).as_string::<i32>();
    assert_eq!(name.iter().collect::<Vec<_>>(), [None, Some("b"), None]);
    assert!(page.batch.column(3).is_null(1));
    let notes = page.batch.column(5).as_map().value(1);
    let texts = |at: usize| notes.column(at).as_string::<i32>().iter().collect::<Vec<_>>();
    assert_eq!(
        (texts(0), texts(1)),
        (["a", "c", "b"].map(Some).into(), vec![None, Some("3"), Some("4")])
    );
    let legs = page.batch.column(6).as_list::<i32>();
    assert_eq!((legs.value(1).len(), legs.value(2).len(), legs.is_null(0)), (1, 0, true));
    let seconds = legs.values().as_struct().column(0).as_primitive::<Int64Type>();
    assert_eq!(seconds.values(), &[2]);
}

#[test]
fn a_large_map_keeps_the_last_of_equal_keys() {
    let entries: Vec<_> = (0..50).map(|at| format!(r#""k{}": {at}"#, at % 20)).collect();
    let page = decode(&row(1, &format!(r#", "notes": {{{}}}"#, entries.join(","))));
    let notes = page.batch.column(5).as_map().value(0);
    let values: Vec<_> = notes.column(1).as_string::<i32>().iter().flatten().collect();
    assert_eq!(values, (30..50).map(|at| at.to_string()).collect::<Vec<_>>());
}

#[test]
fn empty_values_are_null_unless_they_are_texts() {
    let page = decode(&row(
        1,
        r#", "name": "", "score": "", "done": "", "notes": [], "legs": [{"seconds": "", "codes": "", "began": ""}, []]"#,
    ));
    assert_eq!(bad(&page), []);
    let is_null = |column: usize| page.batch.column(column).is_null(0);
    assert_eq!([2, 3, 4, 5, 6].map(is_null), [false, true, true, true, false]);
    let legs = page.batch.column(6).as_list::<i32>().value(0);
    let fields = legs.as_struct().columns().iter().map(|field| field.null_count());
    assert_eq!((legs.is_null(1), fields.collect::<Vec<_>>()), (true, vec![2, 2, 2]));
    assert_eq!(page.drift, Drift::default());
}

#[test]
fn an_undecodable_row_leaves_nothing_in_the_columns_of_others() {
    // each fails after values of every kind were read, at some depth
    let ends = [
        r#""score": 01"#,
        r#""legs": [{"seconds": 1, "codes": [1, x]}]"#,
        r#""legs": [{"codes": [1, 2]}, {"seconds": 3, "began": nul}]"#,
        r#""notes": {"a": "b", "c": []}, "no": "x""#,
        r#""legs": [{"seconds": 1, "unknown": 5}], "at": {}"#,
    ];
    let good = |no: i64| {
        let no = no.to_string();
        row(
            &no,
            &format!(
                r#", "notes": {{"n": "{no}"}}, "legs": [{{"seconds": {no}, "codes": [{no}]}}]"#
            ),
        )
    };
    let broken = |end: &str| row(9, &format!(r#", "name": "x", "notes": {{"z": "z"}}, {end}"#));
    let rows: Vec<_> = (0..5).flat_map(|no| [good(no), broken(ends[no as usize])]).collect();
    let page = decode(&rows.join(","));
    let alone = decode(&(0..5).map(good).collect::<Vec<_>>().join(","));
    assert_eq!((page.bad.len(), &page.batch), (5, &alone.batch));
    assert_eq!(page.drift, Drift::default());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_changed_byte_costs_at_most_its_row(
        broken in 0usize..5,
        position in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let good = |no: usize| {
            row(no, r#", "name": "caf\u00e9", "notes": {"a": 1.5}, "legs": [{"codes": [1, null]}]"#)
        };
        let mut rows: Vec<_> = (0..5).map(|no| good(no).into_bytes()).collect();
        let changed = &mut rows[broken][position.index(good(0).len())];
        let is_structure = |byte: u8| b"{}[]\",:\\".contains(&byte);
        let keeps_structure = !is_structure(*changed) && !is_structure(byte);
        *changed = byte;
        let list = rows.join(b",".as_slice());
        let body = [br#"{"data": {"calls": ["#, &*list, b"]}}"].concat();
        let owner = Interval::new(0, 1_000).unwrap();
        match decode_by(&dataset("calls"), &body, owner) {
            Ok(page) => {
                let kept = page.batch.num_rows() as u64 + page.not_owned + page.bad.len() as u64;
                prop_assert_eq!(page.received, kept);
                let read = ints(&page);
                let lost = (0..5).filter(|no| !read.contains(&(*no as i64))).count();
                prop_assert!(!keeps_structure || page.received == 5 && lost <= 1, "{:?}", read);
            }
            Err(_) => prop_assert!(!keeps_structure),
        }
    }
}

#[test]
fn rows_with_times_outside_1990_to_2100_are_counted() {
    let day: Interval = "2024-01-01T00:00:00Z/2024-01-02T00:00:00Z".parse().unwrap();
    let times = [
        "1970-01-20T17:00:00Z",
        "1990-01-01T00:00:00Z",
        "2024-01-01T01:00:00Z",
        "2100-01-01T00:00:00Z",
    ];
    let rows = times.map(|at| format!(r#"{{"no": 1, "at": "{at}"}}"#)).join(",");
    let body = format!(r#"{{"data": {{"calls": [{rows}], "count": 4}}}}"#);
    let page = decode_by(&dataset("calls"), body.as_bytes(), day).unwrap();
    assert_eq!((page.implausible_times, page.not_owned, page.keys.len()), (2, 3, 1));
}
