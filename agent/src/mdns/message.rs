//! mDNS questions and answers.

use core::net::{IpAddr, SocketAddr};

use simple_dns::rdata::{A, AAAA, PTR, RData, SRV, TXT};
use simple_dns::{CLASS, Label, Name, Packet, PacketFlag, QTYPE, Question, ResourceRecord, TYPE};
use thiserror::Error;

use crate::dns::{ip, parse};

/// An agent as a DNS-SD service.
#[derive(Clone, Debug)]
pub struct Service {
    kind: Name<'static>,
    instance: Name<'static>,
    host: Name<'static>,
    addr: SocketAddr,
    text: String,
}

/// The name of the cluster is too long for a DNS name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the name of the cluster is too long: a part of a DNS name has at most 63 bytes")]
pub struct ServiceError;

impl Service {
    /// The agent `node` of `cluster`, on the host `host`, reachable at `addr`.
    pub fn new(cluster: &str, node: &str, host: &str, addr: SocketAddr) -> Result<Self, ServiceError> {
        let labels = |text: &str| -> Vec<Label<'static>> {
            let parts = text.split('.').filter(|part| !part.is_empty());
            parts.map(|part| Label::new_unchecked(part.as_bytes().to_vec())).collect()
        };
        // As in HashiCorp's agent, a dot separates labels and a blank does not.
        let kind = labels(&format!("_serf_{cluster}._tcp.local"));
        let mut instance = vec![Label::new_unchecked(instance(node, addr))];
        instance.extend(kind.iter().cloned());
        let mut host = labels(host);
        host.retain(|label| label.len() <= LABEL_BYTES_MAX);
        if host.is_empty() {
            host = labels("serf");
        }
        let text: String = format!("Serf '{cluster}' cluster").chars().take(TEXT_CHARS_MAX).collect();
        let is_sendable = |name: &[Label<'_>]| {
            let bytes: usize = name.iter().map(|label| label.len() + 1).sum();
            name.iter().all(|label| label.len() <= LABEL_BYTES_MAX) && bytes < NAME_BYTES_MAX
        };
        if !is_sendable(&instance) {
            return Err(ServiceError);
        }
        if !is_sendable(&host) {
            host.truncate(1);
        }
        let name = |labels: Vec<Label<'static>>| Name::new_with_labels(&labels);
        Ok(Self { kind: name(kind), instance: name(instance), host: name(host), addr, text })
    }

    /// The question for other agents.
    pub fn question(&self) -> Vec<u8> {
        let mut packet = Packet::new_query(0);
        packet.questions.push(Question::new(self.kind.clone(), TYPE::PTR.into(), CLASS::IN.into(), false));
        // Building cannot fail: the lengths of the names were checked.
        packet.build_bytes_vec().unwrap_or_default()
    }

    /// The answer to the questions in `packet`; `None` when none of them concerns this agent.
    pub fn answer(&self, packet: &[u8]) -> Option<Vec<u8>> {
        let asked = parse(packet)?;
        if asked.has_flags(PacketFlag::RESPONSE) || asked.questions.len() > QUESTIONS_MAX {
            return None;
        }
        let mut answer = Packet::new_reply(asked.id());
        answer.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
        answer.answers = asked.questions.iter().flat_map(|question| self.records(question)).collect();
        if answer.answers.is_empty() {
            return None;
        }
        // A question from another port than that of mDNS comes from a simple resolver, which expects its question with
        // the answer.
        answer.questions.clone_from(&asked.questions);
        answer.build_bytes_vec_compressed().ok()
    }

    /// The agents of our cluster that `packet` names.
    pub fn found(&self, packet: &[u8]) -> Vec<SocketAddr> {
        let Some(packet) = parse(packet).filter(|packet| packet.has_flags(PacketFlag::RESPONSE)) else {
            return Vec::new();
        };
        let records: Vec<_> = packet.answers.iter().chain(&packet.additional_records).collect();
        let instances = records
            .iter()
            .filter(|record| record.name == self.kind)
            .filter_map(|record| if let RData::PTR(PTR(name)) = &record.rdata { Some(name) } else { None });
        // Bounded at each step: a packet can hold many of each record, and their product would be too large.
        let servers = instances.take(ADDRS_MAX).flat_map(|instance| {
            let of_instance = records.iter().filter(move |record| record.name == *instance);
            of_instance.filter_map(|record| if let RData::SRV(server) = &record.rdata { Some(server) } else { None })
        });
        let addrs = servers.take(ADDRS_MAX).flat_map(|server| {
            let of_host = records.iter().filter(move |record| record.name == server.target);
            of_host.filter_map(move |record| Some(SocketAddr::new(ip(&record.rdata)?, server.port)))
        });
        let mut found: Vec<SocketAddr> = Vec::new();
        for addr in addrs.filter(is_reachable).take(ADDRS_MAX) {
            if !found.contains(&addr) {
                found.push(addr);
            }
        }
        found
    }

    fn records(&self, question: &Question<'_>) -> Vec<ResourceRecord<'static>> {
        let asks = |kind: TYPE| question.qtype == QTYPE::ANY || question.qtype == QTYPE::TYPE(kind);
        let name = &question.qname;
        if *name == self.kind && asks(TYPE::PTR) {
            let mut records = vec![record(&self.kind, RData::PTR(PTR(self.instance.clone())))];
            records.extend(self.whole_instance());
            return records;
        }
        if *name == Name::new_unchecked(CATALOGUE) && asks(TYPE::PTR) {
            return vec![record(name, RData::PTR(PTR(self.kind.clone())))];
        }
        if *name == self.instance {
            return if question.qtype == QTYPE::TYPE(TYPE::TXT) {
                vec![self.txt()]
            } else if asks(TYPE::SRV) || asks(TYPE::PTR) {
                self.whole_instance()
            } else {
                Vec::new()
            };
        }
        let addr = self.addr_record();
        if *name == self.host && asks(addr.rdata.type_code()) { vec![addr] } else { Vec::new() }
    }

    /// Port, address and text, in the order in which old clients read them.
    fn whole_instance(&self) -> Vec<ResourceRecord<'static>> {
        let server = SRV { priority: 10, weight: 1, port: self.addr.port(), target: self.host.clone() };
        vec![record(&self.instance, RData::SRV(server)), self.addr_record(), self.txt()]
    }

    fn addr_record(&self) -> ResourceRecord<'static> {
        let addr = match self.addr.ip() {
            IpAddr::V4(ip) => RData::A(A { address: ip.to_bits() }),
            IpAddr::V6(ip) => RData::AAAA(AAAA { address: ip.to_bits() }),
        };
        record(&self.host, addr)
    }

    fn txt(&self) -> ResourceRecord<'static> {
        let mut txt = TXT::new();
        _ = txt.add_string(&self.text);
        record(&self.instance, RData::TXT(txt.into_owned()))
    }
}

