//! The members of one member event.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;

use serde::{Serialize, Serializer};

use super::Member;

/// One member or more, each once: a slice of them that is never empty.
///
/// One member is held in place, because most events are about one, and a cluster that starts makes very many of them.
#[derive(Clone, PartialEq, Eq)]
pub struct Members(Held);

#[derive(Clone, PartialEq, Eq)]
enum Held {
    One(Member),
    /// Two or more.
    Many(Box<[Member]>),
}

impl Members {
    /// `None` of none.
    pub(crate) fn of(mut members: Vec<Member>) -> Option<Self> {
        match members.pop() {
            Some(last) if members.is_empty() => Some(last.into()),
            Some(last) => {
                members.push(last);
                Some(Self(Held::Many(members.into_boxed_slice())))
            }
            None => None,
        }
    }

    /// The names of the members.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.iter().map(Member::name)
    }
}

impl From<Member> for Members {
    fn from(member: Member) -> Self {
        Self(Held::One(member))
    }
}

impl Deref for Members {
    type Target = [Member];

    fn deref(&self) -> &[Member] {
        match &self.0 {
            Held::One(member) => core::slice::from_ref(member),
            Held::Many(members) => members,
        }
    }
}

impl<'a> IntoIterator for &'a Members {
    type Item = &'a Member;
    type IntoIter = core::slice::Iter<'a, Member>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// As a list.
impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// As a list.
impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use alloc::sync::Arc;
    use alloc::vec;

    use super::*;
    use crate::{Identity, Status, Tags};

    #[test]
    fn a_list_of_one_is_held_in_place_and_a_longer_one_as_it_came() {
        let member = |name| {
            let identity = Identity::new(name, "10.0.0.7:7946".parse().unwrap(), &Tags::default()).unwrap();
            Member { peer: Arc::clone(&identity.peer), status: Status::Alive, status_ltime: 3 }
        };
        assert_eq!(Members::of(vec![]), None);
        assert_eq!(Members::of(vec![member("a")]), Some(member("a").into()));
        let two = Members::of(vec![member("b"), member("a")]).unwrap();
        assert_eq!(two.names().collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(size_of::<Members>(), size_of::<Member>(), "no larger than the one member that it mostly holds");
    }
}
