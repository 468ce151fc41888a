//! What every network under the transport must show, as a test-suite to run against it.
//!
//! Each case is a function over a [`Network`]; [`contract_cases!`](crate::contract_cases) names them all, so that a test file stays complete when
//! cases are added. Cases panic when the contract is broken. They wait with tokio's clock and work on a paused one.

mod exchange;
mod node;

pub use exchange::*;

use crate::config::Binding;
use std::future::Future;
use std::net::SocketAddr;

/// A network to run the contract over.
pub trait Network: Send + Sync {
    /// A new endpoint at place `n`, with the address under which others reach it.
    ///
    /// The same place always has the same address. A place is asked for again only after what was there has been closed, aborted or
    /// dropped.
    fn endpoint(&self, n: usize) -> impl Future<Output = (Binding, SocketAddr)> + Send;
}

/// Calls the macro `$case` with the name of every case of the contract.
///
/// ```ignore
/// macro_rules! case {
///     ($name:ident) => {
///         #[tokio::test]
///         async fn $name() {
///             rumour_transport::contract::$name(&MyNetwork::new()).await;
///         }
///     };
/// }
/// rumour_transport::contract_cases!(case);
/// ```
#[macro_export]
macro_rules! contract_cases {
    ($case:ident) => {
        $case!(a_request_brings_a_reply);
        $case!(many_requests_run_at_once);
        $case!(a_refused_request_says_why);
        $case!(a_request_without_reply_times_out);
        $case!(frames_up_to_the_limit_pass);
        $case!(gossip_passes_by_datagram_and_by_stream);
        $case!(gossip_never_waits);
        $case!(a_channel_keeps_order_both_ways);
        $case!(a_frame_given_up_is_no_end_of_stream);
    };
}
