//! quinn and rustls over the simulated network: they work there, and one seed is one run of them too.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rand::Rng;
use rcgen::{CertificateParams, KeyPair};
use rumour_sim::net::{FixedTime, LinkFaults, SimRuntime, node_address};
use rumour_sim::runner::{Outcome, Settings, World, run};
use rustls::pki_types::PrivateKeyDer;
use tokio::time::{sleep, timeout};

rumour_sim::entropy_hook!();

/// An endpoint that trusts its own certificate only, so that both ends of a test can share one identity.
struct Peer {
    endpoint: quinn::Endpoint,
    runtime: Arc<SimRuntime>,
}

#[derive(Clone)]
struct Tls {
    server: quinn::ServerConfig,
    client: quinn::ClientConfig,
}

impl Tls {
    fn new() -> Self {
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let certificate = CertificateParams::new(["peer".to_owned()]).unwrap().self_signed(&key).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();
        let server = rustls::ServerConfig::builder_with_details(provider.clone(), Arc::new(FixedTime))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let client = rustls::ClientConfig::builder_with_details(provider, Arc::new(FixedTime))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut transport = quinn::TransportConfig::default();
        transport.max_idle_timeout(Some(Duration::from_secs(10).try_into().unwrap()));
        let transport = Arc::new(transport);
        let mut server =
            quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(server).unwrap()));
        server.transport_config(transport.clone()).time_source(Arc::new(FixedTime));
        let mut client = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(client).unwrap()));
        client.transport_config(transport);
        Self { server, client }
    }
}

impl Peer {
    fn start(world: &World, address: SocketAddr, tls: &Tls) -> Self {
        let runtime = Arc::new(SimRuntime::default());
        let socket = Arc::new(world.network().bind(address).unwrap());
        let endpoint = quinn::Endpoint::new_with_abstract_socket(
            Default::default(),
            Some(tls.server.clone()),
            socket,
            runtime.clone(),
        );
        let mut endpoint = endpoint.unwrap();
        endpoint.set_default_client_config(tls.client.clone());
        let echoing = endpoint.clone();
        tokio::spawn(async move {
            while let Some(incoming) = echoing.accept().await {
                tokio::spawn(echo(incoming));
            }
        });
        Self { endpoint, runtime }
    }
}

async fn echo(incoming: quinn::Incoming) {
    let Ok(connection) = incoming.await else { return };
    while let Ok((mut tx, mut rx)) = connection.accept_bi().await {
        if let Ok(body) = rx.read_to_end(1 << 20).await
            && tx.write_all(&body).await.is_ok()
        {
            // The stream is finished by dropping it.
        }
    }
}

/// Two peers through a bad network; one is killed without a goodbye and comes back at the same address.
async fn script(world: World) {
    let tls = Tls::new();
    let faults =
        LinkFaults { loss_share: 0.1, duplicate_share: 0.05, corrupt_share: 0.02, ..LinkFaults::NONE };
    world.network().set_faults(LinkFaults { reorder_share: 0.05, hold_back_ms_max: 50, ..faults });
    let a = Peer::start(&world, node_address(0), &tls);
    let b = Peer::start(&world, node_address(1), &tls);
    let connection = a.endpoint.connect(node_address(1), "peer").unwrap().await.unwrap();
    for _ in 0..20 {
        exchange(&connection).await.unwrap();
    }

    b.runtime.kill();
    world.network().kill(node_address(1));
    sleep(Duration::from_secs(1)).await;
    assert!(connection.close_reason().is_none(), "a crash says no goodbye");
    let lost = connection.closed().await;
    assert!(matches!(lost, quinn::ConnectionError::TimedOut), "{lost}");

    let _b = Peer::start(&world, node_address(1), &tls);
    let connection = a.endpoint.connect(node_address(1), "peer").unwrap().await.unwrap();
    exchange(&connection).await.unwrap();
}

#[expect(clippy::disallowed_methods, reason = "quinn draws from the same source")]
async fn exchange(connection: &quinn::Connection) -> Result<(), quinn::ReadToEndError> {
    let body: Vec<u8> = (0..rand::rng().random_range(1..50_000)).map(|_| rand::rng().random()).collect();
    let (mut tx, mut rx) = connection.open_bi().await.unwrap();
    tx.write_all(&body).await.unwrap();
    tx.finish().unwrap();
    let echoed = timeout(Duration::from_secs(60), rx.read_to_end(1 << 20)).await.unwrap()?;
    assert_eq!(echoed, body);
    Ok(())
}

fn outcome(seed: u64) -> Outcome<()> {
    let outcome = run(Settings::new(seed), script).unwrap();
    assert_eq!(outcome.violations, []);
    outcome
}

#[test]
fn quinn_is_deterministic_and_survives_loss_and_a_crash() {
    for seed in 0..5 {
        let (first, second) = (outcome(seed), outcome(seed));
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert_eq!(first.traffic, second.traffic, "seed {seed}");
        assert!(first.traffic.lost > 0 && first.traffic.corrupted > 0 && first.trace.events > 100);
    }
}
