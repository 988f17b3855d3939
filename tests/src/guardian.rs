//! The guardian example, after Serfer's README: nodes with handlers, and a guardian that sends a user event every two
//! seconds and queries their status every five. Each runtime's crate has it as its example `guardian`; HashiCorp's
//! agents may be among the nodes.

use core::future::Future;
use core::time::Duration;
use std::error::Error;

use futures_lite::future::or;
use serf_runtime::net::Net;
use serf_runtime::{Coalescing, Handlers, Key, MemberEventKind, Options, Question, Serf};

type Result<T> = core::result::Result<T, Box<dyn Error>>;

/// Usage message.
pub const USAGE: &str = "usage: node|guardian NAME BIND [MEMBER...] [-key=BASE64] [-event-every=MS] [-query-every=MS]";

/// Parsed command line.
#[derive(Debug)]
struct Args {
    is_guardian: bool,
    options: Options,
    event_every: Duration,
    query_every: Duration,
}

/// Runs a node or a guardian until `stop`, then leaves. Passes each line of output to `say`.
///
/// # Errors
///
/// Returns an error if the command line is invalid, or if the node cannot start or is shut down.
pub async fn run<N: Net>(
    args: impl Iterator<Item = String>,
    say: impl Fn(String) + Clone + Send + 'static,
    stop: impl Future<Output = ()>,
) -> Result<()> {
    let args = Args::parse(args)?;
    let serf = Serf::<N>::builder(args.options.clone()).handlers(handlers(say.clone())).start()?;
    say(format!("listening on {}", serf.bound_addr()));
    let stopped = async {
        stop.await;
        Ok(())
    };
    if args.is_guardian {
        let (events, queries) = (tell(&serf, args.event_every), ask(&serf, args.query_every, say));
        or(stopped, or(events, queries)).await?;
    } else {
        stopped.await?;
    }
    serf.leave().await?;
    serf.shutdown().await?;
    Ok(())
}

/// Returns the handlers of a node. Guardians are nodes too.
fn handlers(say: impl Fn(String) + Clone + Send + 'static) -> Handlers {
    let (joined, told) = (say.clone(), say);
    Handlers::new()
        .on_member(MemberEventKind::Join, move |event| {
            event.members.names().for_each(|name| joined(format!("{name} has joined")));
            async {}
        })
        .on_user("useless", move |event| {
            told(format!("useless: {}", String::from_utf8_lossy(&event.payload)));
            async {}
        })
        .on_query("status", |_query| async { Some(b"all is well".to_vec()) })
}

/// Sends the user event `useless` periodically.
async fn tell<N: Net>(serf: &Serf<N>, every: Duration) -> Result<()> {
    let net = N::current()?;
    for count in 1_u64.. {
        net.sleep(every).await;
        serf.user_event("useless", format!("event {count}").as_bytes(), Coalescing::Forbid)?;
    }
    Ok(())
}

/// Sends the query `status` periodically.
async fn ask<N: Net>(serf: &Serf<N>, every: Duration, say: impl Fn(String)) -> Result<()> {
    let net = N::current()?;
    loop {
        net.sleep(every).await;
        let answers = serf.query(&Question::new("status").with_acks())?.answers().await?;
        for (from, status) in &answers.responses {
            say(format!("{from}: {}", String::from_utf8_lossy(status).trim_end()));
        }
        for silent in &answers.report.silent {
            say(format!("{silent} is silent"));
        }
    }
}

impl Args {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self> {
        let (Some(role), Some(name), Some(bind)) = (args.next(), args.next(), args.next()) else {
            return Err(USAGE.into());
        };
        let is_guardian = match &*role {
            "guardian" => true,
            "node" => false,
            _ => return Err(USAGE.into()),
        };
        let bind = bind.parse()?;
        let options = Options::lan(name).with(|options| options.bind = bind);
        let mut parsed =
            Self { is_guardian, options, event_every: Duration::from_secs(2), query_every: Duration::from_secs(5) };
        for arg in args {
            let millis = |text: &str| text.parse().map(Duration::from_millis);
            match arg.split_once('=') {
                Some(("-key", key)) => parsed.options.protocol.transport.encrypt_keys.push(Key::from_base64(key)?),
                Some(("-event-every", every)) => parsed.event_every = millis(every)?,
                Some(("-query-every", every)) => parsed.query_every = millis(every)?,
                Some(_) => return Err(USAGE.into()),
                None => parsed.options.join.push(arg),
            }
        }
        Ok(parsed)
    }
}
