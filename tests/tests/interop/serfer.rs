//! The guardian example, with an agent of HashiCorp's in its encrypted cluster.

use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use async_channel::Sender;
use serf_tests::guardian;
use serf_tokio::{Key, Tokio};

use crate::harness::{Agent, Sees, runtime, until};

/// One of our nodes that runs the example. Dropping the sender makes it leave.
struct Example {
    said: Receiver<String>,
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Example {
    fn start(line: &str, key: &str) -> Self {
        let args: Vec<String> = line.split(' ').map(str::to_owned).chain([format!("-key={key}")]).collect();
        let ((say, said), (stop, stopped)) = (channel(), async_channel::bounded::<()>(1));
        let thread = std::thread::spawn(move || {
            let stopped = async { _ = stopped.recv().await };
            let say = move |line| _ = say.send(line);
            runtime().block_on(guardian::run::<Tokio>(args.into_iter(), say, stopped)).unwrap();
        });
        Self { said, stop, thread }
    }

    /// Waits for a line with this prefix and returns the rest.
    fn line(&self, beginning: &str) -> String {
        loop {
            let line = self.said.recv_timeout(Duration::from_secs(75)).expect(beginning);
            if let Some(rest) = line.strip_prefix(beginning) {
                return rest.to_owned();
            }
        }
    }

    fn end(self) {
        drop(self.stop);
        self.thread.join().unwrap();
    }
}

pub(crate) fn our_guardian_sends_to_and_queries_theirs_and_theirs_ours() {
    let key = Key::new(&[7; 32]).unwrap().to_base64();
    let encrypt = format!("-encrypt={key}");
    let handlers = ["-event-handler=user:useless=cat", "-event-handler=query:status=echo fine"];
    let theirs = Agent::start("theirs", &[&encrypt, handlers[0], handlers[1]]);
    let node = Example::start(&format!("node one 127.0.0.1:0 {}", theirs.addr), &key);
    let shorter = "-event-every=500 -query-every=700";
    let guardian = Example::start(&format!("guardian two 127.0.0.1:0 {} {shorter}", theirs.addr), &key);
    theirs.sees_alive(3);
    assert!(node.line("useless: ").starts_with("event "));
    for (name, status) in [("one", "all is well"), ("theirs", "fine"), ("two", "all is well")] {
        assert_eq!(guardian.line(&format!("{name}: ")), status);
    }
    until("its handler is given the event", || theirs.said("script output: event "));
    theirs.user_event("useless", b"theirs", false).unwrap();
    assert_eq!(node.line("useless: theirs"), "");
    let answers = theirs.query("status", b"", &["one", "two"], &[], 0).responses;
    let expected = ["one", "two"].map(|name| (name.to_owned(), b"all is well".to_vec()));
    assert_eq!(answers.into_iter().collect::<Vec<_>>(), expected);
    guardian.end();
    theirs.sees("two", "left");
    node.end();
    theirs.sees("one", "left");
}
