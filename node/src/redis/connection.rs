//! One connection's task: reads, has the session answer, writes once for each batch of replies.
//!
//! No request is read while replies wait to be taken, so a client that does not read stops being served.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Door;
use super::clients::Client;
use super::parser::Parser;
use super::session::{Batch, Session};
use super::stats::RedisStats;

/// After so much silence the kernel asks whether the client is still there.
pub(super) const KEEPALIVE: Duration = Duration::from_secs(300);
/// How long a client may leave its replies untaken before it is cut off.
const WRITE_LIMIT: Duration = Duration::from_secs(60);

/// Room for one read of a client that sends little at a time, in bytes; there may be ten thousand of them.
const READ_BYTES_SMALL: usize = 4 * 1024;
/// Room for one read of a client that fills the small one, in bytes.
const READ_BYTES: usize = 64 * 1024;
/// Capacity that a connection's empty buffer may keep, in bytes.
const BUFFER_BYTES_KEPT: usize = 256 * 1024;

/// Tells a client that too many are connected. Never waits: what the socket does not take is lost.
pub(super) fn turn_away(stream: &TcpStream) {
    let _ = SockRef::from(stream).send(b"-ERR max number of clients reached\r\n");
}

/// A connection's entry in the list of clients; leaves it when its task ends, however it ends.
pub(super) struct Admitted {
    door: Arc<Door>,
    client: Arc<Client>,
}

impl Admitted {
    pub(super) fn new(door: &Arc<Door>, stream: &TcpStream, peer: SocketAddr) -> Self {
        let local = stream.local_addr().unwrap_or(door.local_addr);
        let client = door.clients.add(peer, local, Instant::now());
        RedisStats::add(&door.stats.connections, 1);
        RedisStats::add(&door.stats.connections_open, 1);
        Self { door: Arc::clone(door), client }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.door.clients.remove(self.client.id);
        self.door.stats.close_one();
    }
}

/// Serves one connection to its end.
pub(super) async fn serve(admitted: Admitted, stream: TcpStream, stop: CancellationToken) {
    let session = Session::new(Arc::clone(&admitted.door), Arc::clone(&admitted.client));
    if let Err(error) = converse(session, stream, &stop).await {
        tracing::trace!(client = admitted.client.id, %error, "a Redis connection broke");
    }
}

async fn converse(mut session: Session, mut stream: TcpStream, stop: &CancellationToken) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
    let stopped = stop.cancelled();
    tokio::pin!(stopped);
    let (mut parser, mut input, mut output) = (Parser::default(), BytesMut::new(), BytesMut::new());
    let mut read_bytes = READ_BYTES_SMALL;
    loop {
        // Small reads reuse the buffer; a long request doubles it as its bytes arrive.
        input.reserve(read_bytes);
        let room = input.capacity() - input.len();
        let read = tokio::select! {
            biased;
            () = &mut stopped => return Ok(()),
            read = stream.read_buf(&mut input) => read?,
        };
        if read == 0 {
            return Ok(());
        }
        if read == room {
            read_bytes = READ_BYTES;
        }
        loop {
            let batch = session.answer(&mut parser, &mut input, &mut output);
            if batch == Batch::Unconfirmed {
                session.confirm(&mut output).await;
                continue;
            }
            write(&mut stream, &mut output).await?;
            match batch {
                Batch::Drained => break,
                Batch::Full | Batch::Unconfirmed => {}
                Batch::Lacking => session.prepare().await,
                Batch::Waits => {
                    tokio::select! {
                        biased;
                        () = &mut stopped => return Ok(()),
                        () = session.wait(&mut output) => {}
                        () = gone(&stream) => return Ok(()),
                    }
                }
                Batch::Closing => return close(stream).await,
            }
        }
        if input.is_empty() && input.capacity() > BUFFER_BYTES_KEPT {
            input = BytesMut::new();
        }
    }
}

/// Returns when the client has closed the connection, whatever it sent before.
async fn gone(stream: &TcpStream) {
    const LOOK_AGAIN: Duration = Duration::from_secs(1);
    while let Ok(ready) = stream.ready(Interest::READABLE).await
        && !ready.is_read_closed()
    {
        sleep(LOOK_AGAIN).await;
    }
}

/// Writes all of `output` and leaves it empty.
async fn write(stream: &mut TcpStream, output: &mut BytesMut) -> io::Result<()> {
    let mut rest = &output[..];
    while rest.has_remaining() {
        timeout(WRITE_LIMIT, stream.write_buf(&mut rest)).await.map_err(|_| io::ErrorKind::TimedOut)??;
    }
    output.clear();
    if output.capacity() > BUFFER_BYTES_KEPT {
        *output = BytesMut::new();
    }
    Ok(())
}

/// Ends a connection so that the last reply arrives: to close with bytes unread would reset it.
async fn close(mut stream: TcpStream) -> io::Result<()> {
    const LINGER: Duration = Duration::from_secs(1);
    const LINGER_BYTES: usize = 1024 * 1024;
    stream.shutdown().await?;
    let mut scrap = [0; 4096];
    let drain = async {
        let mut drained = 0;
        while drained < LINGER_BYTES {
            match stream.read(&mut scrap).await? {
                0 => break,
                read => drained += read,
            }
        }
        Ok(())
    };
    timeout(LINGER, drain).await.unwrap_or(Ok(()))
}
