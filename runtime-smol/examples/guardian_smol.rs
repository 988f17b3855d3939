//! Nodes that answer queries, and a guardian that queries them, in one encrypted cluster; agents may take part:
//!
//! ```text
//! key=$(serf keygen)
//! cargo run -p serf-smol --example guardian_smol -- node one 127.0.0.1:7001 -key=$key
//! cargo run -p serf-smol --example guardian_smol -- node two 127.0.0.1:7002 127.0.0.1:7001 -key=$key
//! cargo run -p serf-smol --example guardian_smol -- guardian three 127.0.0.1:7003 127.0.0.1:7001 -key=$key
//! serf agent -node=four -bind=127.0.0.1:7004 -join=127.0.0.1:7001 -encrypt=$key -event-handler='query:status=echo fine'
//! ```
//!
//! The guardian sends the user event `useless` every two seconds and the query `status` every five. Ctrl-C leaves.

fn main() -> Result<(), Box<dyn core::error::Error>> {
    let (interrupt, interrupted) = smol::channel::bounded::<()>(1);
    ctrlc::set_handler(move || _ = interrupt.try_send(()))?;
    let stop = async { _ = interrupted.recv().await };
    let args = std::env::args().skip(1);
    smol::block_on(serf_tests::guardian::run::<serf_smol::Smol>(args, |line| println!("{line}"), stop))
}
