//! Protocol tests as scripts: commands for a few nodes, `----`, and the expected reports of each node.
//!
//! The nodes are real; the network is perfect by default: everything arrives after one millisecond. Time is virtual and
//! the RNG seed is fixed, so that a script always gives the same reports.
//!
//! # Commands
//!
//! A line is a command; `#` starts a comment. A node has a one-letter handle, which determines its address (`a` is
//! 10.0.0.1:7946) and, by default, its name.
//!
//! | command | what it does |
//! |---|---|
//! | `start b c` | starts nodes without known members |
//! | `start x as b` | starts a node under another's name |
//! | `join b c via a` | each joins through `a`, in sequence; `via a d` means through both |
//! | `join-anew b via a` | the same, but ignores old events |
//! | `after 5s` | lets time pass: `ms`, `s`, `m` or `h` |
//! | `crash c` | the node stops at once; its port refuses streams |
//! | `leave b` | leaves gracefully |
//! | `event a deploy v1` | sends a user event; the payload is optional |
//! | `tags a role=db dc=eu` | sets all tags |
//! | `force-leave a c` | `a` marks the failed `c` as left; with `prune` at the end, it is also forgotten |
//! | `deafen c` | drops all datagrams to `c`, but no streams |
//! | `cut a b \| c d` | drops everything between the two sides |
//! | `heal` | ends every `cut` and `deafen` |
//! | `members a` | `a` reports its known members, with status |

pub mod embedding;
pub mod guardian;
pub mod many;
mod network;
mod script;
pub mod spans;

pub use network::describe;
pub use script::{Script, ScriptError, handle_of};

/// Runs the examples of `docs/embed.md` as doctests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/embed.md")]
struct Embed;
