//! Typed payloads: the bytes of a response as a value.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::types::StoredResponse;

/// What services keep: a bit of everything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Reply {
    id: u64,
    amount: i64,
    ratio: Option<f32>,
    name: String,
    items: Vec<Item>,
    tags: BTreeMap<String, Vec<u8>>,
    letter: char,
    unit: (),
    pair: (bool, u128),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Item {
    Nothing,
    One(u16),
    Many(Vec<Item>),
    Named { key: String, is_new: bool },
}

/// Bytes as several types: a value that is read is written so that it reads the same.
pub(super) fn decode(data: &[u8]) {
    read::<Reply>(data);
    read::<Item>(data);
    read::<Vec<u8>>(data);
    read::<String>(data);
    read::<BTreeMap<u64, Option<String>>>(data);
    read::<(u8, i128, [u16; 3])>(data);
}

fn read<T: Serialize + DeserializeOwned>(data: &[u8]) {
    let Ok(value) = StoredResponse::new(data).decode::<T>() else { return };
    let encoded = StoredResponse::encode(&value).expect("it was decoded");
    // No number has a longer encoding than it needs, but a reader takes those as well.
    assert!(encoded.body().len() <= data.len());
    let again = encoded.decode::<T>().expect("it was encoded");
    let encoded_again = StoredResponse::encode(&again).expect("it was decoded");
    assert_eq!(encoded_again.body(), encoded.body());
}
