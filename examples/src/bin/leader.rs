//! A replica of which one leads: `cargo run -p serf-examples --bin leader -- NAME BIND [SEED...]`. Its store is in its own
//! memory, so that only the choice of the leader is that of all processes.

use std::sync::Arc;
use std::time::Duration;

use serf_examples::leader::{Replica, Store, leader_of};
use serf_examples::options_from_args;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let replica = Replica::start(options_from_args()?, Arc::new(Store::default()))?;
    println!("listens on {}", replica.serf().bound_addr());
    let mut shown = None;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = (leader_of(replica.serf()), replica.leads());
        if shown.as_ref() != Some(&now) {
            println!(
                "{} should lead; this replica {}",
                now.0.as_deref().unwrap_or("none"),
                if now.1 { "leads" } else { "follows" }
            );
            shown = Some(now);
        }
    }
}
