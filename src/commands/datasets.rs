//! What can be fetched: datasets as JSON, and the names of their types.

use std::time::Duration;

use arrow::datatypes::{DataType, FieldRef};
use serde_json::{Value, json};

use crate::catalog::{Dataset, Endpoint, Paging};

/// Describes a dataset. Durations are in seconds; null means that there is no limit.
pub(crate) fn json(dataset: &Dataset) -> Value {
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
        "query": dataset.query.as_deref().map(endpoint_json),
        "job": dataset.job.as_deref().map(endpoint_json),
        "by_id": dataset.by_id.as_deref().map(endpoint_json),
        "ignore": dataset.ignore,
        "columns": dataset.has_columns.then(|| columns_json(dataset.schema.fields())),
    })
}

fn endpoint_json(endpoint: &Endpoint) -> Value {
    let seconds = |duration: Duration| (duration != Duration::MAX).then_some(duration.as_secs());
    json!({
        "method": endpoint.request.method.as_str(),
        "path": endpoint.request.path(),
        "paging": paging_name(endpoint.paging),
        "page_size": (endpoint.paging != Paging::None).then_some(endpoint.page_size),
        "depth": (endpoint.depth != u64::MAX).then_some(endpoint.depth),
        "widest_s": seconds(endpoint.widest[0]),
        "widest_filtered_s": seconds(endpoint.widest[1]),
        "each": endpoint.parent.as_ref().map(|parent| &parent.dataset),
        "extras": endpoint.extras,
    })
}

fn columns_json(fields: &[FieldRef]) -> Value {
    let column = |field: &FieldRef| {
        let data_type = field.data_type();
        let mut column = json!({ "name": field.name(), "type": type_name(data_type) });
        if !nested_columns(data_type).is_empty() {
            column["columns"] = columns_json(nested_columns(data_type));
        }
        column
    };
    fields.iter().map(column).collect()
}

pub(crate) fn paging_name(paging: Paging) -> &'static str {
    match paging {
        Paging::PageNumber => "page-number",
        Paging::Offset => "offset",
        Paging::Cursor => "cursor",
        Paging::NextLink => "next-link",
        Paging::LinkHeader => "link-header",
        Paging::None => "none",
    }
}

/// The name of a column type in a catalog, or `struct` for a type of the catalog itself.
pub(crate) fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::List(element) => format!("list<{}>", type_name(element.data_type())),
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
pub(crate) fn nested_columns(data_type: &DataType) -> &[FieldRef] {
    match data_type {
        DataType::List(element) => nested_columns(element.data_type()),
        DataType::Struct(fields) => fields,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;

    #[test]
    fn the_json_of_every_built_in_dataset_has_all_columns() {
        for platform in catalog::PLATFORMS {
            for dataset in catalog::builtin(platform).unwrap().datasets.values() {
                let columns = json(dataset)["columns"].as_array().map(Vec::len);
                assert_eq!(columns, Some(dataset.schema.fields().len()), "{}", dataset.name);
            }
        }
    }
}
