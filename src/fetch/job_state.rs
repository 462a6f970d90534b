//! What a poll says about a job.

use std::time::Duration;

use dashmap::DashSet;
use serde_json::Value;

use crate::{
    catalog::{AsyncJob, JsonPointer},
    http::error::RequestError,
    server_text::ServerText,
};

/// How long a job may be in a state that the catalogue does not list.
pub(super) const MAX_UNKNOWN_TIME: Duration = Duration::from_secs(30 * 60);

/// The state of a job.
#[derive(Debug, PartialEq)]
pub(super) enum JobState {
    /// Its results can be fetched: at this address, if they have to be downloaded.
    Done(Option<String>),
    /// It failed or no longer exists: it may be submitted again.
    Lost(RequestError),
    /// It is done, but without what leads to its results: submitting it again would not help.
    Unusable(RequestError),
    /// It goes on.
    Pending,
    /// The catalogue does not list the state.
    Unknown(ServerText),
}

/// Reads the response to a poll.
pub(super) fn job_state(job: &AsyncJob, status: &Value) -> JobState {
    let Some(state) = text_at(status, &job.state) else {
        return JobState::Unknown(format!("nothing at /{}", job.state.join("/")).into());
    };
    let is_in = |list: &[String]| list.iter().any(|known| known.eq_ignore_ascii_case(&state));
    if is_in(&job.done) {
        let Some(pointer) = &job.download else { return JobState::Done(None) };
        return match text_at(status, pointer) {
            Some(address) => JobState::Done(Some(address)),
            None => JobState::Unusable(RequestError::AsyncJob(
                format!(
                    "it is done, but there is no address of its result at /{}",
                    pointer.join("/")
                )
                .into(),
            )),
        };
    }
    if is_in(&job.failed) || is_in(&job.gone) {
        let reason = job.error.as_ref().and_then(|pointer| text_at(status, pointer));
        let reason = format!("{state} {}", reason.unwrap_or_default());
        return JobState::Lost(RequestError::AsyncJob(reason.trim_end().into()));
    }
    if is_in(&job.pending) {
        JobState::Pending
    } else {
        JobState::Unknown(ServerText::quote(&state))
    }
}

/// The unknown states that a run has met, by dataset: each is told once.
#[derive(Debug, Default)]
pub(crate) struct UnknownStates(DashSet<(String, ServerText)>);

impl UnknownStates {
    /// Warns of a state, unless the run has met it before.
    pub(super) fn warn_once(&self, dataset: &str, state: &ServerText) {
        if self.0.insert((dataset.to_owned(), state.clone())) {
            tracing::warn!(
                dataset,
                %state,
                "the catalogue does not list this state of a job; waiting for up to half an hour"
            );
        }
    }
}

/// The text or number at `pointer`. `None` if there is something else, nothing, or an empty text.
pub(super) fn text_at(value: &Value, pointer: &JsonPointer) -> Option<String> {
    match pointer.iter().try_fold(value, |value, key| value.get(key))? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::catalog::{self, Endpoint};

    fn job() -> AsyncJob {
        let endpoint: &Endpoint = catalog::test_dataset("conversations").job.as_ref().unwrap();
        let job = endpoint.async_job.clone().unwrap();
        AsyncJob { download: Some(vec!["result".to_owned(), "url".to_owned()]), ..job }
    }

    #[test]
    fn a_state_is_what_the_catalogue_says_without_regard_to_case() {
        let state = |state: &str| job_state(&job(), &json!({ "state": state }));
        assert!(matches!(state("CANCELLED"), JobState::Lost(_)));
        assert!(matches!(state("Failed"), JobState::Lost(_)));
        assert_eq!(state("queued"), JobState::Pending);
        assert_eq!(state("PAUSED"), JobState::Unknown("PAUSED".into()));
        let absent = job_state(&job(), &json!({ "status": "FULFILLED" }));
        assert_eq!(absent, JobState::Unknown("nothing at /state".into()));
    }

    #[test]
    fn a_done_job_without_an_address_of_its_result_is_unusable() {
        for result in [json!(null), json!({}), json!({ "url": "" }), json!({ "url": null })] {
            let status = json!({ "state": "FULFILLED", "result": result });
            let JobState::Unusable(error) = job_state(&job(), &status) else {
                panic!("{status}");
            };
            assert!(error.to_string().ends_with("no address of its result at /result/url"));
        }
        let status = json!({ "state": "FULFILLED", "result": { "url": "https://a.example" } });
        let expected = JobState::Done(Some("https://a.example".to_owned()));
        assert_eq!(job_state(&job(), &status), expected);
    }
}
