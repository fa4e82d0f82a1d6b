use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::documents::Owner;
use crate::fixture::{any_documents, compiled, documents, everything, key, provider, user};
use crate::ids::KeyId;
use crate::surface::Dialect;

fn many(count: u16) -> BTreeMap<KeyHash, CompiledKey> {
    let mut documents = documents(vec![provider("openai", Dialect::Openai, 2)]);
    let owner = Owner::User(user(1).id);
    for number in 0..count {
        let mut key = key(2, owner, everything());
        key.id = KeyId::new(Uuid::from_u128(1000 + u128::from(number)));
        key.name = format!("number {number}");
        let mut hash = [7; 32];
        hash[1..3].copy_from_slice(&number.to_be_bytes());
        key.hash = KeyHash::new(hash);
        documents.keys.insert(key.id, key);
    }
    compiled(&documents).keys
}

#[test]
fn every_key_is_found_and_no_other() {
    let keys = many(100);
    let table = KeyTable::encode(&keys);
    for (hash, key) in &keys {
        assert_eq!(KeyTable::find(&table, hash).unwrap().as_ref(), Some(key));
    }
    assert!(
        KeyTable::find(&table, &KeyHash::new([9; 32]))
            .unwrap()
            .is_none()
    );
    assert_eq!(KeyTable::verify(&table).unwrap(), keys.len());
}

#[test]
fn shared_rules_are_written_once() {
    let keys = many(100);
    let table = KeyTable::encode(&keys);
    assert!(
        table.len() < keys.len() * 250,
        "{} bytes a key",
        table.len() / keys.len()
    );
}

#[test]
fn shards_hold_what_the_whole_holds() {
    let keys = many(10);
    let shards = KeyTable::encode_shards(&keys);
    assert_eq!(shards.keys().copied().collect::<Vec<_>>(), [1, 7]);
    for (hash, key) in &keys {
        assert_eq!(
            KeyTable::find(&shards[&hash.shard()], hash)
                .unwrap()
                .as_ref(),
            Some(key)
        );
    }
}

#[test]
fn no_bytes_are_no_keys() {
    assert!(
        KeyTable::find(&[], &KeyHash::new([1; 32]))
            .unwrap()
            .is_none()
    );
    assert_eq!(KeyTable::verify(&[]).unwrap(), 0);
    let empty = KeyTable::encode(&BTreeMap::new());
    assert!(
        KeyTable::find(&empty, &KeyHash::new([1; 32]))
            .unwrap()
            .is_none()
    );
}

#[test]
fn another_format_is_told() {
    let mut table = KeyTable::encode(&many(1));
    table[3] = 2;
    assert!(matches!(
        KeyTable::find(&table, &KeyHash::new([1; 32])),
        Err(DecodeError::Format { found: 2 })
    ));
}

#[test]
fn counts_beyond_the_table_are_an_error() {
    let table = [*b"WKT\x01", [0xFF; 4], [0xFF; 4]].concat();
    assert!(matches!(
        KeyTable::find(&table, &KeyHash::new([1; 32])),
        Err(DecodeError::Damaged { .. })
    ));
}

proptest! {
    #[test]
    fn printing_and_finding_changes_nothing(documents in any_documents()) {
        let keys = compiled(&documents).keys;
        let table = KeyTable::encode(&keys);
        for (hash, key) in &keys {
            let found = KeyTable::find(&table, hash).unwrap();
            prop_assert_eq!(found.as_ref(), Some(key));
        }
    }

    #[test]
    fn garbage_never_panics(bytes: Vec<u8>, with_header: bool, hash: [u8; 32]) {
        let table = if with_header { [b"WKT\x01".as_slice(), &bytes].concat() } else { bytes };
        drop(KeyTable::find(&table, &KeyHash::new(hash)));
        drop(KeyTable::verify(&table));
    }

    #[test]
    fn a_damaged_table_never_panics(at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        let keys = many(5);
        let mut table = KeyTable::encode(&keys);
        let at = at.index(table.len());
        table[at] = byte;
        table.truncate(cut.index(table.len()).max(table.len() / 2));
        for hash in keys.keys() {
            drop(KeyTable::find(&table, hash));
        }
        drop(KeyTable::verify(&table));
    }
}
