//! Certificates from an authority of one's own in place of a cluster key.

use std::path::Path;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

use crate::support::{
    PATIENCE, Reply, Spec, TempDir, keygen, local, one_line, wait_for, write_keys, written,
};

/// An authority, with its certificate in a file.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    name: &'static str,
}

impl Authority {
    fn new(dir: &TempDir, name: &'static str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        dir.write(&format!("{name}.pem"), &certificate.pem());
        Self { issuer: Issuer::new(params, key), name }
    }

    /// Issues a certificate for `named`, in files named after it.
    fn issue(&self, dir: &TempDir, named: &str) {
        let mut params = CertificateParams::new([named.to_owned()]).expect("a DNS name");
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        dir.write(&format!("{named}.{}.pem", self.name), &certificate.pem());
        dir.write(&format!("{named}.{}.key", self.name), &key.serialize_pem());
    }

    /// A node that is called `name` and shows the certificate issued for `named`.
    fn node(&self, dir: &TempDir, name: &str, named: &str) -> Spec {
        let file = |name: String| Path::new(dir.path()).join(name).display().to_string();
        Spec::bare(dir, name)
            .with("--cert-file", &file(format!("{named}.{}.pem", self.name)))
            .with("--cert-key-file", &file(format!("{named}.{}.key", self.name)))
            .with("--ca-file", &file(format!("{}.pem", self.name)))
    }
}

#[test]
fn nodes_with_certificates_of_one_authority_form_a_cluster_that_others_do_not_enter() {
    let dir = TempDir::new();
    let ours = Authority::new(&dir, "ours");
    for name in ["alpha", "beta.example"] {
        ours.issue(&dir, name);
    }
    let first = ours.node(&dir, "alpha", "alpha").serve();
    let second = ours.node(&dir, "beta.example", "beta.example").seed(first.spec.peer()).serve();
    let both = ["alpha healthy", "beta.example healthy"];
    for node in [&first, &second] {
        node.wait_members(&both, Duration::from_secs(10));
    }
    write_keys(local(second.spec.redis()), 0..1_000, "x");
    first.wait_contents(&written(0..1_000, "x"), PATIENCE);

    let theirs = Authority::new(&dir, "theirs");
    theirs.issue(&dir, "gamma");
    let key = keygen(&dir, "cluster.key");
    for stranger in [theirs.node(&dir, "gamma", "gamma"), Spec::new(&dir, "delta", &key)] {
        let before = first.refused("unknown_certificate");
        let stranger = stranger.seed(first.spec.peer()).serve();
        wait_for("the refusal is counted", PATIENCE, || match first.refused("unknown_certificate") {
            count if count > before => Ok(()),
            _ => Err(first.status().to_string()),
        });
        assert_eq!(stranger.client().say("DBSIZE"), Reply::Number(0));
        assert_eq!(first.members().expect("it answers"), both);
    }
}

#[test]
fn certificates_that_do_not_fit_the_node_are_refused() {
    let dir = TempDir::new();
    let (ours, theirs) = (Authority::new(&dir, "ours"), Authority::new(&dir, "theirs"));
    ours.issue(&dir, "alpha");
    ours.issue(&dir, "beta");
    theirs.issue(&dir, "alpha");
    let line = one_line(&ours.node(&dir, "alpha", "beta").run(), 2);
    assert!(line.contains("names beta first") && line.contains("first DNS name is alpha"), "{line}");
    let line = one_line(&ours.node(&dir, "alpha", "missing").run(), 1);
    assert!(line.contains("cannot read the certificate") && line.contains("missing"), "{line}");
    // The key of another certificate.
    let swapped = std::fs::read_to_string(dir.path().join("beta.ours.key")).expect("it is there");
    dir.write("alpha.ours.key", &swapped);
    let line = one_line(&ours.node(&dir, "alpha", "alpha").run(), 2);
    assert!(line.contains("does not belong to the certificate"), "{line}");
    dir.write("theirs.pem", "no certificate at all\n");
    let line = one_line(&theirs.node(&dir, "alpha", "alpha").run(), 2);
    assert!(line.contains("CA file"), "{line}");
}
