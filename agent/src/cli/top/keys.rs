//! How keys change what is shown.

use super::rows::{Column, Shown};
use super::state::{Now, State, WhyPane};

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Escape,
    Backspace,
    /// Ctrl-C.
    Interrupt,
    Letter(char),
}

/// What the shell must do after a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Nothing,
    Quit,
    /// Request `why` for the member of this name.
    AskWhy(String),
}

impl State {
    /// Handles a key.
    pub(super) fn press(&mut self, key: Key, now: Now) -> Effect {
        self.tick(now);
        let effect = match key {
            Key::Interrupt => Effect::Quit,
            _ if self.filter_before.is_some() => self.press_in_filter(key),
            _ if self.why.is_some() => self.press_in_why(key),
            _ => self.press_in_table(key, now),
        };
        self.reveal();
        effect
    }

    fn press_in_filter(&mut self, key: Key) -> Effect {
        match key {
            Key::Enter => self.filter_before = None,
            Key::Escape => self.filter = self.filter_before.take().unwrap_or_default(),
            Key::Backspace => _ = self.filter.pop(),
            Key::Letter(letter) if self.filter.len() < FILTER_BYTES_MAX => self.filter.push(letter),
            _ => {
                self.move_selection(key);
                return Effect::Nothing;
            }
        }
        self.arrange();
        Effect::Nothing
    }

    fn press_in_why(&mut self, key: Key) -> Effect {
        let Some(pane) = &mut self.why else { return Effect::Nothing };
        let lines = pane.text.as_deref().map_or(0, |text| text.lines().count());
        match key {
            Key::Escape | Key::Enter => self.why = None,
            Key::Up => pane.scrolled = pane.scrolled.saturating_sub(1),
            Key::Down if usize::from(pane.scrolled) + 1 < lines => pane.scrolled += 1,
            Key::Letter('q') => return Effect::Quit,
            _ => {}
        }
        Effect::Nothing
    }

    fn press_in_table(&mut self, key: Key, now: Now) -> Effect {
        match key {
            Key::Letter('q') => return Effect::Quit,
            Key::Letter('s') => self.sort_by(self.sort.next(), self.is_reversed),
            Key::Letter('r') => self.sort_by(self.sort, !self.is_reversed),
            Key::Letter('f') => self.status_filter = Shown::next_filter(self.status_filter),
            Key::Letter('/') => self.filter_before = Some(self.filter.clone()),
            Key::Letter('p') => self.pause_or_resume(now),
            Key::Escape => (self.filter, self.status_filter) = (String::new(), None),
            Key::Enter => return self.open_why(),
            _ => {
                self.move_selection(key);
                return Effect::Nothing;
            }
        }
        self.arrange();
        Effect::Nothing
    }

    /// Sorts, and selects the first row: what comes first is why one sorts.
    fn sort_by(&mut self, sort: Column, is_reversed: bool) {
        (self.sort, self.is_reversed) = (sort, is_reversed);
        (self.selected, self.selected_name) = (0, None);
    }

    fn move_selection(&mut self, key: Key) {
        let page = self.table_rows().saturating_sub(1).max(1);
        self.selected = match key {
            Key::Up => self.selected.saturating_sub(1),
            Key::Down => self.selected + 1,
            Key::PageUp => self.selected.saturating_sub(page),
            Key::PageDown => self.selected + page,
            Key::Home => 0,
            Key::End => usize::MAX,
            _ => self.selected,
        };
    }

    fn open_why(&mut self) -> Effect {
        let Some(row) = self.selected_row() else { return Effect::Nothing };
        let node = row.member.name.clone();
        self.why = Some(WhyPane { node: node.clone(), text: None, scrolled: 0 });
        Effect::AskWhy(node)
    }
}

const FILTER_BYTES_MAX: usize = 256;
