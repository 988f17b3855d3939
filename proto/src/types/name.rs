//! Names of members.

use alloc::sync::Arc;

/// The name of a member; shared, and not empty.
pub type Name = Arc<str>;
