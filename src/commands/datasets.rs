//! What a dataset is: as a line of a table, as a sheet of its own, as JSON.

use std::{fmt, time::Duration};

use arrow::datatypes::{DataType, Field, FieldRef};
use indicatif::HumanCount;
use serde_json::{Value, json};

use crate::catalog::{Catalog, Dataset, Endpoint, Paging, WireForm};

/// The datasets of a catalogue, a line each.
pub(crate) struct DatasetTable<'a>(pub &'a Catalog);

/// All that is known of a dataset, its columns included.
pub(crate) struct DatasetSheet<'a>(pub &'a Dataset);

impl fmt::Display for DatasetTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["dataset", "rows", "ways and rows of a page", "widest", "permission"]
            .map(str::to_owned);
        let lines: Vec<_> =
            std::iter::once(head).chain(self.0.datasets.values().map(|one| line(one))).collect();
        let width =
            |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or_default();
        let widths: Vec<_> = (0..4).map(width).collect();
        for line in &lines {
            let cells = line.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}  "));
            writeln!(f, "{}", (cells.collect::<String>() + &line[4]).trim_end())?;
        }
        Ok(())
    }
}

fn line(dataset: &Dataset) -> [String; 5] {
    let joined =
        |tell: fn((&str, &Endpoint)) -> String| named(dataset).map(tell).collect::<Vec<_>>();
    let mut widest = joined(|(_, endpoint)| length(endpoint.widest[0]));
    widest.dedup();
    [
        dataset.name.clone(),
        rows(dataset),
        joined(|(name, endpoint)| format!("{name} {}", pages(endpoint))).join(", "),
        widest.join(", "),
        dataset.permission.clone().unwrap_or_default(),
    ]
}

impl fmt::Display for DatasetSheet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dataset = self.0;
        let mut facts = vec![
            ("version", dataset.version.to_string()),
            ("rows", rows(dataset)),
            ("id", dataset.id.join(", ")),
            ("time", dataset.time.clone()),
        ];
        facts.extend(dataset.newest.clone().map(|newest| ("newest", newest)));
        facts.extend(dataset.open.clone().map(|open| ("open", format!("while {open} is null"))));
        facts.extend((!dataset.lag.is_zero()).then(|| ("lag", length(dataset.lag))));
        facts.extend(dataset.permission.clone().map(|permission| ("permission", permission)));
        facts.extend(named(dataset).map(|(name, endpoint)| (name, endpoint_in_words(endpoint))));
        writeln!(f, "{}", dataset.name)?;
        facts.iter().try_for_each(|(name, fact)| writeln!(f, "  {name:<10}  {fact}"))?;
        if !dataset.has_columns {
            return writeln!(
                f,
                "  {:<10}  unknown: `cxbackfill datasets --infer {}`",
                "columns", dataset.name
            );
        }
        writeln!(f, "  columns")?;
        let mut columns = Vec::new();
        dataset
            .schema
            .fields()
            .iter()
            .for_each(|field| list(field, 2, form(dataset, field), &mut columns));
        let width = columns.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        columns.iter().try_for_each(|(name, kind)| writeln!(f, "{name:<width$}  {kind}"))
    }
}

/// A column and those inside it, indented.
fn list(field: &Field, depth: usize, form: Option<WireForm>, columns: &mut Vec<(String, String)>) {
    let from = match form {
        Some(WireForm::Duration) => ", the seconds of a duration",
        Some(WireForm::Interval) => ", the start of an interval",
        None => "",
    };
    columns
        .push((format!("{}{}", "  ".repeat(depth), field.name()), word(field.data_type()) + from));
    inside(field.data_type()).iter().for_each(|field| list(field, depth + 1, None, columns));
}

/// A dataset for programs; durations in seconds, null where there is no limit.
pub(crate) fn json(dataset: &Dataset) -> Value {
    let seconds = |duration: Duration| (duration != Duration::MAX).then_some(duration.as_secs());
    let endpoint = |endpoint: &Endpoint| {
        json!({
            "method": endpoint.request.method.as_str(),
            "path": endpoint.request.path(),
            "paging": paging(endpoint.paging),
            "page_size": (endpoint.paging != Paging::None).then_some(endpoint.page_size),
            "depth": (endpoint.depth != u64::MAX).then_some(endpoint.depth),
            "widest_s": seconds(endpoint.widest[0]),
            "widest_filtered_s": seconds(endpoint.widest[1]),
            "each": endpoint.parent.as_ref().map(|each| &each.dataset),
            "extras": endpoint.extras,
        })
    };
    let kind = match dataset {
        Dataset { snapshot: true, .. } => "snapshot",
        Dataset { synthesizes_time: true, .. } => "shard",
        _ => "time",
    };
    json!({
        "name": dataset.name,
        "version": dataset.version,
        "permission": dataset.permission,
        "rows": kind,
        "id": dataset.id,
        "time": dataset.time,
        "newest": dataset.newest,
        "open": dataset.open,
        "lag_s": dataset.lag.as_secs(),
        "query": dataset.query.as_deref().map(endpoint),
        "job": dataset.job.as_deref().map(endpoint),
        "columns": dataset.has_columns.then(|| columns(dataset.schema.fields())),
    })
}

