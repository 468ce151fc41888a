//! The transport's contract on a paused clock, on one thread, over datagrams that never leave the process.

use parking_lot::Mutex;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use rumour_transport::Binding;
use rumour_transport::contract::{self, Network};
use rustls::pki_types::UnixTime;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Delivers every datagram after a millisecond.
#[derive(Debug, Clone, Default)]
struct Memory(Arc<Mutex<BTreeMap<SocketAddr, Inbox>>>);

#[derive(Debug, Default)]
struct Inbox {
    datagrams: VecDeque<(SocketAddr, Vec<u8>)>,
    waker: Option<Waker>,
}

#[derive(Debug)]
struct MemorySocket {
    network: Memory,
    addr: SocketAddr,
}

impl Network for Memory {
    async fn endpoint(&self, n: usize) -> (Binding, SocketAddr) {
        let addr = SocketAddr::from(([10, 0, 0, 1], 7400 + n as u16));
        assert!(
            self.0.lock().insert(addr, Inbox::default()).is_none(),
            "the former holder of {addr} let go of it"
        );
        let binding = Binding::Custom {
            socket: Arc::new(MemorySocket { network: self.clone(), addr }),
            runtime: Arc::new(quinn::TokioRuntime),
            tls_time: Arc::new(FixedTime),
            quinn_time: Arc::new(FixedTime),
        };
        (binding, addr)
    }
}

impl Drop for MemorySocket {
    fn drop(&mut self) {
        self.network.0.lock().remove(&self.addr);
    }
}

impl AsyncUdpSocket for MemorySocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let (network, from, to) = (self.network.clone(), self.addr, transmit.destination);
        let datagram = transmit.contents.to_vec();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            if let Some(inbox) = network.0.lock().get_mut(&to) {
                inbox.datagrams.push_back((from, datagram));
                if let Some(waker) = inbox.waker.take() {
                    waker.wake();
                }
            }
        });
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut inboxes = self.network.0.lock();
        let inbox = inboxes.get_mut(&self.addr).expect("a bound socket");
        let Some((from, datagram)) = inbox.datagrams.pop_front() else {
            inbox.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let length = datagram.len().min(bufs[0].len());
        bufs[0][..length].copy_from_slice(&datagram[..length]);
        meta[0] = RecvMeta { addr: from, len: length, stride: length, ..RecvMeta::default() };
        Poll::Ready(Ok(1))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

#[derive(Debug)]
struct Writable;

impl UdpPoller for Writable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[derive(Debug)]
struct FixedTime;

const SINCE_1970: Duration = Duration::from_secs(1_800_000_000);

impl rustls::time_provider::TimeProvider for FixedTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(SINCE_1970))
    }
}

impl quinn::TimeSource for FixedTime {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + SINCE_1970
    }
}

macro_rules! case {
    ($name:ident) => {
        #[tokio::test(start_paused = true)]
        async fn $name() {
            contract::$name(&Memory::default()).await;
        }
    };
}
rumour_transport::contract_cases!(case);
