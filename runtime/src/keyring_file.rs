//! The keyring file: a JSON list of base64 keys, the primary first, in the format of HashiCorp's agent. A worker of its
//! own writes it, so that disk IO never blocks the node.

use core::convert::Infallible;
use core::sync::atomic::{AtomicU64, Ordering};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::Waker;

use async_channel::{Receiver, Sender, TryRecvError};
use serf_proto::Key;
use serf_proto::{Instant, KeyringChange};

use crate::disk::{Disk, DiskFile, OpenMode, SystemDisk, Turn, Worker, is_in_use};
use crate::error::{KeyringFileError, StartError, system_words};
use crate::{key_list, lock};

/// Reads a keyring file: at least one key, the primary first. A node with
/// [`keyring_file`](crate::Options::keyring_file) does this at its start.
///
/// # Errors
///
/// Returns an error if the file cannot be read, is not a list of keys, or is empty.
pub fn read_keyring_file(path: impl AsRef<Path>) -> Result<Vec<Key>, KeyringFileError> {
    parse(&fs::read(path).map_err(KeyringFileError::Read)?)
}

fn parse(text: &[u8]) -> Result<Vec<Key>, KeyringFileError> {
    let texts: Vec<String> = key_list::parse(text)?;
    let key =
        |(at, text): (usize, &String)| Key::from_base64(text).map_err(|error| KeyringFileError::Key { at, error });
    let keys = texts.iter().enumerate().map(key).collect::<Result<Vec<Key>, _>>()?;
    if keys.is_empty() { Err(KeyringFileError::Empty) } else { Ok(keys) }
}

/// Writes a keyring file atomically: after a crash, and for any reader, it has either the old or the new content. A new
/// file is readable by its owner only; an existing one keeps its permissions.
///
/// # Errors
///
/// Returns the operating system's error.
pub fn write_keyring_file(path: impl AsRef<Path>, keys: &[Key]) -> io::Result<()> {
    replace(&SystemDisk, path.as_ref(), keys)?.sync()
}

fn replace(disk: &dyn Disk, path: &Path, keys: &[Key]) -> io::Result<Box<dyn DiskFile>> {
    let texts: Vec<String> = keys.iter().map(Key::to_base64).collect();
    let json = key_list::format(&texts)?;
    disk.replace(path, ".new", true, json.as_bytes())
}

/// Returns the keys that a node starts with: those of the file, which has every change made by members, or `given` if
/// there is no file yet. HashiCorp's library only writes the file and HashiCorp's agent only reads keys from it. Ours:
/// one setting does both, so that a node with a keyring never starts unencrypted, nor with keys that its cluster no
/// longer has.
///
/// # Errors
///
/// Returns an error if the file exists and is unusable, or does not exist and `given` is empty.
pub(crate) fn keys_at_start(disk: &dyn Disk, path: &Path, given: Vec<Key>) -> Result<Vec<Key>, StartError> {
    match disk.read(path).map_err(KeyringFileError::Read).and_then(|text| parse(&text)) {
        Err(KeyringFileError::Read(error)) if error.kind() == io::ErrorKind::NotFound && !given.is_empty() => Ok(given),
        Err(source) => Err(StartError::Keyring { path: path.to_owned(), source }),
        Ok(keys) => {
            if !given.iter().all(|key| keys.contains(key)) {
                tracing::warn!(path = %path.display(), "the keyring file differs from encrypt_keys; using the keys of the file");
            }
            Ok(keys)
        }
    }
}

/// The node's side of the keyring file. Never blocks on the disk.
#[derive(Debug)]
pub(crate) struct KeyringFile {
    changes: Sender<(KeyringChange, Vec<Key>)>,
    /// State of the worker; `None` once it runs.
    work: Mutex<Option<Work>>,
    /// Runs the worker; not set before it was started.
    waker: OnceLock<Waker>,
    pub(crate) errors: Arc<AtomicU64>,
    /// Closed when the worker has ended.
    ended: Receiver<Infallible>,
}

/// The worker's side.
#[derive(Debug)]
struct Work {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// The current file, locked; `None` if it does not exist yet.
    file: Option<Box<dyn DiskFile>>,
    changes: Receiver<(KeyringChange, Vec<Key>)>,
    errors: Arc<AtomicU64>,
    _alive: Sender<Infallible>,
}

