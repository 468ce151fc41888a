//! `rumour run`.

use std::net::SocketAddr;
use std::path::Path;

use rumour::redis::{Password, RedisConfig};
use rumour::{ClusterKey, Credentials, Node, NodeBuilder, NodeError};

use super::args::RunArgs;
use super::server::{Server, told_to_stop};
use super::{Failure, config_file, start_logging, tokio_runtime};

const DEFAULT_REDIS: &str = "127.0.0.1:6379";
const DEFAULT_ADMIN: &str = "127.0.0.1:7480";

pub(super) fn run(args: RunArgs) -> Result<(), Failure> {
    let args = config_file::complete(args)?;
    let redis = door("redis", args.redis.as_deref().unwrap_or(DEFAULT_REDIS))?;
    let admin = door("admin", args.admin.as_deref().unwrap_or(DEFAULT_ADMIN))?;
    let redis = match redis {
        Some(addr) => {
            let password = args.redis_password_file.as_deref().map(read_password).transpose()?;
            Some(RedisConfig { addr, password, ..RedisConfig::default() })
        }
        None => None,
    };
    let node = builder(&args)?;
    start_logging("info", args.log_json)?;
    tokio_runtime()?.block_on(async {
        let server = Server::launch(node, redis, admin).await?;
        let failed = tokio::select! {
            told = told_to_stop() => told.map(|()| None)?,
            error = server.node.failed() => Some(error),
        };
        if failed.is_none() {
            tracing::info!("leaving; a second signal stops at once");
        }
        let left = tokio::select! {
            left = server.stop() => left,
            told = told_to_stop() => return told.and(Err(Failure::Failed("stopped before it had left".into()))),
        };
        match (failed, left) {
            (Some(error), _) => Err(Failure::failed(error)),
            // The key that no peer took is in the log; the operator asked the node to stop, and it did.
            (None, Err(error @ NodeError::Unacknowledged { .. })) => Err(Failure::failed(error)),
            (None, left) => Ok(left?),
        }
    })
}

fn builder(args: &RunArgs) -> Result<NodeBuilder, Failure> {
    let name = args.name.as_deref();
    let name =
        name.ok_or_else(|| Failure::usage("the node needs a name: give --name, for example --name cache-1"))?;
    let mut node = Node::builder().name(name).credentials(credentials(args)?);
    if let Some(cluster) = &args.cluster {
        node = node.cluster(cluster);
    }
    if let Some(listen) = &args.listen {
        node = node.listen(listen);
    }
    if let Some(advertise) = &args.advertise {
        node = node.advertise(advertise);
    }
    if let Some(nodes) = args.bootstrap_expect {
        node = node.bootstrap_expect(nodes);
    }
    if let Some(limit) = args.max_memory {
        node = node.max_memory(limit.as_u64());
    }
    if let Some(policy) = args.eviction {
        node = node.eviction(policy);
    }
    node = args.namespaces.iter().cloned().fold(node, NodeBuilder::namespace);
    Ok(args.seeds.iter().fold(node, NodeBuilder::seed))
}

fn credentials(args: &RunArgs) -> Result<Credentials, Failure> {
    let files = (&args.cert_file, &args.cert_key_file, &args.ca_file);
    match (&args.key_file, files) {
        (Some(path), (None, None, None)) => {
            let key = read(path, "the cluster key")?;
            let key = key.trim().parse::<ClusterKey>();
            key.map(Credentials::ClusterKey)
                .map_err(|error| Failure::failed(format!("{}: {error}", path.display())))
        }
        (None, (Some(certificate), Some(key), Some(ca))) => Ok(Credentials::Certificates {
            certificate: read(certificate, "the certificate")?,
            key: read(key, "the certificate's key")?,
            ca: read(ca, "the authorities")?,
        }),
        (None, (None, None, None)) => Err(Failure::usage(
            "no cluster key: make one with `rumour keygen --out cluster.key` and give it to every node with --key-file cluster.key",
        )),
        _ => Err(Failure::usage(
            "give either --key-file, or all of --cert-file, --cert-key-file and --ca-file",
        )),
    }
}

fn read(path: &Path, what: &str) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::failed(format!("cannot read {what} from {}: {error}", path.display())))
}

fn read_password(path: &Path) -> Result<Password, Failure> {
    let text = read(path, "the Redis password")?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(Failure::failed(format!("the Redis password in {} is empty", path.display()))),
        password => Ok(Password::new(password)),
    }
}

/// The address of a door, or `None` when it is off.
fn door(name: &str, text: &str) -> Result<Option<SocketAddr>, Failure> {
    if text == "off" {
        return Ok(None);
    }
    let wrong = |_| {
        Failure::usage(format!(
            "--{name} {text:?}: an address looks like 127.0.0.1:6379 or [::1]:6379; \"off\" closes the door"
        ))
    };
    text.parse().map(Some).map_err(wrong)
}
