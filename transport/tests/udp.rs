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

macro_rules! case {
    ($name:ident) => {
        #[tokio::test]
        async fn $name() {
            contract::$name(&Loopback::default()).await;
        }
    };
}
case!(a_request_brings_a_reply);
case!(many_requests_run_at_once);
case!(a_refused_request_says_why);
case!(a_request_without_reply_times_out);
case!(frames_up_to_the_limit_pass);
case!(gossip_passes_by_datagram_and_by_stream);
case!(gossip_never_waits);
case!(a_channel_keeps_order_both_ways);
case!(a_frame_given_up_is_no_end_of_stream);
