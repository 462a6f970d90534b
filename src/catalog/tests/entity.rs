//! What the job of a dataset is asked for.

use super::*;

/// A job instead of the query of [`VALID`], which asks for an entity.
fn with_entity(job: &str) -> Result<Catalog, CatalogError> {
    let (before, rest) = VALID.split_once("[dataset.calls.query]").unwrap();
    let (_, types) = rest.split_once("[type.call]").unwrap();
    let entity = "entity = { entityName = 'calls', version = '4' }";
    read("own.toml", &format!("{before}\n{entity}\n[dataset.calls.{job}\n[type.call]{types}"))
}

#[test]
fn the_entity_of_a_dataset_is_submitted_unless_a_filter_has_another() {
    let job = "job]\npath = '/rows'\nrows = ''\n\
        submit = { path = '/jobs', body = { day = 'today' }, task = '/id', defaults = { of = 'all' } }\n\
        poll = { path = '/jobs/{task}', state = '/state', done = ['READY'] }";
    let catalog = with_entity(job).unwrap();
    let job = catalog.datasets["calls"].job.as_ref().unwrap().async_job.as_ref().unwrap();
    let interval = "2024-01-01T00:00:00Z/2024-01-02T00:00:00Z".parse().unwrap();
    let submitted = |filter: serde_json::Value| {
        let filter = filter.as_object().unwrap().clone();
        job.submit.fill_filtered(&PlaceholderValues::bare(interval, ""), &filter).body.unwrap()
    };
    assert_eq!(
        submitted(json!({})),
        json!({"day": "today", "entityName": "calls", "of": "all", "version": "4"})
    );
    assert_eq!(submitted(json!({"version": "3"}))["version"], "3");
}

#[test]
fn an_entity_needs_a_job_to_submit() {
    assert_eq!(
        with_entity("query]\npath = '/calls'\nrows = ''").unwrap_err().to_string(),
        "own.toml: dataset.calls.entity: only a job that is submitted names one: give a job"
    );
}
