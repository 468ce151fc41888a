use super::*;

/// Some number of nodes that know each other.
struct Nodes {
    all: Vec<Watermarks>,
    now: Instant,
    clock_ms: u64,
}

fn name(node: usize) -> NodeId {
    format!("n{node}").parse().expect("a name")
}

fn actor(node: usize) -> ActorId {
    ActorId::new(node as u64 + 1)
}

impl Nodes {
    fn new(count: usize) -> Self {
        let mut nodes = Self { all: Vec::new(), now: Instant::now(), clock_ms: 1_000_000 };
        for node in 0..count {
            let mut fresh = Watermarks::new(name(node), actor(node));
            fresh.acquainted();
            (0..count).filter(|other| *other != node).for_each(|other| {
                fresh.met(&name(other), actor(other), nodes.clock());
            });
            nodes.all.push(fresh);
        }
        nodes
    }

    fn clock(&self) -> Hlc {
        Hlc::from_parts(self.clock_ms, 0)
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.clock_ms += time.as_millis() as u64;
    }

    /// A session in which everything went well.
    fn sync(&mut self, a: usize, b: usize) {
        let (now, clock) = (self.now, self.clock());
        let (told_a, told_b) = (self.all[a].tell(now, clock), self.all[b].tell(now, clock));
        let ended_a = self.all[b].hear(&told_a, clock);
        let ended_b = self.all[a].hear(&told_b, clock);
        for (node, ended) in [(a, ended_a), (b, ended_b)] {
            self.all[node].hear(&OwnerTable { ended, ..OwnerTable::default() }, clock);
        }
        let (me_a, me_b) = (self.all[a].me, self.all[b].me);
        self.all[a].completed(me_b, clock, &told_b.held);
        self.all[b].completed(me_a, clock, &told_a.held);
    }

    /// Sessions of each pair, as often and with as much time between as it takes for all to learn of all.
    fn sync_all(&mut self, which: &[usize]) {
        for _ in 0..3 {
            for (at, a) in which.iter().enumerate() {
                for b in &which[at + 1..] {
                    self.sync(*a, *b);
                }
            }
            self.pass(RIPENING);
        }
    }

    fn agreed(&mut self, node: usize) -> Hlc {
        let (now, clock) = (self.now, self.clock());
        self.all[node].advance(now, clock)
    }
}

/// An entry that a node wrote at a time.
fn entry(ms: u64, node: usize) -> Entry {
    Entry::tombstone(Stamp { time: Hlc::from_parts(ms, 0), actor: actor(node), seq: 1 }, None)
}

#[test]
fn a_node_alone_agrees_with_itself_at_once_but_not_before_it_met_its_seeds() {
    let mut alone = Watermarks::new(name(0), actor(0));
    let (now, clock) = (Instant::now(), Hlc::from_parts(5, 0));
    assert_eq!(alone.advance(now, clock), Hlc::ZERO);
    alone.acquainted();
    assert_eq!(alone.advance(now, clock), clock);
}

#[test]
fn what_all_have_seen_of_all_is_agreed_after_a_while() {
    let mut nodes = Nodes::new(3);
    let before = nodes.clock();
    nodes.sync(0, 1);
    nodes.sync(1, 2);
    nodes.sync(0, 2);
    nodes.sync_all(&[0, 1, 2]);
    for node in 0..3 {
        assert!(nodes.agreed(node) >= before, "n{node}");
        assert!(nodes.agreed(node) < nodes.clock(), "n{node} cannot know the present");
    }
}

#[test]
fn nothing_is_agreed_before_it_has_held_for_as_long_as_a_message_may_be_under_way() {
    let mut nodes = Nodes::new(2);
    nodes.sync(0, 1);
    assert_eq!((nodes.agreed(0), nodes.agreed(1)), (Hlc::ZERO, Hlc::ZERO));
    nodes.pass(RIPENING - Duration::from_millis(1));
    nodes.sync(0, 1);
    assert_eq!(nodes.agreed(0), Hlc::ZERO);
    nodes.pass(Duration::from_millis(1));
    nodes.sync(0, 1);
    assert!(nodes.agreed(0) > Hlc::ZERO);
}

#[test]
fn a_member_that_is_down_holds_everything_back_until_it_is_forgotten() {
    let mut nodes = Nodes::new(3);
    nodes.sync_all(&[0, 1, 2]);
    let before = nodes.clock();
    for node in 0..2 {
        nodes.all[node].away(&name(2));
    }
    nodes.sync_all(&[0, 1]);
    nodes.sync_all(&[0, 1]);
    assert!(nodes.agreed(0) < before);
    assert_eq!(nodes.all[0].waiting_for(), [name(2)]);
    let clock = nodes.clock();
    assert_eq!(nodes.all[0].lost(&name(1)), [], "n1 is within sight");
    let [lost] = nodes.all[0].lost(&name(2))[..] else { panic!("one start of n2 is away") };
    nodes.all[0].forget(lost, clock);
    nodes.sync_all(&[0, 1]);
    nodes.sync_all(&[0, 1]);
    assert!(nodes.agreed(0) > before);
    assert!(nodes.agreed(1) > before, "n1 was told");
}

