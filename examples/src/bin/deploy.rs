//! A replica that deploys what is announced: `cargo run -p serf-examples --bin deploy -- NAME BIND [SEED...]`. A line with a
//! number on standard input announces that version.

use std::time::Duration;

use serf_examples::deploy::Replica;
use serf_examples::options_from_args;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let replica = Replica::start(options_from_args()?)?;
    println!("listens on {}", replica.serf().bound_addr());
    let announcer = replica.clone();
    std::thread::spawn(move || {
        for version in std::io::stdin().lines().map_while(Result::ok).filter_map(|line| line.trim().parse().ok()) {
            if let Err(error) = announcer.announce(version) {
                eprintln!("{error}");
            }
        }
    });
    let mut shown = None;
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = (replica.version(), replica.is_deploying());
        if shown != Some(now) {
            println!("version {}{}", now.0, if now.1 { ", deploying the next" } else { "" });
            shown = Some(now);
        }
    }
}
