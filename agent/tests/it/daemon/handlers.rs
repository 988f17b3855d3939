//! Handlers that exceed the timeout, and reloads while handlers run.

use std::fs;

use serf_agent::rpc::UserEvent;

use crate::process::{Agent, Directory, eventually};

fn event(name: &str) -> UserEvent {
    UserEvent { name: name.into(), payload: None, coalesce: false }
}

/// Whether this process exists and is not a zombie.
fn runs(pid: &str) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    state.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[test]
fn a_handler_that_times_out_is_killed_with_its_children_and_the_next_event_runs() {
    if !fs::exists("/proc/self/stat").unwrap_or(false) {
        return eprintln!("NOT RUN: this system has no /proc");
    }
    let dir = Directory::new();
    let pids = dir.path().join("pids").display().to_string();
    let script = format!("trap '' TERM; sleep 1000 & echo $! $$ >> {pids}; sleep 1000; sleep 1000");
    let agent = Agent::start(&["-handler-timeout=300ms", &format!("-event-handler=user:stuck={script}")]);
    let mut client = agent.client();
    client.event(event("stuck")).expect("is sent");
    agent.wait("it took longer than 300ms and was ended");
    let first = fs::read_to_string(&pids).expect("was written");
    for pid in first.split_whitespace() {
        eventually("the end of all that it started", || (!runs(pid)).then_some(()));
    }
    client.event(event("stuck")).expect("is sent");
    eventually("the next run", || (fs::read_to_string(&pids).expect("was written").lines().count() == 2).then_some(()));
}

#[test]
fn a_handler_may_clean_up_before_it_is_ended_and_its_answer_does_not_count() {
    let dir = Directory::new();
    let page = dir.path().join("page").display().to_string();
    let script = format!("trap 'echo cleaned >> {page}; exit 0' TERM; echo answer; sleep 1000 & wait");
    let agent = Agent::start(&["-handler-timeout=300ms", &format!("-event-handler=query:q={script}")]);
    let mut client = agent.client();
    let query = serf_agent::rpc::Query { name: "q".into(), timeout_ns: 2_000_000_000, ..Default::default() };
    client.query(query).expect("is asked");
    agent.wait("was ended");
    assert_eq!(fs::read_to_string(&page).expect("was written"), "cleaned\n");
    let mut answers = 0;
    while let Some((_, record)) = client.next_record(Some(std::time::Duration::from_secs(10))).expect("is connected") {
        match record {
            serf_agent::rpc::Record::Query(serf_agent::rpc::QueryRecord::Response { .. }) => answers += 1,
            serf_agent::rpc::Record::Query(serf_agent::rpc::QueryRecord::Done) => break,
            _ => {}
        }
    }
    assert_eq!(answers, 0);
}

/// A script that writes a line at its start and its end, and in between waits for a file.
fn gated(page: &str, name: &str, gate: &str) -> String {
    format!("echo begin {name} >> {page}; until [ -e {gate} ]; do sleep 0.02; done; echo end {name} >> {page}")
}

