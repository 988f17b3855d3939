//! HashiCorp's agents: processes that end with the test, and whose logs must not contain warnings about our nodes.

use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rmpv::Value;
use serf_tokio::Tags;

use super::ports::free_at;
use super::rpc::{Body, Rpc, bytes, field, map, text};
use super::{Answers, Seen, View, answer, until};

/// Returns HashiCorp's binary: the value of `SERF_HASHICORP`, or else `serf` on the path if that is HashiCorp's.
pub(crate) fn binary() -> Option<&'static PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let is_theirs = |path: &PathBuf| {
        let Ok(output) = Command::new(path).arg("version").output() else { return false };
        let version = String::from_utf8_lossy(&output.stdout);
        // Debian's builds print only a number, that of a much earlier release.
        version.starts_with("Serf v") || version.starts_with("0.8.2-dev\n")
    };
    let find = || match std::env::var_os("SERF_HASHICORP") {
        Some(path) => {
            let path = PathBuf::from(path);
            assert!(is_theirs(&path), "SERF_HASHICORP names {}, which is no serf of HashiCorp's", path.display());
            Some(path)
        }
        None => {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path).map(|folder| folder.join("serf")).find(is_theirs)
        }
    };
    FOUND.get_or_init(find).as_ref()
}

/// A running agent. Dropping it kills it, and fails the test if the agent has logged a warning or an error that the
/// test does not [expect](Agent::may_say).
pub(crate) struct Agent {
    pub(crate) name: String,
    pub(crate) addr: SocketAddr,
    rpc: SocketAddr,
    process: Child,
    log: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
    may_say: Vec<&'static str>,
}

/// A user event as reported by an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) name: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) coalesce: bool,
}

/// An agent's event stream.
pub(crate) struct Watch {
    records: Receiver<Value>,
    seen: Vec<Value>,
}

impl Agent {
    /// Starts an agent on free ports and waits until it runs.
    pub(crate) fn start(name: &str, more: &[&str]) -> Self {
        Self::start_where(name, || free_at(Ipv4Addr::LOCALHOST.into()), more)
    }

    /// Starts an agent at the address of a former one.
    pub(crate) fn start_at(name: &str, addr: SocketAddr, more: &[&str]) -> Self {
        Self::start_where(name, || addr, more)
    }

