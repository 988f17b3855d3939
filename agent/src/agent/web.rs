//! A small HTTP server for those who watch the agent: `/metrics` and `/healthz`.

use core::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::Agent;
use crate::endpoint::{go_words, keep_alive};

/// Serves until the task is dropped.
pub(super) async fn serve(agent: Arc<Agent>, listener: TcpListener) {
    // Who watches asks now and then; nobody needs more at a time.
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((socket, _)) => {
                keep_alive(&socket);
                let agent = Arc::clone(&agent);
                tokio::spawn(async move {
                    let answer = service_fn(|request: Request<Incoming>| {
                        let response = answer(&agent, request.method(), request.uri().path());
                        core::future::ready(Ok::<_, Infallible>(response))
                    });
                    let served = hyper::server::conn::http1::Builder::new()
                        .keep_alive(false)
                        .max_buf_size(REQUEST_BYTES_MAX)
                        .timer(TokioTimer::new())
                        .header_read_timeout(REQUEST_TIMEOUT)
                        .serve_connection(TokioIo::new(socket), answer);
                    // Who goes away before the answer has missed it.
                    _ = tokio::time::timeout(CONNECTION_TIMEOUT, served).await;
                    drop(place);
                });
            }
            Err(error) => {
                agent.log.error("agent.http", format_args!("Failed to accept: {}", go_words(&error)));
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
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

/// Served at a time; more wait.
const CONNECTIONS_MAX: usize = 16;

/// The least that hyper takes.
const REQUEST_BYTES_MAX: usize = 8192;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
