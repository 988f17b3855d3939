//! A service that tracks its peers. Start one node, then others that join it:
//!
//! ```text
//! cargo run -p serf-tokio --example service_tokio -- one 127.0.0.1:7001
//! cargo run -p serf-tokio --example service_tokio -- two 127.0.0.1:7002 127.0.0.1:7001
//! ```
//!
//! Each input line is sent to all as a user event. The end of the input (Ctrl-D) leaves the cluster.

use std::io::BufRead;

use serf_tokio::{Coalescing, Handlers, Options, Serf};

#[tokio::main]
async fn main() -> Result<(), Box<dyn core::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(name), Some(bind)) = (args.next(), args.next()) else { return Err("usage: NAME BIND [SEED...]".into()) };
    let seeds: Vec<String> = args.collect();

    let bind = bind.parse()?;
    let serf = Serf::start(Options::lan(name).with(|options| options.bind = bind))?;
    serf.handle(
        Handlers::new()
            .on_any_member(|event| async move { println!("{event}") })
            .on_user("said", |event| async move { println!("{}", String::from_utf8_lossy(&event.payload)) }),
    );
    if !seeds.is_empty() {
        let report = serf.join(&seeds).await?;
        println!("joined through {} of {} seeds", report.contacted, seeds.len());
    }

    let says = serf.clone();
    tokio::task::spawn_blocking(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let text = format!("{}: {line}", says.local().name());
            if let Err(error) = says.user_event("said", text.as_bytes(), Coalescing::Forbid) {
                eprintln!("{error}");
            }
        }
    })
    .await?;
    serf.leave().await?;
    Ok(())
}