fn columns(fields: &[FieldRef]) -> Value {
    let column = |field: &FieldRef| {
        let kind = field.data_type();
        let mut column = json!({ "name": field.name(), "type": word(kind) });
        if !inside(kind).is_empty() {
            column["columns"] = columns(inside(kind));
        }
        column
    };
    fields.iter().map(column).collect()
}

/// The ways by name.
fn named(dataset: &Dataset) -> impl Iterator<Item = (&'static str, &Endpoint)> {
    let named = [("query", &dataset.query), ("job", &dataset.job)].into_iter();
    named.filter_map(|(name, endpoint)| Some((name, endpoint.as_deref()?)))
}

/// What decides which rows an interval has.
fn rows(dataset: &Dataset) -> String {
    match dataset {
        Dataset { has_columns: false, .. } => "columns unknown".to_owned(),
        Dataset { snapshot: true, .. } => "snapshot".to_owned(),
        Dataset { synthesizes_time: true, .. } => "by shard".to_owned(),
        Dataset { time, .. } => format!("by {time}"),
    }
}

fn pages(endpoint: &Endpoint) -> String {
    let each = endpoint
        .parent
        .as_ref()
        .map_or(String::new(), |each| format!(" for each of {}", each.dataset));
    match endpoint.paging {
        Paging::None => format!("one page{each}"),
        paged => format!("{} {}{each}", paging(paged), endpoint.page_size),
    }
}

fn endpoint_in_words(endpoint: &Endpoint) -> String {
    let submit = endpoint
        .async_job
        .as_ref()
        .map(|task| format!("{} {}, then ", task.submit.method, task.submit.path()));
    let fetch = match endpoint.async_job.as_ref().and_then(|task| task.download.as_ref()) {
        Some(_) => "a download".to_owned(),
        None => format!("{} {}", endpoint.request.method, endpoint.request.path()),
    };
    let [widest, filtered] = endpoint.widest;
    let limits = [
        Some(pages(endpoint)),
        (endpoint.depth != u64::MAX)
            .then(|| format!("{} rows at most", HumanCount(endpoint.depth))),
        (widest != Duration::MAX).then(|| format!("{} at once", length(widest))),
        (filtered != widest).then(|| format!("{} with a filter", length(filtered))),
        (!endpoint.extras.is_empty()).then(|| format!("alone has {}", endpoint.extras.join(", "))),
    ];
    let limits: Vec<_> = limits.into_iter().flatten().collect();
    format!("{}{fetch}: {}", submit.unwrap_or_default(), limits.join(", "))
}

fn paging(paging: Paging) -> &'static str {
    match paging {
        Paging::PageNumber => "page-number",
        Paging::Offset => "offset",
        Paging::Cursor => "cursor",
        Paging::NextLink => "next-link",
        Paging::None => "none",
    }
}

fn form(dataset: &Dataset, field: &Field) -> Option<WireForm> {
    dataset.forms.get(field.name()).copied()
}

/// A column type in the words of a catalogue; what is nested is a struct.
fn word(kind: &DataType) -> String {
    match kind {
        DataType::List(element) => format!("list<{}>", word(element.data_type())),
        DataType::Struct(_) => "struct".to_owned(),
        DataType::Map(..) => "map".to_owned(),
        DataType::Timestamp(..) => "timestamp".to_owned(),
        DataType::Int64 => "int64".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        _ => "string".to_owned(),
    }
}

/// The columns inside a column.
fn inside(kind: &DataType) -> &[FieldRef] {
    match kind {
        DataType::List(element) => inside(element.data_type()),
        DataType::Struct(fields) => fields,
        _ => &[],
    }
}

/// A duration in its largest whole unit; `-` where there is no limit.
fn length(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if duration == Duration::MAX {
        return "-".to_owned();
    }
    let units = [(86_400, "d"), (3_600, "h"), (60, "m")];
    let (unit, name) =
        units.into_iter().find(|(unit, _)| seconds.is_multiple_of(*unit)).unwrap_or((1, "s"));
    format!("{}{name}", seconds / unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;

    #[test]
    fn a_length_is_told_in_its_largest_whole_unit() {
        let told =
            [604_800, 43_200, 1_800, 90, 0].map(|seconds| length(Duration::from_secs(seconds)));
        assert_eq!(told, ["7d", "12h", "30m", "90s", "0d"]);
        assert_eq!(length(Duration::MAX), "-");
    }

    #[test]
    fn every_built_in_dataset_has_a_sheet_with_its_columns_and_no_fact_is_empty() {
        for dataset in catalog::PLATFORMS
            .iter()
            .flat_map(|platform| catalog::builtin(platform).unwrap().datasets.values())
        {
            let sheet = DatasetSheet(dataset).to_string();
            assert!(
                sheet.lines().skip(1).all(|line| line == "  columns" || line.trim().contains("  ")),
                "{sheet}"
            );
            for field in dataset.schema.fields() {
                assert!(
                    sheet.contains(&format!("\n    {} ", field.name())),
                    "{}: {sheet}",
                    field.name()
                );
            }
            assert_eq!(
                json(dataset)["columns"].as_array().map(Vec::len),
                Some(dataset.schema.fields().len())
            );
        }
    }
}
