//! A copy of all that a key shows, to be put under another key.

use bytes::Bytes;
use rumour_crdt::{Field, FieldName, Kind, Score};

use super::writer::check_payload;
use super::{Engine, SetExpiry, Ttl, View, Writer, element_bytes};
use crate::error::WriteError;

/// What a key showed at one moment, with its expiry. It knows of no writes: put under a key it is a new value.
#[derive(Clone, Debug)]
pub struct Image {
    shown: Shown,
    expiry: SetExpiry,
}

#[derive(Clone, Debug)]
enum Shown {
    Text(Bytes),
    Value(Bytes),
    Members(Vec<FieldName>),
    Sorted(Vec<(FieldName, f64)>),
    Map(Vec<(FieldName, Bytes, Option<u64>)>),
}

impl Shown {
    /// Bytes of memory that it takes as a key, about.
    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Value(value) => element_bytes(b"", value.len()),
            Self::Members(names) => names.iter().map(|name| element_bytes(name, 0)).sum(),
            Self::Sorted(scores) => scores.iter().map(|(name, _)| element_bytes(name, 0)).sum(),
            Self::Map(fields) => fields.iter().map(|(name, value, _)| element_bytes(name, value.len())).sum(),
        }
    }
}

impl Image {
    fn of(view: View<'_>) -> Self {
        let now_ms = view.now_ms();
        let shown = match view.kind() {
            Kind::String => Shown::Text(view.text().unwrap_or_default()),
            Kind::Values => {
                let values = view.values().and_then(|values| values.get(b"", now_ms));
                Shown::Value(values.map(Field::text).unwrap_or_default())
            }
            Kind::Set => {
                let members = view.members().into_iter().flat_map(|members| members.iter(now_ms));
                Shown::Members(members.map(|(name, _)| name.clone()).collect())
            }
            Kind::SortedSet => {
                let members = view.sorted().into_iter().flat_map(|members| members.iter(now_ms));
                Shown::Sorted(members.map(|(name, field)| (name.clone(), field.score())).collect())
            }
            Kind::Map => {
                let fields = view.map().into_iter().flat_map(|fields| fields.iter(now_ms));
                let field = |(name, field): (&FieldName, &Field<Bytes>)| {
                    (name.clone(), field.text(), field.expires_at_ms())
                };
                Shown::Map(fields.map(field).collect())
            }
        };
        let expiry = match view.ttl() {
            Ttl::At(at_ms) => SetExpiry::At(at_ms),
            Ttl::Missing | Ttl::Persistent => SetExpiry::Clear,
        };
        Self { shown, expiry }
    }

    fn put(self, key: &mut Writer<'_>) -> Result<(), WriteError> {
        if let Shown::Text(text) = self.shown {
            key.set(text, self.expiry);
            return Ok(());
        }
        check_payload(self.shown.bytes())?;
        key.replace();
        match self.shown {
            Shown::Text(_) => {}
            // One of several values: those that are put anew are not concurrent.
            Shown::Value(value) => key.values()?.put(b"", value, None),
            Shown::Members(names) => {
                let mut members = key.members()?;
                names.iter().for_each(|name| members.put(name, (), None));
            }
            Shown::Sorted(scores) => {
                let mut members = key.sorted()?;
                scores.iter().for_each(|(name, score)| members.put(name, Score(*score), None));
            }
            Shown::Map(fields) => {
                let mut map = key.map()?;
                fields.into_iter().for_each(|(name, value, end)| map.put(&name, value, end));
            }
        }
        if let SetExpiry::At(at_ms) = self.expiry {
            key.expire_at(Some(at_ms));
        }
        Ok(())
    }
}

impl Engine {
    /// A copy of what a key shows; `None` if nothing.
    #[must_use]
    pub fn image(&self, key: &[u8]) -> Option<Image> {
        self.read(key, |view| view.map(Image::of))
    }

    /// Replaces a key, whatever it held, by a copy of what another showed. Of a multi-value register one value is
    /// kept.
    ///
    /// # Errors
    /// See [`WriteError`]; nothing was written then.
    pub fn restore(&self, key: &[u8], image: Image) -> Result<(), WriteError> {
        self.write(key, |key| image.put(key))?
    }
}
