//! The connections to the agent: one for requests, one for events and log lines, each with a thread.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use super::rows::{Lookup, is_live};
use super::screen::Input;
use super::state::{News, Offers, Poll, WhyAnswer};
use crate::rpc::{Client, ClientError, ClientOptions, Coordinate, Member, UNSUPPORTED_COMMAND};

/// Requests that the screen makes.
#[derive(Debug)]
pub(super) enum Ask {
    /// `why` for the member of this name.
    Why(String),
    /// These members are visible: they are looked up first.
    Visible(Vec<String>),
}

/// Requests the state of the cluster.
#[derive(Debug)]
pub(super) struct Poller {
    options: ClientOptions,
    /// `None` after a failure, until the next request connects.
    client: Option<Client>,
    offers: Offers,
    /// The agent does not know the command `why`, although it is ours.
    is_old: bool,
    /// Lookups of single members so far.
    lookups: u64,
    /// The number of the last lookup of each member.
    looked_up: BTreeMap<String, u64>,
}

impl Poller {
    pub(super) fn connect(options: ClientOptions) -> Result<Self, ClientError> {
        let client = Client::connect(&options)?;
        Ok(Self::new(options, Some(client)))
    }

    const fn new(options: ClientOptions, client: Option<Client>) -> Self {
        Self { options, client, offers: Offers::ALL, is_old: false, lookups: 0, looked_up: BTreeMap::new() }
    }

    pub(super) const fn options(&self) -> &ClientOptions {
        &self.options
    }

    /// One round: all members, the figures, and what must be requested for each member: of the `visible` ones, and of
    /// others in turn, of `lookups_max` in all and until `deadline`.
    pub(super) fn poll(
        &mut self,
        visible: &[String],
        lookups_max: usize,
        deadline: Instant,
    ) -> Result<Poll, ClientError> {
        let mut poll = Poll::default();
        let members = self.with_client(Client::members)?;
        poll.stats = self.with_client(Client::stats)?;
        let figure = |group: &str, key: &str| poll.stats.get(group).and_then(|group| group.get(key)).cloned();
        // HashiCorp's agent closes the connection on a command that it does not know, and logs an error.
        let is_ours = figure("runtime", "version").is_some_and(|version| version.starts_with("serf-agent "));
        self.offers.why = is_ours && !self.is_old;
        let own = figure("agent", "name").unwrap_or_default();
        let own = if self.offers.coordinates { self.coordinate(&own)? } else { None };
        for name in self.turns(&members, visible, lookups_max) {
            if Instant::now() >= deadline {
                break;
            }
            let lookup = self.look_up(&name, own.as_ref())?;
            poll.lookups.push((name, lookup));
        }
        (poll.members, poll.offers) = (members, self.offers);
        Ok(poll)
    }

    /// The answer to `why`.
    pub(super) fn why(&mut self, node: &str) -> WhyAnswer {
        if !self.offers.why {
            return WhyAnswer::NotOffered;
        }
        match self.with_client(|client| client.why(node)) {
            Ok(why) => WhyAnswer::Known(Box::new(why)),
            Err(ClientError::Refused(why)) if why == UNSUPPORTED_COMMAND => {
                self.is_old = true;
                WhyAnswer::NotOffered
            }
            Err(error) => WhyAnswer::Failed(error.to_string()),
        }
    }

    /// Runs a request, and connects first if needed. A failure closes the connection, unless the agent only refuses.
    fn with_client<T>(
        &mut self,
        request: impl FnOnce(&mut Client) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let client = match &mut self.client {
            Some(client) => client,
            closed => {
                let client = Client::connect(&self.options).map_err(|error| ClientError::Greeting(Box::new(error)))?;
                // The agent may be another one now.
                self.offers.coordinates = true;
                closed.insert(client)
            }
        };
        let answer = request(client);
        match &answer {
            Ok(_) => {}
            Err(ClientError::Refused(why)) if why != UNSUPPORTED_COMMAND => {}
            Err(_) => self.client = None,
        }
        answer
    }

    /// The members to look up in this round: the visible ones first, of each kind the one that waits longest.
    fn turns(&mut self, members: &[Member], visible: &[String], lookups_max: usize) -> Vec<String> {
        let visible: BTreeSet<&str> = visible.iter().map(String::as_str).collect();
        let live: BTreeSet<&str> = members.iter().filter(|it| is_live(it)).map(|it| it.name.as_str()).collect();
        self.looked_up.retain(|name, _| live.contains(name.as_str()));
        let mut turns: Vec<&str> = live.into_iter().collect();
        turns.sort_by_cached_key(|name| (!visible.contains(name), self.looked_up.get(*name).copied()));
        turns.into_iter().take(lookups_max).map(str::to_owned).collect()
    }

