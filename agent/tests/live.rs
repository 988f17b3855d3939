//! Our command line and HashiCorp's side by side, against HashiCorp's agent. Skipped, with a word about it, where
//! `/usr/bin/serf` is not installed (`apt-get install serf`); `SERF_REFERENCE` names another one.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

/// HashiCorp's binary, if it is here.
fn reference() -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os("SERF_REFERENCE").unwrap_or_else(|| "/usr/bin/serf".into()));
    if path.exists() {
        return Some(path);
    }
    eprintln!("NOT RUN: {} is not installed", path.display());
    None
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("is bound").to_string()
}

/// An agent of HashiCorp's that ends with the test.
struct Agent {
    process: Child,
    rpc: String,
    bind: String,
}

impl Agent {
    fn start(reference: &PathBuf, name: &str, more: &[&str]) -> Self {
        let (rpc, bind) = (free_address(), free_address());
        let mut process = Command::new(reference)
            .args(["agent", "-node", name, "-profile=local", "-bind", &bind, "-rpc-addr", &rpc])
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .expect("can be started");
        let mut lines = BufReader::new(process.stdout.take().expect("was piped")).lines();
        let running = lines.by_ref().map_while(Result::ok).any(|line| line.contains("Log data will now stream"));
        assert!(running, "{name} did not start");
        // It must not stop at a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, rpc, bind }
    }

    fn ask(&self, binary: &str, args: &[&str]) -> Output {
        let mut command = Command::new(binary);
        command.args(args).env("SERF_RPC_ADDR", &self.rpc).env_remove("SERF_RPC_AUTH");
        command.output().expect("can be run")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

#[test]
fn our_commands_do_and_say_what_hashicorps_do() {
    let Some(reference) = reference() else { return };
    let seed = Agent::start(&reference, "n1", &["-tag=role=web", "-event-handler=query:load=echo load"]);
    let _other = Agent::start(&reference, "n2", &["-join", &seed.bind]);
    for args in [
        ["members", "-name=n1"].as_slice(),
        &["members", "-name=n1", "-detailed"],
        &["members", "-name=n1", "-format=json"],
        &["members", "-name=none"],
        &["members", "-name=["],
        &["members", "-format=xml"],
        &["info", "-format=xml"],
        &["event", "deploy", "v1"],
        &["query", "-timeout=300ms", "-node=n1", "load"],
        &["query", "-timeout=300ms", "-format=json", "-node=n1", "load"],
        &["query", "-format=xml", "load"],
        &["tags", "-set", "a=b=c"],
        &["tags", "-delete", "a"],
        &["tags", "-set", "nope"],
        &["join", &seed.bind],
        &["join", "127.0.0.1:1"],
        &["force-leave", "nobody"],
        &["rtt", "nobody"],
        &["keys", "-install=zzz"],
        &["monitor", "-log-level=foo"],
        &["members", "-rpc-auth=wrong"],
        &["members", "-rpc-addr=127.0.0.1:1"],
        &["members", "-rpc-addr=127.0.0.1"],
    ] {
        let ours = seed.ask(env!("CARGO_BIN_EXE_serf"), args);
        let theirs = seed.ask(&reference.to_string_lossy(), args);
        let seen = |output: &Output| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let mut lines: Vec<String> = text(&output.stdout).split_inclusive('\n').map(str::to_owned).collect();
            // HashiCorp's agent sends acks and answers in any order.
            if args[0] == "query" {
                lines.sort_unstable();
            }
            (output.status.code(), lines.concat(), text(&output.stderr))
        };
        assert_eq!(seen(&ours), seen(&theirs), "{args:?}");
    }
    assert!(seed.ask(env!("CARGO_BIN_EXE_serf"), &["leave"]).status.success());
}
