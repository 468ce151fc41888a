//! What merging promises. Each law below is a property test over every type that implements the trait.

/// A state that merges.
///
/// For all `a`, `b`, `c` that arose by writes and merges, with `⊔` for [`join`](Lattice::join) and `=` for
/// [`equivalent`](Lattice::equivalent):
///
/// 1. commutative: `a ⊔ b = b ⊔ a`, so it does not matter who sent to whom;
/// 2. associative: `(a ⊔ b) ⊔ c = a ⊔ (b ⊔ c)`, so it does not matter through whom;
/// 3. idempotent: `a ⊔ a = a`, and `(a ⊔ b) ⊔ b = a ⊔ b` changes nothing, so it does not matter how often;
/// 4. inflationary: a state that has absorbed another is never changed by it again, also not after it has
///    absorbed more.
///
/// Together they say that replicas which have received the same states are equal, in whatever order, by
/// whatever route and however many times these arrived.
///
/// What the laws hold for is the visible state: an [`Entry`](crate::Entry)'s stamps, body and expiry. Its
/// version vector obeys them too as long as nothing is pruned. Pruning forgets, and what it forgets depends
/// on the route; of a pruned vector it is promised that merging the same state twice changes nothing, that
/// it names the present value's write and that it names no write that was not seen.
pub trait Lattice {
    /// Absorbs `other`. Returns whether that changed `self`.
    fn join(&mut self, other: &Self) -> bool;

    /// Whether both are the same as far as the laws promise.
    fn equivalent(&self, other: &Self) -> bool;
}
