//! Identities from both sources.

use super::*;
use crate::key::ClusterKey;

fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

/// An operator's authority, as any tool might have made it.
struct Authority {
    params: CertificateParams,
    key: KeyPair,
    pem: String,
}

fn authority() -> Authority {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key).unwrap().pem();
    Authority { params, key, pem }
}

const BOTH: [ExtendedKeyUsagePurpose; 2] =
    [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];

impl Authority {
    /// A certificate and its key, in PEM.
    fn issue(&self, names: &[&str], usages: &[ExtendedKeyUsagePurpose]) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.extended_key_usages = usages.to_vec();
        let issuer = Issuer::from_params(&self.params, &self.key);
        (params.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
    }
}

fn load(name: &str, (cert, key): &(String, String), ca: &str) -> Result<Identity, IdentityError> {
    Identity::from_pem(&node(name), cert.as_bytes(), key.as_bytes(), ca.as_bytes())
}

#[test]
fn all_nodes_derive_one_authority() {
    let key = ClusterKey::from_bytes([3; 32]);
    let a = Identity::from_cluster_key(&key, &node("a"), 1).unwrap();
    let b = Identity::from_cluster_key(&key, &node("b"), 2).unwrap();
    assert_eq!(a.roots(), b.roots());
    assert_eq!(a.digest_secret(), b.digest_secret());
    assert_ne!(a.reset_secret(), b.reset_secret());
    assert_eq!(named_node(&a.chain()[0]), Some(node("a")));
    let other = Identity::from_cluster_key(&ClusterKey::from_bytes([4; 32]), &node("a"), 1).unwrap();
    assert_ne!(a.roots(), other.roots());
    assert_ne!(a.digest_secret(), other.digest_secret());
    assert_ne!(a.reset_secret(), other.reset_secret());
    crate::tls::check(&a).unwrap();
}

#[test]
fn a_restart_keeps_what_resets_are_keyed_by() {
    let key = ClusterKey::from_bytes([3; 32]);
    let secret = |serial| Identity::from_cluster_key(&key, &node("a"), serial).unwrap().reset_secret();
    assert_eq!(secret(1), secret(2));
}

#[test]
fn certificates_have_the_same_length_whatever_the_serial_number_and_key() {
    let length = |seed, serial| {
        let key = ClusterKey::from_bytes([seed; 32]);
        let identity = Identity::from_cluster_key(&key, &node("node-1"), serial).unwrap();
        (identity.chain()[0].len(), identity.roots()[0].len())
    };
    let expected = length(1, 1);
    for serial in [0, 1, 127, 128, 255, 256, u64::MAX / 2, u64::MAX] {
        for seed in 0..8 {
            assert_eq!(length(seed, serial), expected);
        }
    }
}

#[test]
fn an_authority_of_one_s_own_works() {
    let ca = authority();
    let identity = load("a", &ca.issue(&["a", "a.example.org"], &BOTH), &ca.pem).unwrap();
    let sibling = load("b.c", &ca.issue(&["b.c"], &BOTH), &ca.pem).unwrap();
    assert_eq!(identity.digest_secret(), sibling.digest_secret());
    assert_ne!(identity.reset_secret(), sibling.reset_secret());
    assert!(load("a", &ca.issue(&["a"], &[]), &ca.pem).is_ok(), "no usages means all usages");
}

#[test]
fn each_fault_is_named() {
    let ca = authority();
    let good = ca.issue(&["a"], &BOTH);
    let other = ca.issue(&["b"], &BOTH);
    let empty = (String::new(), good.1.clone());
    assert_eq!(load("a", &empty, &ca.pem).unwrap_err(), IdentityError::Certificate);
    assert_eq!(load("a", &good, "").unwrap_err(), IdentityError::Authority);
    assert_eq!(
        load("a", &good, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----").unwrap_err(),
        IdentityError::Authority
    );
    assert_eq!(load("a", &(good.0.clone(), "x".to_owned()), &ca.pem).unwrap_err(), IdentityError::PrivateKey);
    assert_eq!(
        load("a", &(good.0.clone(), other.1.clone()), &ca.pem).unwrap_err(),
        IdentityError::KeyMismatch
    );
    let named = |result: Result<Identity, IdentityError>| match result {
        Err(IdentityError::OtherName { named, .. }) => named,
        other => panic!("{other:?}"),
    };
    assert_eq!(named(load("a", &other, &ca.pem)), Some(node("b")));
    assert_eq!(
        named(load("a", &ca.issue(&["b", "a"], &BOTH), &ca.pem)),
        Some(node("b")),
        "not the first name"
    );
    assert_eq!(named(load("a", &ca.issue(&["10.0.0.1"], &BOTH), &ca.pem)), None);
    assert_eq!(named(load("a", &ca.issue(&["*.a"], &BOTH), &ca.pem)), None);
}

#[test]
fn a_certificate_that_peers_would_refuse_is_refused_at_once() {
    let ca = authority();
    let stranger = authority();
    let refused = |result: Result<Identity, IdentityError>| {
        assert!(matches!(result, Err(IdentityError::Unusable(_))), "{result:?}");
    };
    refused(load("a", &stranger.issue(&["a"], &BOTH), &ca.pem));
    refused(load("a", &ca.issue(&["a"], &BOTH[..1]), &ca.pem));
    refused(load("a", &ca.issue(&["a"], &BOTH[1..]), &ca.pem));
}

#[test]
fn debug_shows_no_secret() {
    let identity = Identity::from_cluster_key(&ClusterKey::from_bytes([3; 32]), &node("a"), 1).unwrap();
    assert_eq!(format!("{identity:?}"), "Identity { node: \"a\", .. }");
}
