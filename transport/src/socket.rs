//! The UDP socket under QUIC: opening a real one, and a wrapper around any that counts, filters and can be shut.
//!
//! What is filtered is decided in `datagram`.

use crate::datagram::{Addresses, Looks, can_open, looks};
use crate::error::OpenError;
use crate::stats::{Counters, Reason, add};
use parking_lot::RwLock;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Runtime, UdpPoller};
use socket2::{Domain, Protocol, Socket, Type};
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use tokio::time::Instant;

/// Opens a UDP socket on `addr` with buffers of `buffer_bytes` each way, and warns if the kernel gives less.
pub(crate) fn open_udp(
    addr: SocketAddr,
    buffer_bytes: usize,
    runtime: &dyn Runtime,
) -> Result<Arc<dyn AsyncUdpSocket>, OpenError> {
    let bind = |source| OpenError::Bind { addr, source };
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP)).map_err(bind)?;
    if addr.is_ipv6() && addr.ip().is_unspecified() {
        // Some systems cannot serve both IP versions on one socket; IPv6 alone is then what was asked for.
        let _ = socket.set_only_v6(false);
    }
    for (what, sysctl, given) in [
        (
            "receive",
            "net.core.rmem_max",
            socket.set_recv_buffer_size(buffer_bytes).and_then(|()| socket.recv_buffer_size()),
        ),
        (
            "send",
            "net.core.wmem_max",
            socket.set_send_buffer_size(buffer_bytes).and_then(|()| socket.send_buffer_size()),
        ),
    ] {
        // Linux reports twice what it grants, to account for its own bookkeeping.
        let given = given.map_or(0, |bytes| if cfg!(target_os = "linux") { bytes / 2 } else { bytes });
        if given < buffer_bytes {
            tracing::warn!(
                wanted_bytes = buffer_bytes,
                given_bytes = given,
                "the kernel clamps the UDP {what} buffer, which costs throughput: raise {sysctl}"
            );
        }
    }
    socket.bind(&addr.into()).map_err(bind)?;
    socket.set_nonblocking(true).map_err(OpenError::Socket)?;
    runtime.wrap_udp_socket(socket.into()).map_err(OpenError::Socket)
}

/// Counts what passes, drops what cannot be QUIC before anything answers it, and can be shut at once.
pub(crate) struct CountingSocket {
    /// Gone once shut, so that the port is free whoever still holds a handle.
    inner: RwLock<Option<Arc<dyn AsyncUdpSocket>>>,
    local_addr: SocketAddr,
    max_transmit_segments: usize,
    max_receive_segments: usize,
    may_fragment: bool,
    /// Whether the last send found the socket full: only then is its writability worth asking for.
    full: AtomicBool,
    counters: Arc<Counters>,
    addresses: Arc<Addresses>,
}

impl CountingSocket {
    pub(crate) fn new(
        inner: Arc<dyn AsyncUdpSocket>,
        counters: Arc<Counters>,
        addresses: Arc<Addresses>,
    ) -> io::Result<Arc<Self>> {
        Ok(Arc::new(CountingSocket {
            local_addr: inner.local_addr()?,
            max_transmit_segments: inner.max_transmit_segments(),
            max_receive_segments: inner.max_receive_segments(),
            may_fragment: inner.may_fragment(),
            inner: RwLock::new(Some(inner)),
            full: AtomicBool::new(false),
            counters,
            addresses,
        }))
    }

    /// From now on nothing is sent and nothing arrives; the port is free.
    pub(crate) fn shut(&self) {
        let inner = self.inner.write().take();
        drop(inner);
    }

    /// Removes from `buffer` the datagrams that must not reach QUIC; returns how many bytes are left.
    fn filter(&self, buffer: &mut [u8], meta: &RecvMeta, now: Instant) -> usize {
        let filled = meta.len.min(buffer.len());
        let stride = if meta.stride == 0 { filled } else { meta.stride };
        let (mut from, mut kept) = (0, 0);
        let known = self.addresses.know(meta.addr, now);
        while from < filled {
            let to = filled.min(from + stride);
            add(&self.counters.datagrams_in, 1);
            let datagram = &buffer[from..to];
            let pass = match looks(datagram) {
                Looks::Malformed => false,
                Looks::Initial => known || can_open(datagram),
                Looks::Established => {
                    if !known {
                        // It passes all the same: quinn tells the sender that its connection is gone.
                        self.counters.refuse(
                            Reason::StrayDatagram,
                            meta.addr,
                            "no connection is held with it",
                        );
                    }
                    true
                }
            };
            if pass {
                // Datagrams of one buffer have equal lengths but for the last, so what is kept stays aligned.
                buffer.copy_within(from..to, kept);
                kept += to - from;
            } else {
                self.counters.refuse(
                    Reason::MalformedDatagram,
                    meta.addr,
                    "a datagram that is not QUIC version 1",
                );
            }
            from = to;
        }
        add(&self.counters.bytes_in, filled);
        kept
    }
}

impl AsyncUdpSocket for CountingSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Poller { socket: self, waiting: None })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let inner = self.inner.read();
        let Some(inner) = inner.as_ref() else {
            return Ok(());
        };
        let sent = inner.try_send(transmit);
        match &sent {
            Ok(()) => {
                let bytes = transmit.contents.len();
                let datagrams = transmit.segment_size.map_or(1, |segment| bytes.div_ceil(segment.max(1)));
                add(&self.counters.datagrams_out, datagrams);
                add(&self.counters.bytes_out, bytes);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.full.store(true, Ordering::Release);
            }
            Err(_) => {}
        }
        sent
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let inner = self.inner.read();
        let Some(inner) = inner.as_ref() else {
            return Poll::Pending;
        };
        let count = ready!(inner.poll_recv(cx, bufs, meta))?;
        let now = Instant::now();
        for (buffer, meta) in bufs.iter_mut().zip(meta).take(count) {
            // A length of zero tells quinn that there is nothing in this buffer.
            meta.len = self.filter(buffer, meta, now);
        }
        Poll::Ready(Ok(count))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local_addr)
    }

    fn max_transmit_segments(&self) -> usize {
        self.max_transmit_segments
    }

    fn max_receive_segments(&self) -> usize {
        self.max_receive_segments
    }

    fn may_fragment(&self) -> bool {
        self.may_fragment
    }
}

impl fmt::Debug for CountingSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CountingSocket").field("local_addr", &self.local_addr).finish_non_exhaustive()
    }
}

/// Waits for room in the socket. Holds the real socket's poller only while it waits.
#[derive(Debug)]
struct Poller {
    socket: Arc<CountingSocket>,
    waiting: Option<Pin<Box<dyn UdpPoller>>>,
}

impl UdpPoller for Poller {
    fn poll_writable(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.socket.full.load(Ordering::Acquire) {
            this.waiting = None;
            return Poll::Ready(Ok(()));
        }
        let Some(inner) = this.socket.inner.read().clone() else {
            this.waiting = None;
            return Poll::Pending;
        };
        let waiting = this.waiting.get_or_insert_with(|| inner.create_io_poller());
        let writable = ready!(waiting.as_mut().poll_writable(cx));
        this.waiting = None;
        this.socket.full.store(false, Ordering::Release);
        Poll::Ready(writable)
    }
}
