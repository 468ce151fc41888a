use std::time::Duration;

use proptest::prelude::*;
use tokio::time::advance;

use super::*;

const BEGIN_MS: u64 = 1_790_000_000_000;
const HOUR_MS: i64 = 3_600_000;

/// A wall clock that follows tokio's paused time, plus an error.
struct Wall {
    began: Instant,
    error_ms: AtomicI64,
}

impl WallClock for Wall {
    fn now_ms(&self) -> u64 {
        let right_ms = BEGIN_MS + self.began.elapsed().as_millis() as u64;
        right_ms.saturating_add_signed(self.error_ms.load(Ordering::Relaxed))
    }
}

fn clock(error_ms: i64) -> (Arc<Wall>, NodeClock) {
    let wall = Arc::new(Wall { began: Instant::now(), error_ms: AtomicI64::new(error_ms) });
    let clock = NodeClock::new(wall.clone(), ActorId::new(1), 500);
    (wall, clock)
}

fn peer(name: &str) -> PeerInfo {
    let addr = std::net::SocketAddr::from(([10, 0, 0, 1], 7400));
    PeerInfo { node: name.parse().expect("a name"), incarnation: 1, started_ms: 1, addr }
}

/// Two peers with right clocks.
fn hear_peers(wall: &Wall, clock: &NodeClock) {
    for name in ["a", "b"] {
        let now = Instant::now();
        let right_ms = BEGIN_MS + wall.began.elapsed().as_millis() as u64;
        assert!(clock.read(&peer(name), now, now, right_ms));
    }
}

#[tokio::test(start_paused = true)]
async fn a_jump_forward_mints_nothing_in_the_future_and_expires_nothing() {
    let (wall, clock) = clock(0);
    hear_peers(&wall, &clock);
    assert_eq!(clock.settle(), []);
    let before = clock.mint(None);
    wall.error_ms.store(HOUR_MS, Ordering::Relaxed);
    let between = clock.mint(None);
    assert!(between > before && between.time.millis() == BEGIN_MS);
    for _ in 0..8 {
        advance(Duration::from_millis(250)).await;
        clock.judge();
    }
    assert_eq!(clock.check(), Err(WriteError::ClockFault { off_ms: HOUR_MS, limit_ms: 500, peers: 2 }));
    assert_eq!(clock.now_ms(), BEGIN_MS + 2_000);
    assert_eq!(clock.send_time(), between.time, "a wrong clock is not passed on");
    assert!(clock.observe(Hlc::from_parts(BEGIN_MS + 2_400, 0)).is_ok());
    assert!(clock.observe(Hlc::from_parts(BEGIN_MS + 2_600, 0)).is_err(), "judged by the peers' clocks");

    wall.error_ms.store(0, Ordering::Relaxed);
    clock.judge();
    assert_eq!(clock.judge(), [ClockChange { node: None, fault_ms: None }]);
    assert_eq!(clock.check(), Ok(()));
    assert!(clock.mint(None) > between);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_far_behind_follows_its_peers_all_the_same() {
    let (wall, clock) = clock(-HOUR_MS);
    let theirs = Hlc::from_parts(BEGIN_MS, 7);
    assert_eq!(clock.due_ms(), 0, "nothing expires by a clock that was not compared");
    assert!(clock.observe(theirs).is_err());
    hear_peers(&wall, &clock);
    assert_eq!(clock.settle(), [ClockChange { node: None, fault_ms: Some(-HOUR_MS) }]);
    assert!(clock.observe(theirs).is_ok());
    assert!(clock.check().is_err());
    assert_eq!(clock.due_ms(), BEGIN_MS);
    assert!(clock.mint(None).time > theirs);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_wrote_in_the_future_waits_for_its_peers_to_get_there() {
    let (wall, clock) = clock(10_000);
    clock.settle();
    let ahead = clock.mint(None);
    assert_eq!(ahead.time.millis(), BEGIN_MS + 10_000, "alone it cannot know");
    hear_peers(&wall, &clock);
    wall.error_ms.store(0, Ordering::Relaxed);
    clock.judge();
    assert_eq!(clock.check(), Err(WriteError::StampsAhead { ahead_ms: 10_000, limit_ms: 500 }));
    advance(Duration::from_millis(9_600)).await;
    clock.judge();
    assert_eq!(clock.check(), Ok(()));
    assert!(clock.mint(None) > ahead);
}

#[test]
fn an_only_peer_is_named_as_such() {
    let alone = WriteError::ClockFault { off_ms: -900, limit_ms: 500, peers: 1 }.to_string();
    assert!(alone.contains("900 ms behind its only peer's") && alone.contains("nobody can tell"), "{alone}");
    let many = WriteError::ClockFault { off_ms: 900, limit_ms: 500, peers: 4 }.to_string();
    assert!(many.contains("900 ms ahead of the median of its 4 peers'"), "{many}");
}

proptest! {
    /// Whatever the wall clock does, with peers and without.
    #[test]
    fn stamps_rise_however_the_clock_jumps(jumps in prop::collection::vec((-7_200_000_i64..7_200_000, 0_u64..3_000, any::<bool>()), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            let (wall, clock) = clock(0);
            clock.settle();
            let mut last = clock.mint(None);
            for (error_ms, pass_ms, heard) in jumps {
                wall.error_ms.store(error_ms, Ordering::Relaxed);
                if heard {
                    hear_peers(&wall, &clock);
                }
                advance(Duration::from_millis(pass_ms)).await;
                clock.judge();
                let next = clock.mint(None);
                prop_assert!(next > last && next.time > last.time);
                last = next;
            }
            Ok(())
        })?;
    }
}
