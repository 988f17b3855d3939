//! Behaviour that HashiCorp's agent gets from Go's runtime, and that ours must implement.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use serf_agent::rpc::{Client, ClientOptions};

use crate::process::{Agent, Directory, eventually};

/// The established sockets of this port, as the system lists them: the seconds until the keepalive timer fires, or
/// `None` if another timer runs.
fn keepalive_timers(local_port: u16) -> Vec<Option<u64>> {
    let table = fs::read_to_string("/proc/net/tcp").expect("is there");
    let sockets = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let ours = sockets.filter(|socket| socket[3] == "01" && socket[1].ends_with(&format!(":{local_port:04X}")));
    ours.map(|socket| {
        let (kind, ticks) = socket[5].split_once(':').expect("is a timer");
        (kind == "02").then(|| u64::from_str_radix(ticks, 16).expect("is a number") / 100)
    })
    .collect()
}

fn port(addr: &str) -> u16 {
    addr.rsplit(':').next().and_then(|port| port.parse().ok()).expect("has a port")
}

#[test]
fn every_connection_that_lasts_is_probed_after_fifteen_seconds_of_silence() {
    if !fs::exists("/proc/net/tcp").unwrap_or(false) {
        return eprintln!("NOT RUN: this system does not list its sockets");
    }
    let statsite = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let dir = Directory::new();
    let addr = statsite.local_addr().expect("is bound");
    let config = dir.file("c.json", &format!("{{\"statsite_addr\": \"{addr}\"}}"));
    let agent = Agent::start(&["-config-file", &config, "-metrics-addr=127.0.0.1:0"]);
    let is_probed = |what: &str, local_port| {
        eventually(what, || {
            let timers = keepalive_timers(local_port);
            (!timers.is_empty() && timers.iter().all(|timer| timer.is_some_and(|left| left <= 15))).then_some(())
        });
    };
    let client = agent.client();
    is_probed("the agent's side of a client", port(&agent.rpc));
    drop(client);

    let silent = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let options =
        ClientOptions { address: silent.local_addr().expect("is bound").to_string(), ..ClientOptions::default() };
    let client = std::thread::spawn(move || Client::connect_eagerly(&options).map(|mut client| client.members()));
    let (accepted, peer) = silent.accept().expect("a client comes");
    is_probed("the client's side", peer.port());
    drop(accepted);
    _ = client.join();

    let (_accepted, peer) = statsite.accept().expect("the agent comes");
    is_probed("the connection to statsite", peer.port());

    let output = agent.output();
    let metrics = output.split("Metrics addr: '").nth(1).and_then(|rest| rest.split('\'').next()).expect("is shown");
    let _watcher = std::net::TcpStream::connect(metrics).expect("listens");
    is_probed("the agent's side of a watcher", port(metrics));
}

#[test]
fn the_log_is_in_the_zone_that_tz_names() {
    if !fs::exists("/usr/share/zoneinfo/Asia/Tokyo").unwrap_or(false) {
        return eprintln!("NOT RUN: this system has no time zones");
    }
    for (zone, offset) in [
        ("Asia/Tokyo", "+09:00"),
        (":Asia/Tokyo", "+09:00"),
        ("Asia/Kathmandu", "+05:45"),
        ("/usr/share/zoneinfo/Asia/Tokyo", "+09:00"),
        (":/usr/share/zoneinfo/Asia/Tokyo", "+09:00"),
        ("UTC", "+00:00"),
        ("", "+00:00"),
        (":", "+00:00"),
        ("No/Where", "+00:00"),
        // HashiCorp's agent does not support these.
        ("JST-9", "+09:00"),
        ("<+0545>-5:45", "+05:45"),
    ] {
        let agent = Agent::start_in(&[("TZ", zone)], &[]);
        let mut monitor = agent.client();
        monitor.monitor("info").expect("subscribes");
        let date = Command::new("date").env("TZ", zone).arg("+%:z").output().expect("is there");
        assert_eq!(String::from_utf8_lossy(&date.stdout).trim(), offset, "{zone}, by date");
        let now = || {
            let date = Command::new("date").env("TZ", zone).arg("+%Y/%m/%d %H:%M").output().expect("is there");
            String::from_utf8_lossy(&date.stdout).trim().to_owned()
        };
        // The minute may change between the two.
        let (output, now) = (agent.output(), [now(), now()]);
        let line = output.lines().find(|line| line.contains("[INFO] agent: Serf agent starting")).expect("is there");
        let is_now = |line: &str| now.iter().any(|now| line.contains(now)) || within_a_minute(line, &now[0]);
        assert!(is_now(line), "{zone}: {line}, {now:?} by date");
    }
}

