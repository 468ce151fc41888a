//! `rumour keygen`.

use std::fs::OpenOptions;
use std::io::Write;

use rumour::ClusterKey;

use super::Failure;
use super::args::KeygenArgs;

pub(super) fn keygen(args: &KeygenArgs) -> Result<(), Failure> {
    let key = ClusterKey::generate().map_err(Failure::failed)?;
    // The only way to have the key's text: it neither derives Debug nor logs.
    let text = key.to_string();
    let Some(path) = &args.out else {
        println!("{text}");
        return Ok(());
    };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| writeln!(file, "{text}"));
    written.map_err(|error| Failure::failed(format!("cannot write the key to {}: {error}", path.display())))
}
