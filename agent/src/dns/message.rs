//! DNS queries and answers.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use simple_dns::rdata::{A, AAAA, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, Question, RCODE, TYPE};

/// The records that are looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Srv,
    A,
    Aaaa,
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Srv => "SRV",
            Self::A => "A",
            Self::Aaaa => "AAAA",
        }
    }

    const fn code(self) -> TYPE {
        match self {
            Self::Srv => TYPE::SRV,
            Self::A => TYPE::A,
            Self::Aaaa => TYPE::AAAA,
        }
    }
}

/// A host that offers a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(super) priority: u16,
    pub(super) weight: u16,
    /// The addresses that came with the answer.
    pub(crate) addresses: Vec<IpAddr>,
}

/// A query for one name.
#[derive(Clone, Debug)]
pub(super) struct Query {
    id: u16,
    name: Name<'static>,
    kind: Kind,
    bytes: Vec<u8>,
}

/// The content of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Answer(Answer),
    /// The name does not exist.
    NoName,
    /// The answer does not fit into a datagram.
    Truncated,
    /// The server does not answer the query.
    Refused(&'static str),
}

/// The records of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) targets: Vec<Target>,
    pub(super) addresses: Vec<IpAddr>,
}

impl Answer {
    pub(super) const fn has(&self, kind: Kind) -> bool {
        match kind {
            Kind::Srv => !self.targets.is_empty(),
            Kind::A | Kind::Aaaa => !self.addresses.is_empty(),
        }
    }
}

impl Query {
    /// A query with a random number; `None` if the text is not a name.
    pub(super) fn new(name: &str, kind: Kind) -> Option<Self> {
        let mut id = [0; 2];
        // A predictable number makes a forged answer easier, and is no reason not to ask.
        _ = getrandom::fill(&mut id);
        let trimmed = name.strip_suffix('.').unwrap_or(name);
        if trimmed.is_empty() || trimmed.len() > NAME_BYTES_MAX || trimmed.split('.').any(|part| part.is_empty()) {
            return None;
        }
        let name = Name::new(trimmed).ok()?.into_owned();
        let id = u16::from_be_bytes(id);
        let mut packet = Packet::new_query(id);
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
        packet.questions.push(Question::new(name.clone(), QTYPE::TYPE(kind.code()), CLASS::IN.into(), false));
        let bytes = packet.build_bytes_vec().ok()?;
        Some(Self { id, name, kind, bytes })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads a packet; `None` if it is not the answer to this query.
    pub(super) fn read(&self, packet: &[u8]) -> Option<Reading> {
        let packet = parse(packet)?;
        let is_ours = |question: &Question<'_>| {
            question.qtype == QTYPE::TYPE(self.kind.code())
                && question.qname.to_string().eq_ignore_ascii_case(&self.name.to_string())
        };
        if packet.id() != self.id || !packet.has_flags(PacketFlag::RESPONSE) || !packet.questions.iter().all(is_ours) {
            return None;
        }
        Some(match packet.rcode() {
            _ if packet.has_flags(PacketFlag::TRUNCATION) => Reading::Truncated,
            RCODE::NoError => Reading::Answer(self.answer(&packet)),
            RCODE::NameError => Reading::NoName,
            RCODE::ServerFailure => Reading::Refused("server failure"),
            RCODE::Refused => Reading::Refused("refused"),
            _ => Reading::Refused("it does not understand the query"),
        })
    }

    fn answer(&self, packet: &Packet<'_>) -> Answer {
        let mut answer = Answer::default();
        for record in packet.answers.iter().take(RECORDS_MAX) {
            match (&record.rdata, self.kind) {
                (RData::SRV(server), Kind::Srv) => {
                    let of_target = packet.additional_records.iter().take(RECORDS_MAX);
                    let of_target = of_target.filter(|additional| additional.name == server.target);
                    let host = server.target.to_string();
                    // The root as target means that the service is not offered (RFC 2782).
                    if !host.is_empty() && host != "." && server.port != 0 {
                        answer.targets.push(Target {
                            host,
                            port: server.port,
                            priority: server.priority,
                            weight: server.weight,
                            addresses: of_target.filter_map(|additional| ip(&additional.rdata)).collect(),
                        });
                    }
                }
                (data, Kind::A | Kind::Aaaa) => answer.addresses.extend(ip(data)),
                _ => {}
            }
        }
        answer
    }
}

/// Parses a packet, unless its header announces more records than its length allows; that would cost memory.
pub(crate) fn parse(packet: &[u8]) -> Option<Packet<'_>> {
    let counts = packet.get(4..12)?.chunks_exact(2);
    let announced: usize = counts.map(|count| usize::from(u16::from_be_bytes([count[0], count[1]]))).sum();
    if announced * RECORD_BYTES_LEAST > packet.len() {
        return None;
    }
    Packet::parse(packet).ok()
}

