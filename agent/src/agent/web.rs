//! The HTTP server for monitoring: `/metrics`, `/healthz` and, if it is on, the status page below `/ui`.

use core::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use super::Agent;
use super::status_page::{Asset, StatusPage};
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
        let response = answer(agent, &request);
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

fn answer(agent: &Agent, request: &Request<Incoming>) -> Response<String> {
    let (method, path) = (request.method(), request.uri().path());
    if method != Method::GET && method != Method::HEAD {
        return respond(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET is served here\n".into());
    }
    if let Some(page) = agent.status_page.as_ref().filter(|_| path.starts_with("/ui")) {
        return page_answer(agent, page, request);
    }
    let (status, kind, body) = match path {
        "/metrics" => (StatusCode::OK, EXPOSITION, agent.exposition()),
        "/healthz" => match agent.unhealthy_reason(&agent.health) {
            None => (StatusCode::OK, PLAIN, format!("ok\n{}", agent.partition_detail())),
            Some(why) => (StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("{why}\n")),
        },
        _ => (StatusCode::NOT_FOUND, PLAIN, "there are /metrics and /healthz\n".into()),
    };
    respond(status, kind, body)
}

fn page_answer(agent: &Agent, page: &StatusPage, request: &Request<Incoming>) -> Response<String> {
    let mut response = match request.uri().path() {
        "/ui/state" => respond(StatusCode::OK, "application/json", agent.page_state(page)),
        "/ui/events" => {
            let last = request.headers().get("last-event-id").and_then(|last| last.to_str().ok()?.parse().ok());
            respond(StatusCode::OK, "text/event-stream", page.events_after(last))
        }
        path => match Asset::find(path) {
            Some(Asset { content_type, body }) => respond(StatusCode::OK, content_type, body.into()),
            None => respond(StatusCode::NOT_FOUND, PLAIN, "the page is at /ui\n".into()),
        },
    };
    let headers = response.headers_mut();
    // Defence in depth: the page itself never inserts names of other nodes as markup.
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn respond(status: StatusCode, kind: &'static str, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Content security policy: resources of this host only, no inline script, no frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-ancestors 'none'; \
                      base-uri 'none'; form-action 'none'";

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
