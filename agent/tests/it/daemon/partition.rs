//! The partition signal, with agents in network namespaces and packets dropped by nftables.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serf_agent::rpc::{EventRecord, Record};

use crate::process::{Agent, Directory, within};

/// Network namespaces whose hosts share an Ethernet segment. They are removed on drop.
struct Network {
    names: Vec<String>,
}

impl Network {
    /// Makes `count` hosts, 10.77.0.1 and so on; the error says why there can be none.
    fn new(count: usize) -> Result<Self, String> {
        let name = |n: usize| format!("serf-it-{}-{n}", std::process::id());
        let mut network = Self { names: Vec::new() };
        // The first one is the switch.
        for n in 0..=count {
            run("ip", &format!("netns add {}", name(n)))?;
            network.names.push(name(n));
        }
        let switch = name(0);
        run("ip", &format!("-n {switch} link add br0 type bridge"))?;
        run("ip", &format!("-n {switch} link set br0 up"))?;
        for n in 1..=count {
            let host = name(n);
            run("ip", &format!("-n {switch} link add port{n} type veth peer name eth0 netns {host}"))?;
            run("ip", &format!("-n {switch} link set port{n} master br0 up"))?;
            run("ip", &format!("-n {host} addr add {}/24 dev eth0", address(n)))?;
            run("ip", &format!("-n {host} link set eth0 up"))?;
            run("ip", &format!("-n {host} link set lo up"))?;
            network.nft(n, "add table inet cut")?;
            network.nft(n, "add chain inet cut in { type filter hook input priority 0 ; }")?;
        }
        Ok(network)
    }

    fn nft(&self, host: usize, what: &str) -> Result<String, String> {
        run("ip", &format!("netns exec {} nft {what}", self.names[host]))
    }

    /// Drops all packets between hosts of different sides.
    fn cut(&self, sides: &[&[usize]]) {
        for side in sides {
            let others = sides.iter().filter(|other| *other != side).copied().flatten();
            let others: Vec<String> = others.map(|host| address(*host)).collect();
            for host in *side {
                let rule = format!("add rule inet cut in ip saddr {{ {} }} drop", others.join(" , "));
                self.nft(*host, &rule).expect("tables can be changed");
            }
        }
    }

    fn heal(&self) {
        (1..self.names.len()).for_each(|host| _ = self.nft(host, "flush chain inet cut in").expect("is there"));
    }

    fn get(&self, host: usize, path: &str) -> String {
        let talk = format!(
            "exec 3<>/dev/tcp/{}/9973 && printf 'GET {path} HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3",
            address(host)
        );
        let output = Command::new("ip").args(["netns", "exec", &self.names[host], "bash", "-c", &talk]).output();
        String::from_utf8_lossy(&output.expect("bash is there").stdout).into_owned()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.names.iter().for_each(|name| _ = run("ip", &format!("netns del {name}")));
    }
}

fn address(host: usize) -> String {
    format!("10.77.0.{host}")
}

/// Runs a command whose arguments have no blanks; the error is what it printed.
fn run(program: &str, arguments: &str) -> Result<String, String> {
    let output = Command::new(program).args(arguments.split(' ')).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(format!("{program} {arguments}: {}", text(&output.stderr)))
    }
}

/// Waits up to a minute and a half: a node that is alone waits the longest time for confirmations.
fn wait_for<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    within(Duration::from_secs(90), what, probe)
}

