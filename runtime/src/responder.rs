//! Link from a handler back to its node.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use serf_proto::{QueryId, RespondError};

use crate::error::CommandError;

/// Sends a handler's answer without a strong handle to the node.
#[derive(Clone)]
pub(crate) struct Responder {
    respond: Arc<Respond>,
    panics: Arc<AtomicU64>,
}

type Respond = dyn Fn(QueryId, &[u8]) -> Result<(), CommandError<RespondError>> + Send + Sync;

impl Responder {
    /// `respond` must not keep the node running, or it would never stop while its handlers run.
    pub(crate) fn new(
        respond: impl Fn(QueryId, &[u8]) -> Result<(), CommandError<RespondError>> + Send + Sync + 'static,
        panics: Arc<AtomicU64>,
    ) -> Self {
        Self { respond: Arc::new(respond), panics }
    }

    /// Counts a panic of a handler.
    pub(crate) fn note_panic(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn respond(&self, to: QueryId, payload: &[u8]) {
        if let Err(error) = (self.respond)(to, payload) {
            tracing::warn!(query = %to, %error, "cannot answer a query");
        }
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responder").finish_non_exhaustive()
    }
}