impl KeyringFile {
    /// Locks the file, if it exists.
    ///
    /// # Errors
    ///
    /// Returns an error if another node has locked it. A file that cannot be opened is an error only when it is first
    /// written.
    pub(crate) fn open(disk: Arc<dyn Disk>, path: PathBuf) -> io::Result<Self> {
        let file = match disk.open(&path, OpenMode::Existing) {
            Ok(file) => Some(file),
            Err(error) if is_in_use(&error) => return Err(error),
            Err(_) => None,
        };
        let (sender, changes) = async_channel::bounded(CHANGES_MAX);
        let (alive, ended) = async_channel::bounded(1);
        let errors = Arc::new(AtomicU64::new(0));
        let work = Work { disk, path, file, changes, errors: Arc::clone(&errors), _alive: alive };
        Ok(Self { changes: sender, work: Mutex::new(Some(work)), waker: OnceLock::new(), errors, ended })
    }

    /// Starts the worker, which calls `written` after each change with the error to reply, if any.
    pub(crate) fn start(&self, written: impl Fn(KeyringChange, Result<(), &str>) + Send + 'static) -> io::Result<()> {
        let Some(work) = lock(&self.work).take() else { return Ok(()) };
        let disk = Arc::clone(&work.disk);
        let waker = disk.start("serf-keyring", Box::new(Writer { work, written }))?;
        // A change that was queued before the waker was set.
        self.waker.get_or_init(|| waker).wake_by_ref();
        Ok(())
    }

    /// Queues the keys for writing after all earlier changes.
    ///
    /// # Errors
    ///
    /// Returns the error text of the key change if the queue is full.
    pub(crate) fn write_later(&self, change: KeyringChange, keys: Vec<Key>) -> Result<(), String> {
        self.changes.try_send((change, keys)).map_err(|_| {
            self.errors.fetch_add(1, Ordering::Relaxed);
            "Failed to write keyring file: too many changes are queued".to_owned()
        })?;
        self.wake();
        Ok(())
    }

    /// Closes the queue.
    pub(crate) fn close(&self) {
        self.changes.close();
        // If the worker never ran, nothing else ends it.
        drop(lock(&self.work).take());
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// Waits until all changes are written or have failed.
    pub(crate) async fn ended(&self) {
        _ = self.ended.recv().await;
    }
}

impl Drop for KeyringFile {
    fn drop(&mut self) {
        self.close();
    }
}

/// The worker.
struct Writer<F> {
    work: Work,
    written: F,
}

impl<F: Fn(KeyringChange, Result<(), &str>) + Send> Worker for Writer<F> {
    fn work(&mut self, _now: Instant) -> Turn {
        loop {
            match self.work.changes.try_recv() {
                Ok((change, keys)) => {
                    let result = self.work.write(&keys);
                    (self.written)(change, result.as_ref().copied().map_err(String::as_str));
                }
                Err(TryRecvError::Empty) => return Turn::Wait(None),
                Err(TryRecvError::Closed) => {
                    // Close the file before a caller that waits for the end reopens it.
                    self.work.file = None;
                    return Turn::End;
                }
            }
        }
    }
}

impl Work {
    /// The error is the reply to the key change. Starts with HashiCorp's wording.
    fn write(&mut self, keys: &[Key]) -> Result<(), String> {
        // The new file is in place, and must stay locked, also if it cannot be synced.
        let written = replace(&*self.disk, &self.path, keys).and_then(|file| self.file.insert(file).sync());
        written.map_err(|error| {
            self.errors.fetch_add(1, Ordering::Relaxed);
            let (path, error) = (self.path.display(), system_words(&error));
            tracing::error!(%path, %error, "cannot write the keyring file: key changes will be lost at a restart");
            format!("Failed to write keyring file: {path}: {error}")
        })
    }
}

/// Length of the queue. A change above it is reported as failed, although it is in force. Ours; keys are changed by
/// hand.
const CHANGES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use serf_proto::KeyError;

    use super::*;

    fn key(byte: u8) -> Key {
        Key::new(&[byte; 16]).unwrap()
    }

