//! `rumour demo`: a whole cluster in one process, to try things out.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rumour::redis::RedisConfig;
use rumour::{ClusterKey, MemberState, Node};
use tokio::time::{Instant, sleep};

use super::args::DemoArgs;
use super::server::{Server, told_to_stop};
use super::status::print_members;
use super::{Failure, start_logging, tokio_runtime};

/// How long all nodes may take to see each other healthy.
const PATIENCE: Duration = Duration::from_secs(30);

/// The ports of node `i`.
struct Ports {
    peers: SocketAddr,
    redis: SocketAddr,
    admin: SocketAddr,
}

impl Ports {
    fn of(node: u16, base: u16) -> Result<Self, Failure> {
        let first = u32::from(base) + 10 * u32::from(node);
        let port = |offset: u32| {
            let port = u16::try_from(first + offset);
            port.map_err(|_| {
                Failure::usage("the last node's ports would lie above 65535: take a lower --base-port")
            })
        };
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Ok(Self { peers: at(port(0)?), redis: at(port(1)?), admin: at(port(2)?) })
    }
}

pub(super) fn demo(args: &DemoArgs) -> Result<(), Failure> {
    let ports: Vec<Ports> =
        (0..args.nodes).map(|node| Ports::of(node, args.base_port)).collect::<Result<_, _>>()?;
    start_logging("warn", false)?;
    tokio_runtime()?.block_on(async {
        let mut servers = Vec::new();
        // A signal while the nodes start ends the demo as well.
        let (outcome, up) = tokio::select! {
            outcome = bring_up(&ports, &mut servers) => (outcome, true),
            told = told_to_stop() => (told, false),
        };
        if outcome.is_ok() && up {
            tokio::select! {
                told = told_to_stop() => told?,
                error = any_failed(&servers) => return Err(error),
            }
            println!("\nstopping");
        }
        // One after the other, so that each hands on what it has.
        for server in servers {
            if let Err(error) = server.stop().await {
                tracing::warn!(%error, "a node did not leave well");
            }
        }
        outcome
    })
}

async fn bring_up(ports: &[Ports], servers: &mut Vec<Server>) -> Result<(), Failure> {
    let started = Instant::now();
    let key = ClusterKey::generate().map_err(Failure::failed)?;
    for (index, port) in ports.iter().enumerate() {
        let mut node = Node::builder()
            .name(format!("node-{index}"))
            .cluster("demo")
            .cluster_key(key.clone())
            .listen(port.peers.to_string());
        if index > 0 {
            node = node.seed(ports[0].peers.to_string());
        }
        let redis = RedisConfig { addr: port.redis, ..RedisConfig::default() };
        servers.push(Server::launch(node, Some(redis), Some(port.admin)).await?);
    }
    while !servers.iter().all(|server| sees_all_healthy(&server.node, ports.len())) {
        if started.elapsed() > PATIENCE {
            return Err(Failure::Failed(format!(
                "the nodes did not find each other in {} s",
                PATIENCE.as_secs()
            )));
        }
        sleep(Duration::from_millis(20)).await;
    }
    introduce(ports, servers, started.elapsed());
    Ok(())
}

fn sees_all_healthy(node: &Node, nodes: usize) -> bool {
    let members = node.members();
    members.len() == nodes && members.iter().all(|member| member.state == MemberState::Healthy)
}

async fn any_failed(servers: &[Server]) -> Failure {
    loop {
        for server in servers {
            if let Ok(error) = tokio::time::timeout(Duration::from_millis(100), server.node.failed()).await {
                return error.into();
            }
        }
    }
}

fn introduce(ports: &[Ports], servers: &[Server], took: Duration) {
    println!("{} peers found each other in {:.1} s:\n", ports.len(), took.as_secs_f64());
    if let Some(server) = servers.first() {
        print_members(&server.node.status().members);
    }
    println!("\n{:<10} {:<22} admin", "node", "redis");
    for (index, port) in ports.iter().enumerate() {
        println!("{:<10} {:<22} http://{}", format!("node-{index}"), port.redis.to_string(), port.admin);
    }
    let last = &ports[ports.len() - 1];
    println!("\ntry, in another terminal:");
    println!("  redis-cli -p {} SET greeting hello EX 60", ports[0].redis.port());
    println!("  redis-cli -p {} GET greeting", last.redis.port());
    println!("  rumour status --admin http://{}", last.admin);
    println!("\nCtrl-C stops them all.");
}
