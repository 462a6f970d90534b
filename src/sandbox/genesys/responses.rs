//! What a job's requests are answered, in the words of its kind.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;

use crate::sandbox::{
    genesys::{
        ApiError, Region,
        async_job::{ActiveJob, Jobs, Stage},
        conversations::invalid_value,
        job_kinds::{JobQuery, JobVocabulary},
        renderer::Renderer,
    },
    rng::Rng,
};

/// What the platform's clock said when the region began, as far as jobs tell: 2026-01-01.
const BEGAN: i64 = 1_767_225_600_000;
/// Rows for which a page has room from the start.
const ROOM: usize = 200;

/// How far details are available.
pub(crate) fn availability(until: i64) -> Bytes {
    object(|s| s.json.time("dataAvailabilityDate", until))
}

/// The reply to whoever submitted a job.
pub(crate) fn accepted(job: &ActiveJob, settings: &Jobs, now: Duration) -> Result<Bytes, ApiError> {
    match job.kind.vocabulary {
        JobVocabulary::Details => Ok(object(|s| s.json.text("jobId", &job.id))),
        JobVocabulary::Audits => state(job, settings, now),
        JobVocabulary::Usage => Ok(object(|s| {
            s.json.text("executionId", &job.id);
            s.json.text("resultsUri", &format!("{}/{}/results", job.kind.path, job.id));
        })),
    }
}

/// How far a job has come.
///
/// # Errors
///
/// 404 for one that has expired, unless its kind has a word for that.
pub(crate) fn state(job: &ActiveJob, settings: &Jobs, now: Duration) -> Result<Bytes, ApiError> {
    let stage = job.stage(settings, now);
    let name = state_name(job, stage).ok_or_else(ApiError::not_found)?;
    let ended = job.at + settings.queued + settings.running;
    Ok(object(|s| match (job.kind.vocabulary, &*job.ask) {
        (JobVocabulary::Audits, JobQuery::Audits(query)) => {
            s.json.text("id", &job.id);
            s.json.text("state", name);
            s.json.time("startDate", date(job.at));
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
            s.json.time("submissionDate", date(job.at));
            if now >= ended {
                s.json.time("completionDate", date(ended));
            }
        }
    }))
}

/// The word for a stage; none where the platform would know of no such job.
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
/// 404 for one that has expired; 400 for one that has no results, for a cursor that is not its own
/// and for a page that is too large.
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
    let total = job.ask.count(&region.records);
    let rows = from.min(total)..from.saturating_add(size).min(total);
    // The last page has rows, or is an empty list, or not even that: by turns, from a begin that is
    // the seed's.
    let ending = (seed.wrapping_add(job.number)) % 3;
    let next =
        if rows.end < total || (ending > 0 && !rows.is_empty()) { Some(rows.end) } else { None };
    let mut renderer = Renderer::new(seed, rows.len().min(ROOM));
    renderer.object(|s| {
        let cursor =
            next.filter(|_| job.kind.page_size.is_some()).map(|next| cursor(seed, job, next));
        if job.kind.vocabulary == JobVocabulary::Audits {
            s.json.text("id", &job.id);
            s.json.number("pageSize", size as i64);
        }
        if !rows.is_empty() || ending == 1 {
            s.list(job.kind.rows, |s| job.ask.write(&region.records, s, rows));
        }
        if let Some(cursor) = cursor {
            s.json.text("cursor", &cursor);
        }
        match job.kind.vocabulary {
            JobVocabulary::Details => s.json.time("dataAvailabilityDate", job.until),
            JobVocabulary::Audits => {}
            JobVocabulary::Usage => s.json.text("queryStatus", name),
        }
    });
    Ok(renderer.json.into_bytes())
}

fn page_size(
    [unless_asked, most]: [u32; 2],
    settings: &Jobs,
    query: Option<&str>,
) -> Result<usize, ApiError> {
    let most = if most == 0 { settings.page_size } else { most };
    let size = match parameter(query, "pageSize") {
        Some(size) => size.parse().ok().filter(|size| (1..=most).contains(size)),
        None => Some(unless_asked.min(most)),
    };
    let wrong = || invalid_value(format!("pageSize must be between 1 and {most}"));
    size.map(|size| size as usize).ok_or_else(wrong)
}

/// The place of a page's first row.
fn start(seed: u64, job: &ActiveJob, query: Option<&str>) -> Result<usize, ApiError> {
    let Some(cursor) = parameter(query, "cursor") else { return Ok(0) };
    place(seed, job, &cursor).ok_or_else(|| invalid_value("Invalid cursor".to_owned()))
}

/// What stands for a place in the results of one job: the place, and a proof of whose it is.
fn cursor(seed: u64, job: &ActiveJob, place: usize) -> String {
    let mut rng = Rng::new([seed, 0xc0f5, job.number, place as u64]);
    let place = u32::try_from(place).unwrap_or(u32::MAX).to_be_bytes();
    let bytes: Vec<u8> =
        [rng.roll(), rng.roll()].into_iter().flat_map(u64::to_be_bytes).chain(place).collect();
    STANDARD.encode(bytes)
}

/// The place that a cursor of this job stands for.
fn place(seed: u64, job: &ActiveJob, text: &str) -> Option<usize> {
    let bytes = STANDARD.decode(text).ok()?;
    let place = u32::from_be_bytes(*bytes.last_chunk()?) as usize;
    (cursor(seed, job, place) == text).then_some(place)
}

fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    pairs.find_map(|(key, value)| (key == name).then(|| value.into_owned()))
}

fn date(at: Duration) -> i64 {
    BEGAN.saturating_add(i64::try_from(at.as_millis()).unwrap_or(i64::MAX))
}

fn object(fields: impl FnOnce(&mut Renderer)) -> Bytes {
    let mut renderer = Renderer::new(0, 0);
    renderer.object(fields);
    renderer.json.into_bytes()
}
