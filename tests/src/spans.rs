//! Records finished `tracing` spans, as a layer of `tracing-subscriber`: the way in which `tracing-opentelemetry` sees
//! them.

use core::fmt;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Registry};

/// A span that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its name.
    pub name: &'static str,
    /// The fields that were recorded, as text.
    pub fields: BTreeMap<&'static str, String>,
    /// Name and fields of the span around it.
    pub parent: Option<(&'static str, BTreeMap<&'static str, String>)>,
}

impl Span {
    /// The text of a field; empty if it was not recorded.
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

/// The finished spans of this project's crates.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Mutex<Vec<Span>>>);

impl Recorder {
    /// The recorder of all threads of this process, installed at the first call.
    ///
    /// # Panics
    ///
    /// Another subscriber is installed.
    pub fn of_the_process() -> Self {
        static INSTALLED: OnceLock<Recorder> = OnceLock::new();
        let recorder = INSTALLED.get_or_init(|| {
            let recorder = Self::default();
            let installed = tracing::subscriber::set_global_default(recorder.subscriber());
            installed.expect("no other subscriber is installed");
            recorder
        });
        recorder.clone()
    }

    /// A subscriber that records here, for one thread.
    pub fn subscriber(&self) -> impl Subscriber + Send + Sync + use<> {
        Registry::default().with(self.clone())
    }

    /// The spans of a name that have ended.
    pub fn ended(&self, name: &str) -> Vec<Span> {
        let spans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spans.iter().filter(|span| span.name == name).cloned().collect()
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Recorder {
    /// Events are left out: tests of this process write very many.
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.is_span() && metadata.target().starts_with("serf_")
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        context.span(id).expect("is new").extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(fields) = context.span(id).expect("is open").extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let span = context.span(&id).expect("is just closed");
        let fields_of = |extensions: &tracing_subscriber::registry::Extensions<'_>| {
            extensions.get::<Fields>().map_or_else(BTreeMap::new, |fields| fields.0.clone())
        };
        let parent = span.parent().map(|parent| (parent.name(), fields_of(&parent.extensions())));
        let ended = Span { name: span.name(), fields: fields_of(&span.extensions()), parent };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(ended);
    }
}

/// The fields of an open span.
#[derive(Debug, Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}
