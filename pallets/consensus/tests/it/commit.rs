use codec::{Decode, Encode};
use peerz_consensus::{
	commit::{commit_hash, is_sorted, Entry, Row, DOMAIN},
	hashing::blake2_256,
};
use proptest::{collection::vec, prelude::*};

fn entry(member: u32) -> Entry {
	Entry {
		member,
		units: 5,
		capacity: 9,
		faults: 1,
	}
}

#[test]
fn the_bytes_by_hand() {
	let row = Row {
		entries: vec![entry(2)],
		evidence_root: [7; 32],
	};
	let mut bytes = b"peerz/att/v1".to_vec();
	bytes.extend([1; 32]);
	bytes.extend(3_u32.to_le_bytes());
	bytes.extend([4; 32]);
	bytes.push(1 << 2); // one entry, as a compact integer
	bytes.extend([2, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
	bytes.extend([7; 32]);
	bytes.extend([8; 32]);
	assert_eq!(
		commit_hash(&[1; 32], 3, &[4_u8; 32], &row, &[8; 32]),
		blake2_256(&[&bytes])
	);
	assert_eq!(DOMAIN.len(), 12);
}

#[test]
fn every_field_is_bound() {
	let row = Row {
		entries: vec![entry(2), entry(3)],
		evidence_root: [7; 32],
	};
	let mut other = row.clone();
	other.entries[1].faults = 2;
	let own = commit_hash(&[1; 32], 3, &[4_u8; 32], &row, &[8; 32]);
	let others = [
		commit_hash(&[2; 32], 3, &[4_u8; 32], &row, &[8; 32]),
		commit_hash(&[1; 32], 4, &[4_u8; 32], &row, &[8; 32]),
		commit_hash(&[1; 32], 3, &[5_u8; 32], &row, &[8; 32]),
		commit_hash(&[1; 32], 3, &[4_u8; 32], &other, &[8; 32]),
		commit_hash(
			&[1; 32],
			3,
			&[4_u8; 32],
			&Row {
				evidence_root: [0; 32],
				..row.clone()
			},
			&[8; 32],
		),
		commit_hash(&[1; 32], 3, &[4_u8; 32], &row, &[9; 32]),
	];
	assert!(others.iter().all(|hash| *hash != own));
}

#[test]
fn order_is_strict() {
	assert!(is_sorted(&[]));
	assert!(is_sorted(&[entry(1), entry(2), entry(9)]));
	assert!(!is_sorted(&[entry(1), entry(1)]));
	assert!(!is_sorted(&[entry(2), entry(1)]));
}

proptest! {
	#[test]
	fn rows_survive_their_encoding(members in vec((any::<u32>(), any::<u64>(), any::<u64>(), any::<u32>()), 0..20), evidence_root in any::<[u8; 32]>()) {
		let entries = members.into_iter().map(|(member, units, capacity, faults)| Entry { member, units, capacity, faults }).collect();
		let row = Row { entries, evidence_root };
		prop_assert_eq!(Row::decode(&mut &row.encode()[..]), Ok(row));
	}
}
