//! A hostile host. It sends well-formed messages with extreme content: numbers at and next to every bound, the longest
//! names and payloads, forged sources, replays, floods. The honest nodes must agree once it is silent.
//!
//! It is built on `serf_proto::internals`, the codecs and the packet layers, and has the cluster's key and label: the
//! model is a faulty member, not an outsider. Besides the attacker the host may run a real node, through
//! which the attacker observes incarnations, clocks and packets of the others.
//!
//! `attack` names the kinds of attack, `plan` draws the kinds and times of a world, `packet_builder` encodes and seals, `numbers`
//! draws the extremes; `swim`, `serf`, `streams` and `digests` implement the kinds.

mod attack;
mod attack_message;
mod attacker;
pub(crate) mod cost;
mod digests;
mod numbers;
mod packet_builder;
mod plan;
mod send;
mod serf;
mod streams;
mod swim;

pub use self::attack::Attack;
pub(crate) use self::attack_message::AttackMessage;
pub(crate) use self::attacker::{Attacker, AttackerView};
pub use self::plan::Hostility;
pub(crate) use self::plan::{AfterAttack, AttackSchedule};
