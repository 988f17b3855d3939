//! A replica of the sharded cache: `cargo run -p serf-examples --bin ring -- NAME BIND [SEED...]`.

use serf_examples::options_from_args;
use serf_examples::ring::Cache;
use serf_tokio::Event;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cache = Cache::start(options_from_args()?)?;
    let mut events = cache.serf().events();
    println!("listens on {}", cache.serf().bound_addr());
    while let Some(event) = events.next().await {
        if let Ok(Event::Member(event)) = event {
            println!("{event}");
            for key in ["apple", "banana", "cherry"] {
                println!("  {key} is at {}", cache.owner(key).unwrap_or_default());
            }
        }
    }
    Ok(())
}
