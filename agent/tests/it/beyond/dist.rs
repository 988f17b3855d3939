//! The contents of the package, in `agent/dist`.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::super::process::Directory;
use super::lab::{Agent, OURS, Ran, eventually, free_address, serf};

fn dist(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dist").join(name)
}

/// Runs a handler as an agent does.
fn handle(name: &str, env: &[(&str, &str)], input: &str) -> Ran {
    let mut handler = Command::new("/bin/sh")
        .args(["-c", &dist("handlers").join(name).display().to_string()])
        .envs(env.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("there is a shell");
    // A handler that reads no input may have exited already.
    _ = handler.stdin.take().expect("was piped").write_all(input.as_bytes());
    handler.wait_with_output().expect("is our child").into()
}

#[test]
fn the_load_balancer_follows_the_members() {
    let directory = Directory::new();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (backends, reloads) = (path("backends"), path("reloads"));
    let reload = format!("tee -a {reloads}");
    let happens = |event: &str, members: &str| {
        let env = [("SERF_EVENT", event), ("BACKENDS", &*backends), ("RELOAD", &*reload)];
        let ran = handle("load-balancer.sh", &env, members);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{event}");
        fs::read_to_string(&backends).expect("is written")
    };
    let both = "a\t10.0.0.1\tweb\trole=web\nb\t10.0.0.2\tdb\trole=db\nab\t10.0.0.3\tweb\trole=web,x=y z\n";
    assert_eq!(happens("member-join", both), "a 10.0.0.1:80\nab 10.0.0.3:80\n");
    assert_eq!(
        happens("member-update", "b\t10.0.0.2\tweb\trole=web\n"),
        "a 10.0.0.1:80\nab 10.0.0.3:80\nb 10.0.0.2:80\n"
    );
    assert_eq!(happens("member-failed", "a\t10.0.0.1\tweb\trole=web\n"), "ab 10.0.0.3:80\nb 10.0.0.2:80\n");
    assert_eq!(happens("member-leave", "nobody\t10.0.0.9\t\t\n"), "ab 10.0.0.3:80\nb 10.0.0.2:80\n");
    assert!(!Path::new(&path("backends.new")).exists(), "nothing is left behind");
    assert!(Path::new(&reloads).exists(), "the load balancer was told");
}

#[test]
fn the_deploy_handler_takes_versions_only() {
    let env = [
        ("SERF_EVENT", "user"),
        ("SERF_USER_EVENT", "deploy"),
        ("SERF_USER_LTIME", "7"),
        ("SERF_SELF_NAME", "web-1"),
        ("DEPLOY", "echo install"),
    ];
    let ran = handle("deploy.sh", &env, "v1.2.3\n");
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (Some(0), "deploying v1.2.3 (event deploy at 7) on web-1\ninstall v1.2.3\n")
    );
    for evil in ["", "\n", "$(reboot)\n", "v1; reboot\n", "-rf /\n", "../../etc\n"] {
        let ran = handle("deploy.sh", &env, evil);
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{evil:?}");
    }
}

#[test]
fn the_query_handler_answers_in_json_and_refuses_what_it_does_not_know() {
    let env = [("SERF_EVENT", "query"), ("SERF_QUERY_NAME", "load"), ("SERF_SELF_NAME", "web-1")];
    let answer = handle("load.py", &env, "").json();
    assert_eq!(answer["node"], "web-1");
    assert_eq!(answer["load"].as_array().map(Vec::len), Some(3));
    let answer = handle("load.py", &env, "disk\n").json();
    assert!((0.0..=100.0).contains(&answer["disk_free_percent"].as_f64().expect("is a number")));
    assert_eq!(handle("load.py", &env, "secrets\n").code, Some(1));
}

