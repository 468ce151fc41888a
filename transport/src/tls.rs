//! How two nodes prove themselves to each other: TLS 1.3 with certificates on both sides, nothing less.
//!
//! No session resumption, no 0-RTT, no ticket: every connection is a full handshake. What a failed handshake is
//! counted as is decided in `refusal`.

use crate::error::IdentityError;
use crate::id::{ClusterName, NodeId};
use crate::identity::{Identity, named_node};
use crate::stats::Reason;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use std::sync::{Arc, OnceLock};

/// The version of everything that passes between nodes.
pub const PROTOCOL_VERSION: u16 = 1;

/// Names nobody: a dialer does not know whom it will meet, and server names are not sent.
pub(crate) const SERVER_NAME: &str = "rumour";

/// The TLS side of one endpoint.
pub(crate) struct Tls {
    client: Arc<QuicClientConfig>,
    server: ServerConfig,
    key: Arc<CertifiedKey>,
    protocols: Protocols,
}

/// The protocol names that a node offers and accepts, best first.
#[derive(Debug, Clone)]
pub(crate) struct Protocols {
    cluster_prefix: Vec<u8>,
    offered: Vec<(u16, Vec<u8>)>,
}

/// What a handshake that this node answers was about, as far as its first message told.
pub(crate) type Note = Arc<OnceLock<Reason>>;

impl Tls {
    pub(crate) fn new(
        identity: &Identity,
        protocols: Protocols,
        time: Option<Arc<dyn TimeProvider>>,
    ) -> Result<Tls, IdentityError> {
        let time = time.unwrap_or_else(|| Arc::new(DefaultTimeProvider));
        let key = Arc::new(identity.certified_key()?);
        let note = Note::default();
        let resolver = Resolver { key: key.clone(), protocols: protocols.clone(), note };
        Ok(Tls {
            client: Arc::new(client(identity, &protocols, time.clone())?),
            server: server(identity, &protocols, time, resolver)?,
            key,
            protocols,
        })
    }

    pub(crate) fn client(&self) -> Arc<QuicClientConfig> {
        self.client.clone()
    }

    /// The configuration to answer one handshake with, and where it notes what that handshake was about.
    pub(crate) fn server(&self) -> Result<(Arc<QuicServerConfig>, Note), IdentityError> {
        let note = Note::default();
        let mut config = self.server.clone();
        config.cert_resolver = Arc::new(Resolver {
            key: self.key.clone(),
            protocols: self.protocols.clone(),
            note: note.clone(),
        });
        Ok((Arc::new(QuicServerConfig::try_from(config).map_err(unusable)?), note))
    }

    /// The protocol version that both ends agreed on.
    pub(crate) fn agreed_version(&self, connection: &quinn::Connection) -> Option<u16> {
        let data = connection.handshake_data()?.downcast::<quinn::crypto::rustls::HandshakeData>().ok()?;
        self.protocols.version(&data.protocol?)
    }
}

impl Protocols {
    /// `version` and, unless it is the first, the one before it.
    pub(crate) fn new(cluster: &ClusterName, version: u16) -> Protocols {
        let cluster_prefix = format!("rumour/{cluster}/").into_bytes();
        let offered = [Some(version), version.checked_sub(1).filter(|previous| *previous > 0)]
            .into_iter()
            .flatten()
            .map(|version| (version, format!("rumour/{cluster}/{version}").into_bytes()))
            .collect();
        Protocols { cluster_prefix, offered }
    }

    fn names(&self) -> Vec<Vec<u8>> {
        self.offered.iter().map(|(_, name)| name.clone()).collect()
    }

    fn version(&self, name: &[u8]) -> Option<u16> {
        self.offered.iter().find(|(_, offered)| offered == name).map(|(version, _)| *version)
    }

    /// Why nothing in `theirs` will do, or `None` if something will.
    fn judge(&self, theirs: &[&[u8]]) -> Option<Reason> {
        if theirs.iter().any(|name| self.version(name).is_some()) {
            None
        } else if theirs.iter().any(|name| name.starts_with(&self.cluster_prefix)) {
            Some(Reason::WrongVersion)
        } else if theirs.iter().any(|name| name.starts_with(b"rumour/")) {
            Some(Reason::WrongCluster)
        } else {
            Some(Reason::ForeignProtocol)
        }
    }
}

/// An error if peers that trust the same authorities would not accept `identity`, in either role, at this time.
pub(crate) fn check(identity: &Identity) -> Result<(), IdentityError> {
    let protocols = Protocols::new(&ClusterName::default(), PROTOCOL_VERSION);
    Tls::new(identity, protocols, None)?;
    let now = DefaultTimeProvider.current_time().ok_or_else(|| unusable("the system has no time"))?;
    let (leaf, intermediates) = identity.chain().split_first().ok_or(IdentityError::Certificate)?;
    let anybody = ServerName::try_from(SERVER_NAME).map_err(unusable)?;
    server_verifier(identity)?
        .verify_server_cert(leaf, intermediates, &anybody, &[], now)
        .map_err(|error| unusable(format!("as a server's certificate: {error}")))?;
    client_verifier(identity)?
        .verify_client_cert(leaf, intermediates, now)
        .map_err(|error| unusable(format!("as a client's certificate: {error}")))?;
    Ok(())
}

