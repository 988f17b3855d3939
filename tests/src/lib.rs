//! Small protocol stories as scripts: what is done to a handful of nodes, `----`, and what each of them reports.
//!
//! The nodes are real, the network is perfect: everything arrives after a millisecond, unless the script says otherwise.
//! Time is virtual and luck comes from a fixed seed, so that a story always ends the same.
//!
//! # Commands
//!
//! A line is a command; what follows `#` is a comment. A node is called by its handle, a letter, which decides its address
//! (`a` is 10.0.0.1:7946) and, unless the script says otherwise, its name.
//!
//! | command | what it does |
//! |---|---|
//! | `start b c` | starts nodes that know nobody |
//! | `start x as b` | starts a node under another's name |
//! | `join b c via a` | each joins through `a`, one after the other; `via a d` means through both |
//! | `join-anew b via a` | the same, but hears nothing of old events |
//! | `after 5s` | lets time pass: `ms`, `s`, `m` or `h` |
//! | `crash c` | the node stops at once; its port refuses streams |
//! | `leave b` | leaves gracefully |
//! | `event a deploy v1` | sends a user event; the payload may be left out |
//! | `tags a role=db dc=eu` | sets all tags |
//! | `force-leave a c` | `a` says that `c` is gone for good; with `prune` at the end, that it be forgotten |
//! | `deafen c` | no datagram reaches `c`; streams do |
//! | `cut a b \| c d` | nothing passes between the two sides |
//! | `heal` | ends every `cut` and `deafen` |
//! | `members a` | `a` reports whom it knows, with status |

pub mod embedding;
pub mod guardian;
pub mod many;
mod network;
mod script;

pub use script::{Script, ScriptError};
