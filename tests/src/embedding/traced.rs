//! The spans of an embedded node, as a subscriber of the application sees them.

use core::net::SocketAddr;
use core::time::Duration;

use serf_runtime::net::Net;
use serf_runtime::{Coalescing, Handlers, Question, Serf, Status};

use super::{at, count, pair, replies, soon, start, until};
use crate::spans::{Recorder, Span};

/// Waits until a span of this name has ended that is the wanted one.
async fn ended<N: Net>(name: &str, is_it: impl Fn(&Span) -> bool) -> Span {
    let (net, recorder) = (N::current().unwrap(), Recorder::of_the_process());
    soon::<N, _>(async {
        loop {
            if let Some(span) = recorder.ended(name).into_iter().find(&is_it) {
                return span;
            }
            net.sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}

/// The spans of a join with a good and a bad seed. The good one's exchange is its child on this side; the other side
/// has one of its own.
pub async fn a_join_is_a_span_and_the_exchanges_of_its_seeds_are_its_children<N: Net>() {
    Recorder::of_the_process();
    let [a, b] = ["a", "b"].map(start::<N>);
    let [seed] = at(&a);
    let report = soon::<N, _>(b.join(&[seed.clone(), "nowhere:70000".into()])).await.unwrap();
    assert_eq!((report.contacted, report.failed.len()), (1, 1));

    let out = ended::<N>("serf.exchange", |span| span.field("peer") == seed && span.field("direction") == "out").await;
    assert_eq!((out.field("outcome"), out.field("otel.kind"), out.field("otel.status_code")), ("done", "client", ""));
    let bytes = |span: &Span, name| span.field(name).parse::<u64>().unwrap();
    assert!(bytes(&out, "bytes_in") > 0 && bytes(&out, "bytes_out") > 0, "{out:?}");
    let (parent, fields) = out.parent.expect("the join");
    assert_eq!((parent, &*fields["seeds"]), ("serf.join", "2"));

    let is_it = |span: &Span| span.field("direction") == "in" && span.field("bytes_in") == out.fields["bytes_out"];
    let inbound = ended::<N>("serf.exchange", is_it).await;
    assert!(inbound.field("peer").starts_with("127.0.0.1:") && inbound.parent.is_none(), "{inbound:?}");

    let is_it = |span: &Span| [span.field("seeds"), span.field("contacted"), span.field("failed")] == ["2", "1", "1"];
    let join = ended::<N>("serf.join", is_it).await;
    assert_eq!((join.field("outcome"), join.field("otel.status_code")), ("joined", ""));
}

/// The spans of a join that fails.
pub async fn a_join_that_fails_is_a_span_with_an_error_and_so_is_the_stream_to_a_closed_port<N: Net>() {
    Recorder::of_the_process();
    let a = start::<N>("a");
    // Below the ports that the system gives to other tests.
    let closed = SocketAddr::from(([127, 0, 0, 1], 2));
    let seeds = [(); 7].map(|()| closed.to_string());
    soon::<N, _>(a.join(&seeds)).await.unwrap_err();
    let stream = ended::<N>("serf.exchange", |span| span.field("peer") == closed.to_string()).await;
    assert_eq!(stream.field("otel.status_code"), "ERROR");
    assert!(stream.field("outcome").to_lowercase().contains("refused"), "{stream:?}");
    let join = ended::<N>("serf.join", |span| span.field("seeds") == "7").await;
    assert_eq!((join.field("outcome"), join.field("otel.status_code")), ("no seed answered", "ERROR"));
    assert_eq!((join.field("contacted"), join.field("failed")), ("0", "1"), "one address, named seven times");
}

/// The spans of a query: the asker's, and one for each handler that runs.
pub async fn a_query_is_a_span_from_start_to_end_and_each_run_of_its_handlers_is_one<N: Net>() {
    Recorder::of_the_process();
    let [a, b] = pair::<N>(["a", "b"]).await;
    until(&a, |members| count(members, Status::Alive) == 2).await;
    // The tests of one process share the recorder.
    let name = format!("traced-{}", a.bound_addr().port());
    for (serf, answer) in [(&a, None), (&b, Some(b"yes".to_vec()))] {
        serf.handle(Handlers::new().on_query(&name, move |_| core::future::ready(answer.clone())));
    }
    let question = Question::new(&*name).with_acks().for_at_most(Duration::from_secs(2));
    let running = a.query(&question).unwrap();
    assert!(!Recorder::of_the_process().ended("serf.query").iter().any(|span| span.field("query") == name));
    replies::<N>(running).await;
    let query = ended::<N>("serf.query", |span| span.field("query") == name).await;
    let figures = ["acks", "responses", "silent", "outcome"].map(|field| query.field(field));
    assert_eq!(figures, ["2", "1", "1", "timed out"]);

    let is_run = |answered: &'static str| {
        let name = name.clone();
        move |span: &Span| span.field("name") == name && span.field("answered") == answered
    };
    for answered in ["", "true"] {
        let run = ended::<N>("serf.handler", is_run(answered)).await;
        assert_eq!([run.field("event"), run.field("from"), run.field("outcome")], ["query", "a", "done"]);
    }

    let abandoned = format!("{name}-abandoned");
    drop(a.query(&Question::new(&*abandoned)).unwrap());
    let query = ended::<N>("serf.query", |span| span.field("query") == abandoned).await;
    assert_eq!(query.field("outcome"), "abandoned");
}

/// The spans of a key operation, of a handler that panics, and of what runs inside a handler.
pub async fn a_handlers_span_says_that_it_panicked_and_is_around_what_the_handler_does<N: Net>() {
    Recorder::of_the_process();
    let a = start::<N>("a");
    let name = format!("traced-{}", a.bound_addr().port());
    let (weak, inner) = (a.downgrade(), format!("{name}-inner"));
    let asks = inner.clone();
    a.handle(
        Handlers::new()
            .on_user(&name, move |_| {
                let (serf, asks): (Option<Serf<N>>, _) = (weak.upgrade(), asks.clone());
                async move {
                    if let Some(serf) = serf {
                        let asked = serf.query(&Question::new(asks).for_at_most(Duration::from_millis(100))).unwrap();
                        asked.report().await.unwrap();
                    }
                }
            })
            .on_user(&name, |_| async { panic!("this panic belongs to the test") }),
    );
    a.user_event(&name, b"", Coalescing::Forbid).unwrap();
    let panicked = |span: &Span| span.field("name") == name && span.field("outcome") == "panicked";
    assert_eq!(ended::<N>("serf.handler", panicked).await.field("otel.status_code"), "ERROR");
    let query = ended::<N>("serf.query", |span| span.field("query") == inner).await;
    let (parent, fields) = query.parent.expect("the handler");
    assert_eq!((parent, fields["name"].as_str(), fields["event"].as_str()), ("serf.handler", &*name, "user"));
}
