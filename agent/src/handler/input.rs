//! The input of a script: environment variables and standard input (`invokeEventScript` in `invoke.go`).

use std::collections::BTreeMap;

use super::event::Event;
use crate::rpc::Member;
use crate::tags;

/// The environment variables for a script, to be added to those of the agent in this order; later ones win.
///
/// If the names of two tags become equal, the last in sorted order wins.
pub fn environment(event: &Event, self_name: &str, self_tags: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let mut variables = vec![
        ("SERF_EVENT".to_owned(), event.kind().to_owned()),
        ("SERF_SELF_NAME".into(), self_name.into()),
        ("SERF_SELF_ROLE".into(), self_tags.get("role").cloned().unwrap_or_default()),
    ];
    for (name, value) in self_tags {
        variables.push((format!("SERF_TAG_{}", variable_name(name)), value.clone()));
    }
    match event {
        Event::Members { .. } => {}
        Event::User { name, lamport, .. } => {
            variables.push(("SERF_USER_EVENT".into(), name.clone()));
            variables.push(("SERF_USER_LTIME".into(), lamport.to_string()));
        }
        Event::Query { name, lamport, .. } => {
            variables.push(("SERF_QUERY_NAME".into(), name.clone()));
            variables.push(("SERF_QUERY_LTIME".into(), lamport.to_string()));
        }
        Event::Partition { share, zones_lost, .. } => {
            let majority = if share.majority { "yes" } else { "no" };
            for (name, value) in [
                ("STATE", share.state().to_owned()),
                ("ALIVE", share.alive.to_string()),
                ("LARGEST", share.largest.to_string()),
                ("MAJORITY", majority.to_owned()),
                ("ZONES_LOST", zones_lost.join(",")),
            ] {
                variables.push((format!("SERF_PARTITION_{name}"), value));
            }
        }
    }
    // A variable cannot hold a NUL; with one, no script would run. Dropping it could make a name equal to another one.
    variables.iter_mut().for_each(|(_, value)| *value = value.replace('\0', "\\x00"));
    variables
}

/// The standard input of a script: a line for each member, or the payload with a newline at its end.
pub fn stdin(event: &Event) -> Vec<u8> {
    match event {
        Event::Members { members, .. } | Event::Partition { members, .. } => {
            members.iter().map(member_line).collect::<String>().into_bytes()
        }
        Event::User { payload, .. } | Event::Query { payload, .. } => {
            let mut bytes = payload.clone();
            if bytes.last().is_some_and(|last| *last != b'\n') {
                bytes.push(b'\n');
            }
            bytes
        }
    }
}

fn member_line(member: &Member) -> String {
    let addr = member.addr.map_or_else(|| "<nil>".into(), |addr| addr.to_string());
    let role = member.tags.get("role").map_or("", String::as_str);
    format!("{}\t{addr}\t{}\t{}\n", escape(&member.name), escape(role), escape(&tags::join(&member.tags)))
}

/// Tabs and newlines are separators, so they are escaped as two characters.
fn escape(text: &str) -> String {
    text.replace('\t', "\\t").replace('\n', "\\n")
}

/// Upper case; all characters but ASCII letters, digits and underscores become an underscore.
fn variable_name(tag: &str) -> String {
    let upper = tag.to_uppercase();
    let keep = |letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_';
    upper.chars().map(|letter| if keep(letter) { letter } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::handler::MemberChange;
    use crate::rpc::{PartitionShare, Versions};

    fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
    }

    fn member(name: &str, pairs: &[(&str, &str)]) -> Member {
        Member {
            name: name.into(),
            addr: Some(Ipv4Addr::LOCALHOST.into()),
            port: 7946,
            tags: tags(pairs),
            status: "alive".into(),
            protocol: Versions::default(),
            delegate: Versions::default(),
        }
    }

    #[test]
    fn variables_name_the_event_the_node_and_its_tags() {
        let event = Event::User { name: "deploy".into(), lamport: 155, payload: vec![], coalesce: true };
        let own = tags(&[("role", "web"), ("a-b.c", "x\ty"), ("\u{dc}n\u{ef}", "1")]);
        let expected = [
            ("SERF_EVENT", "user"),
            ("SERF_SELF_NAME", "n1"),
            ("SERF_SELF_ROLE", "web"),
            ("SERF_TAG_A_B_C", "x\ty"),
            ("SERF_TAG_ROLE", "web"),
            ("SERF_TAG__N_", "1"),
            ("SERF_USER_EVENT", "deploy"),
            ("SERF_USER_LTIME", "155"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(environment(&event, "n1", &own), expected);

        let event = Event::User { name: "deploy\0\n".into(), lamport: 1, payload: vec![], coalesce: true };
        let variables = environment(&event, "n1", &tags(&[("a", "\0")]));
        assert!(variables.contains(&("SERF_USER_EVENT".into(), "deploy\\x00\n".into())), "{variables:?}");
        assert!(variables.contains(&("SERF_TAG_A".into(), "\\x00".into())), "{variables:?}");

        let event = Event::Query { name: "load".into(), lamport: 2, payload: vec![] };
        let variables = environment(&event, "n1", &BTreeMap::new());
        let names: Vec<_> = variables.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["SERF_EVENT", "SERF_SELF_NAME", "SERF_SELF_ROLE", "SERF_QUERY_NAME", "SERF_QUERY_LTIME"]);
    }

    #[test]
    fn members_come_as_lines_with_tabs() {
        let members = vec![
            member("h1", &[("role", "web"), ("k", "v"), ("tab", "x\ty\nz"), ("a_b_c", "other")]),
            member("h2", &[]),
            member("a\tb", &[]),
        ];
        let input = stdin(&Event::Members { change: MemberChange::Join, members });
        assert_eq!(
            String::from_utf8(input).expect("is text"),
            "h1\t127.0.0.1\tweb\ta_b_c=other,k=v,role=web,tab=x\\ty\\nz\nh2\t127.0.0.1\t\t\na\\tb\t127.0.0.1\t\t\n"
        );
    }

    #[test]
    fn a_partition_is_in_variables_and_this_side_in_lines() {
        let share = PartitionShare { split: true, alive: 2, largest: 5, majority: false };
        let members = vec![member("h1", &[("role", "web")]), member("h2", &[])];
        let event = Event::Partition { share, zones_lost: vec!["b".into(), "c".into()], members };
        let variables = environment(&event, "h1", &BTreeMap::new());
        let expected = [
            ("SERF_EVENT", "partition"),
            ("SERF_SELF_NAME", "h1"),
            ("SERF_SELF_ROLE", ""),
            ("SERF_PARTITION_STATE", "split"),
            ("SERF_PARTITION_ALIVE", "2"),
            ("SERF_PARTITION_LARGEST", "5"),
            ("SERF_PARTITION_MAJORITY", "no"),
            ("SERF_PARTITION_ZONES_LOST", "b,c"),
        ];
        assert_eq!(variables, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(stdin(&event), b"h1\t127.0.0.1\tweb\trole=web\nh2\t127.0.0.1\t\t\n");
        assert_eq!(event.description(), "partition: split, 2 of 5 members are alive, a minority");
    }

    #[test]
    fn a_payload_ends_in_a_newline_unless_there_is_none() {
        let input =
            |payload: &[u8]| stdin(&Event::Query { name: String::new(), lamport: 1, payload: payload.to_vec() });
        assert_eq!(input(b"x"), b"x\n");
        assert_eq!(input(b"x\n"), b"x\n");
        assert_eq!(input(b"\0\xff"), b"\0\xff\n");
        assert_eq!(input(b""), b"");
    }
}
