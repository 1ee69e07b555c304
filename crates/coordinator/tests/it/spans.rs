//! A trace shows where an order's time went: a span for each phase of each batch, with the traces it belongs to.

use crate::theatre::Theatre;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};
use tracing::{
    Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, layer::Context, prelude::*, registry::LookupSpan};

/// The fields of each span, as text.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<BTreeMap<u64, BTreeMap<&'static str, String>>>>);

struct Fields<'a>(&'a mut BTreeMap<&'static str, String>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}").trim_matches('"').to_owned();
        self.0.insert(field.name(), text);
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, _: Context<'_, S>) {
        if attributes.metadata().name() == "transactions" {
            let mut spans = self.0.lock().unwrap();
            attributes.record(&mut Fields(spans.entry(id.into_u64()).or_default()));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        if let Some(fields) = self.0.lock().unwrap().get_mut(&id.into_u64()) {
            values.record(&mut Fields(fields));
        }
    }
}

#[tokio::test]
async fn every_phase_of_a_batch_has_a_span_that_names_its_traces() {
    // For all tests of this program: whose spans are whose is told by the trace.
    let spans = Spans::default();
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(spans.clone()))
        .unwrap();
    let theatre = Theatre::with_seats(2).await;
    let traces = ["00-a-1-01", "00-b-2-01"];
    for (visitor, trace) in (1..).zip(traces) {
        let mut visit = Theatre::visit(visitor);
        visit.work.trace = Some(trace.to_owned());
        theatre.engine().submit(visit).await.unwrap();
    }
    testkit::eventually("all is complete", Duration::from_secs(20), async || {
        (theatre.count("committed").await == 2).then_some(())
    })
    .await;
    let spans = spans.0.lock().unwrap();
    for trace in traces {
        let of_trace = spans
            .values()
            .filter(|fields| fields.get("links").map(String::as_str) == Some(trace));
        let phases: BTreeSet<(&str, &str)> = of_trace
            .map(|fields| (&*fields["phase"], &*fields["count"]))
            .collect();
        let expected = ["prepare", "decide", "complete"].map(|phase| (phase, "1"));
        assert_eq!(phases, BTreeSet::from(expected));
    }
}
