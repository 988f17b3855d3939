//! Notifications to systemd.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::process::{Agent, Directory};

fn next(socket: &UnixDatagram) -> String {
    let mut message = [0; 256];
    let length = socket.recv(&mut message).expect("comes in time");
    String::from_utf8_lossy(&message[..length]).into_owned()
}

#[test]
fn a_supervisor_is_notified_of_start_reload_and_end() {
    let dir = Directory::new();
    let path = dir.path().join("notify").display().to_string();
    let socket = UnixDatagram::bind(&path).expect("can be bound");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("is set");
    let mut agent = Agent::start_in(&[("NOTIFY_SOCKET", &path)], &[]);
    assert_eq!(next(&socket), "READY=1\n");
    agent.signal("HUP");
    let reloading = next(&socket);
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(next(&socket), "READY=1\n");
    agent.signal("INT");
    assert_eq!(next(&socket), "STOPPING=1\n");
    assert_eq!(agent.exit_code(), 0);
}

#[test]
fn a_supervisor_is_not_notified_of_a_start_that_fails() {
    let dir = Directory::new();
    let path = dir.path().join("notify").display().to_string();
    let socket = UnixDatagram::bind(&path).expect("can be bound");
    socket.set_nonblocking(true).expect("is set");
    let mut agent = Agent::spawn_in(&[("NOTIFY_SOCKET", &path)], "127.0.0.1:0", &["-join", "127.0.0.1:1"]);
    assert_eq!(agent.exit_code(), 1);
    assert!(socket.recv(&mut [0; 256]).is_err(), "nothing was sent");
}