fn record(name: &Name<'_>, data: RData<'static>) -> ResourceRecord<'static> {
    ResourceRecord::new(name.clone().into_owned(), CLASS::IN, TTL_SECS, data)
}

/// The label of an agent: its name. If the name is empty or too long, its start and the address, so that labels are
/// unique.
fn instance(node: &str, addr: SocketAddr) -> Vec<u8> {
    if !node.is_empty() && node.len() <= LABEL_BYTES_MAX {
        return node.as_bytes().to_vec();
    }
    let addr = addr.to_string();
    let mut room = LABEL_BYTES_MAX.saturating_sub(addr.len() + 1).min(node.len());
    while !node.is_char_boundary(room) {
        room -= 1;
    }
    format!("{} {addr}", &node[..room]).into_bytes()
}

/// Whether a stream can be opened to the address. A link-local one does not name its link.
fn is_reachable(addr: &SocketAddr) -> bool {
    let is_on_a_link = matches!(addr.ip(), IpAddr::V6(ip) if ip.is_unicast_link_local());
    addr.port() != 0 && !addr.ip().is_unspecified() && !addr.ip().is_multicast() && !is_on_a_link
}

/// The list of all services (section 9 of RFC 6763).
const CATALOGUE: &str = "_services._dns-sd._udp.local";

/// Time to live of an answer, in seconds.
const TTL_SECS: u32 = 120;

