//! The terminal: keys in, frames out. It is restored on every way out.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::feed::{Ask, Poller, follow_for_ever, poll_for_ever};
use super::keys::{Effect, Key};
use super::state::{News, Now, State};
use super::view::view;
use super::{Failure, Outcome, failure};
use crate::endpoint::go_words;
use crate::platform::{Signal, Signals};
use crate::rpc::ClientError;

/// What the threads send to the screen.
#[derive(Debug)]
pub(super) enum Input {
    News(News),
    Key(Key),
    /// The terminal has another size, or shows nothing any more.
    Redraw,
    /// The agent refuses us for good.
    Refused(ClientError),
    /// The terminal cannot be read.
    Unreadable(io::Error),
    /// A signal asks the process to end.
    Signal,
    /// A thread panicked; the message is printed.
    Panicked,
}

/// Shows the state until the user quits.
pub(super) fn run(state: State, poller: Poller, interval: Duration) -> Outcome {
    let screen = Screen::open().map_err(unusable)?;
    let (news, inputs) = sync_channel(INPUTS_MAX);
    let (asks, asked) = channel();
    let options = poller.options().clone();
    spawn(&news, |news| {
        if let Err(error) = read_keys(news) {
            _ = news.send(Input::Unreadable(error));
        }
    })?;
    spawn(&news, |news| _ = await_signal(news))?;
    spawn(&news, move |news| follow_for_ever(&options, interval, news))?;
    spawn(&news, move |news| poll_for_ever(poller, interval, &asked, news))?;
    screen.show(state, &inputs, &asks)
}

/// The terminal in raw mode and on its alternate screen, until dropped. `ratatui` also restores it before the message of a
/// panic, in any thread.
struct Screen {
    terminal: DefaultTerminal,
    /// A thread panicked, which restored the terminal.
    is_restored: bool,
}

impl Screen {
    fn open() -> io::Result<Self> {
        match ratatui::try_init() {
            Ok(terminal) => Ok(Self { terminal, is_restored: false }),
            Err(error) => {
                _ = ratatui::try_restore();
                Err(error)
            }
        }
    }

    fn show(mut self, mut state: State, inputs: &Receiver<Input>, asks: &Sender<Ask>) -> Outcome {
        let mut visible = Vec::new();
        loop {
            self.draw(&mut state).map_err(unusable)?;
            let names = state.visible_names();
            if names != visible {
                _ = asks.send(Ask::Visible(names.clone()));
                visible = names;
            }
            let first = match inputs.recv_timeout(TICK) {
                Ok(input) => Some(input),
                Err(RecvTimeoutError::Timeout) => {
                    state.tick(Now::read());
                    None
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            // Many inputs at once need one frame only.
            for input in first.into_iter().chain(inputs.try_iter()).take(INPUTS_PER_FRAME_MAX) {
                self.is_restored |= matches!(input, Input::Panicked);
                if let Some(outcome) = handle(input, &mut state, asks) {
                    return outcome;
                }
            }
        }
    }

    fn draw(&mut self, state: &mut State) -> io::Result<()> {
        let size = self.terminal.size()?;
        state.resize(size.width, size.height);
        self.terminal.draw(|frame| view(state, frame))?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // The terminal may be gone.
        _ = self.terminal.show_cursor();
        // A second time would move the cursor back over the message.
        if !self.is_restored && !thread::panicking() {
            _ = ratatui::try_restore();
        }
    }
}

/// Handles an input; returns the outcome of the command when it ends.
fn handle(input: Input, state: &mut State, asks: &Sender<Ask>) -> Option<Outcome> {
    match input {
        Input::News(news) => state.apply(news, Now::read()),
        Input::Key(key) => match state.press(key, Now::read()) {
            Effect::Nothing => {}
            Effect::Quit => return Some(Ok(())),
            Effect::AskWhy(node) => _ = asks.send(Ask::Why(node)),
        },
        Input::Redraw => {}
        Input::Refused(error) => return Some(Err(failure(error))),
        Input::Unreadable(error) => return Some(Err(unusable(error))),
        Input::Signal | Input::Panicked => return Some(Err(Failure::Reported(1))),
    }
    None
}

/// Starts a thread that ends the command if it panics.
fn spawn(news: &SyncSender<Input>, work: impl FnOnce(&SyncSender<Input>) + Send + 'static) -> Result<(), Failure> {
    struct Watch(SyncSender<Input>);

    impl Drop for Watch {
        fn drop(&mut self) {
            if thread::panicking() {
                _ = self.0.send(Input::Panicked);
            }
        }
    }

    let watch = Watch(news.clone());
    thread::Builder::new().name("top".into()).spawn(move || work(&watch.0)).map(drop).map_err(unusable)
}

fn unusable(error: io::Error) -> Failure {
    Failure::Said(format!("Error using the terminal: {}", go_words(&error)))
}

/// Reads keys until the screen is gone.
fn read_keys(news: &SyncSender<Input>) -> io::Result<()> {
    loop {
        let input = match event::read()? {
            Event::Key(key) => key_of(key).map(Input::Key),
            Event::Resize(..) | Event::FocusGained => Some(Input::Redraw),
            _ => None,
        };
        if input.is_some_and(|input| news.send(input).is_err()) {
            return Ok(());
        }
    }
}

fn key_of(key: KeyEvent) -> Option<Key> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    Some(match key.code {
        KeyCode::Char('c') if is_control => Key::Interrupt,
        KeyCode::Char(_) if is_control || key.modifiers.contains(KeyModifiers::ALT) => return None,
        KeyCode::Char(letter) => Key::Letter(letter),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        _ => return None,
    })
}

/// Waits for a signal that would end the process without restoring the terminal.
fn await_signal(news: &SyncSender<Input>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        loop {
            let signal = signals.next().await;
            if matches!(signal, Signal::Interrupt | Signal::Terminate | Signal::Hangup) {
                _ = news.send(Input::Signal);
                return Ok(());
            }
        }
    })
}

/// When the clock and the rates are drawn again without an input.
const TICK: Duration = Duration::from_secs(1);

/// Inputs that wait for the next frame. When they are more, the thread that reads events waits, and the agent drops the
/// events of a client that does not read.
const INPUTS_MAX: usize = 4096;

/// Inputs that are handled before the next frame.
const INPUTS_PER_FRAME_MAX: usize = INPUTS_MAX;