/// The address of a record.
pub(crate) const fn ip(data: &RData<'_>) -> Option<IpAddr> {
    match data {
        RData::A(A { address }) => Some(IpAddr::V4(Ipv4Addr::from_bits(*address))),
        RData::AAAA(AAAA { address }) => Some(IpAddr::V6(Ipv6Addr::from_bits(*address))),
        _ => None,
    }
}

/// Length of the shortest record: a question for the shortest name.
const RECORD_BYTES_LEAST: usize = 5;

/// Records read from one answer, and as many additional ones.
const RECORDS_MAX: usize = 1024;

/// The longest name in text, in bytes.
const NAME_BYTES_MAX: usize = 253;

#[cfg(test)]
mod tests {
    use simple_dns::ResourceRecord;
    use simple_dns::rdata::SRV;

    use super::*;

    fn query() -> Query {
        Query::new("_serf._tcp.example.org", Kind::Srv).expect("is a name")
    }

    /// An answer to the query, changed by `change`.
    fn answered(query: &Query, change: impl FnOnce(&mut Packet<'static>)) -> Option<Reading> {
        let mut packet = Packet::new_reply(query.id);
        let question = Question::new(query.name.clone(), QTYPE::TYPE(query.kind.code()), CLASS::IN.into(), false);
        packet.questions.push(question);
        change(&mut packet);
        query.read(&packet.build_bytes_vec().expect("can be built"))
    }

    fn server(port: u16, host: &'static str) -> ResourceRecord<'static> {
        let target = Name::new_unchecked(host);
        let data = RData::SRV(SRV { priority: 1, weight: 2, port, target });
        ResourceRecord::new(Name::new_unchecked("_serf._tcp.example.org"), CLASS::IN, 60, data)
    }

    #[test]
    fn an_answer_gives_targets_with_the_addresses_that_come_along() {
        let query = query();
        let reading = answered(&query, |packet| {
            packet.answers = vec![server(7946, "a.example.org"), server(0, "b.example.org"), server(1, ".")];
            let address = RData::A(A { address: Ipv4Addr::new(10, 0, 0, 1).to_bits() });
            for name in ["a.example.org", "c.example.org"] {
                let record = ResourceRecord::new(Name::new_unchecked(name), CLASS::IN, 60, address.clone());
                packet.additional_records.push(record);
            }
        });
        let target = Target {
            host: "a.example.org".into(),
            port: 7946,
            priority: 1,
            weight: 2,
            addresses: vec!["10.0.0.1".parse().unwrap()],
        };
        assert_eq!(reading, Some(Reading::Answer(Answer { targets: vec![target], addresses: vec![] })));
    }

    #[test]
    fn what_is_no_answer_to_the_query_is_ignored() {
        let query = query();
        assert_eq!(answered(&query, |packet| packet.set_id(query.id.wrapping_add(1))), None);
        assert_eq!(answered(&query, |packet| packet.remove_flags(PacketFlag::RESPONSE)), None);
        let other = Question::new(Name::new_unchecked("x.org"), QTYPE::TYPE(TYPE::SRV), CLASS::IN.into(), false);
        assert_eq!(answered(&query, |packet| packet.questions = vec![other]), None);
        let is_upper = answered(&query, |packet| {
            let name = Name::new_unchecked("_SERF._tcp.example.ORG");
            packet.questions = vec![Question::new(name, QTYPE::TYPE(TYPE::SRV), CLASS::IN.into(), false)];
        });
        assert!(is_upper.is_some(), "names have no case");
        for bytes in [&[][..], &[0; 11], &[255; 40]] {
            assert_eq!(query.read(bytes), None);
        }
    }

    #[test]
    fn failures_of_servers_are_told_apart() {
        let query = query();
        let with = |code| answered(&query, |packet| *packet.rcode_mut() = code);
        assert_eq!(with(RCODE::NameError), Some(Reading::NoName));
        assert_eq!(with(RCODE::ServerFailure), Some(Reading::Refused("server failure")));
        let is_cut = answered(&query, |packet| packet.set_flags(PacketFlag::TRUNCATION));
        assert_eq!(is_cut, Some(Reading::Truncated));
    }

    #[test]
    fn texts_that_are_no_names_are_refused() {
        assert!(Query::new("a.b.", Kind::A).is_some());
        for text in ["", ".", "a..b", &"a".repeat(64), &["abcdefgh"; 29].join(".")] {
            assert!(Query::new(text, Kind::A).is_none(), "{text}");
        }
    }
}
