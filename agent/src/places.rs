//! Admission of connections.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A bounded number of connections, in all and from one source.
///
/// A connection is unsettled until it has sent what is expected of it. When a place is needed, the oldest unsettled
/// connection is displaced, so that silent connections cannot keep others out. Settled ones stay.
#[derive(Debug)]
pub(crate) struct Places {
    guests_max: usize,
    of_source_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The oldest first.
    guests: Vec<Guest>,
    id_next: u64,
}

#[derive(Debug)]
struct Guest {
    id: u64,
    source: Option<IpAddr>,
    is_settled: bool,
    displaced: Arc<Notify>,
}

/// The place of one connection, released on drop.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    id: u64,
    displaced: Arc<Notify>,
}

impl Places {
    /// Limits in all, and from one source.
    pub(crate) fn new(guests_max: usize, of_source_max: usize) -> Arc<Self> {
        Arc::new(Self { guests_max, of_source_max, state: Mutex::default() })
    }

    /// A place for a connection from `source`, unsettled at first. `None` when settled ones hold all places. Without a
    /// source, the limit per source does not apply.
    pub(crate) fn admit(self: &Arc<Self>, source: Option<IpAddr>) -> Option<Place> {
        let mut state = self.lock();
        let is_of_source = |guest: &Guest| source.is_some() && guest.source == source;
        let is_source_full = state.guests.iter().filter(|guest| is_of_source(guest)).count() >= self.of_source_max;
        if is_source_full || state.guests.len() >= self.guests_max {
            let may_go = |guest: &Guest| !guest.is_settled && (!is_source_full || is_of_source(guest));
            let idx = state.guests.iter().position(may_go)?;
            state.guests.remove(idx).displaced.notify_one();
        }
        let (id, displaced) = (state.id_next, Arc::<Notify>::default());
        state.id_next += 1;
        state.guests.push(Guest { id, source, is_settled: false, displaced: Arc::clone(&displaced) });
        Some(Place { places: Arc::clone(self), id, displaced })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Marks the connection as settled: it is no longer displaced.
    pub(crate) fn settle(&self) {
        let mut state = self.places.lock();
        if let Some(guest) = state.guests.iter_mut().find(|guest| guest.id == self.id) {
            guest.is_settled = true;
        }
    }

    /// Waits until another connection gets the place.
    pub(crate) async fn displaced(&self) {
        self.displaced.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().guests.retain(|guest| guest.id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use core::future::Future;
    use core::pin::pin;
    use core::task::{Context, Poll, Waker};
    use std::net::Ipv4Addr;

    use super::*;

    fn source(last: u8) -> Option<IpAddr> {
        Some(Ipv4Addr::new(10, 0, 0, last).into())
    }

    fn is_displaced(place: &Place) -> bool {
        pin!(place.displaced()).poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
    }

    #[test]
    fn the_oldest_unsettled_connection_makes_room() {
        let places = Places::new(3, 3);
        let [first, second, third] = [1, 2, 3].map(|n| places.admit(source(n)).expect("there is room"));
        first.settle();
        let fourth = places.admit(source(4)).expect("in place of the second");
        assert!(!is_displaced(&first) && is_displaced(&second) && !is_displaced(&third));
        third.settle();
        fourth.settle();
        assert!(places.admit(source(5)).is_none(), "all are settled");
        drop(second);
        assert!(places.admit(source(5)).is_none(), "it had lost its place already");
        drop(first);
        assert!(places.admit(source(5)).is_some());
    }

    #[test]
    fn a_source_displaces_its_own_when_it_has_too_many() {
        let places = Places::new(4, 2);
        let other = places.admit(source(1)).expect("there is room");
        let [first, second] = [(); 2].map(|()| places.admit(source(9)).expect("there is room"));
        let third = places.admit(source(9)).expect("in place of its first");
        assert!(!is_displaced(&other) && is_displaced(&first) && !is_displaced(&second));
        second.settle();
        third.settle();
        assert!(places.admit(source(9)).is_none() && places.admit(source(2)).is_some());
        let places = Places::new(3, 1);
        let local = [(); 3].map(|()| places.admit(None).expect("no bound for a source"));
        assert!(places.admit(None).is_some() && is_displaced(&local[0]));
    }
}
