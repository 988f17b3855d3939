//! A hostile host. It sends well-formed messages with extreme content: numbers at and next to every bound, the longest
//! names and payloads, forged sources, replays, floods. Whatever it sends, the honest nodes must agree once it is silent.
//!
//! It is built on the public parts of `serf_proto::wire` and `serf_proto::envelope`, and so holds the cluster's key and
//! label: a member that has gone mad, rather than a stranger. Besides the attacker the host may run a real node, through
//! which the attacker knows the others' incarnations and clocks and hears what they send.
//!
//! `attack` names the kinds of attack, `plan` draws which of them a world suffers and when, `desk` encodes and seals,
//! `numbers` draws the extremes; `swim`, `serf` and `streams` say what the kinds consist of.

mod attack;
mod attacker;
pub(crate) mod cost;
mod desk;
mod numbers;
mod plan;
mod post;
mod serf;
mod shot;
mod streams;
mod swim;

pub use self::attack::Attack;
pub(crate) use self::attacker::{Attacker, Sight};
pub use self::plan::Hostility;
pub(crate) use self::plan::{Assaults, Ending};
pub(crate) use self::shot::Shot;
