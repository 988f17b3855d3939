//! Progress bar per phase on stderr, and the stop on Ctrl-C.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressStyle};
use serf_proto::Instant;

use crate::engine::Progress;
use crate::phase::Phase;
use crate::scenario::Monitor;

/// Displays the progress, unless disabled, and stops the run when the flag is raised.
#[derive(Debug)]
pub(crate) struct PhaseBar {
    is_shown: bool,
    halt: Arc<AtomicBool>,
    bar: ProgressBar,
    /// Whether the bar shows the goal; otherwise it shows virtual time.
    has_goal: bool,
    began_at: Option<Instant>,
}

impl PhaseBar {
    pub(crate) fn new(is_shown: bool, halt: Arc<AtomicBool>) -> Self {
        Self { is_shown, halt, bar: ProgressBar::hidden(), has_goal: false, began_at: None }
    }
}

impl Monitor for PhaseBar {
    fn phase_begins(&mut self, phase: Phase, total: i64, until: Instant) {
        self.has_goal = total > 0;
        self.began_at = None;
        if !self.is_shown {
            return;
        }
        let length = if self.has_goal { u64::try_from(total).unwrap_or(0) } else { until.as_nanos() };
        // The bar hides itself if stderr is not a terminal.
        self.bar = ProgressBar::new(length).with_prefix(phase.name());
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            self.bar.set_style(style);
        }
    }

    fn progress(&mut self, progress: Progress) -> bool {
        let began_at = *self.began_at.get_or_insert(progress.now);
        if self.is_shown {
            let position =
                if self.has_goal { u64::try_from(progress.done).unwrap_or(0) } else { progress.now.as_nanos() };
            self.bar.set_position(position);
            self.bar.set_message(format!("{:.1} s", (progress.now - began_at).as_secs_f64()));
        }
        self.halt.load(Ordering::Relaxed)
    }

    fn phase_ends(&mut self) {
        self.bar.finish_and_clear();
    }
}

const TEMPLATE: &str = "{prefix:9} [{wide_bar}] {percent:>3} % of the goal, {msg} virtual, {elapsed} wall";
