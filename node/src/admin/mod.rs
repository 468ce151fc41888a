//! The admin door: health, metrics and status over HTTP, for operators and their tools.
//!
//! It changes no data, only which members are forgotten, and shows none but what conflicting writes held. Keep it on loopback or on
//! a network of your own: it is not encrypted.

mod events;
mod metrics;

use std::future::IntoFuture;
use std::net::SocketAddr;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use axum::{Json, Router};
use rumour_transport::NodeId;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::error::ForgetError;

/// Why the door did not open, or closed by itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// The address cannot be listened on.
    #[error("cannot listen for the admin door on {addr}: {source}; choose another address or port")]
    Listen {
        /// The address of the configuration.
        addr: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
}

/// A door that has its port but serves nobody yet.
#[derive(Debug)]
pub struct AdminDoor {
    listener: TcpListener,
    local_addr: SocketAddr,
}

impl AdminDoor {
    /// Takes the port.
    ///
    /// # Errors
    /// [`AdminError::Listen`]; nothing listens then.
    pub async fn bind(addr: SocketAddr) -> Result<Self, AdminError> {
        let failed = |source| AdminError::Listen { addr, source };
        let listener = TcpListener::bind(addr).await.map_err(failed)?;
        let local_addr = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, local_addr })
    }

    /// Where it listens, with the port that was taken.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves until `stop` is cancelled. Requests under way are cut: they only read.
    pub async fn run(self, engine: Engine, stop: CancellationToken) {
        tracing::info!(addr = %self.local_addr, "serving the admin door");
        let serving = axum::serve(self.listener, routes(engine)).into_future();
        if let Some(Err(error)) = stop.run_until_cancelled(serving).await {
            tracing::error!(%error, "the admin door closed");
        }
    }
}

fn routes(engine: Engine) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/api/v1/status", get(status))
        .route("/api/v1/members", get(members))
        .route("/api/v1/members/{name}", delete(forget))
        .route("/api/v1/config-history", get(config_history))
        .route("/api/v1/conflicts", get(events::conflicts))
        .route("/api/v1/events", get(events::events))
        .route("/api/v1/events/recent", get(events::recent))
        .with_state(engine)
}

/// The process runs.
async fn healthz() -> &'static str {
    "ok\n"
}

/// The node serves as a member of its cluster and is not shutting down.
async fn readyz(State(engine): State<Engine>) -> Response {
    match engine.check_ready() {
        Ok(()) => "ok\n".into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

async fn metrics(State(engine): State<Engine>) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match metrics::render(&engine.status()) {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn status(State(engine): State<Engine>) -> Response {
    Json(engine.status()).into_response()
}

/// Has the cluster forget a member. `DELETE`, so that no web page can have a browser do it.
async fn forget(State(engine): State<Engine>, Path(name): Path<String>) -> Response {
    let Ok(node) = name.parse::<NodeId>() else {
        return (StatusCode::BAD_REQUEST, format!("{name:?} is no node's name\n")).into_response();
    };
    match engine.forget(&node) {
        Ok(()) => Json(serde_json::json!({ "forgotten": node })).into_response(),
        Err(error) => {
            let code = match error {
                ForgetError::Unknown(_) => StatusCode::NOT_FOUND,
                ForgetError::Stopped => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::CONFLICT,
            };
            (code, format!("{error}\n")).into_response()
        }
    }
}

async fn config_history(State(engine): State<Engine>) -> Response {
    Json(engine.configuration_history()).into_response()
}

async fn members(State(engine): State<Engine>) -> Response {
    Json(engine.status().members).into_response()
}
