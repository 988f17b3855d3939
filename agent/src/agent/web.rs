//! The HTTP server for monitoring: `/metrics` and `/healthz`.

use core::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use super::Agent;
use crate::endpoint::{go_words, keep_alive};
use crate::places::{Place, Places};

/// Serves until the task is dropped. Silent connections cannot block clients: the oldest is closed when a place is
/// needed.
pub(super) async fn serve(agent: Arc<Agent>, listener: TcpListener) {
    let places = Places::new(CONNECTIONS_MAX, OF_SOURCE_MAX);
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                keep_alive(&socket);
                // Dropped without a place, which closes the connection.
                let Some(place) = places.admit(Some(peer.ip())) else { continue };
                let agent = Arc::clone(&agent);
                tokio::spawn(async move {
                    tokio::select! {
                        () = converse(&agent, socket, &place) => {}
                        () = place.displaced() => {}
                    }
                });
                // Lets the new task read once before the next connection can displace it.
                tokio::task::yield_now().await;
            }
            Err(error) => {
                agent.log.error("agent.http", format_args!("Failed to accept: {}", go_words(&error)));
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn converse(agent: &Agent, socket: TcpStream, place: &Place) {
    if !matches!(timeout(FIRST_BYTE_TIMEOUT, socket.readable()).await, Ok(Ok(()))) {
        return;
    }
    let answer = service_fn(|request: Request<Incoming>| {
        place.settle();
        let response = answer(agent, request.method(), request.uri().path());
        core::future::ready(Ok::<_, Infallible>(response))
    });
    let served = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(REQUEST_BYTES_MAX)
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIMEOUT)
        .serve_connection(TokioIo::new(socket), answer);
    // An error means that the client is gone or too slow; the reply is lost.
    _ = timeout(CONNECTION_TIMEOUT, served).await;
}

fn answer(agent: &Agent, method: &Method, path: &str) -> Response<String> {
    let (status, kind, body) = match path {
        _ if method != Method::GET && method != Method::HEAD => {
            (StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET is served here\n".into())
        }
        "/metrics" => (StatusCode::OK, EXPOSITION, agent.exposition()),
        "/healthz" => match agent.unhealthy_reason() {
            None => (StatusCode::OK, PLAIN, format!("ok\n{}", agent.partition_detail())),
            Some(why) => (StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("{why}\n")),
        },
        _ => (StatusCode::NOT_FOUND, PLAIN, "there are /metrics and /healthz\n".into()),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}

const PLAIN: &str = "text/plain; charset=utf-8";
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Limit on connections. One more displaces the oldest that has not sent a request yet. Monitoring systems connect a few times a minute.
const CONNECTIONS_MAX: usize = 128;

/// Limit on connections from one address.
const OF_SOURCE_MAX: usize = 64;

/// How long a new connection may be silent.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(2);

/// The smallest value that hyper accepts.
const REQUEST_BYTES_MAX: usize = 8192;

/// How long receiving a request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection may last in all, with its reply.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
