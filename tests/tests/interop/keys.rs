//! Encryption and key rotation.

use serf_tokio::serf_proto::{DropReason, Key};
use serf_tokio::{Coalescing, write_keyring_file};

use crate::harness::{Agent, Heard, Ours, Sees, runtime, until_or};

fn key(byte: u8, len: usize) -> (Key, String) {
    let key = Key::new(&vec![byte; len]).unwrap();
    let text = key.to_base64();
    (key, text)
}

fn with_keys(name: &str, keys: &[&Key]) -> Ours {
    Ours::start_with(name, |options| options.protocol.transport.encrypt_keys = keys.iter().copied().cloned().collect())
}

/// Sends an event in each direction.
fn speak(ours: &Ours, theirs: &Agent, name: &str) {
    let mut watch = theirs.watch();
    let (from_ours, from_theirs) = (format!("{name}-ours"), format!("{name}-theirs"));
    ours.serf.user_event(&from_ours, &[0xff; 200], Coalescing::Forbid).unwrap();
    theirs.user_event(&from_theirs, &[0xff; 200], false).unwrap();
    let has =
        |found: &[Heard], name: &str| found.iter().any(|event| event.name == name && event.payload == [0xff; 200]);
    until_or("theirs hears ours", || watch.user_events(), |found| has(found, &from_ours));
    until_or("ours hears theirs", || ours.user_events(), |found| has(found, &from_theirs));
}

pub(crate) fn keys_of_every_size_encrypt_between_both() {
    for len in [16, 24, 32] {
        let (key, text) = key(7, len);
        let theirs = Agent::start("theirs", &[&format!("-encrypt={text}")]);
        let ours = with_keys("ours", &[&key]);
        assert_eq!(ours.join(&[theirs.addr]), 1);
        theirs.sees_alive(2);
        assert_eq!(theirs.stat("encrypted"), "true");
        speak(&ours, &theirs, "secret");
        let plain = Agent::start("late", &[&format!("-encrypt={text}"), "-disable-compression"]);
        assert_eq!(plain.join(&[ours.addr]), 1);
        plain.sees_alive(3);
        ours.sees_alive(3);
    }
}

pub(crate) fn a_rotation_by_theirs_is_followed_by_ours() {
    let ((first, first_text), (second, second_text)) = (key(1, 16), key(2, 32));
    let mut theirs = Agent::start("theirs", &[&format!("-encrypt={first_text}")]);
    let mut other = Agent::start("other", &[&format!("-encrypt={first_text}"), &format!("-join={}", theirs.addr)]);
    let ours = with_keys("ours", &[&first]);
    ours.join(&[theirs.addr]);
    theirs.sees_alive(3);
    other.sees_alive(3);
    ours.sees_alive(3);
    let held_by_all = |theirs: &Agent, text: &str| {
        let list = theirs.command(&["keys", "-list"]).unwrap();
        let line = list.lines().find(|line| line.contains(text)).map(str::to_owned);
        line.is_some_and(|line| line.contains("[3/3]"))
    };
    assert!(held_by_all(&theirs, &first_text) && !held_by_all(&theirs, &second_text));
    theirs.command(&["keys", "-install", &second_text]).unwrap();
    assert!(held_by_all(&theirs, &first_text) && held_by_all(&theirs, &second_text));
    theirs.command(&["keys", "-use", &second_text]).unwrap();
    speak(&ours, &theirs, "between");
    // Our node rejects what all others reject.
    theirs.may_say("Removing the primary key is not allowed").may_say("nodes reported failure");
    other.may_say("Removing the primary key is not allowed");
    let refused = theirs.command(&["keys", "-remove", &second_text]).unwrap_err();
    assert!(refused.contains("3/3 nodes reported failure"), "{refused}");
    theirs.command(&["keys", "-remove", &first_text]).unwrap();
    assert!(held_by_all(&theirs, &second_text) && !held_by_all(&theirs, &first_text));
    speak(&ours, &theirs, "after");

    // A node with the new key only communicates with those that have installed it.
    let late = with_keys("late", &[&second]);
    late.join(&[other.addr]);
    let late_theirs = Agent::start("late-theirs", &[&format!("-encrypt={second_text}")]);
    assert_eq!(late_theirs.join(&[ours.addr]), 1);
    late_theirs.sees_alive(5);
    late.sees_alive(5);
    ours.sees_alive(5);
}

