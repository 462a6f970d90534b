//! Replies to the requests of a job, in the vocabulary of its kind.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;

use crate::sandbox::{
    Region,
    error::ApiError,
    genesys::{
        async_jobs::{
            job::{ActiveJob, JobSettings, Stage},
            kinds::{JobQuery, JobVocabulary},
        },
        renderer::Renderer,
        request::invalid_value,
    },
    rng::Rng,
};

/// The largest number of rows for which a page reserves memory.
const RESERVED_ROWS: usize = 200;

/// The time up to which details are available.
pub(crate) fn availability(until: i64) -> Bytes {
    object(|s| s.json.time("dataAvailabilityDate", until))
}

/// The reply to a submission.
pub(crate) fn accepted(job: &ActiveJob, region: &Region, now: Duration) -> Result<Bytes, ApiError> {
    match job.kind.vocabulary {
        JobVocabulary::Details => Ok(object(|s| s.json.text("jobId", &job.id))),
        JobVocabulary::Audits => state(job, region, now),
        JobVocabulary::Usage => Ok(object(|s| {
            s.json.text("executionId", &job.id);
            s.json.text("resultsUri", &format!("{}/{}/results", job.kind.path, job.id));
        })),
    }
}

/// The state of a job.
///
/// # Errors
///
/// 404 for an expired job, unless its kind has a name for that state.
pub(crate) fn state(job: &ActiveJob, region: &Region, now: Duration) -> Result<Bytes, ApiError> {
    let settings = &region.settings.jobs;
    let date = |at| region.wall_clock(at);
    let stage = job.stage(settings, now);
    let name = state_name(job, stage).ok_or_else(ApiError::not_found)?;
    let ended = job.submitted + settings.queued + settings.running;
    Ok(object(|s| match (job.kind.vocabulary, &*job.query) {
        (JobVocabulary::Audits, JobQuery::Audits(query)) => {
            s.json.text("id", &job.id);
            s.json.text("state", name);
            s.json.time("startDate", date(job.submitted));
            s.json.text("interval", &query.interval.to_string());
            if let Some(service) = query.service {
                s.json.text("serviceName", service);
            }
        }
        _ => {
            s.json.text("state", name);
            if stage == Stage::Failed {
                s.json.text("errorMessage", "An unexpected error occurred while running the job.");
            }
            if stage == Stage::Done {
                s.json.time("expirationDate", date(ended + settings.kept));
            }
            s.json.time("submissionDate", date(job.submitted));
            if now >= ended {
                s.json.time("completionDate", date(ended));
            }
        }
    }))
}

/// The platform's name for a stage. `None` if the platform answers 404.
fn state_name(job: &ActiveJob, stage: Stage) -> Option<&'static str> {
    let [queued, running, done, failed, expired] = match job.kind.vocabulary {
        JobVocabulary::Details => ["QUEUED", "PENDING", "FULFILLED", "FAILED", "EXPIRED"],
        JobVocabulary::Audits => ["Queued", "Running", "Succeeded", "Failed", ""],
        JobVocabulary::Usage => ["Running", "Running", "Complete", "Failed", ""],
    };
    let name = match stage {
        Stage::Queued => queued,
        Stage::Running => running,
        Stage::Done => done,
        Stage::Failed => failed,
        Stage::Expired => expired,
    };
    Some(name).filter(|name| !name.is_empty())
}