/// Whether the two minutes differ by one at most.
fn within_a_minute(line: &str, now: &str) -> bool {
    let minutes = |text: &str| {
        let (hour, minute) = text.split_whitespace().nth(1)?.split_once(':')?;
        Some(hour.parse::<u32>().ok()? * 60 + minute.get(..2)?.parse::<u32>().ok()?)
    };
    matches!((minutes(line), minutes(now)), (Some(a), Some(b)) if (a + 1) % 1440 == b)
}

#[test]
fn lines_of_json_have_the_offset_of_the_zone() {
    if !fs::exists("/usr/share/zoneinfo/Asia/Tokyo").unwrap_or(false) {
        return eprintln!("NOT RUN: this system has no time zones");
    }
    let agent = Agent::spawn_in(&[("TZ", "Asia/Tokyo")], crate::process::ANY_PORT, &["-log-format=json"]);
    agent.wait("Serf agent starting");
    let output = agent.output();
    assert!(output.lines().all(|line| line.contains("+09:00\",\"level\"")), "{output}");
}

#[test]
fn a_script_gets_no_descriptor_no_signal_disposition_and_the_original_limits() {
    if !fs::exists("/proc/self/status").unwrap_or(false) {
        return eprintln!("NOT RUN: this system has no /proc");
    }
    let dir = Directory::new();
    let (page, banner) =
        (dir.path().join("page").display().to_string(), dir.path().join("banner").display().to_string());
    let look = format!(
        "ls /proc/$$/fd > {page}.fd; (grep ^Sig /proc/$$/status; tr '\\0' '|' < /proc/$$/cmdline; echo; ulimit -Sn; ulimit -Hn) > {page}.new; mv {page}.new {page}"
    );
    let handlers = serde_json::json!({ "event_handlers": [format!("user:look={look}")] });
    let config = dir.file("c.json", &handlers.to_string());
    // With a soft limit below the hard one. Scripts inherit files that are open here already, as with HashiCorp's
    // agent.
    let start = format!(
        "ls /proc/$$/fd > {banner}.fd; ulimit -Sn 512; ulimit -Hn 4096; exec {} agent -node=one -bind=127.0.0.1:0 -rpc-addr=127.0.0.1:0 -snapshot={banner}.snap -config-file={config} > {banner} 2>&1 < /dev/null",
        env!("CARGO_BIN_EXE_serf")
    );
    let mut agent = Command::new("/bin/sh").args(["-c", &start]).spawn().expect("can be started");
    let rpc = eventually("the banner", || {
        let text = fs::read_to_string(&banner).unwrap_or_default();
        text.contains("stream in").then(|| text.split("RPC addr: '").nth(1)?.split('\'').next().map(str::to_owned))?
    });
    let limits = fs::read_to_string(format!("/proc/{}/limits", agent.id())).expect("is there");
    let files = limits.lines().find(|line| line.starts_with("Max open files")).expect("is listed");
    assert_eq!(files.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["4096", "4096"], "ours is raised");

    let mut client = Client::connect(&ClientOptions { address: rpc, ..ClientOptions::default() }).expect("lets us in");
    let event = serf_agent::rpc::UserEvent { name: "look".into(), payload: None, coalesce: false };
    client.event(event).expect("is sent");
    let seen = eventually("the script", || fs::read_to_string(&page).ok());
    agent.kill().expect("runs");
    agent.wait().expect("is ours");
    let lines: Vec<&str> = seen.lines().collect();
    let descriptors = |path: String| fs::read_to_string(path).expect("was written");
    assert_eq!(descriptors(format!("{page}.fd")), descriptors(format!("{banner}.fd")));
    let mask = |name: &str| {
        let line = lines.iter().find(|line| line.starts_with(name)).expect("is listed");
        u64::from_str_radix(line.split_whitespace().nth(1).expect("has a value"), 16).expect("is a number")
    };
    assert!(seen.contains("\n/bin/sh|-c|ls /proc/$$/fd"), "{seen}");
    assert_eq!(mask("SigBlk"), 0);
    // Except the two signals that the C library reserves, and a SIGQUIT that was ignored at our start: shells ignore it
    // for background jobs.
    let ours = fs::read_to_string("/proc/self/status").expect("is there");
    let ignored = ours.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("is listed");
    let before = u64::from_str_radix(ignored.trim(), 16).expect("is a number") & 1 << 2;
    assert_eq!(mask("SigIgn") & 0x7fff_ffff, before);
    assert_eq!(lines[lines.len() - 2..], ["512", "4096"]);
}

