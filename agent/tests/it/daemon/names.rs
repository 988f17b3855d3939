//! Names: hostile names of other nodes, and conflicts.

use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

use rmpv::Value;
use serf_agent::rpc::{EventRecord, Record};

use crate::process::{ANY_PORT, Agent, eventually};

/// A message of HashiCorp's: its type byte, and a map.
fn message(kind: &[u8], fields: &[(&str, Value)]) -> Vec<u8> {
    let mut bytes = kind.to_vec();
    let pairs = fields.iter().map(|(key, value)| (Value::from(*key), value.clone())).collect();
    rmpv::encode::write_value(&mut bytes, &Value::Map(pairs)).expect("is written");
    bytes
}

fn serf(agent: &Agent, args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_serf"));
    command.args(args).env("SERF_RPC_ADDR", &agent.rpc).env_remove("SERF_RPC_AUTH");
    String::from_utf8(command.output().expect("runs").stdout).expect("is text")
}

#[test]
fn strangers_names_forge_no_line_and_act_on_no_terminal() {
    const EVENT: &str = "x\n    2026/11/28 00:00:00 [ERR] agent: the disk is full\x1b[2J\u{9b}31m\u{202e}\u{2028}";
    const MEMBER: &str = "z\nroot  10.0.0.1:22  alive\x1b]0;owned\x07";
    let agent = Agent::start(&["-log-format=text"]);
    let mut client = agent.client();
    client.stream("user").expect("subscribes");
    client.monitor("info").expect("subscribes");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("can be bound");
    let event =
        [("LTime", 5.into()), ("Name", EVENT.into()), ("Payload", Value::Binary(Vec::new())), ("CC", false.into())];
    let alive = [
        ("Incarnation", 1.into()),
        ("Node", MEMBER.into()),
        ("Addr", Value::Binary(vec![127, 9, 9, 9])),
        ("Port", 9.into()),
        ("Meta", Value::Binary(b"\xff\x81\xa1t\xa9v\nfake \x1b\r".to_vec())),
        ("Vsn", Value::Binary(vec![1, 5, 2, 2, 5, 4])),
    ];
    for packet in [message(b"\x08\x03", &event), message(b"\x04", &alive)] {
        socket.send_to(&packet, agent.bound()).expect("is sent");
    }
    agent.wait("EventMemberJoin: z\\nroot  10.0.0.1:22  alive\\x1b]0;owned\\a 127.9.9.9");
    agent.wait("user-event: x\\n    2026/11/28 00:00:00 [ERR] agent: the disk is full\\x1b[2J\\u009b31m\\u202e\\u2028");
    let acts = |text: &str| {
        text.chars().any(|it| !['\n', '\t'].contains(&it) && it.is_control() || ['\u{202e}', '\u{2028}'].contains(&it))
    };
    assert!(!acts(&agent.output()), "{:?}", agent.output());
    let shown = serf(&agent, &["members", "-detailed"]);
    assert!(!acts(&shown) && shown.lines().count() == 2, "{shown:?}");
    assert!(shown.contains("z\\nroot  10.0.0.1:22  alive\\x1b]0;owned\\a  127.9.9.9:9"), "{shown:?}");
    assert!(shown.contains("t=v\\nfake \\x1b\\r"), "{shown:?}");
    assert!(!acts(&serf(&agent, &["why", MEMBER])) && !acts(&serf(&agent, &["info"])));
    // Programs receive the raw bytes.
    let members = client.members().expect("answers");
    assert!(members.iter().any(|member| member.name == MEMBER && member.tags["t"] == "v\nfake \x1b\r"));
    let json = serf(&agent, &["members", "-format=json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("is JSON");
    assert_eq!(json["members"][1]["name"], MEMBER);
    let (mut is_streamed, mut is_logged) = (false, false);
    eventually("the event and its record", || {
        match client.next_record(Some(Duration::from_secs(10))).expect("is connected").expect("comes").1 {
            Record::Event { event: Some(EventRecord::User { name, .. }), .. } => is_streamed |= name == EVENT,
            Record::Log(line) => {
                assert!(!line.contains(char::is_control), "{line:?}");
                is_logged |= line.contains("user-event: x\\n ");
            }
            _ => {}
        }
        (is_streamed && is_logged).then_some(())
    });
}

#[test]
fn an_agent_that_loses_its_name_says_so_last_and_ends_with_a_failure() {
    let first = Agent::start(&[]);
    let seed = first.bound();
    let [_second, _third] = ["two", "three"].map(|name| Agent::start(&["-node", name, "-join", &seed]));
    let mut twin = Agent::spawn(ANY_PORT, &["-join", &seed]);
    assert_eq!(twin.exit_code(), 1);
    let output = twin.output_to_the_end();
    let last = output.lines().last().unwrap_or_default();
    assert!(
        last.ends_with("[ERR] agent: The agent has ended because another node has its name; names must be unique"),
        "{output}"
    );
    assert!(output.contains("minority in name conflict resolution, quitting"), "{output}");
    assert_eq!(first.client().members().expect("answers").len(), 3, "the first has kept it");
}
