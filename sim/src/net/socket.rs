//! The seam to quinn: a socket on the simulated network, and a time for TLS. Timers need no seam: quinn's own
//! runtime for tokio follows the paused clock.

use std::future::poll_fn;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, TokioRuntime, UdpPoller};
use rumour_transport::Binding;
use rustls::pki_types::UnixTime;
use tokio::time::Instant;

use super::Network;
use super::core::SocketId;

/// A UDP socket on the simulated network. Dropping it frees its address.
#[derive(Debug)]
pub struct SimSocket {
    network: Network,
    id: SocketId,
}

impl SimSocket {
    pub(super) fn new(network: Network, id: SocketId) -> Self {
        Self { network, id }
    }

    /// The address it holds, or held until it was killed.
    pub fn address(&self) -> SocketAddr {
        self.id.address
    }

    /// What a transport needs to run over this socket.
    pub fn into_binding(self) -> Binding {
        Binding::Custom {
            socket: Arc::new(self),
            runtime: Arc::new(TokioRuntime),
            tls_time: Arc::new(FixedTime),
            quinn_time: Arc::new(FixedTime),
        }
    }

    /// Sends one datagram. As with UDP there is no telling whether it arrives.
    pub fn send(&self, to: SocketAddr, payload: Bytes) {
        let shared = &self.network.shared;
        let mut core = shared.core.lock();
        let before = core.next_deadline();
        core.send(Instant::now(), self.id, to, payload);
        if core.next_deadline() != before {
            shared.earlier.notify_one();
        }
    }

    /// Waits for the next datagram and its sender; for ever, once the socket was killed.
    ///
    /// One reader at a time. Cancel safe.
    pub async fn receive(&self) -> (SocketAddr, Bytes) {
        poll_fn(|cx| self.poll_receive(cx)).await
    }

    fn poll_receive(&self, cx: &Context<'_>) -> Poll<(SocketAddr, Bytes)> {
        self.network.shared.core.lock().poll_receive(self.id, cx)
    }
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        self.network.shared.core.lock().unbind(self.id);
    }
}

impl AsyncUdpSocket for SimSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let datagram_bytes = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        for datagram in transmit.contents.chunks(datagram_bytes) {
            self.send(transmit.destination, Bytes::copy_from_slice(datagram));
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut received = 0;
        for (buffer, meta) in buffers.iter_mut().zip(meta) {
            let Poll::Ready((from, datagram)) = self.poll_receive(cx) else { break };
            // A datagram longer than the buffer is cut, as a kernel does.
            let bytes = datagram.len().min(buffer.len());
            buffer[..bytes].copy_from_slice(&datagram[..bytes]);
            *meta = RecvMeta { addr: from, len: bytes, stride: bytes, ecn: None, dst_ip: None };
            received += 1;
        }
        if received == 0 { Poll::Pending } else { Poll::Ready(Ok(received)) }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.id.address)
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

/// UDP never makes a sender wait here: what does not fit is dropped and counted.
#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The time that TLS and QUIC tokens see. It stands still: certificates must not expire in a long run.
#[derive(Debug, Default, Clone, Copy)]
pub struct FixedTime;

impl FixedTime {
    /// January 2027, and the wall time at which every run begins. Seconds since the Unix epoch.
    pub const UNIX_SECONDS: u64 = 1_800_000_000;
}

impl rustls::time_provider::TimeProvider for FixedTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(Self::UNIX_SECONDS)))
    }
}

impl quinn::TimeSource for FixedTime {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(Self::UNIX_SECONDS)
    }
}
