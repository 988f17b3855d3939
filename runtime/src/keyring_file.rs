//! The keyring file: a JSON list of base64 keys, the primary first, in the format of HashiCorp's agent. A dedicated
//! thread writes it, so that disk IO never blocks the node.

use core::convert::Infallible;
use core::sync::atomic::{AtomicU64, Ordering};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_channel::{Receiver, Sender};
use serf_proto::Key;
use serf_proto::KeyringChange;

use crate::error::{KeyringFileError, StartError, system_words};
use crate::replace::{lock_file, replace};
use crate::{key_list, lock};

/// Reads a keyring file: at least one key, the primary first. A node with
/// [`keyring_file`](crate::Options::keyring_file) does this at its start.
///
/// # Errors
///
/// Returns an error if the file cannot be read, is not a list of keys, or is empty.
pub fn read_keyring_file(path: impl AsRef<Path>) -> Result<Vec<Key>, KeyringFileError> {
    let text = fs::read(path).map_err(KeyringFileError::Read)?;
    let texts: Vec<String> = key_list::parse(&text)?;
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
    write(path.as_ref(), keys).map(drop)
}

fn write(path: &Path, keys: &[Key]) -> io::Result<File> {
    let texts: Vec<String> = keys.iter().map(Key::to_base64).collect();
    let json = key_list::format(&texts)?;
    replace(path, ".new", true, json.as_bytes())
}

/// Returns the keys that a node starts with: those of the file, which has every change made by members, or `given` if
/// there is no file yet. HashiCorp's library only writes the file and HashiCorp's agent only reads keys from it. Ours:
/// one setting does both, so that a node with a keyring never starts unencrypted, nor with keys that its cluster no
/// longer has.
///
/// # Errors
///
/// Returns an error if the file exists and is unusable, or does not exist and `given` is empty.
pub(crate) fn keys_at_start(path: &Path, given: Vec<Key>) -> Result<Vec<Key>, StartError> {
    match read_keyring_file(path) {
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
    /// State of the thread; `None` once it runs.
    work: Mutex<Option<Work>>,
    pub(crate) errors: Arc<AtomicU64>,
    /// Closed when the thread has ended.
    ended: Receiver<Infallible>,
}

/// The thread's side.
#[derive(Debug)]
struct Work {
    path: PathBuf,
    /// The current file, locked; `None` if it does not exist yet.
    file: Option<File>,
    changes: Receiver<(KeyringChange, Vec<Key>)>,
    errors: Arc<AtomicU64>,
    alive: Sender<Infallible>,
}

impl KeyringFile {
    /// Locks the file, if it exists.
    ///
    /// # Errors
    ///
    /// Returns an error if another node has locked it. A file that cannot be opened is an error only when it is first
    /// written.
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        let file = match lock_file(&path, |path| File::open(path)) {
            Ok(file) => Some(file),
            Err(error) if crate::replace::is_in_use(&error) => return Err(error),
            Err(_) => None,
        };
        let (sender, changes) = async_channel::bounded(CHANGES_MAX);
        let (alive, ended) = async_channel::bounded(1);
        let errors = Arc::new(AtomicU64::new(0));
        let work = Work { path, file, changes, errors: Arc::clone(&errors), alive };
        Ok(Self { changes: sender, work: Mutex::new(Some(work)), errors, ended })
    }

    /// Starts the thread, which calls `written` after each change with the error to reply, if any.
    pub(crate) fn start(&self, written: impl Fn(KeyringChange, Result<(), &str>) + Send + 'static) -> io::Result<()> {
        let Some(work) = lock(&self.work).take() else { return Ok(()) };
        let thread = std::thread::Builder::new().name("serf-keyring".to_owned());
        thread.spawn(move || work.run(written)).map(drop)
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
        })
    }

    /// Closes the queue.
    pub(crate) fn close(&self) {
        self.changes.close();
        // If the thread never ran, nothing else ends it.
        drop(lock(&self.work).take());
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

impl Work {
    fn run(mut self, written: impl Fn(KeyringChange, Result<(), &str>)) {
        while let Ok((change, keys)) = self.changes.recv_blocking() {
            let result = self.write(&keys);
            written(change, result.as_ref().copied().map_err(String::as_str));
        }
        // Close the file before a caller that waits for the end reopens it.
        self.file = None;
        drop(self.alive);
    }

    /// The error is the reply to the key change. Starts with HashiCorp's wording.
    fn write(&mut self, keys: &[Key]) -> Result<(), String> {
        match write(&self.path, keys) {
            Ok(file) => self.file = Some(file),
            Err(error) => {
                self.errors.fetch_add(1, Ordering::Relaxed);
                let (path, error) = (self.path.display(), system_words(&error));
                tracing::error!(%path, %error, "cannot write the keyring file: key changes will be lost at a restart");
                return Err(format!("Failed to write keyring file: {path}: {error}"));
            }
        }
        Ok(())
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

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("serf-{name}-{}", std::process::id()));
        _ = fs::remove_file(&path);
        path
    }

    #[test]
    fn a_keyring_is_written_in_serfs_format_for_its_owner_only_and_read_again() {
        let path = scratch("keyring-format");
        write_keyring_file(&path, &[key(1), key(2)]).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, "[\n  \"AQEBAQEBAQEBAQEBAQEBAQ==\",\n  \"AgICAgICAgICAgICAgICAg==\"\n]");
        assert_eq!(read_keyring_file(&path).unwrap(), [key(1), key(2)]);
        #[cfg(unix)]
        assert_eq!(std::os::unix::fs::MetadataExt::mode(&fs::metadata(&path).unwrap()) & 0o777, 0o600);
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn what_is_no_keyring_is_refused_with_what_is_wrong_about_it() {
        let path = scratch("keyring-bad");
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
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_second_node_with_the_same_keyring_is_refused_until_the_first_has_ended() {
        let path = scratch("keyring-lock");
        let refused = || KeyringFile::open(path.clone()).is_err_and(|error| crate::replace::is_in_use(&error));
        write_keyring_file(&path, &[key(1)]).unwrap();
        let first = KeyringFile::open(path.clone()).unwrap();
        assert!(refused());
        let mut work = lock(&first.work).take().unwrap();
        work.write(&[key(2)]).unwrap();
        assert!(refused(), "also after it was replaced");
        assert_eq!(read_keyring_file(&path).unwrap(), [key(2)], "it can be read");
        first.close();
        work.run(|_, _| {});
        assert!(!refused());
        fs::remove_file(path).unwrap();
    }
}
