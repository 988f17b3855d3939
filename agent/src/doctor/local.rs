//! Compares the node with our own agent.

use std::net::SocketAddr;
use std::time::Duration;

use serf_tokio::serf_proto::diagnostics::State;

use super::exchange::View;
use super::report::Report;
use crate::rpc::{Client, ClientError, ClientOptions, DISAGREEMENTS, Member, Query, QueryRecord, Record, Stats};

/// The state that an agent reports.
struct Agent {
    name: String,
    stats: Stats,
    members: Vec<Member>,
}

impl Agent {
    fn ask(options: &ClientOptions) -> Result<Self, ClientError> {
        let mut client = Client::connect(options)?;
        let stats = client.stats()?;
        let name = stats.get("agent").and_then(|agent| agent.get("name")).cloned().unwrap_or_default();
        Ok(Self { name, stats, members: client.members()? })
    }

    fn figure(&self, name: &str) -> Option<u64> {
        self.stats.get("serf")?.get(name)?.parse().ok()
    }

    fn address(&self) -> Option<SocketAddr> {
        self.members.iter().find(|member| member.name == self.name)?.endpoint().parse().ok()
    }
}

/// Compares the node's state with the agent behind `options`.
pub(super) fn compare(report: &mut Report, view: Option<&View>, options: &ClientOptions, timeout: Duration) {
    let agent = match Agent::ask(options) {
        Ok(agent) => agent,
        Err(error) => {
            let advice = "Start the agent here, or leave -rpc-addr away.";
            return report.failed(
                "agent",
                format!("the agent at {} cannot be asked: {error}", options.address),
                advice,
            );
        }
    };
    let Some(view) = view else {
        let encrypted = agent.stats.get("serf").and_then(|serf| serf.get("encrypted")).cloned().unwrap_or_default();
        return report
            .unknown("agent", format!("{} (encrypted: {encrypted}); the node's view is not seen", agent.name));
    };
    judge_membership(report, view, &agent);
    judge_clocks(report, view, &agent);
    judge_digests(report, &agent);
    reach_back(report, &agent, options, timeout);
}

fn judge_membership(report: &mut Report, view: &View, agent: &Agent) {
    let name = &agent.name;
    match view.find(name) {
        None => {
            let advice = "They are in two clusters: 'serf join' one to the other.";
            report.failed("agent", format!("the node does not know {name}"), advice);
        }
        Some(seen) if agent.address().is_some_and(|address| address != seen.addr) => {
            let advice = "Two nodes have one name: rename one of them with -node.";
            report.failed("agent", format!("the node knows a {name} at {}, which is not ours", seen.addr), advice);
        }
        Some(seen) if seen.state != State::Alive => {
            let advice = format!("Ask that node's agent: 'serf why {name}'. It must reach this host over UDP and TCP.");
            let how = if seen.state == State::Suspect { "suspected" } else { "failed or gone" };
            report.failed("agent", format!("the node takes {name} for {how}"), advice);
        }
        Some(_) => match report.node.clone() {
            None => report.ok("agent", format!("the node knows {name} as alive")),
            Some(node) => judge_other_side(report, &node, agent),
        },
    }
}

fn judge_other_side(report: &mut Report, node: &str, agent: &Agent) {
    let status = agent.members.iter().find(|member| member.name == node).map(|member| member.status.as_str());
    if status == Some("alive") {
        return report.ok("agent", format!("{} and {node} know each other as alive", agent.name));
    }
    let found = format!("{node} knows {}, which has it as {}", agent.name, status.unwrap_or("no member"));
    report.failed(
        "agent",
        found,
        format!("Ask the agent here: 'serf why {node}'. It must reach the node over UDP and TCP."),
    );
}

/// The Lamport clocks of members stay close while they receive each other's messages.
fn judge_clocks(report: &mut Report, view: &View, agent: &Agent) {
    let Some(clocks) = view.clocks else { return };
    let pairs = [
        ("members", clocks.member, agent.figure("member_time")),
        ("events", clocks.event, agent.figure("event_time")),
        ("queries", clocks.query, agent.figure("query_time")),
    ];
    let lags = pairs.map(|(name, theirs, ours)| (name, ours.map_or(0, |ours| theirs.abs_diff(ours))));
    let found = lags.map(|(name, lag)| format!("{name} {lag}")).join(", ");
    let found = format!("Lamport clocks of node and agent are apart by: {found}");
    if lags[1..].iter().all(|(_, lag)| *lag <= BUFFER) {
        return report.ok("clock-agent", found);
    }
    let advice = format!(
        "More than {BUFFER} apart, events and queries of the one behind are taken for old ones and dropped. They are in two \
         clusters, or have not exchanged states for long: 'serf join' one to the other."
    );
    report.failed("clock-agent", found, advice);
}

