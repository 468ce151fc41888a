//! From one seed to independent streams of random numbers.

use rand::SeedableRng;
use rand::rngs::SmallRng;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The stream that `purpose` draws from in the run of `seed`.
///
/// Purposes do not disturb each other: a workload that draws once more leaves the network's draws as they were.
pub fn stream(seed: u64, purpose: &str) -> SmallRng {
    SmallRng::seed_from_u64(xxh3_64_with_seed(purpose.as_bytes(), seed))
}
