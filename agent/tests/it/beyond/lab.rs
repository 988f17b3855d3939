//! Agents that are killed at the end of their test.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;

pub(crate) use crate::ports::free_address;
use crate::process::within;

/// Our binary.
pub(crate) const OURS: &str = env!("CARGO_BIN_EXE_serf");

/// HashiCorp's binary, if it is installed.
pub(crate) fn reference() -> Option<String> {
    let path = PathBuf::from(std::env::var_os("SERF_REFERENCE").unwrap_or_else(|| "/usr/bin/serf".into()));
    if path.exists() {
        return Some(path.display().to_string());
    }
    eprintln!("PARTLY RUN: {} is not installed", path.display());
    None
}

/// Our binary and, if it is installed, HashiCorp's.
pub(crate) fn binaries() -> Vec<String> {
    [OURS.to_owned()].into_iter().chain(reference()).collect()
}

/// A running agent on loopback.
pub(crate) struct Agent {
    process: Child,
    /// The gossip address.
    pub(crate) bind: String,
    pub(crate) rpc: String,
    log: Arc<Mutex<String>>,
}

impl Agent {
    pub(crate) fn start(binary: &str, name: &str, more: &[&str]) -> Self {
        // HashiCorp's agent cannot choose a port, and another process may take ours before its start.
        let mut said = String::new();
        for _ in 0..5 {
            match Self::try_start(binary, name, more) {
                Ok(agent) => return agent,
                Err(output) => said = output,
            }
        }
        panic!("{name} did not start: {said}");
    }

    fn try_start(binary: &str, name: &str, more: &[&str]) -> Result<Self, String> {
        let (bind, rpc) = (free_address(), free_address());
        let mut process = Command::new(binary)
            .args(["agent", "-node", name, "-profile=local", "-bind", &bind, "-rpc-addr", &rpc])
            .args(more)
            .env_remove("NOTIFY_SOCKET")
            .stdout(Stdio::piped())
            .spawn()
            .expect("can be started");
        let mut lines = BufReader::new(process.stdout.take().expect("was piped")).lines();
        let mut said = Vec::new();
        let mut is_running = |line: String| {
            said.push(line);
            said.last().is_some_and(|line| line.contains("Log data will now stream"))
        };
        if !lines.by_ref().map_while(Result::ok).any(&mut is_running) {
            _ = process.wait();
            return Err(said.join("\n"));
        }
        let log = Arc::new(Mutex::new(String::new()));
        let page = Arc::clone(&log);
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut page = page.lock().expect("no panic");
                page.push_str(&line);
                page.push('\n');
            }
        });
        Ok(Self { process, bind, rpc, log })
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("no panic").clone()
    }

    /// Kills it without a leave.
    pub(crate) fn kill(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }

    /// Sends it a signal, such as `USR2`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.process.id().to_string()]).status();
        assert!(sent.expect("kill is there").success());
    }

    /// Has it leave and end.
    pub(crate) fn interrupt(&mut self) {
        self.signal("INT");
        assert!(self.process.wait().expect("is our child").success(), "{}", self.log());
    }

    /// Runs our program with this agent as its RPC address.
    pub(crate) fn ask(&self, args: &[&str]) -> Ran {
        serf(args, &[("SERF_RPC_ADDR", &self.rpc)])
    }

    /// Waits until this agent reports `status` for `name`.
    pub(crate) fn wait_status(&self, name: &str, status: &str) {
        let name = format!("-name={name}");
        eventually(status, || self.ask(&["members", &name]).out.contains(&format!("  {status}")).then_some(()));
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().filter(|line| !line.contains("Accepted client")).collect();
            let last = &lines[lines.len().saturating_sub(LOG_LINES)..];
            eprintln!("--- {} reports\n{}, and logged\n{}", self.bind, self.ask(&["members"]).out, last.join("\n"));
        }
        self.kill();
    }
}

/// How many lines of an agent's log a failed test shows.
const LOG_LINES: usize = 60;

/// The output and exit code of a command.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// The output as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

/// Runs our program.
pub(crate) fn serf(args: &[&str], env: &[(&str, &str)]) -> Ran {
    let mut command = Command::new(OURS);
    command.args(args).env_remove("SERF_RPC_ADDR").env_remove("SERF_RPC_AUTH").envs(env.iter().copied());
    command.output().expect("can be run").into()
}

/// Waits up to two minutes: gossip of HashiCorp's agents misses some members of a small cluster, and they exchange states
/// every 30 s only.
pub(crate) fn eventually<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    within(Duration::from_secs(120), what, probe)
}