fn lines(page: &str) -> Vec<String> {
    fs::read_to_string(page).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Collects the answers to a query until it is done.
fn answers(client: &mut serf_agent::rpc::Client, name: &str, seconds: i64) -> Vec<String> {
    use serf_agent::rpc::{Query, QueryRecord, Record};
    let query = Query { name: name.into(), timeout_ns: seconds * 1_000_000_000, ..Query::default() };
    client.query(query).expect("is asked");
    let mut answers = Vec::new();
    loop {
        match client.next_record(Some(core::time::Duration::from_secs(20))).expect("is connected") {
            Some((_, Record::Query(QueryRecord::Response { payload, .. }))) => {
                answers.push(String::from_utf8(payload.unwrap_or_default()).expect("is text"));
            }
            Some((_, Record::Query(QueryRecord::Done))) => return answers,
            Some(_) => {}
            None => panic!("not done in time"),
        }
    }
}

#[test]
fn scripts_for_one_event_run_in_configured_order_and_are_over_before_the_next_event() {
    let dir = Directory::new();
    let (page, gate) = (dir.path().join("page").display().to_string(), dir.path().join("gate").display().to_string());
    let (first, second) = (gated(&page, "first", &gate), gated(&page, "second", &gate));
    let agent = Agent::start(&[
        &format!("-event-handler=user:a={first}"),
        &format!("-event-handler=user,member-update=echo $SERF_EVENT $SERF_USER_EVENT >> {page}"),
        &format!("-event-handler=user:a={second}"),
    ]);
    let mut client = agent.client();
    client.event(event("a")).expect("is sent");
    agent.wait("user-event: a");
    client.update_tags([("t".into(), "1".into())].into(), vec![]).expect("works");
    agent.wait("Received event: member-update");
    client.event(event("b")).expect("is sent");
    agent.wait("user-event: b");
    assert_eq!(lines(&page), ["begin first"]);
    fs::write(&gate, "").expect("can be written");
    eventually("all", || (lines(&page).len() == 7).then_some(()));
    let expected = ["begin first", "end first", "user a", "begin second", "end second", "member-update", "user b"];
    assert_eq!(lines(&page).iter().map(|line| line.trim_end()).collect::<Vec<_>>(), expected);
}

#[test]
fn a_query_waits_for_no_event_and_its_script_may_query_its_own_node() {
    let dir = Directory::new();
    let serf = env!("CARGO_BIN_EXE_serf");
    let rpc = "127.0.0.1:$(cat ".to_owned() + &dir.path().join("port").display().to_string() + ")";
    let agent = Agent::start(&[
        &format!("-event-handler=user:stuck=while [ -d {} ]; do sleep 0.05; done", dir.path().display()),
        &format!("-event-handler=query:outer={serf} query -rpc-addr={rpc} -timeout=1s inner | grep Response.from"),
        "-event-handler=query:inner=echo from inside",
    ]);
    dir.file("port", agent.rpc.rsplit(':').next().expect("has a port"));
    let mut client = agent.client();
    client.event(event("stuck")).expect("is sent");
    agent.wait("user-event: stuck");
    assert_eq!(answers(&mut client, "outer", 4), ["Response from 'one': from inside\n"]);
}

#[test]
fn a_script_sees_events_and_queries_in_the_order_in_which_they_came() {
    let dir = Directory::new();
    let (page, gate) = (dir.path().join("page").display().to_string(), dir.path().join("gate").display().to_string());
    let agent = Agent::start(&[
        &format!("-event-handler=user:a=until [ -e {gate} ]; do sleep 0.02; done"),
        &format!("-event-handler=user,query=echo $SERF_USER_EVENT$SERF_QUERY_NAME >> {page}"),
    ]);
    let mut client = agent.client();
    for name in ["a", "b"] {
        client.event(event(name)).expect("is sent");
    }
    for name in ["p", "q"] {
        client.query(serf_agent::rpc::Query { name: name.into(), ..Default::default() }).expect("is asked");
    }
    client.event(event("c")).expect("is sent");
    agent.wait("user-event: c");
    agent.wait("query: q");
    assert_eq!(lines(&page), [""; 0], "all wait for the script before");
    fs::write(&gate, "").expect("can be written");
    eventually("all", || (lines(&page).len() == 5).then_some(()));
    assert_eq!(lines(&page), ["a", "b", "p", "q", "c"]);
}

#[test]
fn a_querys_script_may_query_its_own_node_although_events_wait_for_it() {
    let dir = Directory::new();
    let (page, gate) = (dir.path().join("page").display().to_string(), dir.path().join("gate").display().to_string());
    let serf = env!("CARGO_BIN_EXE_serf");
    let rpc = "127.0.0.1:$(cat ".to_owned() + &dir.path().join("port").display().to_string() + ")";
    let asks = format!("{serf} query -rpc-addr={rpc} -timeout=2s inner | grep Response.from");
    let agent = Agent::start(&[
        &format!(
            "-event-handler=query:outer,user=[ $SERF_EVENT = user ] || {{ {}; {asks}; }}",
            gated(&page, "x", &gate)
        ),
        "-event-handler=query:inner,user=[ $SERF_EVENT = user ] || echo from inside",
    ]);
    dir.file("port", agent.rpc.rsplit(':').next().expect("has a port"));
    let (mut client, mut asker) = (agent.client(), agent.client());
    let asked = std::thread::spawn(move || answers(&mut asker, "outer", 4));
    eventually("the script runs", || (lines(&page).len() == 1).then_some(()));
    client.event(event("e")).expect("is sent");
    agent.wait("user-event: e");
    fs::write(&gate, "").expect("can be written");
    assert_eq!(asked.join().expect("no panic"), ["Response from 'one': from inside\n"]);
}

#[test]
fn the_first_configured_script_that_answers_a_query_wins() {
    let agent = Agent::start(&[
        "-event-handler=query:q=exit 1",
        "-event-handler=query=sleep 0.3; true",
        "-event-handler=query:q=sleep 0.3; echo slow",
        "-event-handler=query:q=echo quick",
    ]);
    assert_eq!(answers(&mut agent.client(), "q", 3), ["slow\n"]);
    agent.wait("failed to respond to key query: response already sent");
}

#[test]
fn with_parallel_handlers_each_script_has_its_order_and_a_reload_waits_for_them() {
    let dir = Directory::new();
    let (page, gate) = (dir.path().join("page").display().to_string(), dir.path().join("gate").display().to_string());
    let handlers =
        [format!("user:a={}", gated(&page, "slow", &gate)), format!("user=echo other $SERF_USER_EVENT >> {page}")];
    let mut handlers = handlers.to_vec();
    let config = |handlers: &[String], parallel: bool| {
        let config = serde_json::json!({ "event_handlers": handlers, "parallel_handlers": parallel });
        dir.file("c.json", &config.to_string())
    };
    let agent = Agent::start(&["-config-file", &config(&handlers, true)]);
    let mut client = agent.client();
    client.event(event("a")).expect("is sent");
    eventually("both", || (lines(&page).len() == 2).then_some(()));
    client.event(event("b")).expect("is sent");
    eventually("the quick one", || (lines(&page).len() == 3).then_some(()));
    // The one more shows that the file was read again.
    handlers.push("query:never=true".into());
    config(&handlers, false);
    agent.signal("HUP");
    eventually("the new handlers", || (client.stats().expect("answers")["event_handlers"].len() == 3).then_some(()));
    client.event(event("c")).expect("is sent");
    agent.wait("user-event: c");
    fs::write(&gate, "").expect("can be written");
    eventually("all", || (lines(&page).len() == 5).then_some(()));
    assert_eq!(lines(&page)[3..], ["end slow", "other c"]);
}

#[test]
fn what_a_script_leaves_in_the_background_holds_up_nothing_and_goes_on() {
    let dir = Directory::new();
    let (page, gate) = (dir.path().join("page").display().to_string(), dir.path().join("gate").display().to_string());
    let script = format!("(until [ -e {gate} ]; do sleep 0.05; done; echo late; echo alive >> {page}) & echo started");
    let agent = Agent::start(&[
        &format!("-event-handler=query:q={script}"),
        &format!("-event-handler=user:u={script}; echo $SERF_USER_EVENT >> {page}"),
    ]);
    let mut client = agent.client();
    assert_eq!(answers(&mut client, "q", 3), ["started\n"]);
    assert_eq!(answers(&mut client, "q", 3), ["started\n"]);
    client.event(event("u")).expect("is sent");
    client.event(event("u")).expect("is sent");
    eventually("both", || (lines(&page) == ["u", "u"]).then_some(()));
    fs::write(&gate, "").expect("can be written");
    eventually("those in the background, which can still write", || (lines(&page).len() == 6).then_some(()));
}

#[test]
fn with_a_timeout_what_a_script_leaves_in_the_background_is_left_alone() {
    let dir = Directory::new();
    let page = dir.path().join("page").display().to_string();
    let agent = Agent::start(&[
        "-handler-timeout=700ms",
        &format!("-event-handler=query:q=(sleep 2; echo alive >> {page}) & echo started"),
    ]);
    assert_eq!(answers(&mut agent.client(), "q", 3), ["started\n"]);
    eventually("the process", || (lines(&page) == ["alive"]).then_some(()));
    assert!(!agent.output().contains("was ended"));
}

#[test]
fn a_node_that_leaves_runs_all_of_its_own_handlers_for_it() {
    let dir = Directory::new();
    let page = dir.path().join("page").display().to_string();
    let mut agent = Agent::start(&[
        &format!("-event-handler=member-leave=sleep 0.3; cat >> {page}"),
        &format!("-event-handler=member-leave=sed s/one/two/ >> {page}"),
    ]);
    agent.signal("INT");
    assert_eq!(agent.exit_code(), 0);
    eventually("both", || (lines(&page).len() == 2).then_some(()));
    let names: Vec<_> =
        lines(&page).iter().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect();
    assert_eq!(names, ["one", "two"]);
}

#[test]
fn as_process_one_the_agent_reaps_orphans_and_still_learns_how_scripts_ended() {
    use std::process::{Command, Stdio};
    let unshare = |more: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"]).args(more);
        command
    };
    if !unshare(&["true"]).stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        return eprintln!("NOT RUN: no namespaces of processes here");
    }
    let dir = Directory::new();
    let (page, log) = (dir.path().join("page").display().to_string(), dir.path().join("log").display().to_string());
    let zombies = "cat /proc/[0-9]*/status | grep -c '^State:.*zombie'";
    let script = format!(
        "for n in 1 2 3; do (sleep 0.2 &); done; sleep 1; echo $$ $({zombies}) > {page}.new; mv {page}.new {page}; exit 7"
    );
    let output = fs::File::create(&log).expect("can be made");
    let serf = [env!("CARGO_BIN_EXE_serf"), "agent", "-bind=127.0.0.1:0", "-rpc-addr=none"];
    let mut agent = unshare(&serf)
        .arg(format!("-event-handler=member-join={script}"))
        .stdout(output)
        .spawn()
        .expect("can be started");
    let seen = eventually("the script", || fs::read_to_string(&page).ok());
    eventually("its exit code", || fs::read_to_string(&log).expect("is there").contains("exit status 7").then_some(()));
    agent.kill().expect("runs");
    agent.wait().expect("is ours");
    assert_eq!(seen.split_whitespace().nth(1), Some("0"), "zombies");
}