    fn start_where(name: &str, addr: impl Fn() -> SocketAddr, more: &[&str]) -> Self {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match Self::try_start(name, addr(), more) {
                Ok(agent) => return agent,
                // Another process may have taken the port between the check and the start.
                Err(log) if log.contains("address already in use") && attempts < 5 => {}
                Err(log) => panic!("{name} does not start: {log}"),
            }
        }
    }

    fn try_start(name: &str, addr: SocketAddr, more: &[&str]) -> Result<Self, String> {
        let rpc = free_at(Ipv4Addr::LOCALHOST.into());
        let mut process = Command::new(binary().expect("tests run only with it"))
            .args(["agent", "-node", name, "-profile=lan", "-log-level=debug"])
            .args([&format!("-bind={addr}"), &format!("-rpc-addr={rpc}")])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut readers = Vec::new();
        readers.extend(process.stdout.take().map(|stdout| record(&log, stdout)));
        readers.extend(process.stderr.take().map(|stderr| record(&log, stderr)));
        let mut agent = Self { name: name.to_owned(), addr, rpc, process, log, readers, may_say: Vec::new() };
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            if agent.said("Serf agent running") && Rpc::connect(rpc).is_ok() {
                return Ok(agent);
            }
            if let Ok(Some(_)) = agent.process.try_wait() {
                break;
            }
            std::thread::sleep(super::PATIENCE);
        }
        agent.may_say("");
        agent.end();
        Err(agent.log())
    }

    /// Kills the process and reads the rest of its log.
    fn end(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
        for reader in self.readers.drain(..) {
            _ = reader.join();
        }
    }

    /// Permits warnings and errors that contain this text.
    pub(crate) fn may_say(&mut self, part: &'static str) -> &mut Self {
        self.may_say.push(part);
        self
    }

    /// Returns the log.
    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("no reader panics").join("\n")
    }

    pub(crate) fn said(&self, part: &str) -> bool {
        self.log.lock().expect("no reader panics").iter().any(|line| line.contains(part))
    }

    fn ask(&self, command: &str, request: Option<Value>, body: Body) -> Result<Value, String> {
        Rpc::connect(self.rpc).map_err(|error| error.to_string())?.ask(command, request, body)
    }

    fn tell(&self, command: &str, request: Value) {
        if let Err(error) = self.ask(command, Some(request), Body::None) {
            panic!("{} refuses to {command}: {error}", self.name);
        }
    }

    /// Joins and returns the number of members contacted.
    pub(crate) fn join(&self, seeds: &[SocketAddr]) -> u64 {
        match self.try_join(seeds) {
            Ok(contacted) => contacted,
            Err(error) => panic!("{} cannot join: {error}\n{}", self.name, self.log()),
        }
    }

    pub(crate) fn try_join(&self, seeds: &[SocketAddr]) -> Result<u64, String> {
        self.join_with(seeds, false)
    }

    /// Joins and requests the events from before.
    pub(crate) fn join_for_all(&self, seeds: &[SocketAddr]) -> u64 {
        self.join_with(seeds, true).expect("the seeds let it in")
    }

    fn join_with(&self, seeds: &[SocketAddr], replay: bool) -> Result<u64, String> {
        let existing = seeds.iter().map(|seed| seed.to_string().into()).collect();
        let request = map([("Existing", Value::Array(existing)), ("Replay", replay.into())]);
        let answer = self.ask("join", Some(request), Body::Always)?;
        Ok(field(&answer, "Num").as_u64().expect("a count"))
    }

    /// Returns the members that it knows.
    pub(crate) fn view(&self) -> View {
        let answer = self.ask("members", None, Body::Some).expect("members are listed");
        let members = field(&answer, "Members").as_array().expect("a list");
        members.iter().map(|member| (text(member, "Name"), seen(member))).collect()
    }

    pub(crate) fn user_event(&self, name: &str, payload: &[u8], coalesce: bool) -> Result<(), String> {
        let payload = Value::Binary(payload.to_vec());
        let request = map([("Name", name.into()), ("Payload", payload), ("Coalesce", coalesce.into())]);
        self.ask("event", Some(request), Body::None).map(drop)
    }

    pub(crate) fn set_tags(&self, tags: &[(&str, &str)], delete: &[&str]) {
        let tags = tags.iter().map(|&(key, value)| (key.into(), value.into())).collect();
        let delete = delete.iter().map(|&key| key.into()).collect();
        self.tell("tags", map([("Tags", Value::Map(tags)), ("DeleteTags", Value::Array(delete))]));
    }

    pub(crate) fn force_leave(&self, name: &str) {
        self.tell("force-leave", map([("Node", name.into())]));
    }

    /// Leaves and waits until the process has ended.
    pub(crate) fn leave(mut self) {
        self.ask("leave", None, Body::None).expect("an agent can leave");
        until("the agent ends", || matches!(self.process.try_wait(), Ok(Some(_))));
    }

    /// Kills the process with SIGKILL.
    pub(crate) fn crash(self) {
        drop(self);
    }

    /// Returns a value of `serf info`.
    pub(crate) fn stat(&self, key: &str) -> String {
        text(field(&self.ask("stats", None, Body::Some).expect("there are figures"), "serf"), key)
    }

    /// Returns the member's coordinate as the agent knows it, if any.
    pub(crate) fn coordinate(&self, name: &str) -> Option<Vec<f64>> {
        let request = map([("Node", name.into())]);
        let answer = self.ask("get-coordinate", Some(request), Body::Some).expect("always answers");
        let coordinate = field(&answer, "Coord");
        let vec = field(coordinate, "Vec").as_array().map(|vec| vec.iter().filter_map(Value::as_f64).collect());
        vec.filter(|_| field(&answer, "Ok").as_bool() == Some(true))
    }

    /// Streams all events from now on. During the stream, queries are answered with [`answer`].
    pub(crate) fn watch(&self) -> Watch {
        let records = Rpc::connect(self.rpc).expect("the agent runs").events(answer).expect("events are streamed");
        Watch { records, seen: Vec::new() }
    }

    /// Sends a query to all members, or to those that match the filters, and waits for its end.
    pub(crate) fn query(
        &self,
        name: &str,
        payload: &[u8],
        nodes: &[&str],
        tags: &[(&str, &str)],
        relays: u8,
    ) -> Answers {
        let request = question(name, payload, nodes, tags, relays);
        let rpc = Rpc::connect(self.rpc).expect("the agent runs");
        let records = rpc.stream("query", request).unwrap_or_else(|error| panic!("the query is refused: {error}"));
        let mut answers = Answers::default();
        for record in records {
            let from = text(&record, "From");
            match &*text(&record, "Type") {
                // At the deadline HashiCorp's agent may stream records without a name before the last one.
                "ack" | "response" if from.is_empty() => {}
                "ack" => answers.acks.push(from),
                "response" => _ = answers.responses.insert(from, bytes(&record, "Payload")),
                _ => break,
            }
        }
        answers.acks.sort();
        answers
    }

    /// Sends a query to all members without waiting for answers.
    pub(crate) fn try_query(&self, name: &str, payload: &[u8]) -> Result<(), String> {
        self.ask("query", Some(question(name, payload, &[], &[], 0)), Body::None).map(drop)
    }

    /// Runs HashiCorp's command line against this agent. Returns an error if it fails.
    pub(crate) fn command(&self, args: &[&str]) -> Result<String, String> {
        let mut command = Command::new(binary().expect("tests run only with it"));
        let output = command.args(args).env("SERF_RPC_ADDR", self.rpc.to_string()).output();
        let output = output.expect("the command can be run");
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        if output.status.success() { Ok(text) } else { Err(text) }
    }

    /// Returns the logged warnings and errors that the test does not expect.
    fn complaints(&self) -> Vec<String> {
        let is_complaint = |line: &&String| {
            // Its RPC clients, which are the tests, disconnect at any time, and the tests stop it.
            (line.contains("[WARN]") || line.contains("[ERR]") || line.contains("panic:"))
                && !line.contains("agent.ipc")
                && !line.ends_with("Serf shutdown detected, quitting")
                && !line.ends_with("use of closed network connection")
                // HashiCorp's: a handler that ends before its payload is written. A race of its own, on a busy machine.
                && !line.ends_with("file already closed")
                && !self.may_say.iter().any(|part| line.contains(part))
        };
        self.log.lock().expect("no reader panics").iter().filter(is_complaint).cloned().collect()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            eprintln!("--- log of {}:\n{}", self.name, self.log());
        } else {
            let complaints = self.complaints();
            assert!(complaints.is_empty(), "{} complains: {complaints:#?}\n{}", self.name, self.log());
        }
    }
}

