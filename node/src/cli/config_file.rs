//! The configuration file: what the flags of `rumour run` say, in TOML.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use rumour::EvictionPolicy;
use serde::Deserialize;

use super::Failure;
use super::args::RunArgs;

const DEFAULT_PATH: &str = "rumour.toml";

/// Keys of the file. Unknown ones are errors: a misspelt setting must not pass in silence.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    name: Option<String>,
    cluster: Option<String>,
    listen: Option<String>,
    advertise: Option<String>,
    seeds: Option<Vec<String>>,
    bootstrap_expect: Option<NonZeroUsize>,
    redis: Option<String>,
    redis_password_file: Option<PathBuf>,
    admin: Option<String>,
    key_file: Option<PathBuf>,
    cert_file: Option<PathBuf>,
    cert_key_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    max_memory: Option<ByteSize>,
    eviction: Option<EvictionPolicy>,
    log_json: Option<bool>,
    namespaces: Option<Vec<rumour::Namespace>>,
}

/// Fills in from the file what neither flags nor environment gave.
pub(super) fn complete(args: RunArgs) -> Result<RunArgs, Failure> {
    let path = args.config.clone().unwrap_or_else(|| DEFAULT_PATH.into());
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if args.config.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(args);
        }
        Err(error) => return Err(Failure::failed(format!("cannot read {}: {error}", path.display()))),
    };
    merge(args, &text, &path)
}

fn merge(args: RunArgs, text: &str, path: &Path) -> Result<RunArgs, Failure> {
    let file: ConfigFile = toml::from_str(text).map_err(|error| {
        let before = |span: std::ops::Range<usize>| text.bytes().take(span.start);
        let line = error.span().map_or(1, |span| 1 + before(span).filter(|byte| *byte == b'\n').count());
        Failure::usage(format!("{} line {line}: {}", path.display(), error.message().replace('\n', " ")))
    })?;
    Ok(RunArgs {
        config: args.config,
        name: args.name.or(file.name),
        cluster: args.cluster.or(file.cluster),
        listen: args.listen.or(file.listen),
        advertise: args.advertise.or(file.advertise),
        seeds: if args.seeds.is_empty() { file.seeds.unwrap_or_default() } else { args.seeds },
        bootstrap_expect: args.bootstrap_expect.or(file.bootstrap_expect),
        redis: args.redis.or(file.redis),
        redis_password_file: args.redis_password_file.or(file.redis_password_file),
        admin: args.admin.or(file.admin),
        key_file: args.key_file.or(file.key_file),
        cert_file: args.cert_file.or(file.cert_file),
        cert_key_file: args.cert_key_file.or(file.cert_key_file),
        ca_file: args.ca_file.or(file.ca_file),
        max_memory: args.max_memory.or(file.max_memory),
        eviction: args.eviction.or(file.eviction),
        namespaces: file.namespaces.unwrap_or_default(),
        log_json: args.log_json || file.log_json.unwrap_or(false),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(outcome: Result<RunArgs, Failure>) -> String {
        match outcome {
            Ok(args) => format!("{args:?}"),
            Err(Failure::Failed(message) | Failure::Usage(message)) => message,
        }
    }

    #[test]
    fn flags_come_before_the_file_and_the_file_before_the_defaults() {
        let flags = RunArgs { name: Some("flag".into()), ..RunArgs::default() };
        let text = "name = 'file'\nredis = 'off'\nseeds = ['10.0.0.1:7400']\n";
        let Ok(args) = merge(flags, text, Path::new("f")) else { panic!("the file is right") };
        assert_eq!(args.name.as_deref(), Some("flag"));
        assert_eq!(args.redis.as_deref(), Some("off"));
        assert_eq!(args.seeds, ["10.0.0.1:7400"]);
        assert_eq!(args.admin, None);
    }

    #[test]
    fn memory_is_given_as_text_or_in_bytes() {
        for (text, bytes) in [
            ("max_memory = '512mb'", 512_000_000),
            ("max_memory = '2gib'", 2 << 30),
            ("max_memory = 4096", 4096),
        ] {
            let Ok(args) = merge(RunArgs::default(), text, Path::new("f")) else { panic!("{text} is right") };
            assert_eq!(args.max_memory, Some(ByteSize(bytes)));
        }
        let message = message(merge(RunArgs::default(), "eviction = 'lru'\n", Path::new("r.toml")));
        assert!(message.starts_with("r.toml line 1: ") && message.contains("allkeys-lru"), "{message}");
    }

    #[test]
    fn a_misspelt_key_is_named_with_its_line() {
        let message = message(merge(RunArgs::default(), "name = 'a'\nlisen = 'x'\n", Path::new("r.toml")));
        assert!(message.starts_with("r.toml line 2: ") && message.contains("lisen"), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }
}
