//! A replica of the sharded cache: `cargo run -p serf-examples --bin ring -- NAME BIND [SEED...]`.

use serf_examples::ring::Cache;
use serf_tokio::{Event, Options};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cache = Cache::start(options()?)?;
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

fn options() -> Result<Options, Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [name, bind, seeds @ ..] = &args[..] else { return Err("usage: NAME BIND [SEED...]".into()) };
    let bind = bind.parse()?;
    Ok(Options::lan(name).with(|options| (options.bind, options.join) = (bind, seeds.to_vec())))
}
