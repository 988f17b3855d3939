//! The virtual disk of a host: its files outlive its processes.

use core::future::poll_fn;
use core::task::Poll;
use core::time::Duration;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::task::Waker;

use serf_proto::Rng;
use serf_tokio::net::{Disk, DiskFile, OpenMode, Turn, Worker, in_use};

use crate::host::HostEnv;
use crate::lock;

/// The files of a host, and the faults of its disk.
#[derive(Debug, Default)]
pub(crate) struct Files(Mutex<Content>);

#[derive(Debug, Default)]
struct Content {
    files: BTreeMap<PathBuf, FileContent>,
    is_full: bool,
    sync_fails: bool,
    delay: Duration,
}

#[derive(Debug, Default)]
struct FileContent {
    bytes: Vec<u8>,
    /// The part that survives a power failure.
    synced: usize,
    /// The life of the host that has locked it.
    locked_by: Option<u64>,
    /// Raised when another file takes its place.
    generation: u64,
}

impl Files {
    pub(crate) fn set_full(&self, is_full: bool) {
        lock(&self.0).is_full = is_full;
    }

    pub(crate) fn set_sync_fails(&self, sync_fails: bool) {
        lock(&self.0).sync_fails = sync_fails;
    }

    pub(crate) fn set_delay(&self, delay: Duration) {
        lock(&self.0).delay = delay;
    }

    pub(crate) fn read(&self, path: &Path) -> Option<Vec<u8>> {
        lock(&self.0).files.get(path).map(|file| file.bytes.clone())
    }

    pub(crate) fn write(&self, path: PathBuf, bytes: Vec<u8>) {
        let file = FileContent { synced: bytes.len(), bytes, ..FileContent::default() };
        lock(&self.0).files.insert(path, file);
    }

    pub(crate) fn wipe(&self) {
        lock(&self.0).files.clear();
    }

    /// Cuts off a random part of what was not synced, as a power failure does.
    pub(crate) fn tear(&self, rng: &mut Rng) {
        for file in lock(&self.0).files.values_mut() {
            let unsynced = u32::try_from(file.bytes.len() - file.synced).unwrap_or(u32::MAX);
            if unsynced > 0 {
                file.bytes.truncate(file.synced + rng.below(unsynced) as usize);
            }
        }
    }

    fn delay(&self) -> Duration {
        lock(&self.0).delay
    }
}

