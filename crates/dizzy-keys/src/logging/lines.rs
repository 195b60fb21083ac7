//! One flat JSON object per line: time, level, message, and the fields of the spans around an event, outermost first, then its own.
//!
//! What `tracing-subscriber` has for JSON puts each span into an object of its own, where no query for `set` finds it.

use core::fmt;
use std::io::Write;

use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Map, Value, json};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

/// Writes to what `out` makes.
pub(super) struct JsonLines<F> {
    out: F,
}

impl<F> JsonLines<F> {
    pub(super) const fn new(out: F) -> Self {
        Self { out }
    }
}

/// The fields of a span, as they are by now.
struct Fields(Map<String, Value>);

impl<S, F, W> Layer<S> for JsonLines<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    F: Fn() -> W + 'static,
    W: Write,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Map::new();
        attributes.record(&mut Into(&mut fields));
        if let Some(span) = context.span(id) {
            span.extensions_mut().replace(Fields(fields));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(Fields(fields)) = span.extensions_mut().get_mut() {
            values.record(&mut Into(fields));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = Map::new();
        line.insert("timestamp".to_owned(), json!(now()));
        line.insert("level".to_owned(), json!(event.metadata().level().as_str()));
        line.insert("target".to_owned(), json!(event.metadata().target()));
        for span in context.event_scope(event).into_iter().flatten().collect::<Vec<_>>().into_iter().rev() {
            if let Some(Fields(fields)) = span.extensions().get() {
                line.extend(fields.clone());
            }
        }
        event.record(&mut Into(&mut line));
        let text = Value::Object(line).to_string() + "\n";
        // In one piece, so that the lines of two writers do not mix. There is no other place to complain to.
        drop((self.out)().write_all(text.as_bytes()));
    }
}

/// The moment as RFC 3339 in UTC, to the millisecond.
pub(crate) fn now() -> String {
    Timestamp::now().to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// Puts fields into an object; a later value replaces an earlier one.
struct Into<'a>(&'a mut Map<String, Value>);

impl Into<'_> {
    fn put(&mut self, field: &Field, value: Value) {
        self.0.insert(field.name().to_owned(), value);
    }
}

impl Visit for Into<'_> {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, json!(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, json!(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, json!(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, json!(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, json!(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, json!(format!("{value:?}")));
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex, PoisonError},
    };

    use tracing_subscriber::{layer::SubscriberExt as _, registry};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines(work: impl FnOnce()) -> Vec<Map<String, Value>> {
        let kept = Kept::default();
        let out = kept.clone();
        tracing::subscriber::with_default(registry().with(JsonLines::new(move || out.clone())), work);
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert!(text.ends_with('\n'));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn fields_of_all_spans_stand_flat_beside_those_of_the_event() {
        let lines = lines(|| {
            let run = tracing::error_span!("run", trace_id = "abc", set = "outer");
            let _run = run.enter();
            tracing::warn!(count = 3_u64, code = None::<&str>, "before");
            let set = tracing::error_span!("set", set = "orders", rotation = tracing::field::Empty);
            let _set = set.enter();
            set.record("rotation", "r1");
            set.record("rotation", "r2");
            tracing::error!(trace_id = "own", why = "two\nlines \"quoted\"", kind = ?Some(1), "after");
        });
        let [before, after] = lines.as_slice() else { panic!("{lines:?}") };
        let keys: Vec<&String> = before.keys().collect();
        assert_eq!(keys, ["timestamp", "level", "target", "trace_id", "set", "message", "count"]);
        assert_eq!(
            (&before["message"], &before["count"], &before["set"]),
            (&json!("before"), &json!(3), &json!("outer"))
        );
        assert_eq!((&after["set"], &after["rotation"]), (&json!("orders"), &json!("r2")));
        assert_eq!((&after["trace_id"], &after["kind"]), (&json!("own"), &json!("Some(1)")));
        assert_eq!((&after["level"], &after["why"]), (&json!("ERROR"), &json!("two\nlines \"quoted\"")));
    }

    #[test]
    fn moments_are_in_utc() {
        let moment = now();
        assert!(moment.len() == 24 && moment.ends_with('Z'), "{moment}");
        assert!(moment.parse::<Timestamp>().is_ok(), "{moment}");
    }
}