pub(crate) fn a_rotation_by_ours_is_followed_by_theirs() {
    let ((first, first_text), (second, second_text)) = (key(1, 32), key(2, 24));
    let theirs = Agent::start("theirs", &[&format!("-encrypt={first_text}")]);
    let ours = with_keys("ours", &[&first]);
    let other = with_keys("other", &[&first]);
    ours.join(&[theirs.addr]);
    other.join(&[theirs.addr]);
    ours.sees_alive(3);
    theirs.sees_alive(3);
    runtime().block_on(async {
        assert!(ours.serf.install_key(&second).await.unwrap().is_done());
        assert!(ours.serf.use_key(&second).await.unwrap().is_done());
        assert!(ours.serf.remove_key(&first).await.unwrap().is_done());
        let list = ours.serf.list_keys().await.unwrap();
        assert_eq!((list.keys(), list.silent.len()), (vec![&*second_text], 0));
        // Agents before 0.10 do not report their primary key.
        let holders: Vec<&str> = list.holders(&second_text).map(|name| &**name).collect();
        assert_eq!(holders.len(), 3, "{holders:?}");
    });
    assert_eq!(other.serf.keys(), [second]);
    speak(&ours, &theirs, "after");
}

pub(crate) fn another_key_is_kept_out_by_both() {
    let ((right, right_text), (wrong, wrong_text)) = (key(1, 16), key(2, 16));
    let mut theirs = Agent::start("theirs", &[&format!("-encrypt={right_text}")]);
    let mut ours = with_keys("ours", &[&right]);
    ours.join(&[theirs.addr]);
    theirs.sees_alive(2);
    let mut stranger = Agent::start("stranger", &[&format!("-encrypt={wrong_text}")]);
    stranger.may_say("");
    theirs.may_say("No installed keys could decrypt the message");
    ours.may_drop(DropReason::Key);
    assert!(stranger.try_join(&[ours.addr]).is_err());
    let mut our_stranger = with_keys("our-stranger", &[&wrong]);
    let refused = our_stranger.try_join(&[theirs.addr]).unwrap_err().to_string();
    // Its answer is encrypted with a key that the joining node does not have.
    assert!(refused.contains("sent an answer that none of our keys decrypts"), "{refused}");
    our_stranger.may_drop(DropReason::Key);
    theirs.sees_alive(2);
    ours.sees_alive(2);
}

pub(crate) fn both_agents_report_a_keyring_file_that_cannot_be_written() {
    let ((first, first_text), (second, second_text)) = (key(1, 16), key(2, 32));
    let scratch = tempfile::tempdir().unwrap();
    let file = |name: &str| {
        let file = scratch.path().join(name);
        write_keyring_file(&file, core::slice::from_ref(&first)).unwrap();
        file
    };
    let (of_theirs, of_ours) = (file("theirs"), file("ours"));
    let mut theirs = Agent::start("theirs", &[&format!("-keyring-file={}", of_theirs.display())]);
    theirs.may_say("Failed to write keyring file");
    let ours = Ours::start_with("ours", |options| {
        options.protocol.transport.encrypt_keys = vec![first.clone()];
        options.keyring_file = Some(of_ours);
    });
    ours.join(&[theirs.addr]);
    theirs.sees_alive(2);
    ours.sees_alive(2);
    std::fs::remove_dir_all(scratch.path()).unwrap();
    let text = theirs.command(&["keys", "-install", &second_text]).unwrap_err();
    assert!(text.contains("2/2 nodes reported failure"), "{text}");
    assert_eq!(text.matches("Failed to write keyring file: ").count(), 2, "{text}");
    let report = runtime().block_on(ours.serf.install_key(&second)).unwrap();
    let failures: Vec<&str> = report.failures().map(|answer| &*answer.message).collect();
    assert_eq!(failures.len(), 2, "{report:?}");
    assert!(failures.iter().all(|message| message.starts_with("Failed to write keyring file: ")), "{failures:?}");
    assert!(theirs.command(&["keys", "-use", &first_text]).is_err());
    speak(&ours, &theirs, "still");
}