    #[test]
    fn a_keyring_is_written_in_serfs_format_for_its_owner_only_and_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keyring");
        write_keyring_file(&path, &[key(1), key(2)]).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, "[\n  \"AQEBAQEBAQEBAQEBAQEBAQ==\",\n  \"AgICAgICAgICAgICAgICAg==\"\n]");
        assert_eq!(read_keyring_file(&path).unwrap(), [key(1), key(2)]);
        #[cfg(unix)]
        assert_eq!(std::os::unix::fs::MetadataExt::mode(&fs::metadata(&path).unwrap()) & 0o777, 0o600);
    }

    #[test]
    fn what_is_no_keyring_is_refused_with_what_is_wrong_about_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keyring");
        assert!(matches!(read_keyring_file(&path), Err(KeyringFileError::Read(_))));
        type Check = fn(&KeyringFileError) -> bool;
        let cases: [(&str, Check); 5] = [
            ("", |error| matches!(error, KeyringFileError::Malformed)),
            ("[]", |error| matches!(error, KeyringFileError::Empty)),
            ("{}", |error| matches!(error, KeyringFileError::Malformed)),
            ("[1]", |error| matches!(error, KeyringFileError::Malformed)),
            ("[\"AQEBAQEBAQEBAQEBAQEBAQ==\", \"AQ==\"]", |error| {
                matches!(error, KeyringFileError::Key { at: 1, error: KeyError::Length { bytes: 1 } })
            }),
        ];
        for (text, is_right) in cases {
            fs::write(&path, text).unwrap();
            let error = read_keyring_file(&path).unwrap_err();
            assert!(is_right(&error), "{text}: {error}");
        }
    }

    #[test]
    fn a_second_node_with_the_same_keyring_is_refused_until_the_first_has_ended() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keyring");
        let open = || KeyringFile::open(Arc::new(SystemDisk), path.clone());
        let refused = || open().is_err_and(|error| is_in_use(&error));
        write_keyring_file(&path, &[key(1)]).unwrap();
        let first = open().unwrap();
        assert!(refused());
        let mut work = lock(&first.work).take().unwrap();
        work.write(&[key(2)]).unwrap();
        assert!(refused(), "also after it was replaced");
        assert_eq!(read_keyring_file(&path).unwrap(), [key(2)], "it can be read");
        first.close();
        assert_eq!(Writer { work, written: |_, _: Result<(), &str>| {} }.work(Instant::ZERO), Turn::End);
        assert!(!refused());
    }

    /// The system's disk, on which every sync fails.
    #[derive(Debug)]
    struct Unsynced;

    impl Disk for Unsynced {
        fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
            SystemDisk.read(path)
        }

        fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
            SystemDisk.open(path, mode)
        }

        fn replace(&self, path: &Path, suffix: &str, secret: bool, contents: &[u8]) -> io::Result<Box<dyn DiskFile>> {
            Ok(Box::new(UnsyncedFile(SystemDisk.replace(path, suffix, secret, contents)?)))
        }

        fn recover(&self, path: &Path, suffix: &str) -> io::Result<()> {
            SystemDisk.recover(path, suffix)
        }

        fn create_dir(&self, path: &Path) -> io::Result<()> {
            SystemDisk.create_dir(path)
        }

        fn list(&self, path: &Path) -> io::Result<Vec<String>> {
            SystemDisk.list(path)
        }

        fn remove(&self, path: &Path) -> io::Result<()> {
            SystemDisk.remove(path)
        }

        fn start(&self, name: &str, worker: Box<dyn Worker>) -> io::Result<Waker> {
            SystemDisk.start(name, worker)
        }
    }

    #[derive(Debug)]
    struct UnsyncedFile(Box<dyn DiskFile>);

    impl DiskFile for UnsyncedFile {
        fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
            self.0.read_to_end()
        }

        fn truncate(&mut self, bytes: u64) -> io::Result<()> {
            self.0.truncate(bytes)
        }

        fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
            self.0.append(bytes)
        }

        fn sync(&mut self) -> io::Result<()> {
            Err(io::Error::other("no sync"))
        }
    }

    #[test]
    fn a_keyring_file_that_cannot_be_synced_stays_locked() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keyring");
        write_keyring_file(&path, &[key(1)]).unwrap();
        let first = KeyringFile::open(Arc::new(Unsynced), path.clone()).unwrap();
        let mut work = lock(&first.work).take().unwrap();
        assert!(work.write(&[key(2)]).is_err());
        assert_eq!(read_keyring_file(&path).unwrap(), [key(2)], "it is in place");
        let second = KeyringFile::open(Arc::new(SystemDisk), path);
        assert!(second.is_err_and(|error| is_in_use(&error)));
    }
}
