//! Our nodes, embedded as in a service.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use serf_tokio::serf_proto::{DropReason, Question};
use serf_tokio::{Event, JoinError, OldEvents, Options, Reply, Serf};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use super::{Answers, Heard, Seen, View, answer};

/// A running node of ours. Dropping it stops it without a leave, and fails the test if the node has dropped an input
/// that the test does not expect.
pub(crate) struct Ours {
    pub(crate) name: String,
    pub(crate) addr: SocketAddr,
    pub(crate) serf: Serf,
    events: Arc<Mutex<Vec<Event>>>,
    listener: JoinHandle<()>,
    may_drop: Vec<DropReason>,
}

impl Ours {
    /// Starts a node with the timing of HashiCorp's `lan` profile, which retransmits often enough that gossip reaches
    /// all members of a small cluster.
    pub(crate) fn start(name: &str) -> Self {
        Self::start_with(name, |_| {})
    }

    /// Starts a node with the timing of the `local` profile, which detects failures sooner.
    pub(crate) fn start_quick(name: &str) -> Self {
        Self::start_with(name, |options| options.protocol = Options::local(name).protocol)
    }

    pub(crate) fn start_with(name: &str, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options::lan(name).with(|options| options.bind = SocketAddr::from(([127, 0, 0, 1], 0)));
        change(&mut options);
        let _runtime = runtime().enter();
        let serf = Serf::start(options).unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let events = Arc::new(Mutex::new(Vec::new()));
        let (mut stream, list, handle) = (serf.events(), Arc::clone(&events), serf.downgrade());
        let listener = runtime().spawn(async move {
            while let Some(event) = stream.next().await {
                let event = event.expect("the listener keeps up");
                if let (Event::Query(query), Some(serf)) = (&event, handle.upgrade())
                    && let Some(answer) = answer(&query.name, &query.payload)
                {
                    serf.respond(query.id, &answer).expect("the query is new");
                }
                list.lock().expect("no reader panics").push(event);
            }
        });
        Self { name: name.to_owned(), addr: serf.bound_addr(), serf, events, listener, may_drop: Vec::new() }
    }

    /// Permits dropped inputs for this reason.
    pub(crate) fn may_drop(&mut self, reason: DropReason) -> &mut Self {
        self.may_drop.push(reason);
        self
    }

    /// Joins and returns the number of members contacted.
    pub(crate) fn join(&self, seeds: &[SocketAddr]) -> u32 {
        self.try_join(seeds).unwrap_or_else(|error| panic!("{} cannot join: {error}", self.name))
    }

    pub(crate) fn try_join(&self, seeds: &[SocketAddr]) -> Result<u32, JoinError> {
        self.join_with(seeds, OldEvents::Ignore)
    }

    /// Joins and requests the events from before.
    pub(crate) fn join_for_all(&self, seeds: &[SocketAddr]) -> u32 {
        self.join_with(seeds, OldEvents::Deliver).expect("the seeds let it in")
    }

    fn join_with(&self, seeds: &[SocketAddr], old: OldEvents) -> Result<u32, JoinError> {
        let seeds: Vec<String> = seeds.iter().map(ToString::to_string).collect();
        runtime().block_on(self.serf.join_with(&seeds, old)).map(|report| report.contacted)
    }

    /// Leaves and waits until the node has stopped.
    pub(crate) fn leave(self) {
        let left = runtime().block_on(async { tokio::time::timeout(Duration::from_secs(30), self.serf.leave()).await });
        assert!(left.expect("a leave ends").expect("the node runs").complete, "{}: complete leave", self.name);
    }

    /// Stops immediately, without a leave.
    pub(crate) fn crash(self) {
        runtime().block_on(self.serf.shutdown()).expect("no file is written");
    }

    /// Sends a query and waits for its end, which comes before the timeout once all members have answered.
    pub(crate) fn ask(&self, question: &Question<'_>) -> Answers {
        let mut answers = Answers::default();
        let mut replies = self.serf.query(question).expect("the question is small");
        runtime().block_on(async {
            while let Some(reply) = replies.next().await {
                match reply.expect("the reader keeps up") {
                    Reply::Ack(from) => answers.acks.push(from.to_string()),
                    Reply::Response { from, payload } => {
                        _ = answers.responses.insert(from.to_string(), payload.to_vec());
                    }
                    Reply::Ended(report) => answers.silent = report.silent.iter().map(ToString::to_string).collect(),
                    _ => {}
                }
            }
        });
        answers.acks.sort();
        answers
    }

    /// Returns the members that it knows.
    pub(crate) fn view(&self) -> View {
        let seen = |member: serf_tokio::Member| {
            let seen = Seen { status: member.status().to_string(), tags: member.to_tags(), addr: member.addr() };
            (member.name().to_owned(), seen)
        };
        self.serf.members().into_iter().map(seen).collect()
    }

    /// Returns all events since the start.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.lock().expect("no holder panics").clone()
    }

    /// Returns the user events since the start.
    pub(crate) fn user_events(&self) -> Vec<Heard> {
        let heard = |event: Event| match event {
            Event::User(event) => {
                Some(Heard { name: event.name.into(), payload: event.payload.to_vec(), coalesce: event.coalesce })
            }
            _ => None,
        };
        self.events().into_iter().filter_map(heard).collect()
    }

    /// Returns the member events since the start: `member-join NAME`.
    pub(crate) fn member_events(&self) -> Vec<String> {
        let text = |event: Event| match event {
            Event::Member(event) => event.members.names().map(|name| format!("{} {name}", event.kind)).collect(),
            _ => vec![],
        };
        self.events().into_iter().flat_map(text).collect()
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        self.listener.abort();
        let dropped = self.serf.stats().protocol;
        let complaints = DropReason::ALL.iter().filter(|reason| dropped.dropped(**reason) > 0);
        let complaints: Vec<_> = complaints.filter(|reason| !self.may_drop.contains(reason)).collect();
        if std::thread::panicking() {
            eprintln!("--- {}: dropped for {complaints:?}, events {:#?}", self.name, self.events());
        } else {
            assert!(complaints.is_empty(), "{} could not use what it was sent: {complaints:?}", self.name);
        }
    }
}

/// Runtime of all our nodes. The tests themselves wait on their own threads.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let build = || Builder::new_multi_thread().worker_threads(2).enable_all().build();
    RUNTIME.get_or_init(|| build().expect("a runtime can be built"))
}
