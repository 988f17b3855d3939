//! A replica with the configuration of all: `cargo run -p serf-examples --bin config -- NAME BIND [SEED...]`. A line on
//! standard input is published as the next configuration.

use std::time::Duration;

use serf_examples::config::{Config, Replica};
use serf_examples::options_from_args;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let replica = Replica::start(options_from_args()?)?;
    println!("listens on {}", replica.serf().bound_addr());
    let publisher = replica.clone();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            let version = publisher.config().version + 1;
            publisher.publish(Config { version, content: line.into() });
        }
    });
    let mut shown = Config::default();
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = replica.config();
        if shown != now {
            println!("version {}: {}", now.version, String::from_utf8_lossy(&now.content));
            shown = now;
        }
    }
}
