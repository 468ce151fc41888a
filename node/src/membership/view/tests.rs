use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn info(name: &str, incarnation: u64) -> PeerInfo {
    PeerInfo {
        node: name.parse().expect("a name"),
        incarnation,
        started_ms: incarnation,
        addr: SocketAddr::from(([10, 0, 0, 1], 7400 + incarnation as u16)),
    }
}

fn seen(name: &str, incarnation: u64, alive: bool) -> Seen {
    Seen { info: info(name, incarnation), alive, reported: Reported::Ready }
}

fn view() -> View {
    View::new(info("me", 1), 3 * SECOND)
}

fn state(view: &View, name: &str) -> Option<MemberState> {
    view.peer(&name.parse().expect("a name")).map(|member| member.state)
}

#[tokio::test(start_paused = true)]
async fn a_peer_goes_from_joining_to_healthy_to_suspect_to_down_and_back() {
    let (mut view, t0) = (view(), Instant::now());
    view.connected(&info("b", 2), t0);
    assert_eq!(state(&view, "b"), Some(MemberState::Joining));
    view.observe(&[seen("b", 2, true)], t0 + SECOND);
    assert_eq!(state(&view, "b"), Some(MemberState::Healthy));

    view.disconnected(&info("b", 2), t0 + 2 * SECOND);
    assert_eq!(state(&view, "b"), Some(MemberState::Healthy), "a link that breaks for a moment is no news");
    view.observe(&[seen("b", 2, false)], t0 + 4 * SECOND);
    assert_eq!(state(&view, "b"), Some(MemberState::Suspect));
    view.observe(&[seen("b", 2, false)], t0 + 5 * SECOND);
    assert_eq!(state(&view, "b"), Some(MemberState::Down));

    view.connected(&info("b", 2), t0 + 6 * SECOND);
    view.observe(&[seen("b", 2, true)], t0 + 6 * SECOND);
    assert_eq!(state(&view, "b"), Some(MemberState::Healthy));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_others_still_hear_is_suspect_and_not_down() {
    let (mut view, t0) = (view(), Instant::now());
    view.observe(&[seen("b", 2, true)], t0);
    view.observe(&[seen("b", 2, true)], t0 + 60 * SECOND);
    assert_eq!(state(&view, "b"), Some(MemberState::Suspect));
}

#[tokio::test(start_paused = true)]
async fn a_restart_replaces_the_old_incarnation_even_while_gossip_still_calls_it_alive() {
    let (mut view, t0) = (view(), Instant::now());
    view.connected(&info("b", 2), t0);
    view.observe(&[seen("b", 2, true)], t0);
    let events = view.connected(&info("b", 5), t0 + SECOND);
    assert_eq!(events[0], ViewEvent::Joined { node: info("b", 5).node, replaces: Some(2) });
    view.disconnected(&info("b", 2), t0 + SECOND);
    view.observe(&[seen("b", 2, true), seen("b", 5, true)], t0 + 2 * SECOND);
    let member = view.peer(&info("b", 5).node).expect("listed");
    assert_eq!((member.incarnation, member.state), (5, MemberState::Healthy));
}

#[tokio::test(start_paused = true)]
async fn gossip_alone_does_not_replace_an_incarnation_that_lives() {
    let (mut view, t0) = (view(), Instant::now());
    view.connected(&info("b", 2), t0);
    view.observe(&[seen("b", 2, true), seen("b", 5, true)], t0);
    assert_eq!(view.peer(&info("b", 2).node).expect("listed").incarnation, 2);
    assert_eq!(view.holder(&info("b", 5)), Some(info("b", 2)));
    assert_eq!(view.holder(&info("b", 2)), None);
    assert_eq!(view.holder(&info("c", 9)), None);
}

#[tokio::test(start_paused = true)]
async fn who_says_goodbye_is_gone_and_stays_gone_whatever_gossip_remembers() {
    let (mut view, t0) = (view(), Instant::now());
    view.connected(&info("b", 2), t0);
    view.observe(&[seen("b", 2, true)], t0);
    view.reported(&info("b", 2), Reported::Leaving, t0);
    assert_eq!(state(&view, "b"), Some(MemberState::Leaving));
    let events = view.disconnected(&info("b", 2), t0);
    assert_eq!(events, [ViewEvent::Left { node: info("b", 2).node, incarnation: 2 }]);
    view.observe(&[seen("b", 2, true)], t0 + SECOND);
    assert_eq!(state(&view, "b"), None);
    view.connected(&info("b", 3), t0 + SECOND);
    assert_eq!(state(&view, "b"), Some(MemberState::Joining), "a new start is welcome");
}

#[tokio::test(start_paused = true)]
async fn a_living_node_of_this_name_is_reported_and_a_dead_one_is_not() {
    let (mut view, t0) = (view(), Instant::now());
    assert_eq!(view.observe(&[seen("me", 7, false), seen("me", 1, true)], t0), []);
    assert_eq!(view.observe(&[seen("me", 7, true)], t0), [ViewEvent::Twin { other: info("me", 7) }]);
}

#[tokio::test(start_paused = true)]
async fn dead_nodes_that_gossip_remembers_are_not_listed() {
    let (mut view, t0) = (view(), Instant::now());
    assert_eq!(view.observe(&[seen("b", 2, false)], t0), []);
    assert_eq!(state(&view, "b"), None);
}

#[tokio::test(start_paused = true)]
async fn only_those_without_a_connection_are_to_be_dialed() {
    let (mut view, t0) = (view(), Instant::now());
    view.connected(&info("b", 2), t0);
    view.observe(&[seen("b", 2, true), seen("c", 3, true)], t0);
    assert_eq!(view.unconnected().collect::<Vec<_>>(), [info("c", 3).addr]);
}
