//! Who a node is towards its peers: a certificate that names it, the key to prove it, the roots it trusts.
//!
//! Two ways lead here, a shared cluster key and an operator's own CA. How a handshake uses the result is in `tls`.

use crate::error::IdentityError;
use crate::id::NodeId;
use crate::key::{self, ClusterKey};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rcgen::{Issuer, KeyUsagePurpose, PKCS_ED25519, SanType, SerialNumber};
use ring::signature::KeyPair as _;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::sync::Arc;

/// A node's certificate, its private key, the authorities it trusts, and the secrets that follow from them.
///
/// Cheap to clone. `Debug` shows the name only.
#[derive(Clone)]
pub struct Identity(Arc<Parts>);

struct Parts {
    node: NodeId,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: Vec<CertificateDer<'static>>,
    digest_secret: [u8; 32],
    reset_secret: [u8; 32],
}

impl Identity {
    /// The identity of `node` in the cluster of `key`.
    ///
    /// The cluster's authority is derived from the key, so all nodes arrive at the same one; the node's own
    /// certificate, with a fresh Ed25519 key, is issued on the spot and never stored. `serial` tells certificates
    /// of one node apart (its incarnation will do); every field has a fixed length, so that handshakes of two runs have equal sizes.
    ///
    /// # Errors
    /// [`IdentityError::Issue`] when a certificate cannot be made, for want of random numbers.
    pub fn from_cluster_key(key: &ClusterKey, node: &NodeId, serial: u64) -> Result<Identity, IdentityError> {
        let authority = ed25519_from_seed(key.derive(&[b"certificate authority"]))?;
        let authority_params = authority_params();
        let root = authority_params.self_signed(&authority).map_err(issue)?;
        let issuer = Issuer::from_params(&authority_params, &authority);

        let leaf_key = KeyPair::generate_for(&PKCS_ED25519).map_err(issue)?;
        let leaf = leaf_params(node, serial)?.signed_by(&leaf_key, &issuer).map_err(issue)?;
        Ok(Identity(Arc::new(Parts {
            node: node.clone(),
            chain: vec![leaf.der().clone()],
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf_key.serialize_der())),
            roots: vec![root.der().clone()],
            digest_secret: key.derive(&[b"digest"]),
            reset_secret: key.derive(&[b"stateless reset", node.as_str().as_bytes()]),
        })))
    }

    /// The identity of `node` under an authority of the operator's own, from the text of three PEM files.
    ///
    /// `cert_pem` holds the node's certificate and then any intermediate ones; its **first** DNS name must be `node`,
    /// and it must be good for server and client use. `ca_pem` holds the authorities to trust. All nodes
    /// must have the same first certificate in it: the digest secret follows from that one.
    ///
    /// # Errors
    /// Says which of the three files is at fault and what it lacks.
    pub fn from_pem(
        node: &NodeId,
        cert_pem: &[u8],
        key_pem: &[u8],
        ca_pem: &[u8],
    ) -> Result<Identity, IdentityError> {
        let chain = certificates(cert_pem).ok_or(IdentityError::Certificate)?;
        let roots = certificates(ca_pem).ok_or(IdentityError::Authority)?;
        let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(|_| IdentityError::PrivateKey)?;
        let (leaf, first_root) = match (chain.first(), roots.first()) {
            (Some(leaf), Some(root)) => (leaf, root),
            (None, _) => return Err(IdentityError::Certificate),
            (_, None) => return Err(IdentityError::Authority),
        };
        match named_node(leaf) {
            Some(named) if named == *node => {}
            named => return Err(IdentityError::OtherName { node: node.clone(), named }),
        }
        let digest_secret = key::derive(b"rumour own authority v1", first_root, &[b"digest"]);
        let reset_secret = key::derive(b"rumour own authority v1", key.secret_der(), &[b"stateless reset"]);
        let parts = Parts { node: node.clone(), chain, key, roots, digest_secret, reset_secret };
        let identity = Identity(Arc::new(parts));
        identity.certified_key()?.keys_match().map_err(|_| IdentityError::KeyMismatch)?;
        crate::tls::check(&identity)?;
        Ok(identity)
    }

    /// The node this identity belongs to.
    #[must_use]
    pub fn node(&self) -> &NodeId {
        &self.0.node
    }

    /// 32 bytes that all nodes of the cluster share, to key digests with.
    ///
    /// With a cluster key nobody outside can know it. With an authority of one's own it is as public as the
    /// authority's certificate.
    #[must_use]
    pub fn digest_secret(&self) -> [u8; 32] {
        self.0.digest_secret
    }

    /// Keys the tokens by which a restarted node tells peers that their old connections are gone. It depends on what
    /// survives a restart only, and differs between nodes.
    pub(crate) fn reset_secret(&self) -> [u8; 32] {
        self.0.reset_secret
    }

    pub(crate) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.0.chain
    }

    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        self.0.key.clone_key()
    }

    pub(crate) fn roots(&self) -> &[CertificateDer<'static>] {
        &self.0.roots
    }

    pub(crate) fn certified_key(&self) -> Result<CertifiedKey, IdentityError> {
        let key = rustls::crypto::ring::sign::any_supported_type(&self.0.key)
            .map_err(|_| IdentityError::PrivateKey)?;
        Ok(CertifiedKey::new(self.0.chain.clone(), key))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("node", &self.0.node).finish_non_exhaustive()
    }
}