/// Reports reconciliations that did not make the views of node and agent equal. No finding where the agent compares no
/// digests.
fn judge_digests(report: &mut Report, agent: &Agent) {
    let Some(compared) = agent.figure("digests_compared") else { return };
    let Some(node) = report.node.clone() else { return };
    let Some(tries) = agent.stats.get(DISAGREEMENTS).and_then(|differ| differ.get(&node)) else {
        return report.ok(
            "digests",
            format!("{} compared {compared} digests, without a lasting difference from {node}", agent.name),
        );
    };
    let found = format!("the views of {} and {node} differ after {tries} reconciliations in a row", agent.name);
    let advice = format!(
        "Compare 'serf members' on both: a member that only one of them has shows which is wrong, and 'serf join' of one to          the other exchanges whole states. If the lists are equal, {node} is faulty or hostile: the agent reconciles with it          less and less often."
    );
    report.note("digests", found, advice);
}

/// Lets the agent query the node, which sends its ack over UDP, directly to the address that the agent announces.
fn reach_back(report: &mut Report, agent: &Agent, options: &ClientOptions, timeout: Duration) {
    let Some(node) = report.node.clone() else {
        return report.unknown("agent-udp", "the name of the node is not known");
    };
    if !agent.members.iter().any(|member| member.name == node && member.status == "alive") {
        return report.unknown("agent-udp", format!("{} does not know {node} as alive", agent.name));
    }
    for _ in 0..TRIES {
        match is_confirmed(options, &node, timeout) {
            Ok(true) => return report.ok("agent-udp", format!("{node} confirms a query of {}", agent.name)),
            Ok(false) => {}
            Err(error) => return report.unknown("agent-udp", format!("{} cannot query {node}: {error}", agent.name)),
        }
    }
    let advice =
        "Let UDP pass from the node to that address, and see that the agent here announces the right one (-advertise).";
    let address = agent.address().map(|address| format!(" at {address}")).unwrap_or_default();
    report.failed("agent-udp", format!("{node} confirms no query of {}{address}", agent.name), advice);
}

/// Whether a member acknowledges a query in time. No handler runs for this query.
fn is_confirmed(options: &ClientOptions, node: &str, timeout: Duration) -> Result<bool, ClientError> {
    let mut client = Client::connect(options)?;
    client.query(Query {
        name: "_serf_ping".into(),
        filter_nodes: vec![node.to_owned()],
        request_ack: true,
        timeout_ns: i64::try_from(timeout.as_nanos()).unwrap_or_default(),
        ..Query::default()
    })?;
    loop {
        match client.next_record(None)? {
            Some((_, Record::Query(QueryRecord::Ack { from }))) if from == node => return Ok(true),
            Some((_, Record::Query(QueryRecord::Done))) => return Ok(false),
            _ => {}
        }
    }
}

/// How many events, and queries, a member remembers: HashiCorp's agents and ours.
const BUFFER: u64 = 512;

const TRIES: u32 = 3;

#[cfg(test)]
mod tests {
    use super::super::report::Verdict;
    use super::*;

    fn digests(node: Option<&str>, groups: &[(&str, &[(&str, &str)])]) -> Vec<(Verdict, String)> {
        let group =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        let stats = groups.iter().map(|(name, pairs)| ((*name).into(), group(pairs))).collect();
        let mut report = Report { node: node.map(Into::into), ..Report::default() };
        judge_digests(&mut report, &Agent { name: "here".into(), stats, members: Vec::new() });
        report.findings.into_iter().map(|finding| (finding.verdict, finding.found)).collect()
    }

    #[test]
    fn only_a_node_whose_digest_keeps_differing_gets_a_note_about_digests() {
        const SERF: (&str, &[(&str, &str)]) = ("serf", &[("digests_compared", "70")]);
        const DIFFER: (&str, &[(&str, &str)]) = (DISAGREEMENTS, &[("there", "9")]);
        assert_eq!(digests(Some("there"), &[("serf", &[]), DIFFER]), [], "the agent compares no digests");
        assert_eq!(digests(None, &[SERF, DIFFER]), [], "the node's name is not known");
        let agrees = "here compared 70 digests, without a lasting difference from there";
        assert_eq!(digests(Some("there"), &[SERF]), [(Verdict::Ok, agrees.into())]);
        let agrees = "here compared 70 digests, without a lasting difference from another";
        assert_eq!(digests(Some("another"), &[SERF, DIFFER]), [(Verdict::Ok, agrees.into())]);
        let differs = "the views of here and there differ after 9 reconciliations in a row";
        assert_eq!(digests(Some("there"), &[SERF, DIFFER]), [(Verdict::Note, differs.into())]);
    }
}
