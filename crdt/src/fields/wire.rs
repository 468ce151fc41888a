//! How elements are written down, and what is believed of those that are read.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Field, Fields, Payload};
use crate::DotSet;

/// What is written down of it: the rest is derived.
#[derive(Deserialize)]
struct Wire<P> {
    delta: bool,
    seen: DotSet,
    fields: Vec<(bytes::Bytes, Field<P>)>,
}

impl<P: Payload> Serialize for Fields<P> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// The elements as a list.
        struct List<'a, P: Payload>(&'a Fields<P>);

        impl<P: Payload> Serialize for List<'_, P> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_seq(self.0.fields.iter().map(|(name, field)| (Name(name), field)))
            }
        }

        (self.delta, &self.seen, List(self)).serialize(serializer)
    }
}

/// Written as bytes, not as a list of numbers.
struct Name<'a>(&'a [u8]);

impl Serialize for Name<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de, P: Payload> Deserialize<'de> for Fields<P> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::<P>::deserialize(deserializer)?;
        let mut fields = Self { delta: wire.delta, seen: wire.seen, ..Self::default() };
        for (name, field) in wire.fields {
            if fields.fields.contains_key(&*name) {
                return Err(serde::de::Error::custom("an element is listed twice"));
            }
            if !field.puts.iter().all(|put| fields.seen.contains(put.stamp.dot())) {
                return Err(serde::de::Error::custom("an element has a put that was not seen"));
            }
            fields.edit(&name, |empty| *empty = field);
        }
        Ok(fields)
    }
}