impl Watch {
    /// Returns the user events so far.
    pub(crate) fn user_events(&mut self) -> Vec<Heard> {
        self.seen.extend(self.records.try_iter());
        let users = self.seen.iter().filter(|record| text(record, "Event") == "user");
        let heard = |record: &Value| Heard {
            name: text(record, "Name"),
            payload: bytes(record, "Payload"),
            coalesce: field(record, "Coalesce").as_bool() == Some(true),
        };
        users.map(heard).collect()
    }

    /// Returns the member events so far: `member-join NAME`.
    pub(crate) fn member_events(&mut self) -> Vec<String> {
        self.seen.extend(self.records.try_iter());
        let of = |record: &Value| {
            let members = field(record, "Members").as_array().cloned().unwrap_or_default();
            let kind = text(record, "Event");
            members.into_iter().map(move |member| format!("{kind} {}", text(&member, "Name")))
        };
        self.seen.iter().flat_map(of).collect()
    }
}

fn question(name: &str, payload: &[u8], nodes: &[&str], tags: &[(&str, &str)], relays: u8) -> Value {
    let nodes = nodes.iter().map(|&node| node.into()).collect();
    let tags = tags.iter().map(|&(tag, expr)| (tag.into(), expr.into())).collect();
    map([
        ("Name", name.into()),
        ("Payload", Value::Binary(payload.to_vec())),
        ("FilterNodes", Value::Array(nodes)),
        ("FilterTags", Value::Map(tags)),
        ("RequestAck", true.into()),
        ("RelayFactor", relays.into()),
        // An agent waits for the timeout even if all members have answered.
        ("Timeout", 1_500_000_000_u64.into()),
    ])
}

fn seen(member: &Value) -> Seen {
    let pairs = field(member, "Tags").as_map().cloned().unwrap_or_default();
    let pair = |(key, value): (Value, Value)| Some((key.as_str()?.to_owned(), value.as_str()?.to_owned()));
    let mut tags = Tags::default();
    for (key, value) in pairs.into_iter().filter_map(pair) {
        tags.set(key, value);
    }
    let ip = match bytes(member, "Addr").as_slice() {
        &[a, b, c, d] => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
        other => panic!("an address of {other:?}"),
    };
    let port = field(member, "Port").as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
    Seen { status: text(member, "Status"), tags, addr: SocketAddr::new(ip, port) }
}

/// Reads a log on a thread, so that the agent never blocks on a full pipe.
fn record(log: &Arc<Mutex<Vec<String>>>, from: impl Read + Send + 'static) -> JoinHandle<()> {
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            log.lock().expect("no holder panics").push(line);
        }
    })
}
