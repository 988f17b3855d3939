//! The capture of the node's inputs, and its switch.

use serf_tokio::Capture;

use super::Agent;
use crate::config::{Settings, given};

/// The capture of the settings; `None` without a directory.
pub(super) fn of(settings: &Settings) -> Option<Capture> {
    let dir = given(&settings.capture)?;
    Some(Capture::new(dir).with(|capture| {
        capture.file_bytes = u64::try_from(settings.capture_file_bytes).unwrap_or(capture.file_bytes);
        capture.files = u32::try_from(settings.capture_files).unwrap_or(capture.files);
        capture.payloads = !settings.capture_redact;
    }))
}

impl Agent {
    /// Starts the capture, or stops the one that runs. Has no effect without a directory: SIGUSR2 is then ignored, as it is by
    /// HashiCorp's agent.
    pub(super) fn switch_capture(&self) {
        let Some(capture) = &self.capture else { return };
        let dir = capture.dir.display();
        if self.serf.stop_capture() {
            self.log.info("agent", format_args!("Capture stopped; replay it with: sim replay {dir}"));
            return;
        }
        match self.serf.start_capture(capture.clone()) {
            Ok(()) => self.log.info("agent", format_args!("Capturing into {dir}")),
            Err(error) => self.log.error("agent", format_args!("Failed to capture into {dir}: {error}")),
        }
    }
}
