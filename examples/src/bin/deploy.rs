//! A replica that deploys what is announced: `cargo run -p serf-examples --bin deploy -- NAME BIND [SEED...]`. A line with a
//! number on standard input announces that version.

use std::time::Duration;

use serf_examples::deploy::Replica;
use serf_tokio::Options;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let replica = Replica::start(options()?)?;
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

fn options() -> Result<Options, Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [name, bind, seeds @ ..] = &args[..] else { return Err("usage: NAME BIND [SEED...]".into()) };
    let bind = bind.parse()?;
    Ok(Options::lan(name).with(|options| (options.bind, options.join) = (bind, seeds.to_vec())))
}
