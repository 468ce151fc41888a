//! Changing a key in one step.

use bytes::Bytes;
use rumour_crdt::{Amount, Contents, Data, Entry, ExpiryPolicy, Kind, Lattice, Origin, Stamp};

use super::elements::{Elements, Projection};
use super::{PAYLOAD_BYTES_LIMIT, SetExpiry, View};
use crate::clock::NodeClock;
use crate::error::WriteError;
use crate::replication::Change;
use crate::store::Store;

/// A key while it is being changed: nobody sees it in between, and what changed replicates as one delta.
///
/// Changes are made one after the other and none is taken back: check first what could fail.
pub struct Writer<'a> {
    state: &'a mut Option<Entry>,
    clock: &'a NodeClock,
    now_ms: u64,
    store: &'a Store,
    /// How concurrent ends of the key are settled.
    expiry: ExpiryPolicy,
    /// Whether what the key holds, or a part of it, was evicted here.
    lacks: bool,
    /// Whether nothing was known of the key: what is contributed now is all that there is.
    fresh: bool,
    /// Whether the key was replaced: peers need all of it.
    whole: bool,
    /// The contributions made.
    delta: Option<Contents>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(
        state: &'a mut Option<Entry>,
        clock: &'a NodeClock,
        store: &'a Store,
        expiry: ExpiryPolicy,
        now_ms: u64,
        lacks: bool,
    ) -> Self {
        if let Some(entry) = state {
            entry.purge(now_ms);
        }
        let fresh = state.is_none();
        Self { state, clock, store, expiry, now_ms, lacks, fresh, whole: false, delta: None }
    }

    /// What peers have to be sent; `None` if nothing changed.
    pub(crate) fn finish(self) -> Option<Change> {
        let entry = self.state.as_ref()?;
        match self.delta {
            _ if self.whole => Some(Change::Whole),
            Some(contents) => Some(Change::contributed(entry.with_contents(contents), self.fresh)),
            None => None,
        }
    }

    /// What the key shows; `None` if nothing.
    #[must_use]
    pub fn view(&self) -> Option<View<'_>> {
        self.state.as_ref().and_then(|entry| View::of(entry, self.now_ms))
    }

    /// The type of what the key shows.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        self.state.as_ref().and_then(|entry| entry.kind(self.now_ms))
    }

    /// The version of all that is known of the key, removed or not.
    pub(crate) fn state_version(&self) -> Option<u64> {
        self.state.as_ref().map(Entry::version)
    }

    /// The node's time of the change, milliseconds since the Unix epoch.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Replaces the whole key, whatever it held, by a value.
    pub fn set(&mut self, value: Bytes, expiry: SetExpiry) {
        let expires_at_ms = match expiry {
            SetExpiry::Clear => None,
            SetExpiry::At(at_ms) => Some(at_ms),
            SetExpiry::Keep => {
                let kept = self.state.as_ref().filter(|_| self.kind().is_some());
                kept.and_then(|entry| entry.expiry().at_ms)
            }
        };
        let stamp = self.mint();
        self.replace_by(Entry::value(value, expires_at_ms, stamp, self.state.as_ref()));
    }

    /// Deletes the key. Returns whether there was anything; where there was not, nothing is written, but for what was evicted
    /// here: others may show that still.
    pub fn delete(&mut self) -> bool {
        let there = self.kind().is_some();
        if there || self.lacks {
            self.replace();
        }
        there
    }

    /// Replaces the whole key, whatever it held, by nothing; what is contributed next makes it anew.
    pub fn replace(&mut self) {
        let stamp = self.mint();
        self.replace_by(Entry::tombstone(stamp, self.state.as_ref()));
    }

    fn replace_by(&mut self, entry: Entry) {
        *self.state = Some(entry);
        self.whole = true;
        self.delta = None;
    }

    /// Lets the key end at a time, in milliseconds since the Unix epoch, or stay. A time that has passed deletes
    /// it. Returns whether there was anything to change.
    pub fn expire_at(&mut self, at_ms: Option<u64>) -> bool {
        let Some(kind) = self.kind() else { return false };
        if at_ms.is_some_and(|at_ms| at_ms <= self.now_ms) {
            return self.delete();
        }
        let stamp = self.mint();
        let Some(entry) = self.state else { return false };
        if at_ms.is_none() && entry.expiry().at_ms.is_none() {
            return false;
        }
        let contributed = entry.contents().is_some();
        let changed = entry.set_expiry_by(self.expiry, at_ms, stamp);
        if changed && contributed {
            self.delta.get_or_insert_with(|| Contents::delta(kind));
        } else {
            self.whole |= changed;
        }
        changed
    }

    /// Adds to the whole number that the key holds, zero if it holds nothing. Returns the new number.
    ///
    /// # Errors
    /// [`WriteError::WrongType`], [`WriteError::NotAnInteger`] and [`WriteError::Overflow`]; nothing was changed then.
    pub fn add(&mut self, by: i64) -> Result<i64, WriteError> {
        let present = match self.number()? {
            None => 0,
            Some(text) => parse_integer(&text).ok_or(WriteError::NotAnInteger)?,
        };
        let total = present.checked_add(by).ok_or(WriteError::Overflow)?;
        self.contribute(Amount::Integer(by));
        Ok(total)
    }

    /// Adds to the number that the key holds, zero if it holds nothing. Returns the new number as its digits.
    ///
    /// # Errors
    /// [`WriteError::WrongType`], [`WriteError::NotANumber`] and [`WriteError::NotFinite`]; nothing was changed then.
    pub fn add_float(&mut self, by: f64) -> Result<Bytes, WriteError> {
        let present = match self.number()? {
            None => 0.0,
            Some(text) => parse_float(&text).ok_or(WriteError::NotANumber)?,
        };
        if !(present + by).is_finite() {
            return Err(WriteError::NotFinite);
        }
        self.contribute(Amount::Float(by));
        Ok(self.view().and_then(|view| view.text()).unwrap_or_default())
    }

    fn number(&self) -> Result<Option<Bytes>, WriteError> {
        self.expect(Kind::String)?;
        Ok(self.view().and_then(|view| view.text()))
    }

    fn contribute(&mut self, by: Amount) {
        self.ground(Kind::String);
        let stamp = self.mint();
        let Some(contents) = self.state.as_mut().and_then(Entry::contents_mut) else { return };
        let delta = self.delta.get_or_insert_with(|| Contents::delta(Kind::String));
        let origin = Origin { stamp, unbroken_since: contents.unbroken_since() };
        if let (Data::Counter(counter), Data::Counter(delta)) =
            (contents.data_mut(stamp), delta.data_mut(stamp))
        {
            delta.join(&counter.add(by, origin));
        }
    }

    /// The members of the set that the key holds or becomes. Ask for them only to put some, after
    /// [`check_room`](Self::check_room), or to remove some.
    ///
    /// # Errors
    /// [`WriteError::WrongType`]; nothing was changed then.
    pub fn members(&mut self) -> Result<Elements<'_, ()>, WriteError> {
        self.elements(Projection::MEMBERS)
    }

    /// The members of the sorted set that the key holds or becomes; see [`members`](Self::members).
    ///
    /// # Errors
    /// [`WriteError::WrongType`]; nothing was changed then.
    pub fn sorted(&mut self) -> Result<Elements<'_, rumour_crdt::Score>, WriteError> {
        self.elements(Projection::SORTED)
    }

    /// The fields of the map that the key holds or becomes; see [`members`](Self::members).
    ///
    /// # Errors
    /// [`WriteError::WrongType`]; nothing was changed then.
    pub fn map(&mut self) -> Result<Elements<'_, Bytes>, WriteError> {
        self.elements(Projection::MAP)
    }

    /// The values of the multi-value register that the key holds or becomes, under the empty name; see
    /// [`members`](Self::members).
    ///
    /// # Errors
    /// [`WriteError::WrongType`]; nothing was changed then.
    pub fn values(&mut self) -> Result<Elements<'_, Bytes>, WriteError> {
        self.elements(Projection::VALUES)
    }

    fn elements<P: rumour_crdt::Payload>(
        &mut self,
        projection: Projection<P>,
    ) -> Result<Elements<'_, P>, WriteError> {
        let kind = projection.kind;
        self.expect(kind)?;
        self.ground(kind);
        let above = self.state.as_ref().map_or(Stamp::ZERO, Entry::newest);
        let delta = self.delta.get_or_insert_with(|| Contents::delta(kind));
        let contents = self.state.as_mut().and_then(Entry::contents_mut);
        let contents = contents.ok_or(WriteError::WrongType { wanted: kind })?;
        Ok(Elements::new(contents, delta, projection, self.clock, above))
    }

    /// Fails if the key shows another type.
    ///
    /// # Errors
    /// [`WriteError::WrongType`].
    pub fn expect(&self, wanted: Kind) -> Result<(), WriteError> {
        match self.kind() {
            Some(kind) if kind != wanted => Err(WriteError::WrongType { wanted }),
            _ => Ok(()),
        }
    }

    /// Whether the key has room for elements that take so many more bytes; see [`element_bytes`](crate::element_bytes). To be asked
    /// before they are put: what merges with other nodes' is bounded by nothing else.
    ///
    /// # Errors
    /// [`WriteError::KeyFull`].
    pub fn check_room(&self, adding: usize) -> Result<(), WriteError> {
        let held = self.state.as_ref().map_or(0, Entry::payload_bytes);
        check_payload(held.saturating_add(adding))
    }

    fn ground(&mut self, kind: Kind) {
        let (clock, epoch) = (self.clock, self.state.as_ref().map(Entry::stamp));
        let contributed =
            epoch.filter(|_| self.state.as_ref().is_some_and(|entry| entry.contents().is_some()));
        let mut grounded =
            Entry::ground(self.state.take(), kind, self.store.flushed(), |above| clock.mint(Some(above)));
        // What was contributed in this step to an epoch that has ended goes with it.
        if epoch.is_some_and(|epoch| epoch != grounded.stamp()) {
            self.delta = None;
        }
        if contributed != Some(grounded.stamp())
            && let Some(contents) = grounded.contents_mut()
        {
            contents.set_unbroken_since(self.store.contributed_until());
        }
        *self.state = Some(grounded);
    }

    fn mint(&self) -> Stamp {
        self.clock.mint(self.state.as_ref().map(Entry::newest))
    }
}

/// Fails if a key would take more than keys may.
///
/// # Errors
/// [`WriteError::KeyFull`].
pub(crate) fn check_payload(bytes: usize) -> Result<(), WriteError> {
    if bytes > PAYLOAD_BYTES_LIMIT {
        return Err(WriteError::KeyFull { bytes, limit: PAYLOAD_BYTES_LIMIT });
    }
    Ok(())
}

/// A whole number in the one way that it is written: no sign for a positive one, no leading zero, no space.
fn parse_integer(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let number = text.parse::<i64>().ok()?;
    (number.to_string() == text).then_some(number)
}

fn parse_float(text: &[u8]) -> Option<f64> {
    let number = std::str::from_utf8(text).ok()?.parse::<f64>().ok()?;
    number.is_finite().then_some(number)
}
