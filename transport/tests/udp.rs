//! The transport's contract over real UDP sockets.

use parking_lot::Mutex;
use rumour_transport::Binding;
use rumour_transport::contract::{self, Network};
use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};

/// Loopback sockets; a place keeps the port that it first got.
#[derive(Default)]
struct Loopback(Mutex<BTreeMap<usize, SocketAddr>>);

impl Network for Loopback {
    async fn endpoint(&self, n: usize) -> (Binding, SocketAddr) {
        let free =
            || UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
        let addr = *self.0.lock().entry(n).or_insert_with(free);
        (Binding::Udp(addr), addr)
    }
}

/// Everything on one thread.
mod one_thread {
    use super::{Loopback, contract};

    macro_rules! case {
        ($name:ident) => {
            #[tokio::test]
            async fn $name() {
                contract::$name(&Loopback::default()).await;
            }
        };
    }
    rumour_transport::contract_cases!(case);
}

/// Tasks of one transport side by side.
mod several_threads {
    use super::{Loopback, contract};

    macro_rules! case {
        ($name:ident) => {
            #[tokio::test(flavor = "multi_thread", worker_threads = 3)]
            async fn $name() {
                contract::$name(&Loopback::default()).await;
            }
        };
    }
    rumour_transport::contract_cases!(case);
}
