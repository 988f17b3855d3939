//! Runs a node on the inputs of a capture.

use std::sync::{Arc, Mutex, PoisonError};

use serf_proto::{Concealer, Input, Instant, Node, Outbox, Output, Outputs, Tap};
use serf_runtime::capture::{Reader, Recorded, Tail};

use super::load::{File, Run};
use crate::check::variant;

/// What a replay found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Number of inputs.
    pub(crate) inputs: u64,
    /// Number of inputs whose outputs were compared with their contents.
    pub(crate) compared: u64,
    /// Number of inputs whose outputs were compared by kind, destination and length only, because a key or a payload was
    /// replaced before them.
    pub(crate) shapes_compared: u64,
    /// Number of inputs whose outputs were not compared, because a payload was replaced before them, or because a policy's answers
    /// are not known.
    pub(crate) uncompared: u64,
    /// Number of files whose state was that of the replayed node.
    pub(crate) states_compared: u32,
    /// The first difference.
    pub(crate) difference: Option<Difference>,
    /// Bytes at the end of the last file that are no complete record.
    pub(crate) torn_bytes: usize,
    /// Virtual nanoseconds from the first to the last input.
    pub(crate) span_ns: u64,
}

/// The first difference between a capture and its replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// The file.
    pub(crate) file: String,
    /// Number of the input in the file, from 0.
    pub(crate) input: u64,
    /// What differs.
    pub(crate) what: String,
}

/// An input that was replayed.
pub(crate) struct Step<'a> {
    pub(crate) at: Instant,
    /// The host's clock, from the head of the file.
    pub(crate) unix_ns: u64,
    pub(crate) input: &'a Input,
    pub(crate) outputs: &'a [Output],
    /// The node after the input.
    pub(crate) node: &'a Node,
}

/// What a listener receives.
pub(crate) enum Played<'a> {
    /// A file begins with this state.
    File(&'a File, &'a Node),
    Input(&'a Step<'a>),
}

/// How much of the outputs can be equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Compared {
    /// Replaced payloads have other hashes, which nodes compare with each other.
    Nothing,
    /// Replaced keys are in packets.
    Shapes,
    Everything,
}

/// The digest of the replayed outputs.
#[derive(Debug, Default)]
struct Replayed(Mutex<Option<Outputs>>);

impl Tap for Replayed {
    fn input(&self, _now: Instant, _input: Input) {}

    fn outputs(&self, outputs: Outputs) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(outputs);
    }
}