#[test]
fn a_restart_begins_at_nothing_and_what_was_agreed_stays() {
    let mut nodes = Nodes::new(3);
    nodes.sync_all(&[0, 1, 2]);
    let (before, crashed) = (nodes.agreed(0), nodes.clock());
    assert!(before > Hlc::ZERO);
    let reborn = ActorId::new(99);
    nodes.all[2] = Watermarks::new(name(2), reborn);
    nodes.all[2].acquainted();
    for node in 0..2 {
        nodes.all[node].met(&name(2), reborn, crashed);
        nodes.all[2].met(&name(node), actor(node), crashed);
    }
    nodes.sync_all(&[0, 1]);
    assert_eq!(nodes.agreed(0), before, "the new start was not heard of");
    for _ in 0..3 {
        nodes.sync_all(&[0, 1, 2]);
    }
    assert!((0..3).all(|node| nodes.agreed(node) > crashed));
    assert!(nodes.all[0].has_seen(&entry(crashed.millis() + 1, 2)), "all that the dead one passed on");
}

#[test]
fn a_watermark_worked_out_without_an_owner_counts_for_nothing() {
    let mut nodes = Nodes::new(3);
    let clock = nodes.clock();
    // Nodes 0 and 1 have never heard of node 2, which knows both.
    for node in 0..2 {
        nodes.all[node] = Watermarks::new(name(node), actor(node));
        nodes.all[node].acquainted();
        nodes.all[node].met(&name(1 - node), actor(1 - node), clock);
    }
    nodes.sync_all(&[0, 1]);
    let (now, clock) = (nodes.now, nodes.clock());
    let told = nodes.all[1].tell(now, clock);
    nodes.all[2].hear(&told, clock);
    nodes.all[2].completed(actor(0), clock, &[(actor(1), clock)]);
    nodes.pass(RIPENING);
    assert_eq!(nodes.agreed(2), Hlc::ZERO);
    // Once they hear of it, it holds them back.
    let before = nodes.agreed(0);
    let (now, clock) = (nodes.now, nodes.clock());
    let told = nodes.all[2].tell(now, clock);
    nodes.all[0].hear(&told, clock);
    nodes.sync_all(&[0, 1]);
    assert_eq!(nodes.agreed(0), before);
    assert_eq!(nodes.all[1].watermark(clock), Hlc::ZERO, "it was told of n2 and holds nothing of it");
}

#[test]
fn the_fence_turns_away_only_what_was_seen_and_may_be_collected() {
    let mut nodes = Nodes::new(2);
    let (clock, ms) = (nodes.clock(), nodes.clock_ms);
    let one = &mut nodes.all[0];
    one.completed(actor(1), clock, &[]);
    assert!(!one.is_collected(&entry(ms, 1)), "nothing was removed yet");
    one.collecting(Hlc::from_parts(ms + 10, 0));
    assert!(one.is_collected(&entry(ms, 1)));
    assert!(one.is_collected(&entry(ms + 10, 0)), "it has seen what it wrote itself");
    assert!(!one.is_collected(&entry(ms + 1, 1)), "that was never seen");
    assert!(!one.is_collected(&entry(ms, 7)), "nor was that writer");
    assert_eq!(one.forced(), Hlc::ZERO, "nothing is said to be gone in good times");
    one.forced_out(Hlc::from_parts(ms + 20, 0));
    assert_eq!(one.forced(), Hlc::from_parts(ms + 20, 0));
    assert!(one.is_collected(&entry(ms + 20, 0)));
}

#[test]
fn what_a_peer_had_seen_when_a_session_began_is_seen_after_it() {
    let mut nodes = Nodes::new(3);
    let first = nodes.clock();
    nodes.sync(1, 2);
    nodes.pass(Duration::from_secs(1));
    nodes.sync(0, 1);
    assert!(nodes.all[0].has_seen(&entry(first.millis(), 2)));
}

#[test]
fn a_peer_cannot_end_who_is_within_sight_nor_fill_the_memory() {
    let mut nodes = Nodes::new(2);
    let clock = nodes.clock();
    let row = |number: u64| OwnerRow {
        node: name(7),
        actor: ActorId::new(1000 + number),
        at: clock,
        watermark: Hlc::MAX,
        owners: 0,
    };
    let many = 3 * OWNERS_LIMIT as u64;
    let told = OwnerTable {
        rows: (0..many).map(row).collect(),
        held: (0..many).map(|number| (ActorId::new(1000 + number), Hlc::MAX)).collect(),
        ended: (0..many).map(|number| ActorId::new(9000 + number)).chain([actor(0), actor(1)]).collect(),
    };
    let one = &mut nodes.all[0];
    for _ in 0..3 {
        one.hear(&told, clock);
        one.completed(actor(1), clock, &told.held);
    }
    assert!(one.owners.len() <= OWNERS_LIMIT && one.ended.len() <= OWNERS_LIMIT);
    assert!(one.held.len() <= HELD_LIMIT);
    assert!(one.owners.contains_key(&actor(1)));
}

#[test]
fn what_is_learned_during_a_transfer_ripens_when_that_has_ended() {
    let (mut ripening, start) = (Ripening::default(), Instant::now());
    let at = |s: u64| start + Duration::from_secs(s);
    let seen = |s: u64| Hlc::from_parts(s, 0);
    ripening.rise(seen(1), at(0));
    ripening.transfers.push(at(5));
    ripening.rise(seen(2), at(10));
    ripening.transfers.push(at(12));
    ripening.rise(seen(2), at(30));
    assert_eq!(ripening.ripe, seen(1), "what was known before is told as ever");
    ripening.rise(seen(2), at(45));
    assert_eq!(ripening.ripe, seen(1), "the first transfer does not know of it");
    ripening.transfer_ended(at(5), at(50));
    ripening.rise(seen(2), at(79));
    assert_eq!(ripening.ripe, seen(1));
    ripening.rise(seen(2), at(80));
    assert_eq!(ripening.ripe, seen(2), "the second transfer, still under way, began after it was known");
    ripening.transfer_ended(at(12), at(90));
    assert!(ripening.transfers.is_empty());
}