/// A page of a job's results.
///
/// # Errors
///
/// 404 for an expired job; 400 for a job without results, for a cursor of another job and for a
/// page size that is too large.
pub(crate) fn results(
    job: &ActiveJob,
    region: &Region,
    now: Duration,
    query: Option<&str>,
) -> Result<Bytes, ApiError> {
    let stage = job.stage(&region.settings.jobs, now);
    let name = state_name(job, stage)
        .filter(|_| stage != Stage::Expired)
        .ok_or_else(ApiError::not_found)?;
    match (stage, job.kind.vocabulary) {
        (Stage::Done, _) => {}
        (_, JobVocabulary::Usage) => return Ok(object(|s| s.json.text("queryStatus", name))),
        _ => {
            return Err(ApiError::bad_request(format!(
                "The results are not available: the query is {name}"
            )));
        }
    }
    let seed = region.settings.seed;
    let (from, size) = match job.kind.page_size {
        Some(sizes) => (start(seed, job, query)?, page_size(sizes, &region.settings.jobs, query)?),
        None => (0, usize::MAX),
    };
    let total = job.query.count(&region.records);
    let rows = from.min(total)..from.saturating_add(size).min(total);
    // the last page has rows, or an empty list, or no list: in turn, starting from the seed
    let ending = (seed.wrapping_add(job.number)) % 3;
    let next =
        if rows.end < total || (ending > 0 && !rows.is_empty()) { Some(rows.end) } else { None };
    let mut renderer = Renderer::new(seed, rows.len().min(RESERVED_ROWS));
    renderer.object(|s| {
        let cursor =
            next.filter(|_| job.kind.page_size.is_some()).map(|next| cursor(seed, job, next));
        if job.kind.vocabulary == JobVocabulary::Audits {
            s.json.text("id", &job.id);
            s.json.number("pageSize", size as i64);
        }
        if !rows.is_empty() || ending == 1 {
            s.list(job.kind.rows, |s| job.query.write(&region.records, s, rows));
        }
        if let Some(cursor) = cursor {
            s.json.text("cursor", &cursor);
        }
        match job.kind.vocabulary {
            JobVocabulary::Details => s.json.time("dataAvailabilityDate", job.available_until),
            JobVocabulary::Audits => {}
            JobVocabulary::Usage => s.json.text("queryStatus", name),
        }
    });
    Ok(renderer.json.into_bytes())
}

fn page_size(
    [default, max]: [u32; 2],
    settings: &JobSettings,
    query: Option<&str>,
) -> Result<usize, ApiError> {
    let max = if max == 0 { settings.page_size } else { max };
    let size = match parameter(query, "pageSize") {
        Some(size) => size.parse().ok().filter(|size| (1..=max).contains(size)),
        None => Some(default.min(max)),
    };
    let invalid = || invalid_value(format!("pageSize must be between 1 and {max}"));
    size.map(|size| size as usize).ok_or_else(invalid)
}

/// The position of a page's first row.
fn start(seed: u64, job: &ActiveJob, query: Option<&str>) -> Result<usize, ApiError> {
    let Some(cursor) = parameter(query, "cursor") else { return Ok(0) };
    position(seed, job, &cursor).ok_or_else(|| invalid_value("Invalid cursor".to_owned()))
}

/// Encodes a position in the results of one job, with random bytes that only this job has.
fn cursor(seed: u64, job: &ActiveJob, position: usize) -> String {
    let mut rng = Rng::new([seed, 0xc0f5, job.number, position as u64]);
    let position = u32::try_from(position).unwrap_or(u32::MAX).to_be_bytes();
    let bytes: Vec<u8> =
        [rng.roll(), rng.roll()].into_iter().flat_map(u64::to_be_bytes).chain(position).collect();
    STANDARD.encode(bytes)
}

/// The position that a cursor encodes. `None` if it is not a cursor of this job.
fn position(seed: u64, job: &ActiveJob, text: &str) -> Option<usize> {
    let bytes = STANDARD.decode(text).ok()?;
    let position = u32::from_be_bytes(*bytes.last_chunk()?) as usize;
    (cursor(seed, job, position) == text).then_some(position)
}

fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    pairs.find_map(|(key, value)| (key == name).then(|| value.into_owned()))
}

fn object(fields: impl FnOnce(&mut Renderer)) -> Bytes {
    let mut renderer = Renderer::new(0, 0);
    renderer.object(fields);
    renderer.json.into_bytes()
}
