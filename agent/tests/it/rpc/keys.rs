//! Key changes that fail on some members.

use serf_agent::rpc::ClientError;
use serf_tokio::{Key, write_keyring_file};

use crate::process::{Agent, Directory, eventually};

fn key(byte: u8) -> Key {
    Key::new(&[byte; 32]).expect("has the right length")
}

#[test]
fn a_member_that_does_not_answer_is_missing_among_the_successes() {
    let encrypt = format!("-encrypt={}", key(1).to_base64());
    let one = Agent::start(&[&encrypt]);
    let two = Agent::start(&["-node=two", &encrypt, "-join", &one.bound()]);
    eventually("both are members", || (one.client().members().expect("answers").len() == 2).then_some(()));
    two.signal("STOP");
    let failed = one.client().list_keys();
    two.signal("CONT");
    let Err(ClientError::Keys(why, report)) = failed else { panic!("{failed:?}") };
    assert_eq!(why, "1/2 nodes reported success");
    assert_eq!((report.nodes, report.responses, report.errors), (2, 1, 0));
}

#[test]
fn a_keyring_file_that_cannot_be_written_is_a_failure_of_its_member() {
    let dir = Directory::new();
    let gone = dir.path().join("gone");
    std::fs::create_dir(&gone).expect("can be made");
    let path = gone.join("keyring.json");
    write_keyring_file(&path, &[key(1)]).expect("is written");
    let agent = Agent::start(&["-keyring-file", &path.display().to_string()]);
    std::fs::remove_dir_all(&gone).expect("is there");
    let failed = agent.client().install_key(&key(2).to_base64());
    let Err(ClientError::Keys(why, report)) = failed else { panic!("{failed:?}") };
    assert_eq!(why, "1/1 nodes reported failure");
    assert!(report.messages["one"].starts_with("Failed to write keyring file: "), "{report:?}");
    std::fs::create_dir(&gone).expect("can be made");
    // Not at the first try where the disk is so busy that the answer is late.
    let install = || agent.client().install_key(&key(2).to_base64()).ok();
    eventually("once it can be written it is done", install);
}
