use std::collections::BTreeSet;

use super::Finding;
use crate::digest::Digest;

/// Checks that a node delivers each user event at most once.
#[derive(Debug, Default)]
pub(super) struct EventCheck {
    delivered: BTreeSet<u64>,
}

impl EventCheck {
    pub(super) fn deliver(&mut self, ltime: u64, name: &str, payload: &[u8]) -> Option<Finding> {
        let mut digest = Digest::default();
        digest.fold(ltime);
        digest.fold_bytes(name.as_bytes());
        digest.fold_bytes(payload);
        let first = self.delivered.insert(digest.value());
        (!first).then(|| Finding::EventTwice { name: name.into(), ltime })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_delivery_is_found() {
        let mut check = EventCheck::default();
        assert_eq!(check.deliver(1, "deploy", b"v1"), None);
        assert_eq!(check.deliver(2, "deploy", b"v1"), None, "sent again");
        assert_eq!(check.deliver(1, "deploy", b"v2"), None, "another payload");
        assert_eq!(check.deliver(1, "deploy", b"v1"), Some(Finding::EventTwice { name: "deploy".into(), ltime: 1 }));
    }
}
