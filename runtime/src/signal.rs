//! Wake-up of one task from any thread.

use core::future::poll_fn;
use core::task::{Poll, Waker};
use std::sync::Mutex;

use crate::lock;

/// A flag that one task waits for. Several raises before the task runs count as one.
#[derive(Debug, Default)]
pub(crate) struct Signal(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    raised: bool,
    waiting: Option<Waker>,
}

impl Signal {
    pub(crate) fn raise(&self) {
        let mut state = lock(&self.0);
        state.raised = true;
        let waiting = state.waiting.take();
        drop(state);
        if let Some(waker) = waiting {
            waker.wake();
        }
    }

    /// Waits until the flag is raised, and clears it.
    pub(crate) async fn wait(&self) {
        poll_fn(|cx| {
            let mut state = lock(&self.0);
            if core::mem::take(&mut state.raised) {
                return Poll::Ready(());
            }
            match &mut state.waiting {
                Some(waiting) => waiting.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            Poll::Pending
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::{block_on, poll_once};

    use super::*;

    #[test]
    fn a_signal_raised_before_the_wait_is_not_lost_and_counts_once() {
        let signal = Signal::default();
        signal.raise();
        signal.raise();
        assert!(block_on(poll_once(signal.wait())).is_some());
        assert!(block_on(poll_once(signal.wait())).is_none());
    }

    #[test]
    fn a_waiting_task_is_woken() {
        let signal = Signal::default();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| block_on(signal.wait()));
            signal.raise();
            assert!(waiter.join().is_ok());
        });
    }
}
