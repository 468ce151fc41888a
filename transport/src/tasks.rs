//! Every task of a transport, quinn's own included, so that all of them can be ended at once.

use parking_lot::Mutex;
use quinn::{AsyncTimer, AsyncUdpSocket, Runtime};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Spawns tasks until it is ended. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tasks(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    running: JoinSet<()>,
    ended: bool,
}

impl Tasks {
    /// Runs `task` in the background, or drops it unrun after [`end`](Self::end).
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let refused = {
            let mut state = self.0.lock();
            while let Some(finished) = state.running.try_join_next() {
                if let Err(error) = finished
                    && error.is_panic()
                {
                    tracing::error!(%error, "a task of the transport panicked");
                }
            }
            if state.ended {
                Some(task)
            } else {
                state.running.spawn(task);
                None
            }
        };
        // Outside the lock: what a task drops may want to spawn.
        drop(refused);
    }

    /// Ends all tasks where they stand. None of them is polled again, and none can be started.
    pub(crate) fn end(&self) {
        let running = {
            let mut state = self.0.lock();
            state.ended = true;
            std::mem::take(&mut state.running)
        };
        drop(running);
    }
}

/// quinn's window to the outside, with its tasks among ours.
#[derive(Debug)]
pub(crate) struct TrackedRuntime {
    pub(crate) inner: Arc<dyn Runtime>,
    pub(crate) tasks: Tasks,
}

impl Runtime for TrackedRuntime {
    fn new_timer(&self, at: std::time::Instant) -> Pin<Box<dyn AsyncTimer>> {
        self.inner.new_timer(at)
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.tasks.spawn(future);
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        self.inner.wrap_udp_socket(socket)
    }

    fn now(&self) -> std::time::Instant {
        self.inner.now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn ended_tasks_are_dropped_and_none_start_again() {
        let tasks = Tasks::default();
        let (tx, rx) = oneshot::channel::<()>();
        tasks.spawn(async move {
            std::future::pending::<()>().await;
            drop(tx);
        });
        tasks.end();
        let dropped = tokio::time::timeout(std::time::Duration::from_secs(5), rx).await;
        assert!(dropped.expect("the task was dropped").is_err());
        let ran = Arc::new(AtomicBool::new(false));
        let flag = ran.clone();
        tasks.spawn(async move { flag.store(true, Ordering::Relaxed) });
        tokio::task::yield_now().await;
        assert!(!ran.load(Ordering::Relaxed));
    }

    #[tokio::test]
    async fn finished_tasks_do_not_pile_up() {
        let tasks = Tasks::default();
        for _ in 0..1000 {
            tasks.spawn(async {});
            tokio::task::yield_now().await;
        }
        assert!(tasks.0.lock().running.len() < 10);
    }
}
