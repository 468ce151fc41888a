//! What every network under the transport must show, as a test-suite to run against it.
//!
//! Each case is a function over a [`Network`]; [`contract_cases!`](crate::contract_cases) names them all, so that a test file stays complete when
//! cases are added. Cases panic when the contract is broken. They wait with tokio's clock and work on a paused one.

mod exchange;
mod hostile;
mod lifecycle;
mod node;
mod refusals;
mod stranger;

pub use exchange::*;
pub use hostile::*;
pub use lifecycle::*;
pub use refusals::*;

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
        $case!(one_connection_serves_a_pair);
        $case!(dialing_each_other_at_once_leaves_one_connection);
        $case!(one_s_own_address_is_recognized);
        $case!(a_dead_peer_is_noticed_and_comes_back);
        $case!(a_restarted_peer_is_noticed_at_once);
        $case!(a_new_incarnation_replaces_the_old);
        $case!(closing_says_goodbye);
        $case!(aborting_says_nothing);
        $case!(an_address_where_nobody_listens_times_out);
        $case!(a_refused_newcomer_learns_why);
        $case!(a_twin_is_refused);
        $case!(another_cluster_s_key_is_refused);
        $case!(another_cluster_s_name_is_refused);
        $case!(another_protocol_version_is_refused);
        $case!(the_previous_protocol_version_is_spoken);
        $case!(a_foreign_protocol_is_refused);
        $case!(a_stranger_without_a_certificate_is_refused);
        $case!(a_stranger_with_a_certificate_of_its_own_is_refused);
        $case!(a_false_name_is_refused);
        $case!(a_silent_newcomer_times_out);
        $case!(a_crowd_of_newcomers_is_put_off);
        $case!(bad_greetings_are_refused);
        $case!(oversized_frames_are_refused);
        $case!(half_a_message_is_refused);
        $case!(unknown_streams_are_refused);
        $case!(channels_are_bounded);
        $case!(random_datagrams_are_dropped_and_counted);
    };
}
