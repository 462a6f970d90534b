//! Datasets as text: a table of all, and a description of one.

use std::time::Duration;

use arrow::datatypes::{DataType, Field, FieldRef};
use indicatif::HumanCount;

use crate::{
    catalog::{
        Catalog, Dataset, Endpoint, Paging, PersonalKind, WireForm,
        type_places::{join, names_in_pattern},
    },
    cli::table::{Column, Table},
    commands::datasets::{nested_columns, paging_name, type_name},
};

/// The datasets of a catalog, one line each.
pub(super) fn table(catalog: &Catalog) -> Table {
    let mut table = Table::new(&[Column::Left(0); 5]);
    table.row(["dataset", "rows", "endpoints and rows per page", "widest", "permission"]);
    for dataset in catalog.datasets.values() {
        let (mut endpoints, mut widest) = (Vec::new(), Vec::new());
        for (name, endpoint) in named_endpoints(dataset) {
            endpoints.push(format!("{name} {}", pages(endpoint)));
            widest.push(duration_text(endpoint.widest[0]));
        }
        widest.dedup();
        table.row([
            &dataset.name,
            &rows(dataset),
            &endpoints.join(", "),
            &widest.join(", "),
            dataset.permission.as_deref().unwrap_or_default(),
        ]);
    }
    table
}

/// Everything that is known of a dataset, its columns included.
pub(super) fn description(dataset: &Dataset) -> String {
    let mut facts = Table::new(&[Column::Left(10), Column::Left(0)]).indented(2);
    facts.row(["version", &dataset.version.to_string()]);
    facts.row(["rows", &rows(dataset)]);
    facts.row(["id", &dataset.id.join(", ")]);
    facts.row(["time", &dataset.time]);
    if let Some(newest) = &dataset.newest {
        facts.row(["newest", newest]);
    }
    if let Some(open) = &dataset.open {
        let by_id = dataset.by_id.as_deref().map(|by_id| {
            let (ids, path) = (by_id.page_size, by_id.request.path());
            format!("; then fetched by id, {ids} in a request: {path}")
        });
        facts.row(["open", &format!("while {open} is null{}", by_id.unwrap_or_default())]);
    }
    if !dataset.lag.is_zero() {
        facts.row(["lag", &duration_text(dataset.lag)]);
    }
    if let Some(permission) = &dataset.permission {
        facts.row(["permission", permission]);
    }
    for (name, endpoint) in named_endpoints(dataset) {
        facts.row([name, &endpoint_text(endpoint)]);
    }
    if !dataset.has_columns {
        let unknown = format!("unknown: `cxbackfill datasets --infer {}`", dataset.name);
        facts.row(["columns", &unknown]);
        return format!("{}\n{facts}", dataset.name);
    }
    if !dataset.ignore.is_empty() {
        facts.row(["ignored", &ignored(dataset)]);
    }
    let mut columns = Table::new(&[Column::Left(0); 2]);
    for field in dataset.schema.fields() {
        add_column(&mut columns, field, 2, dataset, &join("", field.name()));
    }
    format!("{}\n{facts}  columns\n{columns}", dataset.name)
}

/// The fields of a row that are left out on purpose, and how many fields inside its columns are.
fn ignored(dataset: &Dataset) -> String {
    let is_inside = |path: &&String| path.contains(['.', '[']);
    let mut parts: Vec<_> =
        dataset.ignore.iter().filter(|path| !is_inside(path)).cloned().collect();
    match dataset.ignore.len() - parts.len() {
        0 => {}
        inside => parts.push(format!("{inside} inside columns")),
    }
    parts.join(", ")
}

