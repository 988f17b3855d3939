//! Size of a node's state.

use core::fmt::{self, Write as _};

use serf_proto::Node;

/// Returns the length of a node's debug text, without storing the text.
pub(crate) fn bytes(node: &Node) -> usize {
    let mut length = Length(0);
    let _infallible = write!(length, "{node:?}");
    length.0
}

struct Length(usize);

impl fmt::Write for Length {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}