#[test]
fn a_script_that_cannot_run_says_why() {
    let dir = Directory::new();
    let script = dir.file("script", "#!/bin/sh\n");
    let agent = Agent::start(&[
        "-event-handler=user:e=/nowhere/at/all",
        &format!("-event-handler=user:e={script}"),
        "-event-handler=user:e=echo said; exit 1",
    ]);
    agent.client().event(event("e")).expect("is sent");
    agent.wait("Error invoking script '/nowhere/at/all': exit status 127: ");
    agent.wait(&format!("Error invoking script '{script}': exit status 126: "));
    agent.wait("Error invoking script 'echo said; exit 1': exit status 1\n");
    let output = agent.output();
    let line = output.lines().find(|line| line.contains("exit status 126")).expect("is there");
    assert!(line.ends_with("Permission denied"), "{line}");
}

#[test]
fn a_reload_loses_no_event_and_keeps_their_order() {
    let dir = Directory::new();
    let (page, gate) = (dir.path().join("page").display().to_string(), dir.path().join("gate").display().to_string());
    let script = format!("until [ -e {gate} ]; do sleep 0.05; done; sleep 0.3; echo $SERF_USER_EVENT >> {page}");
    let config = |handlers: &str| dir.file("c.json", &format!("{{\"event_handlers\": [{handlers}]}}"));
    let path = config(&format!("\"user={script}\", \"user:gone=echo gone >> {page}\""));
    let agent = Agent::start(&["-config-file", &path]);
    let mut client = agent.client();
    client.event(event("a")).expect("is sent");
    client.event(event("b")).expect("is sent");
    agent.wait("user-event: b");
    config(&format!("\"user={script}\", \"user=true\""));
    agent.signal("HUP");
    eventually("the new handlers", || (client.stats().expect("answers")["event_handlers"].len() == 1).then_some(()));
    client.event(event("gone")).expect("is sent");
    agent.wait("user-event: gone");
    fs::write(&gate, "").expect("can be written");
    let lines = || fs::read_to_string(&page).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    eventually("all three", || (lines().len() == 3).then_some(()));
    assert_eq!(lines(), ["a", "b", "gone"]);
}