#[test]
fn a_raised_limit_does_not_keep_a_script_from_starting_when_more_files_are_open() {
    let dir = Directory::new();
    let (page, banner) =
        (dir.path().join("page").display().to_string(), dir.path().join("banner").display().to_string());
    let start = format!(
        "ulimit -Sn 64; ulimit -Hn 2048; exec {} agent -node=one -bind=127.0.0.1:0 -rpc-addr=127.0.0.1:0 '-event-handler=user:look=cat > {page}' > {banner}",
        env!("CARGO_BIN_EXE_serf")
    );
    let mut agent = Command::new("/bin/sh").args(["-c", &start]).spawn().expect("can be started");
    let rpc = eventually("the banner", || {
        let text = fs::read_to_string(&banner).unwrap_or_default();
        text.contains("stream in").then(|| text.split("RPC addr: '").nth(1)?.split('\'').next().map(str::to_owned))?
    });
    let options = ClientOptions { address: rpc, ..ClientOptions::default() };
    let mut clients: Vec<_> = (0..100).map(|_| Client::connect(&options).expect("lets us in")).collect();
    let event = serf_agent::rpc::UserEvent { name: "look".into(), payload: Some(b"x".to_vec()), coalesce: false };
    clients[99].event(event).expect("is sent");
    eventually("the script", || fs::read_to_string(&page).ok().filter(|text| text == "x\n"));
    agent.kill().expect("runs");
    agent.wait().expect("is ours");
}

#[test]
fn names_are_found_in_the_hosts_file_and_below_the_search_domains() {
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "--net", "--kill-child", "--fork", "/bin/sh", "-ec", script]);
        command
    };
    let has_python = Command::new("python3").arg("-V").stdout(Stdio::null()).status().is_ok_and(|it| it.success());
    if !has_python || !unshare("ip link set lo up").stderr(Stdio::null()).status().is_ok_and(|it| it.success()) {
        return eprintln!("NOT RUN: needs python3, ip and namespaces");
    }
    let dir = Directory::new();
    let hosts = dir.file("hosts", "127.0.0.1 localhost\n127.1.2.3 from-hosts\n");
    let resolv = dir.file("resolv.conf", "nameserver 127.0.0.1\nsearch corp.example\noptions timeout:1 attempts:1\n");
    // A name server that knows one name, and answers for its IPv4 address only.
    let server = dir.file(
        "dns.py",
        r#"
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.1", 53)); print("ready", flush=True)
while True:
    q, who = s.recvfrom(512)
    known = q[12:].lower().startswith(b"\x05short\x04corp\x07example\x00")
    kind = q[12:].split(b"\0", 1)[1][:2]
    end = q.index(b"\0", 12) + 5
    answer = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\x7f\4\5\6" if known and kind == b"\0\1" else b""
    s.sendto(q[:2] + (b"\x81\x80" if known else b"\x81\x83") + b"\0\1" + (b"\0\1" if answer else b"\0\0") + b"\0\0\0\0" + q[12:end] + answer, who)
"#,
    );
    let serf = env!("CARGO_BIN_EXE_serf");
    let page = dir.path().join("page").display().to_string();
    let agent = format!("{serf} agent -node=one -bind=127.0.0.1 -rpc-addr=none");
    let script = format!(
        "ip link set lo up; mount --bind {hosts} /etc/hosts; mount --bind {resolv} /etc/resolv.conf
         python3 {server} > {page} & until grep -q ready {page}; do sleep 0.05; done
         {agent} -join=from-hosts:1 || true; {agent} -join=short:1 || true; kill $!"
    );
    let output = unshare(&script).stderr(Stdio::null()).output().expect("runs");
    let output = String::from_utf8_lossy(&output.stdout);
    for addr in ["127.1.2.3", "127.4.5.6"] {
        assert!(output.contains(&format!("Failed to join {addr}: dial tcp {addr}:1: connect:")), "{output}");
    }
}

#[test]
fn a_closed_pipe_ends_a_command_quietly_and_a_full_disk_is_reported() {
    let agent = Agent::start(&[]);
    let serf = env!("CARGO_BIN_EXE_serf");
    let run = |script: &str| {
        let output = Command::new("/bin/sh").args(["-c", script]).output().expect("runs");
        (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let rpc = &agent.rpc;
    let (out, err) = run(&format!("{{ {serf} members -rpc-addr={rpc}; echo $? >&2; }} | true"));
    assert_eq!((out.as_str(), err.as_str()), ("", "0\n"));
    if fs::exists("/dev/full").unwrap_or(false) {
        let (out, err) = run(&format!("{serf} members -rpc-addr={rpc} > /dev/full; echo $?"));
        assert_eq!((out.as_str(), err.as_str()), ("1\n", "Error writing output: no space left on device\n"));
    }
}
