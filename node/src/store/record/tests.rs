use bytes::Bytes;
use proptest::prelude::*;
use rumour_crdt::{ActorId, Dot, Hlc, Stamp};

use super::*;

fn stamp() -> impl Strategy<Value = Stamp> {
    (any::<u64>(), any::<u64>(), prop_oneof![1..200u64, 1..u64::MAX]).prop_map(|(time, actor, seq)| Stamp {
        time: Hlc::from_bits(time),
        actor: ActorId::new(actor),
        seq,
    })
}

fn body() -> impl Strategy<Value = Body> {
    let value = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        prop::collection::vec(any::<u8>(), 2000..2100),
    ];
    prop_oneof![4 => value.prop_map(|value| Body::Value(value.into())), 1 => Just(Body::Tombstone), 1 => Just(Body::Expired)]
}

prop_compose! {
    fn entry()(
        stamp in stamp(),
        others in prop::collection::vec(stamp(), 0..=4),
        body in body(),
        expires_at_ms in prop::option::of(prop_oneof![0..1u64 << 48, any::<u64>()]),
        later in prop::option::weighted(0.2, stamp()),
    ) -> Entry {
        let dots = others.iter().map(|other| Dot { actor: other.actor, seq: other.seq });
        let mut entry = Entry::from_parts(stamp, dots.take(2), body, expires_at_ms);
        if let Some(later) = later {
            // Refused where it is not later, or nothing could expire: the entry is then as it was.
            entry.set_expiry(expires_at_ms.map(|at_ms| at_ms / 2), later);
        }
        entry
    }
}

/// Equality of entries regards neither the order of their vectors, on which pruning depends, nor anything else hidden.
fn shown(entry: &Entry) -> String {
    format!("{entry:?} {:?}", entry.seen().iter().collect::<Vec<_>>())
}

proptest! {
    #[test]
    fn what_is_kept_is_what_comes_out(
        entry in entry(),
        key in prop::collection::vec(any::<u8>(), 0..400),
        access in any::<u16>(),
        touched in any::<u16>(),
        now_ms in any::<u64>(),
    ) {
        let mut actors = Actors::default();
        let mut record = Record::new(&key, entry.clone(), access, &mut actors);
        prop_assert_eq!(record.access(), access);
        record.set_access(touched);
        prop_assert_eq!((record.key(), record.access()), (key.as_slice(), touched));
        prop_assert_eq!(record.version(&actors), entry.version());
        prop_assert_eq!(record.stamp(&actors), entry.stamp());
        prop_assert_eq!(record.is_shown(now_ms), entry.kind(now_ms).is_some());
        prop_assert_eq!(record.is_live(), matches!(entry.body(), Body::Value(_)));
        let mut expired = entry.clone();
        prop_assert_eq!(record.is_due(now_ms), expired.expire(now_ms));
        prop_assert_eq!(record.read(&actors, shown), shown(&entry));
        prop_assert_eq!(shown(&record.into_entry(&actors)), shown(&entry));
    }
}

#[test]
fn small_registers_are_compact_and_a_place_in_the_table_is_small() {
    let mut actors = Actors::default();
    let stamp = Stamp { time: Hlc::from_parts(1_800_000_000_000, 0), actor: ActorId::new(7), seq: 1_000_000 };
    let entry = Entry::from_parts(stamp, [], Body::Value(Bytes::from(vec![b'v'; 100])), None);
    let Record::Compact(compact) = Record::new(&[b'k'; 16], entry, 0, &mut actors) else {
        panic!("a register of 100 bytes is kept whole")
    };
    assert_eq!(compact.len(), 17 + 16 + 100);
    assert_eq!(size_of::<Record>(), 16);
}
