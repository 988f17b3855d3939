//! A small HTTP server for those who watch the agent: `/metrics` and `/healthz`.

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

/// Serves until the task is dropped. Silent connections block no client: the oldest of them is closed.
pub(super) async fn serve(agent: Arc<Agent>, listener: TcpListener) {
    let places = Places::new(CONNECTIONS_MAX, OF_SOURCE_MAX);
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                keep_alive(&socket);
                // Without a place it is closed.
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
    // Who goes away before the answer has missed it.
    _ = timeout(CONNECTION_TIMEOUT, served).await;
}

fn answer(agent: &Agent, method: &Method, path: &str) -> Response<String> {
    let (status, kind, body) = match path {
        _ if method != Method::GET && method != Method::HEAD => {
            (StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET is served here\n".into())
        }
        "/metrics" => (StatusCode::OK, EXPOSITION, agent.exposition()),
        "/healthz" => match agent.illness() {
            None => (StatusCode::OK, PLAIN, "ok\n".into()),
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

/// Connections at a time; the oldest that has not asked yet goes when there is another one. Who watches asks now and then.
const CONNECTIONS_MAX: usize = 128;

/// Of these from one address.
const OF_SOURCE_MAX: usize = 64;

/// How long a connection may be silent at first.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(2);

/// The least that hyper takes.
const REQUEST_BYTES_MAX: usize = 8192;

/// How long a request may take to come.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection may take with its answer, too.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
