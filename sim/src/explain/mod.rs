//! Timeline of one member: who suspected it, why, who confirmed, when it was declared failed, and how the news spread.

mod news;
#[cfg(feature = "cli")]
mod story;

pub(crate) use self::news::{Fact, News};
#[cfg(feature = "cli")]
pub(crate) use self::story::Story;
use crate::world::World;

impl World {
    /// Records what all nodes learn about `member`; about the first subject of the first phase that has some if it is `None`.
    pub(crate) fn record_news(&mut self, member: Option<u32>) {
        for notes in self.all_notes() {
            notes.news = Some(News::of(member));
        }
    }

    /// Returns the timeline of the member; `None` if none was recorded.
    #[cfg(feature = "cli")]
    pub(crate) fn story(&mut self) -> Option<Story> {
        let notes: Vec<_> = self.all_notes().filter_map(|notes| notes.news.as_ref()).collect();
        let member = notes.iter().find_map(|news| news.member())?;
        Some(Story::new(member, notes.iter().flat_map(|news| news.lines().iter().cloned()).collect()))
    }
}
