//! What can be typed.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use bytesize::ByteSize;
use clap::{Args, Parser, Subcommand};
use rumour::EvictionPolicy;

/// A peer-to-peer cache: peers take writes everywhere and end up equal.
#[derive(Debug, Parser)]
#[command(name = "rumour", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a cluster key; every node of a cluster is given the same one
    Keygen(KeygenArgs),
    /// Run a node until it is told to stop (Ctrl-C or SIGTERM)
    Run(Box<RunArgs>),
    /// Run a cluster of several nodes in this process, on loopback, with a key of its own
    Demo(DemoArgs),
    /// Ask a running node how it and its cluster are
    Status(AskArgs),
    /// Ask a running node which configurations its cluster went through: who belonged to it when
    ConfigHistory(AskArgs),
    /// Have the cluster forget a member that is down and will not come back
    Forget(ForgetArgs),
    /// Ask a running node what has happened in its cluster lately
    Events(EventsArgs),
    /// Ask a running node which concurrent writes lost
    Conflicts(ConflictsArgs),
}

#[derive(Debug, Args)]
pub(crate) struct KeygenArgs {
    /// Write the key to this new file, readable by its owner alone, instead of to standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// Flags override the environment, which overrides the configuration file, which overrides the defaults.
#[derive(Debug, Default, Args)]
pub(crate) struct RunArgs {
    /// Configuration file; its keys are named like these flags, with underscores [default: ./rumour.toml if there is one]
    #[arg(long, env = "RUMOUR_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// This node's stable name: lower-case letters, digits, '-' and '.'
    #[arg(long, env = "RUMOUR_NAME")]
    pub(crate) name: Option<String>,
    /// The cluster's name [default: rumour]
    #[arg(long, env = "RUMOUR_CLUSTER")]
    pub(crate) cluster: Option<String>,
    /// UDP address for peers [default: 0.0.0.0:7400]
    #[arg(long, env = "RUMOUR_LISTEN", value_name = "ADDR")]
    pub(crate) listen: Option<String>,
    /// Address that peers reach this node at, if it is not the listen address
    #[arg(long, env = "RUMOUR_ADVERTISE", value_name = "ADDR")]
    pub(crate) advertise: Option<String>,
    /// A peer to begin with; may be given several times
    #[arg(long = "seed", env = "RUMOUR_SEEDS", value_name = "ADDR", value_delimiter = ',')]
    pub(crate) seeds: Vec<String>,
    /// For nodes that all start with the same seeds: found the cluster once so many are there; more than half of them
    #[arg(long, env = "RUMOUR_BOOTSTRAP_EXPECT", value_name = "NODES")]
    pub(crate) bootstrap_expect: Option<NonZeroUsize>,
    /// TCP address for Redis clients, or "off" [default: 127.0.0.1:6379]
    #[arg(long, env = "RUMOUR_REDIS", value_name = "ADDR")]
    pub(crate) redis: Option<String>,
    /// File with the password that Redis clients must give [default: none]
    #[arg(long, env = "RUMOUR_REDIS_PASSWORD_FILE", value_name = "FILE")]
    pub(crate) redis_password_file: Option<PathBuf>,
    /// TCP address of the admin door, or "off" [default: 127.0.0.1:7480]
    #[arg(long, env = "RUMOUR_ADMIN", value_name = "ADDR")]
    pub(crate) admin: Option<String>,
    /// File with the cluster key, as `rumour keygen` makes it
    #[arg(long, env = "RUMOUR_KEY_FILE", value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Certificate (PEM) of this node from an authority of your own, instead of a cluster key
    #[arg(long, env = "RUMOUR_CERT_FILE", value_name = "FILE")]
    pub(crate) cert_file: Option<PathBuf>,
    /// Private key (PEM) of that certificate
    #[arg(long, env = "RUMOUR_CERT_KEY_FILE", value_name = "FILE")]
    pub(crate) cert_key_file: Option<PathBuf>,
    /// Authorities (PEM) that peers' certificates must come from
    #[arg(long, env = "RUMOUR_CA_FILE", value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// The most memory that entries may take, such as 512mb (decimal) or 2gib (binary); what connections and queues need comes on top
    /// [default: no limit]
    #[arg(long, env = "RUMOUR_MAX_MEMORY", value_name = "SIZE")]
    pub(crate) max_memory: Option<ByteSize>,
    /// What goes when that is used up: noeviction, allkeys-lru, allkeys-lfu or volatile-ttl [default: noeviction]
    #[arg(long, env = "RUMOUR_EVICTION", value_name = "POLICY")]
    pub(crate) eviction: Option<EvictionPolicy>,
    /// Write log lines as JSON
    #[arg(long, env = "RUMOUR_LOG_JSON")]
    pub(crate) log_json: bool,
    /// Namespaces; only the configuration file has them
    #[arg(skip)]
    pub(crate) namespaces: Vec<rumour::Namespace>,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// How many nodes
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=50))]
    pub(crate) nodes: u16,
    /// Node i, counted from 0, has its peer port at this plus 10 i, Redis one above and admin two above
    #[arg(long, default_value_t = 7400, value_parser = clap::value_parser!(u16).range(1024..))]
    pub(crate) base_port: u16,
}

/// Whom to ask, and how to print the answer.
#[derive(Debug, Args)]
pub(crate) struct AskArgs {
    /// The node's admin door
    #[arg(long, env = "RUMOUR_ADMIN_URL", default_value = "http://127.0.0.1:7480", value_name = "URL")]
    pub(crate) admin: String,
    /// Print JSON; what is followed comes as one object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    #[command(flatten)]
    pub(crate) ask: AskArgs,
    /// Print what happens from now on, conflicts included, until interrupted
    #[arg(long)]
    pub(crate) follow: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ForgetArgs {
    /// The member's name; any other member may be asked
    pub(crate) node: String,
    #[command(flatten)]
    pub(crate) ask: AskArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ConflictsArgs {
    #[command(flatten)]
    pub(crate) ask: AskArgs,
    /// Print each conflict as it happens, with both values, until interrupted
    #[arg(long)]
    pub(crate) follow: bool,
}
