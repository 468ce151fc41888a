//! Endpoints that do not keep to the rules: quinn by hand, with whatever papers and words a case needs.

use super::Network;
use super::node::{PATIENCE, Setup, identity, node_id};
use crate::codec;
use crate::frame::header;
use crate::hello::{Hello, PeerInfo, Reply};
use crate::identity::Identity;
use crate::stream::FrameReceiver;
use crate::tasks::Tasks;
use crate::tls::{Protocols, SERVER_NAME, Tls, provider};
use crate::transport::{Bound, bind};
use bytes::Bytes;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::udp::Transmit;
use quinn::{AsyncUdpSocket, ClientConfig, Connection, ConnectionError, Endpoint, EndpointConfig};
use rustls::DigitallySignedStruct;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::DefaultTimeProvider;
use std::net::SocketAddr;
use std::sync::Arc;

pub(super) struct Stranger {
    endpoint: Endpoint,
    client: ClientConfig,
    tasks: Tasks,
    pub(super) addr: SocketAddr,
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.tasks.end();
    }
}

impl Stranger {
    /// Shows `papers`, if any, believes everybody, and asks for `protocol`.
    pub(super) async fn open(
        network: &impl Network,
        place: usize,
        papers: Option<&Identity>,
        protocol: &str,
    ) -> Stranger {
        let (binding, addr) = network.endpoint(place).await;
        let tasks = Tasks::default();
        let Bound { socket, runtime, tls_time } = bind(&binding, 1 << 16, &tasks).expect("a socket");
        let builder = rustls::ClientConfig::builder_with_details(
            provider(),
            tls_time.clone().unwrap_or_else(|| Arc::new(DefaultTimeProvider)),
        )
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous));
        let mut client = match papers {
            None => builder.with_no_client_auth(),
            Some(papers) => builder
                .with_client_auth_cert(papers.chain().to_vec(), papers.private_key())
                .expect("usable papers"),
        };
        client.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let client = QuicClientConfig::try_from(client).expect("a QUIC configuration");
        let server = papers.map(|papers| {
            let protocols = Protocols::new(&Setup::default().cluster, Setup::default().protocol_version);
            let (server, _) =
                Tls::new(papers, protocols, tls_time).and_then(|tls| tls.server()).expect("usable papers");
            quinn::ServerConfig::with_crypto(server)
        });
        let endpoint = Endpoint::new_with_abstract_socket(EndpointConfig::default(), server, socket, runtime);
        Stranger {
            endpoint: endpoint.expect("an endpoint"),
            client: ClientConfig::new(Arc::new(client)),
            tasks,
            addr,
        }
    }

    /// A member of the cluster, as far as its papers go.
    pub(super) async fn member(network: &impl Network, place: usize, name: &str) -> Stranger {
        let setup = Setup::default();
        Stranger::open(network, place, Some(&identity(&setup, name)), "rumour/rumour/2").await
    }

    pub(super) async fn connect(&self, to: SocketAddr) -> Result<Connection, ConnectionError> {
        self.endpoint.connect_with(self.client.clone(), to, SERVER_NAME).expect("an address").await
    }

    /// What comes of an attempt that must fail, on this side of the handshake or just after it.
    pub(super) async fn rejected(&self, to: SocketAddr) -> ConnectionError {
        match self.connect(to).await {
            Err(error) => error,
            Ok(connection) => {
                tokio::time::timeout(PATIENCE, connection.closed()).await.expect("the end of it")
            }
        }
    }

    pub(super) fn hello(&self, name: &str) -> Hello {
        let info = PeerInfo { node: node_id(name), incarnation: 77, started_ms: 0, addr: self.addr };
        Hello { info, holds: None }
    }

    /// Connects and says `greeting`, byte for byte, on the first stream; the reply, if there is one.
    pub(super) async fn greet(&self, to: SocketAddr, greeting: &[u8]) -> (Connection, Option<Reply>) {
        let connection = self.connect(to).await.expect("a handshake");
        let (mut tx, rx) = connection.open_bi().await.expect("a stream");
        tx.write_all(greeting).await.expect("written");
        let _ = tx.finish();
        let mut rx = FrameReceiver::new(rx, 4096, None, to);
        let reply = rx.recv().await.ok().flatten().and_then(|frame| codec::decode(&frame.body).ok());
        (connection, reply)
    }

    /// A connection that is greeted as it should be.
    pub(super) async fn join(&self, to: SocketAddr, name: &str) -> Connection {
        let (connection, reply) =
            self.greet(to, &framed(0, &codec::encode(&self.hello(name)).expect("encoded"))).await;
        assert!(matches!(reply, Some(Reply::Welcome(_))), "{reply:?}");
        connection
    }

    /// Answers the next dial with `reply`, whoever asks.
    pub(super) async fn answer(&self, reply: &Reply) {
        let incoming = self.endpoint.accept().await.expect("a dial");
        let connection = incoming.await.expect("a handshake");
        let (mut tx, _rx) = connection.accept_bi().await.expect("a greeting");
        let body = codec::encode(reply).expect("encoded");
        tx.write_all(&framed(0, &body)).await.expect("written");
        let _ = tx.finish();
        tokio::time::timeout(PATIENCE, connection.closed()).await.expect("the dialer hangs up");
    }
}

/// One frame as it should be.
pub(super) fn framed(kind: u8, body: &Bytes) -> Vec<u8> {
    let mut bytes = header(kind, body.len()).expect("a short body").to_vec();
    bytes.extend_from_slice(body);
    bytes
}

/// A bare socket that sends whatever it is told to.
pub(super) struct Noise {
    socket: Arc<dyn AsyncUdpSocket>,
}

impl Noise {
    pub(super) async fn open(network: &impl Network, place: usize) -> Noise {
        let (binding, _) = network.endpoint(place).await;
        let Bound { socket, .. } = bind(&binding, 1 << 16, &Tasks::default()).expect("a socket");
        Noise { socket }
    }

    pub(super) async fn send(&self, to: SocketAddr, datagram: &[u8]) {
        let transmit =
            Transmit { destination: to, ecn: None, contents: datagram, segment_size: None, src_ip: None };
        let mut poller = self.socket.clone().create_io_poller();
        loop {
            std::future::poll_fn(|cx| poller.as_mut().poll_writable(cx))
                .await
                .expect("a socket that can be written");
            match self.socket.try_send(&transmit) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                _ => return,
            }
        }
    }
}

/// Believes every certificate.
#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