/// The node that the peer's certificate names. The handshake has verified the certificate.
pub(crate) fn certified_node(connection: &quinn::Connection) -> Option<NodeId> {
    let chain = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    named_node(chain.first()?)
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    use rustls::crypto::ring::{cipher_suite, default_provider, kx_group};
    Arc::new(CryptoProvider {
        // AES-128 first: work per packet is what limits throughput, and it is the cheapest.
        cipher_suites: vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![kx_group::X25519],
        ..default_provider()
    })
}

fn client(
    identity: &Identity,
    protocols: &Protocols,
    time: Arc<dyn TimeProvider>,
) -> Result<QuicClientConfig, IdentityError> {
    let mut config = ClientConfig::builder_with_details(provider(), time)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(unusable)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(server_verifier(identity)?))
        .with_client_auth_cert(identity.chain().to_vec(), identity.private_key())
        .map_err(unusable)?;
    config.alpn_protocols = protocols.names();
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    QuicClientConfig::try_from(config).map_err(unusable)
}

fn server(
    identity: &Identity,
    protocols: &Protocols,
    time: Arc<dyn TimeProvider>,
    resolver: Resolver,
) -> Result<ServerConfig, IdentityError> {
    let mut config = ServerConfig::builder_with_details(provider(), time)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(unusable)?
        .with_client_cert_verifier(client_verifier(identity)?)
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = protocols.names();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

fn server_verifier(identity: &Identity) -> Result<AnyMember, IdentityError> {
    let builder = WebPkiServerVerifier::builder_with_provider(roots(identity)?, provider());
    Ok(AnyMember(builder.build().map_err(unusable)?))
}

fn client_verifier(identity: &Identity) -> Result<Arc<dyn ClientCertVerifier>, IdentityError> {
    WebPkiClientVerifier::builder_with_provider(roots(identity)?, provider()).build().map_err(unusable)
}

fn roots(identity: &Identity) -> Result<Arc<RootCertStore>, IdentityError> {
    let mut roots = RootCertStore::empty();
    for root in identity.roots() {
        roots.add(root.clone()).map_err(|_| IdentityError::Authority)?;
    }
    Ok(Arc::new(roots))
}

#[allow(clippy::needless_pass_by_value, reason = "it stands in map_err")]
fn unusable(error: impl ToString) -> IdentityError {
    IdentityError::Unusable(error.to_string())
}

/// Accepts every member of the cluster: the chain must lead to a trusted root, and the name may be any that can name
/// a node, since a dialer knows an address only. Who it is gets compared with the greeting.
#[derive(Debug)]
struct AnyMember(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyMember {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let bad_name = || rustls::CertificateError::NotValidForName;
        let node = named_node(end_entity).ok_or_else(bad_name)?;
        let name = ServerName::try_from(node.as_str()).map_err(|_| bad_name())?;
        self.0.verify_server_cert(end_entity, intermediates, &name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::PeerIncompatible(rustls::PeerIncompatible::Tls13RequiredForQuic))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Hands out the node's certificate. It sees the protocols a dialer offers just before rustls fails on them, with one
/// and the same alert for all causes.
#[derive(Debug)]
struct Resolver {
    key: Arc<CertifiedKey>,
    protocols: Protocols,
    note: Note,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let theirs: Vec<&[u8]> = hello.alpn().map_or_else(Vec::new, Iterator::collect);
        if let Some(reason) = self.protocols.judge(&theirs) {
            // A second ClientHello of one handshake repeats the first one's offer.
            let _ = self.note.set(reason);
        }
        Some(self.key.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(version: u16, theirs: &[&str]) -> Option<Reason> {
        let protocols = Protocols::new(&"prod".parse().unwrap(), version);
        let theirs: Vec<&[u8]> = theirs.iter().map(|name| name.as_bytes()).collect();
        protocols.judge(&theirs)
    }

    #[test]
    fn the_current_and_the_previous_version_are_offered() {
        let names = |version| {
            let names = Protocols::new(&ClusterName::default(), version).names();
            names.into_iter().map(|name| String::from_utf8(name).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(names(1), ["rumour/rumour/1"]);
        assert_eq!(names(7), ["rumour/rumour/7", "rumour/rumour/6"]);
    }

    #[test]
    fn what_a_dialer_offers_tells_why_it_is_refused() {
        assert_eq!(judged(3, &["rumour/prod/3"]), None);
        assert_eq!(judged(3, &["rumour/prod/4", "rumour/prod/3"]), None);
        assert_eq!(judged(3, &["rumour/prod/2"]), None);
        assert_eq!(judged(3, &["rumour/prod/1"]), Some(Reason::WrongVersion));
        assert_eq!(judged(3, &["rumour/prod/9", "rumour/prod/8"]), Some(Reason::WrongVersion));
        assert_eq!(judged(3, &["rumour/prod-eu/3"]), Some(Reason::WrongCluster));
        assert_eq!(judged(3, &["h3"]), Some(Reason::ForeignProtocol));
        assert_eq!(judged(3, &[]), Some(Reason::ForeignProtocol));
    }
}