/// Adds the column at a place of a row and the columns inside it, indented by `depth` steps.
fn add_column(columns: &mut Table, field: &Field, depth: usize, dataset: &Dataset, place: &str) {
    let (mut place, mut data_type) = (place.to_owned(), field.data_type());
    while let DataType::List(element) = data_type {
        place.push_str("[]");
        data_type = element.data_type();
    }
    let source = match dataset.forms.get(&place) {
        Some(WireForm::Duration) => ", the seconds of a duration",
        Some(WireForm::Interval) => ", the start of an interval",
        Some(WireForm::Seconds) => ", also a number of seconds",
        Some(WireForm::Milliseconds) => ", also a number of milliseconds",
        Some(WireForm::Microseconds) => ", also a number of microseconds",
        None => "",
    };
    let name = format!("{}{}", "  ".repeat(depth), field.name());
    let names = names_in_pattern(&place);
    let mut personal = dataset.personal.iter();
    let personal = match personal.find(|column| Some(&column.names) == names.as_ref()) {
        Some(column) if column.kind == PersonalKind::Identifier => {
            ", personal: hashed by privacy.set"
        }
        Some(_) => ", personal: dropped by privacy.set",
        None => "",
    };
    columns.row([&name, &format!("{}{source}{personal}", type_name(field.data_type()))]);
    let nested: &[FieldRef] = nested_columns(field.data_type());
    for field in nested {
        add_column(columns, field, depth + 1, dataset, &join(&place, field.name()));
    }
}

fn named_endpoints(dataset: &Dataset) -> impl Iterator<Item = (&'static str, &Endpoint)> {
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
    let parent = match &endpoint.parent {
        Some(parent) => format!(" per id of {}", parent.dataset),
        None => String::new(),
    };
    match endpoint.paging {
        Paging::None => format!("one page{parent}"),
        paging => format!("{} {}{parent}", paging_name(paging), endpoint.page_size),
    }
}

fn endpoint_text(endpoint: &Endpoint) -> String {
    let request = format!("{} {}", endpoint.request.method, endpoint.request.path());
    let fetch = match &endpoint.async_job {
        None => request,
        Some(job) => {
            let results = if job.download.is_some() { "a download" } else { request.as_str() };
            format!("{} {}, then {results}", job.submit.method, job.submit.path())
        }
    };
    let mut limits = vec![pages(endpoint)];
    if endpoint.depth != u64::MAX {
        limits.push(format!("{} rows at most", HumanCount(endpoint.depth)));
    }
    let [widest, filtered] = endpoint.widest;
    if widest != Duration::MAX {
        limits.push(format!("{} at once", duration_text(widest)));
    }
    if filtered != widest {
        limits.push(format!("{} with a filter", duration_text(filtered)));
    }
    if !endpoint.extras.is_empty() {
        limits.push(format!("only here: {}", endpoint.extras.join(", ")));
    }
    format!("{fetch}: {}", limits.join(", "))
}

/// A duration in its largest whole unit; `-` if there is no limit.
fn duration_text(duration: Duration) -> String {
    if duration == Duration::MAX {
        return "-".to_owned();
    }
    let seconds = duration.as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "m")];
    let whole = units.into_iter().find(|(unit, _)| seconds.is_multiple_of(*unit));
    let (unit, name) = whole.unwrap_or((1, "s"));
    format!("{}{name}", seconds / unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;

    #[test]
    fn a_duration_is_printed_in_its_largest_whole_unit() {
        let texts = [604_800, 43_200, 1_800, 90, 0]
            .map(|seconds| duration_text(Duration::from_secs(seconds)));
        assert_eq!(texts, ["7d", "12h", "30m", "90s", "0d"]);
        assert_eq!(duration_text(Duration::MAX), "-");
    }

    #[test]
    fn the_description_of_every_built_in_dataset_has_all_columns_and_no_empty_fact() {
        for platform in catalog::PLATFORMS {
            for dataset in catalog::builtin(platform).unwrap().datasets.values() {
                let text = description(dataset);
                let mut lines = text.lines().skip(1);
                let is_complete = |line: &str| line == "  columns" || line.trim().contains("  ");
                assert!(lines.all(is_complete), "{text}");
                for field in dataset.schema.fields() {
                    assert!(text.contains(&format!("\n    {} ", field.name())), "{text}");
                }
            }
        }
    }
}