    fn look_up(&mut self, name: &str, own: Option<&Coordinate>) -> Result<Lookup, ClientError> {
        self.lookups += 1;
        self.looked_up.insert(name.to_owned(), self.lookups);
        let place = if own.is_some() { self.coordinate(name)? } else { None };
        let seconds = own.zip(place.as_ref()).map(|(own, place)| own.seconds_to(place));
        let rtt = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let mut lookup = Lookup { rtt, accusers: None };
        if self.offers.why {
            match self.with_client(|client| client.why(name)) {
                Ok(why) => lookup.accusers = why.is_suspect().then_some(why.accusers),
                Err(ClientError::Refused(_)) => (self.is_old, self.offers.why) = (true, false),
                Err(error) => return Err(error),
            }
        }
        Ok(lookup)
    }

    /// A coordinate, `None` also when the agent has none because they are turned off.
    fn coordinate(&mut self, name: &str) -> Result<Option<Coordinate>, ClientError> {
        match self.with_client(|client| client.coordinate(name)) {
            Err(ClientError::Refused(_)) => {
                self.offers.coordinates = false;
                Ok(None)
            }
            answer => answer,
        }
    }
}

/// Polls until the screen is gone.
pub(super) fn poll_for_ever(mut poller: Poller, interval: Duration, asks: &Receiver<Ask>, news: &SyncSender<Input>) {
    let mut visible = Vec::new();
    loop {
        let started = Instant::now();
        let sent = match poller.poll(&visible, LOOKUPS_MAX, started + (interval / 2).min(LOOKUPS_TIMEOUT)) {
            Ok(poll) => news.send(Input::News(News::Polled(Box::new(poll)))),
            Err(error) if is_final(&error) => news.send(Input::Refused(error)),
            Err(error) => news.send(Input::News(News::Lost(error.to_string()))),
        };
        if sent.is_err() {
            return;
        }
        loop {
            match asks.recv_timeout((started + interval).saturating_duration_since(Instant::now())) {
                Ok(Ask::Visible(names)) => visible = names,
                Ok(Ask::Why(node)) => {
                    let answer = poller.why(&node);
                    if news.send(Input::News(News::Why(node, answer))).is_err() {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

/// Whether another try cannot help: the agent refuses the token or the protocol.
fn is_final(error: &ClientError) -> bool {
    match error {
        ClientError::Refused(_) => true,
        ClientError::Greeting(error) => is_final(error),
        _ => false,
    }
}

/// Subscribes to events and the log until the screen is gone. Connects again when the agent closes.
pub(super) fn follow_for_ever(options: &ClientOptions, interval: Duration, news: &SyncSender<Input>) {
    loop {
        _ = follow(options, news);
        if news.send(Input::News(News::Unsubscribed)).is_err() {
            return;
        }
        thread::sleep(interval);
    }
}

fn follow(options: &ClientOptions, news: &SyncSender<Input>) -> Result<(), ClientError> {
    let mut client = Client::connect(options)?;
    // First the log, whose kept lines are older than any event.
    _ = client.monitor("INFO")?;
    client.stream("*")?;
    if news.send(Input::News(News::Subscribed)).is_err() {
        return Ok(());
    }
    while let Some((_, record)) = client.next_record(None)? {
        if news.send(Input::News(News::Record(Box::new(record)))).is_err() {
            break;
        }
    }
    Ok(())
}

/// Members that are looked up in one round, two requests each. An agent answers them from memory, but on one thread.
const LOOKUPS_MAX: usize = 256;

/// How long the requests for single members may take in one round. An agent far away answers fewer.
const LOOKUPS_TIMEOUT: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::Versions;

    fn member(name: &str, status: &str) -> Member {
        let (protocol, delegate) = (Versions::default(), Versions::default());
        let tags = BTreeMap::new();
        Member { name: name.into(), addr: None, port: 0, tags, status: status.into(), protocol, delegate }
    }

    #[test]
    fn visible_members_are_looked_up_first_and_all_in_turn() {
        let members: Vec<_> = ["a", "b", "c", "d", "e"].map(|name| member(name, "alive")).into();
        let mut poller = Poller::new(ClientOptions::default(), None);
        let mut rounds = |visible: &[&str], members: &[Member]| -> Vec<String> {
            let visible: Vec<String> = visible.iter().map(|name| (*name).to_owned()).collect();
            let mut round = || {
                let turns = poller.turns(members, &visible, 2);
                for name in &turns {
                    poller.lookups += 1;
                    poller.looked_up.insert(name.clone(), poller.lookups);
                }
                turns.concat()
            };
            vec![round(), round(), round()]
        };
        assert_eq!(rounds(&[], &members), ["ab", "cd", "ea"]);
        assert_eq!(rounds(&["d"], &members), ["db", "dc", "de"]);
        assert_eq!(rounds(&["a", "b", "c"], &members), ["ab", "ca", "bc"]);
        let gone = [member("a", "failed"), member("b", "left"), member("f", "alive")];
        assert_eq!(rounds(&["a", "b"], &gone), ["f", "f", "f"]);
        assert_eq!(poller.looked_up.len(), 1);
    }
}