#[test]
fn the_journal_has_every_kind_of_event() {
    let directory = Directory::new();
    let journal = directory.path().join("journal").display().to_string();
    let happens = |env: &[(&str, &str)], input: &str| {
        let env: Vec<_> = [("JOURNAL", &*journal), ("SERF_SELF_NAME", "a")].iter().chain(env).copied().collect();
        let ran = handle("members.py", &env, input);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
        let text = fs::read_to_string(&journal).expect("is written");
        serde_json::from_str::<Value>(text.lines().last().expect("has a line")).expect("is JSON")
    };
    let joined = happens(&[("SERF_EVENT", "member-join")], "b\\tc\t10.0.0.2\tweb\tdc=east,role=web\nd\t10.0.0.3\t\t\n");
    assert_eq!(joined["members"][0]["name"], "b\tc");
    assert_eq!(joined["members"][0]["tags"]["dc"], "east");
    assert_eq!(joined["members"][1]["tags"], serde_json::json!({}));
    let user = [("SERF_EVENT", "user"), ("SERF_USER_EVENT", "deploy"), ("SERF_USER_LTIME", "7")];
    let user = happens(&user, "v1\n");
    assert_eq!((&user["name"], &user["ltime"], &user["payload"]), (&"deploy".into(), &7.into(), &"v1".into()));
    let query = [("SERF_EVENT", "query"), ("SERF_QUERY_NAME", "load"), ("SERF_QUERY_LTIME", "8")];
    assert_eq!(happens(&query, "")["name"], "load");
    assert_eq!(fs::read_to_string(&journal).expect("is there").lines().count(), 3);
}

#[test]
fn an_agent_runs_the_handlers() {
    let directory = Directory::new();
    let journal = directory.path().join("journal");
    let handlers = dist("handlers").display().to_string();
    let load = format!("query:load={handlers}/load.py");
    let all = format!("*=JOURNAL={} {handlers}/members.py", journal.display());
    let agent = Agent::start(OURS, "web-1", &["-event-handler", &load, "-event-handler", &all]);
    let answer = agent.ask(&["query", "-format=json", "-timeout=5s", "load"]).json();
    let answer: Value = serde_json::from_str(answer["Responses"]["web-1"].as_str().expect("answers")).expect("is JSON");
    assert_eq!(answer["node"], "web-1");
    eventually("the journal", || {
        let text = fs::read_to_string(&journal).unwrap_or_default();
        (text.contains("member-join") && text.contains("\"name\": \"load\"")).then_some(())
    });
}

/// A process that is killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

impl Running {
    /// Starts an agent with the arguments of a service, in directories of the test's own. Its supervisor listens at
    /// `NOTIFY_SOCKET` in the directory, if that exists.
    fn start(args: &[String], directory: &Directory) -> (Self, String) {
        let root = directory.path().display().to_string();
        let (bind, rpc) = (free_address(), free_address());
        let (program, args) = args.split_first().expect("names a program");
        assert!(program.ends_with("serf"), "{program}");
        let args = args.iter().map(|arg| arg.replace("/etc/serf", &root).replace("/var/lib/serf", &root));
        let log = fs::File::create(directory.path().join("log")).expect("can be written");
        let more = ["-node=one", "-bind", &bind, "-rpc-addr", &rpc].map(str::to_owned);
        let mut command = Command::new(OURS);
        command.args(args).args(more).env_remove("NOTIFY_SOCKET").stdout(log);
        let supervisor = directory.path().join("NOTIFY_SOCKET");
        if supervisor.exists() {
            command.env("NOTIFY_SOCKET", supervisor);
        }
        let agent = Self(command.spawn().expect("can be started"));
        eventually("its RPC", || serf(&["info", "-rpc-addr", &rpc], &[]).out.contains("name = one").then_some(()));
        (agent, rpc)
    }

    fn signal(&self, name: &str) {
        let name = format!("-{}", name.strip_prefix("SIG").expect("is a signal's name"));
        let sent = Command::new("kill").args([&name, &self.0.id().to_string()]).status().expect("can be run");
        assert!(sent.success());
    }

    fn exit_code(&mut self) -> Option<i32> {
        eventually("its end", || self.0.try_wait().expect("is our child")).code()
    }
}

/// The value of a setting of the unit.
fn setting<'u>(unit: &'u str, name: &str) -> &'u str {
    let line = unit.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    line.unwrap_or_else(|| panic!("the unit has no {name}"))
}

