//! Nodes with certificates of an operator's own CA, over real UDP.

use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rumour_transport::{
    Binding, BoxFuture, DialError, FrameReceiver, FrameSender, Handler, Identity, Peer, PeerInfo, Refusal,
    RequestRefused, Transport, TransportConfig,
};
use std::sync::Arc;
use std::time::Duration;

struct Echo;

impl Handler for Echo {
    fn admit(&self, _peer: PeerInfo) -> BoxFuture<'static, Result<(), Refusal>> {
        Box::pin(async { Ok(()) })
    }

    fn connected(&self, _peer: Peer) {}

    fn disconnected(&self, _peer: PeerInfo, _reason: String) {}

    fn gossip(&self, _from: PeerInfo, _body: Bytes) {}

    fn request(
        &self,
        _from: PeerInfo,
        _kind: u8,
        body: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, RequestRefused>> {
        Box::pin(async { Ok(body) })
    }

    fn channel(&self, _from: PeerInfo, _tx: FrameSender, _rx: FrameReceiver) {}
}

/// An authority, and another under it that issues the nodes' certificates.
struct Authorities {
    root_pem: String,
    intermediate_pem: String,
    params: CertificateParams,
    key: KeyPair,
}

fn authorities() -> Authorities {
    let ca = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params, KeyPair::generate().expect("a key pair"))
    };
    let ((root, root_key), (params, key)) = (ca("root"), ca("intermediate"));
    let root_pem = root.self_signed(&root_key).expect("a certificate").pem();
    let intermediate_pem =
        params.signed_by(&key, &Issuer::from_params(&root, &root_key)).expect("a certificate").pem();
    Authorities { root_pem, intermediate_pem, params, key }
}

impl Authorities {
    fn open(&self, name: &str) -> Transport {
        let key = KeyPair::generate().expect("a key pair");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a DNS name");
        let leaf = params
            .signed_by(&key, &Issuer::from_params(&self.params, &self.key))
            .expect("a certificate")
            .pem();
        let chain = format!("{leaf}{}", self.intermediate_pem);
        let identity = Identity::from_pem(
            &name.parse().expect("a node name"),
            chain.as_bytes(),
            key.serialize_pem().as_bytes(),
            self.root_pem.as_bytes(),
        );
        let anywhere = "127.0.0.1:0".parse().expect("an address");
        let config = TransportConfig::new(
            identity.expect("an identity"),
            Default::default(),
            anywhere,
            Binding::Udp(anywhere),
        );
        Transport::open(config.started(1, 1), Arc::new(Echo)).expect("the transport opens")
    }
}

#[tokio::test]
async fn members_of_one_authority_meet_and_strangers_do_not() {
    let ours = authorities();
    let (a, b) = (ours.open("a"), ours.open("b.example.org"));
    let peer = a.dial(b.info().addr).await.unwrap();
    assert_eq!(peer.node().as_str(), "b.example.org");
    let reply = peer.request(0, Bytes::from_static(b"hello"), Duration::from_secs(5)).await;
    assert_eq!(reply.unwrap(), "hello");

    let stranger = authorities().open("c");
    assert_eq!(stranger.dial(b.info().addr).await.unwrap_err(), DialError::UnknownCertificate);
    assert_eq!(a.dial(stranger.info().addr).await.unwrap_err(), DialError::UnknownCertificate);
    assert_eq!(a.stats().refused.unknown_certificate, 1);
    assert!(peer.is_open());
}
