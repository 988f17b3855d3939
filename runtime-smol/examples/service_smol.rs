//! A service that tracks its peers. Start one node, then others that join it:
//!
//! ```text
//! cargo run -p serf-smol --example service_smol -- one 127.0.0.1:7001
//! cargo run -p serf-smol --example service_smol -- two 127.0.0.1:7002 127.0.0.1:7001
//! ```
//!
//! Each input line is sent to all as a user event. The end of the input (Ctrl-D) leaves the cluster.

use std::io::BufRead;

use serf_smol::{Coalescing, Event, Lagged, Options, Serf};

fn main() -> Result<(), Box<dyn core::error::Error>> {
    smol::block_on(async {
        let mut args = std::env::args().skip(1);
        let (Some(name), Some(bind)) = (args.next(), args.next()) else {
            return Err("usage: NAME BIND [SEED...]".into());
        };
        let seeds: Vec<String> = args.collect();

        let bind = bind.parse()?;
        let serf = Serf::start(Options::lan(name).with(|options| options.bind = bind))?;
        let mut events = serf.events();
        let printing = smol::spawn(async move {
            while let Some(event) = events.next().await {
                match event {
                    Ok(Event::Member(event)) => println!("{event}"),
                    Ok(Event::User(event)) => println!("{}", String::from_utf8_lossy(&event.payload)),
                    Ok(_) => {}
                    Err(Lagged(missed)) => println!("({missed} events missed)"),
                }
            }
        });
        if !seeds.is_empty() {
            let report = serf.join(&seeds).await?;
            println!("joined through {} of {} seeds", report.contacted, seeds.len());
        }

        let says = serf.clone();
        smol::unblock(move || {
            for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                let text = format!("{}: {line}", says.local().name());
                if let Err(error) = says.user_event("said", text.as_bytes(), Coalescing::Forbid) {
                    eprintln!("{error}");
                }
            }
        })
        .await;
        serf.leave().await?;
        serf.shutdown().await?;
        printing.await;
        Ok(())
    })
}
