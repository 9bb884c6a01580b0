//! Settings that people write, in a file or in a call.

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};

/// Reads a struct as a map. serde-wasm-bindgen looks up a struct's fields in the JavaScript object one by one and never
/// sees the others; of a map it hands over every entry, so that misspelt settings are found.
pub(crate) struct AsMap<D>(pub(crate) D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for AsMap<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// A field that is such a struct, or absent.
pub(crate) fn optional_map<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<Option<T>, D::Error> {
    struct Map<T>(T);
    impl<'de, T: Deserialize<'de>> Deserialize<'de> for Map<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            T::deserialize(AsMap(deserializer)).map(Map)
        }
    }
    Ok(Option::deserialize(d)?.map(|Map(value)| value))
}