/// The node that a certificate names: its first DNS name, if that can name a node at all.
///
/// Tells nothing about whether the certificate is to be believed.
pub(crate) fn named_node(leaf: &CertificateDer<'_>) -> Option<NodeId> {
    let leaf = webpki::EndEntityCert::try_from(leaf).ok()?;
    let name = leaf.valid_dns_names().next()?;
    name.to_ascii_lowercase().parse().ok()
}

fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()?;
    (!certificates.is_empty()).then_some(certificates)
}

#[allow(clippy::needless_pass_by_value, reason = "it stands in map_err")]
fn issue(error: rcgen::Error) -> IdentityError {
    IdentityError::Issue(error.to_string())
}

fn ed25519_from_seed(seed: [u8; 32]) -> Result<KeyPair, IdentityError> {
    let failed = |what: &dyn fmt::Display| IdentityError::Issue(what.to_string());
    let pair = ring::signature::Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|error| failed(&error))?;
    let public: [u8; 32] = pair.public_key().as_ref().try_into().map_err(|error| failed(&error))?;
    let bytes =
        ed25519::KeypairBytes { secret_key: seed, public_key: Some(ed25519::pkcs8::PublicKeyBytes(public)) };
    let document = ed25519::pkcs8::EncodePrivateKey::to_pkcs8_der(&bytes).map_err(|error| failed(&error))?;
    KeyPair::try_from(&PrivatePkcs8KeyDer::from(document.as_bytes())).map_err(issue)
}

/// The same for every node of every cluster: only the key differs.
fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name("rumour cluster");
    params.serial_number = Some(SerialNumber::from_slice(&[1]));
    // An authority that may issue nodes but no further authorities.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    fixed_validity(&mut params);
    params
}

fn leaf_params(node: &NodeId, serial: u64) -> Result<CertificateParams, IdentityError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name("rumour node");
    params.subject_alt_names = vec![SanType::DnsName(node.as_str().try_into().map_err(issue)?)];
    // A leading 1 keeps the encoded length the same for every serial number.
    let mut bytes = [1; 9];
    bytes[1..].copy_from_slice(&serial.to_be_bytes());
    params.serial_number = Some(SerialNumber::from_slice(&bytes));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    fixed_validity(&mut params);
    Ok(params)
}

/// Wide, because membership ends with the key and not with a date, and a node's clock may be wrong by years.
fn fixed_validity(params: &mut CertificateParams) {
    params.not_before = rcgen::date_time_ymd(1975, 1, 1);
    params.not_after = rcgen::date_time_ymd(4096, 1, 1);
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished_name = DistinguishedName::new();
    distinguished_name.push(DnType::CommonName, name);
    distinguished_name
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
