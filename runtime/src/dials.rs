//! Connect errors by address. The node knows only that a stream could not be opened; the caller of a join also gets the
//! operating system's error.

use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::io;

use serf_proto::{AddressFailure, SeedFailureCause};

use crate::report::SeedCause;

/// The result of the last connect to each address; `None` stands for a connect without error so far.
#[derive(Debug, Default)]
pub(crate) struct Dials(BTreeMap<SocketAddr, Option<io::Error>>);

impl Dials {
    /// Records a connect. Until it completes, a failed exchange is reported as a timeout.
    pub(crate) fn begin(&mut self, to: SocketAddr) {
        if self.0.len() >= DIALS_MAX {
            self.0.clear();
        }
        self.0.insert(to, Some(io::ErrorKind::TimedOut.into()));
    }

    pub(crate) fn opened(&mut self, to: SocketAddr) {
        self.0.insert(to, None);
    }

    pub(crate) fn failed(&mut self, to: SocketAddr, error: io::Error) {
        self.0.insert(to, Some(error));
    }

    /// Returns the reason why the exchange with a seed failed.
    pub(crate) fn cause(&mut self, failure: &AddressFailure) -> SeedCause {
        let dial = self.0.remove(&failure.addr);
        match (failure.cause, dial) {
            (SeedFailureCause::Unreachable | SeedFailureCause::TimedOut, Some(Some(error))) => {
                SeedCause::Unreachable(error)
            }
            (SeedFailureCause::Unreachable, _) => SeedCause::Unreachable(io::ErrorKind::Other.into()),
            (SeedFailureCause::Refused, _) if failure.detail.is_some() => {
                SeedCause::Incompatible(failure.detail.as_deref().unwrap_or_default().into())
            }
            (cause, _) => SeedCause::Exchange(cause),
        }
    }
}

/// Limit of recorded connects; few joins have so many seeds.
const DIALS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(dials: &mut Dials, cause: SeedFailureCause) -> Result<io::ErrorKind, SeedFailureCause> {
        match dials.cause(&AddressFailure { addr: addr(), cause, detail: None }) {
            SeedCause::Unreachable(error) => Ok(error.kind()),
            SeedCause::Exchange(cause) => Err(cause),
            other => panic!("has nothing to do with a dial: {other:?}"),
        }
    }

    fn addr() -> SocketAddr {
        "10.0.0.1:7946".parse().expect("is one")
    }

    #[test]
    fn the_systems_word_is_kept_and_an_answer_that_is_late_is_no_dial_that_is_late() {
        let mut dials = Dials::default();
        dials.begin(addr());
        dials.failed(addr(), io::ErrorKind::ConnectionRefused.into());
        assert_eq!(kind(&mut dials, SeedFailureCause::Unreachable), Ok(io::ErrorKind::ConnectionRefused));
        dials.begin(addr());
        assert_eq!(kind(&mut dials, SeedFailureCause::TimedOut), Ok(io::ErrorKind::TimedOut));
        dials.begin(addr());
        dials.opened(addr());
        assert_eq!(kind(&mut dials, SeedFailureCause::TimedOut), Err(SeedFailureCause::TimedOut));
        dials.begin(addr());
        dials.opened(addr());
        assert_eq!(kind(&mut dials, SeedFailureCause::Key), Err(SeedFailureCause::Key));
    }

    #[test]
    fn not_more_than_a_few_are_remembered() {
        let mut dials = Dials::default();
        for port in 0..2000 {
            dials.begin(SocketAddr::new(addr().ip(), port));
        }
        assert!(dials.0.len() <= DIALS_MAX);
    }
}
