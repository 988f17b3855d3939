//! Discovery: finds members by mDNS and joins them.

use core::net::SocketAddr;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serf_tokio::{NodeState, Status};
use tokio::time::{Instant, sleep, timeout_at};

use super::Agent;
use super::joining::one_line;
use crate::config::Mdns;
use crate::endpoint::go_words;
use crate::mdns::{Network, Scope, Service};

/// Starts the mDNS responder and the periodic search for members.
///
/// # Errors
///
/// A message saying why discovery cannot start.
pub(super) fn start(agent: &Arc<Agent>, mdns: &Mdns, replay: bool) -> Result<(), String> {
    let host = gethostname::gethostname();
    let local = agent.serf.local();
    let service = Service::new(&mdns.cluster, local.name(), &host.to_string_lossy(), local.addr());
    let service = Arc::new(service.map_err(|error| error.to_string())?);
    let scope = Scope { interface: mdns.interface.clone(), ipv4: mdns.ipv4, ipv6: mdns.ipv6 };
    let network = Arc::new(Network::open(scope).map_err(|error| go_words(&error))?);
    tokio::spawn(answer(Arc::clone(agent), Arc::clone(&network), Arc::clone(&service)));
    let finder = Finder { agent: Arc::clone(agent), network, service, replay, failed: BTreeSet::new(), is_mute: false };
    tokio::spawn(finder.run());
    Ok(())
}

/// Answers mDNS questions about this agent.
async fn answer(agent: Arc<Agent>, network: Arc<Network>, service: Arc<Service>) {
    let mut packet = vec![0; PACKET_BYTES_MAX];
    let mut failures = 0;
    while agent.serf.state() == NodeState::Alive {
        match network.next_question(&mut packet).await {
            Ok(received) => {
                failures = 0;
                let Some(answer) = service.answer(&packet[..received.length]) else { continue };
                if let Err(error) = received.reply(&answer).await {
                    let text = format_args!("Failed to answer {}: {}", received.from, go_words(&error));
                    agent.log.debug("agent.mdns", text);
                }
            }
            Err(error) => {
                failures += 1;
                if failures == 1 {
                    agent.log.error("agent.mdns", format_args!("Failed to receive: {}", go_words(&error)));
                }
                // Back off: an error of the socket itself is likely to repeat at once.
                sleep(RECEIVE_PAUSE).await;
            }
        }
    }
}

/// Searches for members periodically.
struct Finder {
    agent: Arc<Agent>,
    network: Arc<Network>,
    service: Arc<Service>,
    /// Whether a join replays old user events.
    replay: bool,
    /// Addresses whose join failed and was logged.
    failed: BTreeSet<SocketAddr>,
    /// The last question could not be sent, and that was logged.
    is_mute: bool,
}

impl Finder {
    async fn run(mut self) {
        let question = self.service.question();
        let mut pause = PAUSE_FIRST;
        while self.agent.serf.state() == NodeState::Alive {
            self.ask(&question).await;
            self.collect().await;
            sleep(pause).await;
            // The first packets may be lost, and hosts that start together are not all ready at once.
            pause = (pause * 3).min(PAUSE_MAX);
        }
    }

    async fn ask(&mut self, question: &[u8]) {
        let asked = self.network.ask(question).await;
        if let Err(error) = &asked
            && !self.is_mute
        {
            let error = go_words(error);
            let text = format_args!("Failed to poll for new hosts: {error}");
            self.agent.log.error("agent.mdns", text);
        }
        self.is_mute = asked.is_err();
    }

    /// Collects answers for a while, and joins the senders as soon as no more answers arrive.
    async fn collect(&mut self) {
        let end = Instant::now() + ANSWERS_TIMEOUT;
        let mut packet = vec![0; PACKET_BYTES_MAX];
        let mut found: BTreeSet<SocketAddr> = BTreeSet::new();
        loop {
            let wait = if found.is_empty() { end } else { end.min(Instant::now() + QUIET_INTERVAL) };
            match timeout_at(wait, self.network.next_answer(&mut packet)).await {
                Ok(Ok(received)) => {
                    let new = self.service.found(&packet[..received.length]);
                    found.extend(new.into_iter().take(HOSTS_MAX - found.len()));
                }
                Ok(Err(error)) => {
                    self.agent.log.debug("agent.mdns", format_args!("Failed to receive: {}", go_words(&error)));
                    sleep(RECEIVE_PAUSE).await;
                }
                Err(_) => {
                    self.join(core::mem::take(&mut found)).await;
                    if Instant::now() >= end {
                        return;
                    }
                }
            }
        }
    }

    /// Joins the addresses that belong to no live member. A failed join is retried after the next question.
    async fn join(&mut self, mut found: BTreeSet<SocketAddr>) {
        let members = self.agent.serf.members();
        for member in members.iter().filter(|member| member.status() == Status::Alive) {
            found.remove(&member.addr());
        }
        if found.is_empty() {
            return;
        }
        let addrs: Vec<String> = found.iter().map(SocketAddr::to_string).collect();
        match self.agent.join(&addrs, self.replay).await {
            Ok(count) => {
                self.agent.log.info("agent.mdns", format_args!("Joined {count} hosts"));
                self.failed.clear();
            }
            Err(_) if found.is_subset(&self.failed) => {}
            Err(why) => {
                self.agent.log.error("agent.mdns", format_args!("Failed to join: {}", one_line(&why)));
                self.failed = found;
            }
        }
    }
}

/// How long to wait for answers after each question.
const ANSWERS_TIMEOUT: Duration = Duration::from_secs(1);

/// After this time without an answer, the senders so far are joined.
const QUIET_INTERVAL: Duration = Duration::from_millis(100);

/// Pause between the first two questions. Each further pause is three times as long, up to [`PAUSE_MAX`].
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

const RECEIVE_PAUSE: Duration = Duration::from_millis(100);

/// Addresses joined at a time. A limit is needed because any host can answer, with any address.
const HOSTS_MAX: usize = 64;

/// The largest packet, in bytes: a jumbo frame.
const PACKET_BYTES_MAX: usize = 9000;
