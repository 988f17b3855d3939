//! Applications on the nodes.

use std::any::Any;

use super::{World, WorldOptions};
use crate::app::{self, App, AppHandle, Apps};
use crate::layout::Layout;

impl World {
    /// Creates a world in which no node has started, and whose nodes run an application each. `start` makes that of a node
    /// whenever its process starts.
    pub fn with_apps<A: App>(options: WorldOptions, start: impl Fn(u32) -> A + Send + Sync + 'static) -> Self {
        let mut world = Self::with_layout(options, Layout::default());
        world.shared.apps = Some(Apps::new(start));
        world
    }

    /// Returns the application of a node, if its process runs and the application is of this type.
    pub fn app<A: App>(&self, node: u32) -> Option<&A> {
        let slot = self.host(node).process.app.as_ref()?;
        let app: &dyn Any = &*slot.app;
        app.downcast_ref()
    }

    /// Calls the application of a node now, as a request of a client would. Returns `None` if its process is down or
    /// stalled, or the application is of another type.
    pub fn with_app<A: App, R>(&mut self, node: u32, call: impl FnOnce(&mut A, &mut AppHandle<'_>) -> R) -> Option<R> {
        let (at, local) = (self.now, self.shared.local(node));
        let shard = &mut self.shards[self.shared.shard(node)];
        let host = &mut shard.hosts[local];
        if host.process.backlog.is_some() {
            return None;
        }
        let result = app::call(host, &mut shard.recorder, &mut shard.out, (node, at), |app, handle| {
            let app: &mut dyn Any = app;
            app.downcast_mut().map(|app| call(app, handle))
        });
        shard.settle(&self.shared, local, node, at);
        result.flatten()
    }
}