const LABEL_BYTES_MAX: usize = 63;
const NAME_BYTES_MAX: usize = 255;
/// Limit on a text, in characters, so that it has at most 255 bytes.
const TEXT_CHARS_MAX: usize = 63;
/// Questions answered per packet.
const QUESTIONS_MAX: usize = 8;
/// Addresses taken from one packet.
const ADDRS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn service(cluster: &str, node: &str, addr: &str) -> Service {
        Service::new(cluster, node, "host.example", addr.parse().expect("is one")).expect("can be one")
    }

    fn ask(name: &str, kind: QTYPE) -> Vec<u8> {
        let mut packet = Packet::new_query(7);
        packet.questions.push(Question::new(Name::new_unchecked(name), kind, CLASS::IN.into(), false));
        packet.build_bytes_vec().expect("can be built")
    }

    #[test]
    fn agents_of_one_cluster_find_each_other_and_no_others() {
        let (one, two) = (service("c", "one", "10.0.0.1:7946"), service("c", "two", "[fd00::2]:80"));
        let question = one.question();
        assert_eq!(one.found(&two.answer(&question).expect("is meant")), ["[fd00::2]:80".parse().expect("is one")]);
        assert_eq!(two.found(&one.answer(&question).expect("is meant")), ["10.0.0.1:7946".parse().expect("is one")]);
        let other = service("d", "three", "10.0.0.3:7946");
        assert_eq!(other.answer(&question), None);
        assert_eq!(other.found(&one.answer(&question).expect("is meant")), []);
        assert_eq!(one.answer(&one.answer(&question).expect("is meant")), None, "an answer is no question");
    }

    #[test]
    fn an_answer_has_what_clients_of_old_look_for_in_their_order() {
        let one = service("c", "a.b", "10.0.0.1:7946");
        let bytes = one.answer(&ask("_serf_c._tcp.local", TYPE::PTR.into())).expect("is meant");
        let answer = Packet::parse(&bytes).expect("can be read");
        assert_eq!(answer.id(), 7);
        assert!(answer.has_flags(PacketFlag::RESPONSE | PacketFlag::AUTHORITATIVE_ANSWER));
        let kinds: Vec<TYPE> = answer.answers.iter().map(|record| record.rdata.type_code()).collect();
        assert_eq!(kinds, [TYPE::PTR, TYPE::SRV, TYPE::A, TYPE::TXT]);
        assert!(answer.answers.iter().all(|record| record.ttl == 120 && record.class == CLASS::IN));
        let RData::SRV(server) = &answer.answers[1].rdata else { panic!("is no SRV") };
        assert_eq!((server.priority, server.weight, server.port), (10, 1, 7946));
        assert_eq!(server.target.to_string(), "host.example");
        assert_eq!(answer.answers[1].name.to_string(), r"a\.b._serf_c._tcp.local");
    }

    #[test]
    fn single_records_and_the_catalogue_are_answered() {
        let one = service("c", "n", "10.0.0.1:7946");
        let kinds = |name: &str, kind: QTYPE| {
            let bytes = one.answer(&ask(name, kind)).unwrap_or_default();
            let answer = Packet::parse(&bytes).map(|packet| packet.answers).unwrap_or_default();
            answer.iter().map(|record| record.rdata.type_code()).collect::<Vec<_>>()
        };
        let whole = [TYPE::SRV, TYPE::A, TYPE::TXT];
        assert_eq!(kinds("n._serf_c._tcp.local", QTYPE::ANY), whole);
        assert_eq!(kinds("n._serf_c._tcp.local", TYPE::SRV.into()), whole);
        assert_eq!(kinds("n._serf_c._tcp.local", TYPE::PTR.into()), whole, "so asks who missed a part");
        assert_eq!(kinds("n._serf_c._tcp.local", TYPE::TXT.into()), [TYPE::TXT]);
        assert_eq!(kinds("host.example", TYPE::A.into()), [TYPE::A]);
        assert_eq!(kinds("host.example", TYPE::AAAA.into()), []);
        assert_eq!(kinds(CATALOGUE, TYPE::PTR.into()), [TYPE::PTR]);
        assert_eq!(kinds("_other._tcp.local", QTYPE::ANY), []);
    }

    #[test]
    fn a_name_that_is_too_long_is_cut_and_stays_unique() {
        let long = "\u{e4}".repeat(40);
        let (one, two) = (service("c", &long, "10.0.0.1:7946"), service("c", &long, "10.0.0.2:7946"));
        assert_ne!(one.instance, two.instance);
        assert_eq!(one.found(&two.answer(&one.question()).expect("is meant")).len(), 1);
    }

    #[test]
    fn a_cluster_name_that_is_too_long_for_a_dns_label_is_refused() {
        let addr = "10.0.0.1:7946".parse().expect("is one");
        assert_eq!(Service::new(&"c".repeat(58), "n", "h", addr).err(), Some(ServiceError));
        assert!(Service::new("with blank", "n", &"h".repeat(300), addr).is_ok());
    }

    #[test]
    fn other_bytes_are_nothing() {
        let one = service("c", "n", "10.0.0.1:7946");
        let mut announces = ask("_serf_c._tcp.local", TYPE::PTR.into());
        announces[4..6].copy_from_slice(&[255, 255]);
        for packet in [&[] as &[u8], &[0; 11], &[255; 40], &announces] {
            assert_eq!((one.answer(packet), one.found(packet)), (None, vec![]));
        }
    }

    #[test]
    fn unreachable_addresses_are_left_out() {
        let one = service("c", "n", "10.0.0.1:7946");
        for addr in ["0.0.0.0:7946", "10.0.0.2:0", "[fe80::1]:7946", "224.0.0.1:7946"] {
            let answer = service("c", "m", addr).answer(&one.question()).expect("is meant");
            assert_eq!(one.found(&answer), [], "{addr}");
        }
    }
}
