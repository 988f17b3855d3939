//! Exhaustive exploration of small worlds.
//!
//! A [`World`] is a few nodes of the real protocol code with the messages between them. In each state of a world all
//! that may happen next is tried: any message in transit is delivered, lost, held back or repeated, a timer fires, a node
//! crashes, leaves or starts again. [`Explorer`] gives these choices to stateright, whose checkers visit every state
//! that can be reached. A [`Plan`] names a world, and bounds what may happen in it: how many faults, and until when.
//!
//! What makes the number of states finite, and small:
//!
//! - Two states are one if no node can tell them apart: a node is compared by its fingerprint, which holds times
//!   relative to its clock.
//! - A message takes no time. While any is in transit no timer fires, unless the message was held back, or the clock of
//!   a node is made to run ahead; both are faults of the budget.
//! - Faults come out of a budget, and within a time. After that the faults are over, and a run without them must end in
//!   agreement.
//! - The RNG of a node is set before each call, to one of a few seeds. Each is a branch, if the call draws anything.
//!
//! Nodes are not merged by symmetry: digests and records are hashes that contain names and addresses, so that two nodes
//! in exchanged roles differ in every message. Plans aim their faults at one of the nodes that start alike instead.

mod explore;
mod mail;
mod peace;
mod plan;
mod rules;
mod script;
mod step;
mod world;

pub use self::explore::{Explorer, Seen};
pub use self::plan::{Budget, Plan};
pub use self::rules::{Finding, Known, Rule, accusation_of, check_changes, check_own_leave, check_refuted};
pub use self::script::{play, script_of};
pub use self::step::{Action, Command};
pub use self::world::World;