#[test]
fn the_command_of_the_systemd_unit_starts_reloads_and_leaves() {
    let unit = fs::read_to_string(dist("serf.service")).expect("is there");
    let directory = Directory::new();
    fs::write(directory.path().join("a.json"), r#"{"tags": {"role": "web"}}"#).expect("can be written");
    let args: Vec<_> = setting(&unit, "ExecStart").split(' ').map(str::to_owned).collect();
    assert_eq!(setting(&unit, "Type"), "notify");
    let supervisor = UnixDatagram::bind(directory.path().join("NOTIFY_SOCKET")).expect("can be bound");
    supervisor.set_read_timeout(Some(Duration::from_secs(40))).expect("is not zero");
    let told = |news: &str| {
        let mut message = [0; 256];
        let len = supervisor.recv(&mut message).expect(news);
        let message = String::from_utf8_lossy(&message[..len]).into_owned();
        assert!(message.lines().any(|line| line == news), "{message} instead of {news}");
    };
    let (mut agent, rpc) = Running::start(&args, &directory);
    told("READY=1");
    fs::write(directory.path().join("a.json"), r#"{"tags": {"role": "db"}}"#).expect("can be written");
    let reload: Vec<_> = unit.lines().filter_map(|line| line.strip_prefix("ExecReload=")).collect();
    let check = setting(&unit, "ExecStart").replace("serf agent ", "serf agent -check ");
    assert_eq!(reload, [check.as_str(), "/bin/kill -HUP $MAINPID"]);
    let config = format!("-config-dir={}", directory.path().display());
    assert_eq!(serf(&["agent", "-check", &config], &[]).out, "==> The settings can be used\n");
    fs::write(directory.path().join("b.json"), r#"{"event_handlers": ["bogus=x"]}"#).expect("can be written");
    let refused = serf(&["agent", "-check", &config], &[]);
    let why = "==> Invalid event script: Event 'bogus' invoking 'x'\n";
    assert_eq!((refused.code, refused.out.as_str()), (Some(1), why), "so the reload fails");
    fs::remove_file(directory.path().join("b.json")).expect("is there");
    agent.signal("SIGHUP");
    told("RELOADING=1");
    told("READY=1");
    eventually("the new tag", || serf(&["members", "-rpc-addr", &rpc], &[]).out.contains("role=db").then_some(()));
    agent.signal(setting(&unit, "KillSignal"));
    told("STOPPING=1");
    assert_eq!(agent.exit_code(), Some(0));
    let log = fs::read_to_string(directory.path().join("log")).expect("is there");
    assert!(log.contains("agent: requesting graceful leave from Serf"), "{log}");
    assert!(directory.path().join("snapshot").exists());
}

#[test]
fn systemd_finds_no_fault_with_the_unit() {
    if Command::new("systemd-analyze").arg("--version").stdout(Stdio::null()).status().is_err() {
        return eprintln!("NOT RUN: systemd-analyze is not installed");
    }
    let directory = Directory::new();
    let unit = fs::read_to_string(dist("serf.service")).expect("is there").replace("/usr/bin/serf", OURS);
    let path = directory.path().join("serf.service");
    fs::write(&path, unit).expect("can be written");
    let verify = Command::new("systemd-analyze").args(["verify"]).arg(&path).output().expect("can be run");
    let verify = Ran::from(verify);
    assert_eq!((verify.code, verify.err.as_str()), (Some(0), ""), "{}", verify.out);
}

/// The words of a Dockerfile instruction in its JSON form.
fn instruction(dockerfile: &str, name: &str) -> Vec<String> {
    let line = dockerfile.lines().find(|line| line.starts_with(name)).expect(name);
    let list = &line[line.find('[').expect("has a list")..];
    serde_json::from_str(list).expect("is JSON")
}

#[test]
fn the_command_of_the_image_starts_is_healthy_and_leaves() {
    let dockerfile = fs::read_to_string(dist("Dockerfile")).expect("is there");
    let directory = Directory::new();
    let (mut agent, rpc) = Running::start(&instruction(&dockerfile, "ENTRYPOINT"), &directory);
    let health = instruction(&dockerfile, "HEALTHCHECK");
    let health: Vec<&str> = health.iter().skip(1).map(String::as_str).collect();
    assert_eq!(serf(&health, &[("SERF_RPC_ADDR", &rpc)]).code, Some(0));
    let stop = dockerfile.lines().find_map(|line| line.strip_prefix("STOPSIGNAL ")).expect("names a signal");
    agent.signal(stop);
    assert_eq!(agent.exit_code(), Some(0));
    assert_eq!(serf(&health, &[("SERF_RPC_ADDR", &rpc)]).code, Some(1), "nobody is there any more");
}