/// Five agents: all but the last have the signal, and a handler for it that appends to a file.
fn agents(network: &Network, directory: &Directory) -> Vec<Agent> {
    let quick = directory.file("quick.json", r#"{"reconnect_interval": "2s", "profile": "local"}"#);
    let agent = |host: usize| {
        let said = said(directory, host);
        let event = if host == 5 { "*" } else { "partition" };
        let script = "env | grep -e ^SERF_EVENT -e ^SERF_PARTITION | sort; cat; echo END";
        let handler = format!("-event-handler={event}=({script}) >> {said}");
        let (node, bind) = (format!("-node=n{host}"), format!("-bind={}", address(host)));
        let (metrics, config) = (format!("-metrics-addr={}:9973", address(host)), format!("-config-file={quick}"));
        let mut args = vec![&*node, &bind, &metrics, &config, &handler, "-tag=zone=z1", "-zone-tag=zone"];
        if host > 2 {
            args[5] = "-tag=zone=z2";
        }
        if host != 5 {
            args.push("-partition-signal=4s");
        }
        let join = format!("-retry-join={}", address(1));
        args.push(&join);
        let rpc = format!("unix://{}", directory.path().join(format!("{host}.sock")).display());
        Agent::start_within(&["ip", "netns", "exec", &network.names[host]], &rpc, &args)
    };
    (1..=5).map(agent).collect()
}

/// The file of the handler of a host.
fn said(directory: &Directory, host: usize) -> String {
    directory.path().join(format!("{host}.said")).display().to_string()
}

/// What the handlers of a host have written since the last call.
fn read_new(path: &str, from: &mut usize) -> String {
    let text = if Path::new(path).exists() { fs::read_to_string(path).expect("is text") } else { String::new() };
    let new = text[*from..].to_owned();
    *from = text.len();
    new
}

#[test]
fn a_cut_by_nftables_is_signalled_on_each_side_and_so_is_its_end() {
    let network = match Network::new(5) {
        Ok(network) => network,
        Err(why) => return eprintln!("NOT RUN: network namespaces cannot be had: {why}"),
    };
    let directory = Directory::new();
    let agents = agents(&network, &directory);
    for agent in &agents {
        wait_for("five members", || (agent.client().members().ok()?.len() == 5).then_some(()));
    }
    // Until the membership counts as stable.
    wait_for("the size of the whole", || {
        (1..5).all(|host| network.get(host, "/healthz").contains("partition: whole, 5 of 5")).then_some(())
    });
    assert!(network.get(5, "/healthz").ends_with("ok\n"), "without the signal there is no such line");
    let mut stream = agents[2].client();
    stream.stream("partition").expect("is a filter");

    network.cut(&[&[1, 2], &[3, 4, 5]]);
    let expected = |alive, majority: &str, lost: &str| {
        format!(
            "SERF_EVENT=partition\nSERF_PARTITION_ALIVE={alive}\nSERF_PARTITION_LARGEST=5\n\
             SERF_PARTITION_MAJORITY={majority}\nSERF_PARTITION_STATE=split\nSERF_PARTITION_ZONES_LOST={lost}\n"
        )
    };
    let mut read = [0; 6];
    // Waits for a run of the handler with these variables, and returns all that it wrote.
    let mut signalled = |host: usize, what: &str| {
        let mut text = String::new();
        wait_for(&format!("{what} at {host}"), || {
            text.push_str(&read_new(&said(&directory, host), &mut read[host]));
            text.split_inclusive("END\n").find(|run| run.contains(what) && run.ends_with("END\n")).map(str::to_owned)
        })
    };
    for (host, what) in [(1, expected(2, "no", "z2")), (2, expected(2, "no", "z2")), (3, expected(3, "yes", "z1"))] {
        let text = signalled(host, &what);
        let side: &[&str] = if host < 3 { &["n1\t", "n2\t"] } else { &["n3\t", "n4\t", "n5\t"] };
        assert!(side.iter().all(|name| text.contains(name)), "this side is listed: {text}");
    }
    let record = wait_for("a record", || match stream.next_record(None).expect("the agent lives") {
        Some((_, Record::Event { event: Some(EventRecord::Partition { share, members, .. }), .. })) => {
            (share.alive == 3).then_some((share, members))
        }
        _ => None,
    });
    assert_eq!((record.0.largest, record.0.majority, record.0.split, record.1.len()), (5, true, true, 3));
    assert!(network.get(1, "/healthz").contains("ok\npartition: split, 2 of 5 members are alive, a minority\n"));
    let metrics = network.get(1, "/metrics");
    assert!(metrics.contains("serf_partition_split 1\n") && metrics.contains("serf_partition_majority 0\n"));
    assert!(agents[0].output().contains("Received event: partition: split, 2 of 5 members are alive, a minority"));

    network.heal();
    for host in 1..5 {
        signalled(host, "SERF_PARTITION_LARGEST=5\nSERF_PARTITION_MAJORITY=yes\nSERF_PARTITION_STATE=whole\n");
    }
    network.cut(&[&[1, 2], &[3, 4], &[5]]);
    for (host, lost) in [(1, "z2"), (2, "z2"), (3, "z1"), (4, "z1")] {
        signalled(host, &expected(2, "no", lost));
    }
    let all = fs::read_to_string(said(&directory, 5)).expect("has seen members");
    assert!(all.contains("SERF_EVENT=member-failed") && !all.contains("partition"), "{all}");
}
