//! Which columns and rows are exported.

use arrow::{
    array::{Array, ArrayRef, StringArray, StructArray},
    buffer::NullBuffer,
};

use super::*;

#[tokio::test]
async fn columns_of_nested_rows_are_found_by_path() {
    let calls = calls(&[A, B]).await;
    for (path, expected) in [
        ("media", ["voice", "\"\""]),
        ("seconds", ["60", "-7"]),
        ("at", ["2024-01-01T08:00:00Z", "2024-01-01T09:00:00.000001Z"]),
        ("open", ["true", ""]),
        ("score", ["1.5", ""]),
        ("tags[\"a b\"]", ["1", ""]),
        ("tags[\"x.y\"]", ["2", ""]),
        ("tags.none", ["", ""]),
        ("tags", [r#""{""a b"":""1"",""x.y"":""2""}""#, ""]),
        ("legs[0].ani", ["+49 1", ""]),
        ("legs[0].hops[1]", ["2", ""]),
        ("legs[0].hops", ["\"[1,2]\"", ""]),
        ("legs[1].ani", ["", ""]),
        ("legs[1]", ["{}", ""]),
        ("legs[7].at", ["", ""]),
        ("legs", [r#""[{""ani"":""+49 1"",""hops"":[1,2]},{}]""#, "[]"]),
    ] {
        let text = calls.export(&request(&format!("id,{path}"), ""), Format::Csv, false).await;
        let rows: Vec<_> = text.split("\r\n").skip(1).take(2).collect();
        let expected = [format!("a,{}", expected[0]), format!("b,{}", expected[1])];
        assert_eq!(rows, expected, "{path}");
    }
}

#[tokio::test]
async fn a_column_that_is_not_there_names_the_nearest_ones() {
    let calls = calls(&[A]).await;
    for (columns, expected) in [
        ("mediaType", "--columns: there is no column `mediaType`: the nearest are `media`"),
        ("id, ani", "there is no column `ani`: the nearest are `legs[0].ani`"),
        ("legs[0].anis", "there is no column `legs[0].anis`: the nearest are `legs[0].ani`"),
        ("legs.ani", "`legs.ani`: what has `ani` is a list: write an index before it, such as [0]"),
        ("media[0]", "`media[0]`: what has [0] is not a list"),
        ("media.x", "`media.x`: what has `x` has no columns inside"),
        ("id,,at", "`,at`: expected the name of a column"),
        ("id at", "`id at`: expected a comma before `at`"),
        ("legs[-1]", "`legs[-1]`: expected an index such as [0]"),
    ] {
        let error = Export::prepare(&calls.scope, &request(columns, "")).unwrap_err().to_string();
        assert!(error.contains(expected), "{columns}: {error}");
    }
}

#[tokio::test]
async fn a_condition_selects_rows_by_typed_values_and_null_meets_no_comparison() {
    let calls = calls(&[A, B, C]).await;
    for (condition, expected) in [
        ("media = 'voice'", "a"),
        ("media != 'voice'", "c b"),
        ("media = ''", "b"),
        ("seconds < 0", "b"),
        ("seconds >= -7 AND seconds<=60", "a b"),
        ("seconds != 60", "b"),
        ("score > 1.4 and score = 1.5", "a"),
        ("score is null", "b"),
        ("score is not null and open is null", "c"),
        ("open = true", "a"),
        ("at >= 2024-01-01T08:00:00Z", "a b"),
        ("at < '2024-01-01T08:00:00Z'", "c"),
        ("at > 2024-01-02", ""),
        ("legs[0].ani = '+49 1'", "a"),
        ("tags[\"a b\"] = '1'", "a"),
        ("legs is null", "c"),
    ] {
        let text = calls.export(&request("id", condition), Format::Csv, false).await;
        let rows: Vec<_> = text.split_whitespace().skip(1).collect();
        assert_eq!(rows.join(" "), expected, "{condition}");
    }
    for (condition, expected) in [
        ("media", "expected one of = != < <= > >= `is null` `is not null` after `media`"),
        ("media = voice", "--where: `media` is a text: write it like 'voice', found `voice`"),
        ("media = 'voice", "expected a quote at the end of `'voice`"),
        ("seconds = 1.5", "`seconds` is a whole number, found `1.5`"),
        ("score = much", "`score` is a number, found `much`"),
        ("open = 1", "`open` is true or false, found `1`"),
        ("at < tomorrow", "`tomorrow` is not a valid time"),
        ("legs = 1", "`legs` is nested: only `is null` and `is not null` apply"),
        ("open = true or open = false", "expected `and` or the end, found `or open = false`"),
        ("open is true", "expected `is null` or `is not null` after `open`"),
        ("opened = true", "there is no column `opened`: the nearest are `open`"),
        ("", "expected the name of a column"),
    ] {
        let asked = ExportRequest { condition: Some(condition.to_owned()), ..Default::default() };
        let error = Export::prepare(&calls.scope, &asked).unwrap_err().to_string();
        assert!(error.contains(expected), "{condition}: {error}");
    }
}

#[test]
fn what_lies_in_an_object_that_is_null_is_null() {
    let ani: ArrayRef = Arc::new(StringArray::from(vec!["hidden", "seen"]));
    let fields = Fields::from(vec![Field::new("ani", DataType::Utf8, true)]);
    let nulls = NullBuffer::from(vec![false, true]);
    let legs: ArrayRef = Arc::new(StructArray::new(fields.clone(), vec![ani], Some(nulls)));
    let schema = Schema::new(vec![Field::new("leg", DataType::Struct(fields), true)]);
    let rows = RecordBatch::try_new(Arc::new(schema), vec![legs]).unwrap();
    let (path, _) = ColumnPath::read("leg.ani").unwrap();
    let values = Column::find(&path, rows.schema_ref()).unwrap().values(&rows).unwrap();
    assert!(values.is_null(0) && values.is_valid(1));
}
