//! Log lines as JSON: one object a line, with the fields of the event and of the spans around it.

use std::{collections::BTreeMap, fmt, io::Write as _};

use serde::Serialize;
use serde_json::Value;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, fmt::MakeWriter, layer::Context, registry::LookupSpan};

use crate::{server_text, time::clock};

/// Writes each event as a line of JSON.
pub(super) struct JsonLines<M>(pub M);

/// The fields of an event or a span, without secrets. An inner span's field hides that of the same
/// name of an outer one.
#[derive(Debug, Clone, Default)]
struct Fields(BTreeMap<&'static str, Value>);

/// The name under which an event has its text.
const MESSAGE: &str = "message";

#[derive(Serialize)]
struct Line<'l> {
    timestamp: String,
    level: &'l str,
    message: &'l Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'l str>,
    #[serde(flatten)]
    fields: &'l BTreeMap<&'static str, Value>,
}

/// A line of JSON with its end, for a message that is not an event.
pub(super) fn line(level: Level, message: &str, source: Option<&str>) -> String {
    let mut fields = Fields::default();
    if let Some(source) = source {
        fields.text("source", source);
    }
    fields.text(MESSAGE, message);
    fields.line(level, None)
}

impl Fields {
    fn text(&mut self, name: &'static str, text: &str) {
        self.0.insert(name, server_text::redact(text).into());
    }

    fn line(mut self, level: Level, target: Option<&str>) -> String {
        let message = self.0.remove(MESSAGE).unwrap_or_default();
        let line = Line {
            timestamp: clock::now().to_string(),
            level: level.as_str(),
            message: &message,
            target,
            fields: &self.0,
        };
        // numbers and texts always have a JSON form
        let mut text = serde_json::to_string(&line).unwrap_or_default();
        text.push('\n');
        text
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field.name(), &format!("{value:?}"));
    }
}

impl<S, M> Layer<S> for JsonLines<M>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    M: for<'w> MakeWriter<'w> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            record.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(of_span) = span.extensions().get::<Fields>() {
                fields.0.extend(of_span.0.clone());
            }
        }
        event.record(&mut fields);
        let metadata = event.metadata();
        let line = fields.line(*metadata.level(), Some(metadata.target()));
        // whoever closed standard error reads no log
        let _ = self.0.make_writer().write_all(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::{
        server_text::SecretKind,
        telemetry::{run_span, shard_span, tests::Log},
        time::interval::Interval,
    };

    #[test]
    fn a_line_has_the_fields_of_the_event_and_of_the_spans_around_it() {
        server_text::protect(SecretKind::Token, "json-\"quoted\"-4712");
        let log = Log::default();
        let writer = log.clone();
        let lines = JsonLines(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
            let _run = run_span(Some("emea")).entered();
            let _shard = shard_span("calls", Interval::day_of(0)).entered();
            let after = std::time::Duration::from_millis(1_500);
            tracing::warn!(attempt = 3, ?after, said = "json-\"quoted\"-4712", "line 1\nline 2");
        });
        let text = log.text();
        assert_eq!(text.lines().count(), 1, "{text}");
        let mut line: Value = serde_json::from_str(&text).unwrap();
        let timestamp = line["timestamp"].take();
        assert!(timestamp.as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
        let expected = serde_json::json!({
            "timestamp": null, "level": "WARN", "message": "line 1\nline 2",
            "target": "cxbackfill::telemetry::json_lines::tests",
            "source": "emea", "dataset": "calls",
            "shard": "1970-01-01T00:00:00.000Z/1970-01-02T00:00:00.000Z",
            "attempt": 3, "after": "1.5s", "said": "[secret]",
        });
        assert_eq!(line, expected);
    }
}
