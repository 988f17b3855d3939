//! Nodes that answer queries, and a guardian that queries them, in one encrypted cluster; agents may take part:
//!
//! ```text
//! key=$(serf keygen)
//! cargo run -p serf-tokio --example guardian_tokio -- node one 127.0.0.1:7001 -key=$key
//! cargo run -p serf-tokio --example guardian_tokio -- node two 127.0.0.1:7002 127.0.0.1:7001 -key=$key
//! cargo run -p serf-tokio --example guardian_tokio -- guardian three 127.0.0.1:7003 127.0.0.1:7001 -key=$key
//! serf agent -node=four -bind=127.0.0.1:7004 -join=127.0.0.1:7001 -encrypt=$key -event-handler='query:status=echo fine'
//! ```
//!
//! The guardian sends the user event `useless` every two seconds and the query `status` every five. Ctrl-C leaves.

#[tokio::main]
async fn main() -> Result<(), Box<dyn core::error::Error>> {
    let stop = async { _ = tokio::signal::ctrl_c().await };
    let args = std::env::args().skip(1);
    serf_tests::guardian::run::<serf_tokio::Tokio>(args, |line| println!("{line}"), stop).await
}
