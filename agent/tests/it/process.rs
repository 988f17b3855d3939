//! Agents as processes, for tests.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serf_agent::rpc::{Client, ClientError, ClientOptions};
use tempfile::TempDir;

/// A directory for one test, removed on drop.
pub(crate) struct Directory(TempDir);

impl Directory {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("can be made"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.path().join(name);
        fs::write(&path, text).expect("can be written");
        path.display().to_string()
    }
}

/// A running agent, killed on drop.
pub(crate) struct Agent {
    pub(crate) process: Child,
    pub(crate) rpc: String,
    output: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

/// Any free port; the banner shows it.
pub(crate) const ANY_PORT: &str = "127.0.0.1:0";

impl Agent {
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_at(ANY_PORT, args)
    }

    pub(crate) fn start_at(rpc: &str, args: &[&str]) -> Self {
        Self::spawn(rpc, args).started(rpc)
    }

    pub(crate) fn start_in(env: &[(&str, &str)], args: &[&str]) -> Self {
        Self::spawn_in(env, ANY_PORT, args).started(ANY_PORT)
    }

    fn started(mut self, rpc: &str) -> Self {
        self.wait("Log data will now stream in");
        let output = self.output();
        let (_, shown) = output.split_once("RPC addr: '").expect("is in the banner");
        self.rpc = shown.split('\'').next().expect("is quoted").into();
        if rpc.starts_with("unix:") {
            assert_eq!(self.rpc, rpc);
        }
        self
    }

    pub(crate) fn spawn(rpc: &str, args: &[&str]) -> Self {
        Self::spawn_in(&[], rpc, args)
    }

    /// With additional environment variables.
    pub(crate) fn spawn_in(env: &[(&str, &str)], rpc: &str, args: &[&str]) -> Self {
        Self::spawn_with(env, rpc, args, Stdio::null())
    }

    /// With the given standard error.
    pub(crate) fn start_with(args: &[&str], errors: Stdio) -> Self {
        Self::spawn_with(&[], ANY_PORT, args, errors).started(ANY_PORT)
    }

    /// Through a program that runs another one with its arguments.
    pub(crate) fn start_within(program: &[&str], rpc: &str, args: &[&str]) -> Self {
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).arg(env!("CARGO_BIN_EXE_serf"));
        Self::spawn_by(command, &[], rpc, args, Stdio::null()).started(rpc)
    }

    fn spawn_with(env: &[(&str, &str)], rpc: &str, args: &[&str], errors: Stdio) -> Self {
        Self::spawn_by(Command::new(env!("CARGO_BIN_EXE_serf")), env, rpc, args, errors)
    }

    fn spawn_by(mut command: Command, env: &[(&str, &str)], rpc: &str, args: &[&str], errors: Stdio) -> Self {
        let mut process = command
            .envs(env.iter().copied())
            .args(["agent", "-node=one", "-bind", ANY_PORT, "-rpc-addr", rpc, "-log-level=debug"])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .expect("can be started");
        let lines = BufReader::new(process.stdout.take().expect("was piped")).lines();
        let output = Arc::new(Mutex::new(String::new()));
        let page = Arc::clone(&output);
        let reader = thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut page = page.lock().expect("no panic");
                page.push_str(&line);
                page.push('\n');
            }
        });
        Self { process, rpc: rpc.into(), output, reader: Some(reader) }
    }

    pub(crate) fn output(&self) -> String {
        self.output.lock().expect("no panic").clone()
    }

    /// The complete output of a killed agent.
    pub(crate) fn output_to_the_end(&mut self) -> String {
        self.reader.take().expect("is asked for once").join().expect("no panic");
        self.output()
    }

    /// The gossip address, from the banner.
    pub(crate) fn bound(&self) -> String {
        let output = self.output();
        let (_, addr) = output.split_once("Bind addr: '").expect("is in the banner");
        addr.split('\'').next().expect("is quoted").into()
    }

    pub(crate) fn wait(&self, text: &str) {
        eventually(text, || self.output().contains(text).then_some(()));
    }

    pub(crate) fn client(&self) -> Client {
        self.client_with("").expect("lets us in")
    }

    pub(crate) fn client_with(&self, token: &str) -> Result<Client, ClientError> {
        Client::connect(&ClientOptions {
            address: self.rpc.clone(),
            auth_key: token.into(),
            ..ClientOptions::default()
        })
    }

    pub(crate) fn tags(&self) -> String {
        let members = self.client().members().expect("answers");
        let tags: Vec<_> = members[0].tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        tags.join(",")
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.process.id().to_string()]).status();
        assert!(sent.expect("kill is there").success());
    }

    pub(crate) fn exit_code(&mut self) -> i32 {
        eventually("its end", || self.process.try_wait().expect("is our child")).code().expect("was not killed")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

/// Waits up to 20 seconds until a probe finds something.
pub(crate) fn eventually<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    within(Duration::from_secs(20), what, probe)
}

/// Waits until a probe finds something.
pub(crate) fn within<T>(limit: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