impl Replayed {
    fn take(&self) -> Option<Outputs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

struct Player {
    node: Node,
    tap: Arc<Replayed>,
    out: Outbox,
    compared: Compared,
    /// Time of the last input.
    last: Instant,
    verdict: Verdict,
}

/// Replays a run up to the instant at which `listen` returns false, or to its end.
///
/// # Errors
///
/// If the state at its beginning is damaged.
pub(crate) fn play(run: &Run, mut listen: impl FnMut(Played<'_>) -> bool) -> Result<Verdict, String> {
    let first = run.files.first().ok_or("a run without files")?;
    let mut player = Player::new(first)?;
    for (nth, file) in run.files.iter().enumerate() {
        if nth > 0 {
            player.compare_state(file);
        }
        if !listen(Played::File(file, &player.node)) || !player.play(file, &mut listen)? {
            break;
        }
    }
    Ok(player.verdict)
}

impl Player {
    fn new(file: &File) -> Result<Self, String> {
        let tap = Arc::new(Replayed::default());
        let mut player = Self {
            node: restore(file)?,
            tap,
            out: Outbox::new(),
            compared: Compared::Everything,
            last: file.head.at,
            verdict: Verdict::default(),
        };
        player.begin(file);
        Ok(player)
    }

    fn begin(&mut self, file: &File) {
        self.node.set_tap(Some(Arc::clone(&self.tap) as Arc<dyn Tap>));
        self.note_concealed(file.head.keys_concealed, file.head.payloads_concealed || file.head.has_policy);
    }

    fn note_concealed(&mut self, keys: bool, payloads: bool) {
        let most = match (keys, payloads) {
            (_, true) => Compared::Nothing,
            (true, false) => Compared::Shapes,
            (false, false) => Compared::Everything,
        };
        self.compared = self.compared.min(most);
    }

    /// Compares the state of the replayed node with that at the beginning of a later file.
    fn compare_state(&mut self, file: &File) {
        let mut unchanged = |_: &mut [u8]| {};
        let state = self.node.checkpoint(&mut Concealer::keys(&mut unchanged));
        if state.as_ref() == Ok(&file.head.checkpoint) {
            self.verdict.states_compared += 1;
        } else if self.compared == Compared::Everything {
            self.differs(file, 0, "the state at the beginning of the file is not that of the replayed node".into());
        }
        // From the recorded state, so that one difference is not reported again and again.
        if let Ok(node) = restore(file) {
            self.node = node;
            self.begin(file);
        }
    }

    /// Replays a file. Returns whether to go on.
    fn play(&mut self, file: &File, listen: &mut impl FnMut(Played<'_>) -> bool) -> Result<bool, String> {
        let mut reader = Reader::new(&file.bytes).map_err(|error| format!("{}: {error}", file.name))?;
        let mut ahead = reader.next();
        let mut number = 0;
        while let Some(recorded) = ahead.take() {
            ahead = reader.next();
            let outputs = self.apply(&recorded);
            // A process that was killed may have written the input and not its outputs.
            let is_cut = ahead.is_none() && recorded.outputs.is_none();
            if !is_cut {
                self.compare(file, number, &recorded);
            }
            let unix_ns = file.head.unix_ns + since(file, recorded.at);
            let step = Step { at: recorded.at, unix_ns, input: &recorded.input, outputs: &outputs, node: &self.node };
            if !listen(Played::Input(&step)) {
                return Ok(false);
            }
            number += 1;
        }
        self.verdict.torn_bytes = if let Tail::Torn { bytes } = reader.tail() { bytes } else { 0 };
        Ok(true)
    }

    fn apply(&mut self, recorded: &Recorded) -> Vec<Output> {
        self.note_concealed(recorded.concealed.keys, recorded.concealed.payloads);
        self.node.apply(recorded.at, &recorded.input, &mut self.out);
        self.verdict.inputs += 1;
        self.verdict.span_ns += u64::try_from((recorded.at - self.last).as_nanos()).unwrap_or(u64::MAX);
        self.last = recorded.at;
        self.out.drain().collect()
    }

    fn compare(&mut self, file: &File, number: u64, recorded: &Recorded) {
        let replayed = self.tap.take();
        match self.compared {
            Compared::Nothing => {
                self.verdict.uncompared += 1;
                return;
            }
            Compared::Shapes => self.verdict.shapes_compared += 1,
            Compared::Everything => self.verdict.compared += 1,
        }
        let shape = |outputs: Option<Outputs>| outputs.map(|outputs| (outputs.count, outputs.shape));
        let is_equal = match self.compared {
            Compared::Everything => replayed == recorded.outputs,
            _ => shape(replayed) == shape(recorded.outputs),
        };
        if is_equal || self.verdict.difference.is_some() {
            return;
        }
        let count = |outputs: Option<Outputs>| outputs.map_or(0, |outputs| outputs.count);
        let (then, now) = (count(recorded.outputs), count(replayed));
        let what = if then == now {
            format!(
                "the {then} outputs of {:?} at {} have other contents",
                variant(&recorded.input),
                seconds(recorded.at)
            )
        } else {
            format!(
                "{:?} at {} caused {then} outputs, and {now} in the replay",
                variant(&recorded.input),
                seconds(recorded.at)
            )
        };
        self.differs(file, number, what);
    }

    fn differs(&mut self, file: &File, input: u64, what: String) {
        self.verdict.difference.get_or_insert_with(|| Difference { file: file.name.clone(), input, what });
    }
}

fn restore(file: &File) -> Result<Node, String> {
    Node::restore(&file.head.checkpoint, None).map_err(|error| format!("{}: {error}", file.name))
}

/// Nanoseconds since the beginning of the file.
fn since(file: &File, at: Instant) -> u64 {
    u64::try_from((at - file.head.at).as_nanos()).unwrap_or(u64::MAX)
}

fn seconds(at: Instant) -> String {
    format!("{:.6} s", (at - Instant::ZERO).as_secs_f64())
}
