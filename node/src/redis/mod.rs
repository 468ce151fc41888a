//! The Redis door: RESP2 and RESP3 over TCP, so that any Redis client can talk to a node.
//!
//! `parser` and `reply` know the protocol, `table` the commands, `commands` what they do, `session` one client's
//! state; those decide without waiting. `connection` and this file move bytes. What a command means for data is
//! the engine's business: nothing here keeps, orders or replicates a value.
//!
//! On purpose: one database; no scripts or publish/subscribe yet; no encryption.

mod clients;
mod command;
mod commands;
mod config;
mod connection;
mod error;
mod gate;
mod glob;
mod inline;
mod number;
mod parser;
mod reply;
mod session;
mod stats;
mod table;
mod transaction;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

pub use config::{Password, RedisConfig};
pub use stats::RedisStats;

use crate::engine::Engine;
use clients::Clients;
use connection::Admitted;
use gate::Gate;

/// The version of Redis that clients are told, so that they use what this door can do.
const REDIS_VERSION: &str = "7.4.0";

/// Pause after a failed accept: the usual cause is a lack of file descriptors, which passes.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long connections may take to write their last replies when the door closes.
const CLOSING_LIMIT: Duration = Duration::from_secs(2);

/// Why the door did not open. Nothing listens then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedisError {
    /// The address cannot be listened on: in use, not of this machine, or not permitted.
    #[error("cannot listen for Redis clients on {addr}: {source}; choose another address or port")]
    Listen {
        /// The address of the configuration.
        addr: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
}

/// What all connections of a door share.
struct Door {
    engine: Engine,
    password: Option<Password>,
    max_clients: usize,
    local_addr: SocketAddr,
    opened: Instant,
    stats: Arc<RedisStats>,
    clients: Clients,
    gate: Gate,
    /// For commands that choose by chance.
    rng: Mutex<SmallRng>,
}

/// A door that has its port but serves nobody yet.
#[derive(Debug)]
pub struct RedisDoor {
    listener: TcpListener,
    local_addr: SocketAddr,
    config: RedisConfig,
}

impl RedisDoor {
    /// Takes the port.
    ///
    /// # Errors
    /// [`RedisError::Listen`]; nothing listens then.
    pub async fn bind(config: RedisConfig) -> Result<Self, RedisError> {
        let failed = |source| RedisError::Listen { addr: config.addr, source };
        let listener = TcpListener::bind(config.addr).await.map_err(failed)?;
        let local_addr = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, local_addr, config })
    }

    /// Where it listens, with the port that was taken.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves clients until `stop` is cancelled; then answers what has been read, closes all connections and returns.
    pub async fn run(self, engine: Engine, stop: CancellationToken, stats: Arc<RedisStats>) {
        let Self { listener, local_addr, config } = self;
        if !local_addr.ip().is_loopback() && config.password.is_none() {
            tracing::warn!(addr = %local_addr, "Redis clients from other machines are served without a password");
        }
        tracing::info!(addr = %local_addr, "serving Redis clients");
        let door = Arc::new(Door {
            engine,
            password: config.password,
            max_clients: config.max_clients,
            local_addr,
            opened: Instant::now(),
            stats,
            clients: Clients::default(),
            gate: Gate::default(),
            rng: Mutex::new(SmallRng::from_os_rng()),
        });
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => admit(&door, stream, peer, &stop, &mut connections),
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a Redis connection");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                // Reaps those that have ended.
                Some(_) = connections.join_next() => {}
            }
        }
        drop(listener);
        let ended = async { while connections.join_next().await.is_some() {} };
        if timeout(CLOSING_LIMIT, ended).await.is_err() {
            tracing::debug!("Redis connections that do not take their replies are cut");
            connections.shutdown().await;
        }
    }
}

/// Starts to serve a connection, or turns it away.
fn admit(
    door: &Arc<Door>,
    stream: TcpStream,
    peer: SocketAddr,
    stop: &CancellationToken,
    connections: &mut JoinSet<()>,
) {
    while connections.try_join_next().is_some() {}
    if connections.len() >= door.max_clients {
        RedisStats::add(&door.stats.rejected_connections, 1);
        connection::turn_away(&stream);
        return;
    }
    let admitted = Admitted::new(door, &stream, peer);
    connections.spawn(connection::serve(admitted, stream, stop.clone()));
}

/// Binds and runs a door.
///
/// # Errors
/// [`RedisError::Listen`] at once when the port cannot be had.
pub async fn serve(
    config: RedisConfig,
    engine: Engine,
    stop: CancellationToken,
    stats: Arc<RedisStats>,
) -> Result<(), RedisError> {
    RedisDoor::bind(config).await?.run(engine, stop, stats).await;
    Ok(())
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("local_addr", &self.local_addr).finish_non_exhaustive()
    }
}