impl Content {
    fn room(&self) -> io::Result<()> {
        if self.is_full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

/// A host's disk, as the nodes of one of its lives use it.
#[derive(Debug)]
pub(crate) struct HostDisk {
    pub(crate) files: Arc<Files>,
    pub(crate) env: Arc<HostEnv>,
}

impl HostDisk {
    fn life(&self) -> u64 {
        self.env.life()
    }

    /// A file of a host that is down is not written: its process is gone.
    fn check(&self) -> io::Result<()> {
        if self.env.is_dead() { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }

    fn file(&self, path: &Path, generation: u64) -> Box<dyn DiskFile> {
        let (disk, path) = (Self { files: Arc::clone(&self.files), env: Arc::clone(&self.env) }, path.to_owned());
        Box::new(OpenFile { disk, path, generation })
    }
}

impl Disk for HostDisk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.files.read(path).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        self.check()?;
        let mut content = lock(&self.files.0);
        if !content.files.contains_key(path) {
            if mode == OpenMode::Existing {
                return Err(io::ErrorKind::NotFound.into());
            }
            content.room()?;
        }
        let file = content.files.entry(path.to_owned()).or_default();
        // The lock of an earlier life ended with its process.
        if file.locked_by == Some(self.life()) {
            return Err(in_use());
        }
        file.locked_by = Some(self.life());
        let generation = file.generation;
        drop(content);
        Ok(self.file(path, generation))
    }

    fn replace(&self, path: &Path, _suffix: &str, _is_secret: bool, contents: &[u8]) -> io::Result<Box<dyn DiskFile>> {
        self.check()?;
        let mut content = lock(&self.files.0);
        content.room()?;
        if content.sync_fails {
            return Err(io::Error::other("fsync failed"));
        }
        let generation = content.files.get(path).map_or(0, |old| old.generation + 1);
        let (bytes, locked_by) = (contents.to_vec(), Some(self.life()));
        content.files.insert(path.to_owned(), FileContent { synced: bytes.len(), bytes, locked_by, generation });
        drop(content);
        Ok(self.file(path, generation))
    }

    fn recover(&self, _path: &Path, _suffix: &str) -> io::Result<()> {
        // A replacement is one step here.
        Ok(())
    }

    fn create_dir(&self, _path: &Path) -> io::Result<()> {
        // Files have paths here, and directories do not exist.
        self.check()
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let content = lock(&self.files.0);
        let inside = content.files.keys().filter(|file| file.parent() == Some(path));
        Ok(inside.filter_map(|file| Some(file.file_name()?.to_string_lossy().into_owned())).collect())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.check()?;
        lock(&self.files.0).files.remove(path).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn start(&self, _name: &str, mut worker: Box<dyn Worker>) -> io::Result<Waker> {
        let shared = Arc::new(WorkerWaker::default());
        let (inner, env, files) = (Arc::clone(&shared), Arc::clone(&self.env), Arc::clone(&self.files));
        let work = async move {
            let mut pause = None;
            loop {
                let woken = poll_fn(|cx| inner.poll_woken(cx.waker()));
                match pause {
                    None => woken.await,
                    Some(pause) => crate::first(woken, env.sleep_for(pause)).await,
                }
                let delay = files.delay();
                if !delay.is_zero() {
                    env.sleep_for(delay).await;
                }
                match worker.work(env.time()) {
                    Turn::Wait(next) => pause = next,
                    Turn::End => return,
                }
            }
        };
        self.env.spawn_task(Box::pin(work));
        Ok(Waker::from(shared))
    }
}

/// Wakes the task of a worker.
#[derive(Debug, Default)]
struct WorkerWaker(Mutex<(bool, Option<Waker>)>);

impl WorkerWaker {
    fn poll_woken(&self, waker: &Waker) -> Poll<()> {
        let mut state = lock(&self.0);
        if core::mem::take(&mut state.0) {
            return Poll::Ready(());
        }
        state.1 = Some(waker.clone());
        Poll::Pending
    }
}

impl std::task::Wake for WorkerWaker {
    fn wake(self: Arc<Self>) {
        let mut state = lock(&self.0);
        state.0 = true;
        let waiting = state.1.take();
        drop(state);
        if let Some(waker) = waiting {
            waker.wake();
        }
    }
}

/// An open file.
struct OpenFile {
    disk: HostDisk,
    path: PathBuf,
    generation: u64,
}

impl OpenFile {
    fn with<R>(&self, change: impl FnOnce(&mut FileContent) -> R) -> io::Result<R> {
        self.disk.check()?;
        let mut content = lock(&self.disk.files.0);
        match content.files.get_mut(&self.path) {
            Some(file) if file.generation == self.generation => Ok(change(file)),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl DiskFile for OpenFile {
    fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        self.with(|file| file.bytes.clone())
    }

    fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        self.with(|file| {
            file.bytes.truncate(usize::try_from(bytes).unwrap_or(usize::MAX));
            file.synced = file.synced.min(file.bytes.len());
        })
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        lock(&self.disk.files.0).room()?;
        self.with(|file| file.bytes.extend_from_slice(bytes))
    }

    fn sync(&mut self) -> io::Result<()> {
        if lock(&self.disk.files.0).sync_fails {
            return Err(io::Error::other("fsync failed"));
        }
        self.with(|file| file.synced = file.bytes.len())
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        let life = self.disk.life();
        _ = self.with(|file| file.locked_by.take_if(|holder| *holder == life));
    }
}

impl fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenFile").field("path", &self.path).finish_non_exhaustive()
    }
}
