//! A node with its doors: what `run` has one of and `demo` several.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rumour::admin::AdminDoor;
use rumour::redis::{RedisConfig, RedisDoor, RedisStats};
use rumour::{Engine, Node, NodeBuilder, NodeError};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Failure;

/// How long doors may take to close after the node has left.
const DOORS_TIMEOUT: Duration = Duration::from_secs(3);

/// A running node with the doors that were asked for.
pub(super) struct Server {
    pub(super) node: Node,
    doors: JoinSet<()>,
    stop: CancellationToken,
}

impl Server {
    /// Takes all ports first, so that one that is in use is reported before anything runs; then launches the node.
    pub(super) async fn launch(
        node: NodeBuilder,
        redis: Option<RedisConfig>,
        admin: Option<SocketAddr>,
    ) -> Result<Self, Failure> {
        let redis = match redis {
            Some(config) => Some(RedisDoor::bind(config).await.map_err(Failure::failed)?),
            None => None,
        };
        let admin = match admin {
            Some(addr) => Some(AdminDoor::bind(addr).await.map_err(Failure::failed)?),
            None => None,
        };
        let node = node.launch().await?;
        let (mut doors, stop) = (JoinSet::new(), CancellationToken::new());
        if let Some(door) = redis {
            let stats = Arc::new(RedisStats::default());
            count_refusals(&node.engine(), stats.clone());
            doors.spawn(door.run(node.engine(), stop.clone(), stats));
        }
        if let Some(door) = admin {
            doors.spawn(door.run(node.engine(), stop.clone()));
        }
        Ok(Self { node, doors, stop })
    }

    /// Leaves the cluster in good order and closes the doors.
    pub(super) async fn stop(mut self) -> Result<(), NodeError> {
        let left = self.node.leave().await;
        self.stop.cancel();
        let closed = async { while self.doors.join_next().await.is_some() {} };
        if tokio::time::timeout(DOORS_TIMEOUT, closed).await.is_err() {
            tracing::warn!("a door did not close in time");
        }
        left
    }
}

/// Shows in the status what the Redis door turns away.
fn count_refusals(engine: &Engine, stats: Arc<RedisStats>) {
    engine.extend_status(move |status| {
        let counts = [
            ("redis_protocol_errors", &stats.protocol_errors),
            ("redis_rejected_connections", &stats.rejected_connections),
            ("redis_wrong_passwords", &stats.wrong_passwords),
        ];
        for (reason, count) in counts {
            status.refused.insert(reason.to_owned(), count.load(Relaxed));
        }
    });
}

/// Waits for Ctrl-C or SIGTERM.
pub(super) async fn told_to_stop() -> Result<(), Failure> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).map_err(Failure::failed)?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted.map_err(Failure::failed),
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await.map_err(Failure::failed)
}
