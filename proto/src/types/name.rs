//! A member's name.

use alloc::sync::Arc;

/// A member's name, shared and not empty.
pub type Name = Arc<str>;
