use crate::{bindings::BINDING_DOMAIN, mock::*, Error, Event, NodeKeys};
use frame_support::{assert_noop, assert_ok, traits::UnixTime};
use sp_core::Pair;

fn expiry() -> u64 {
	BlockClock::now().as_secs() + 1_000
}

/// Binds person `n`'s key until `expiry`.
fn bind_until(n: u8, expiry: u64) -> frame_support::dispatch::DispatchResult {
	let person = Person::new(n);
	let (by_account, by_node) = person.binding(expiry);
	Peerz::bind_node_key(signed(n), person.node_key(), expiry, by_account, by_node)
}

#[test]
fn both_keys_sign_a_binding() {
	run(|| {
		assert_ok!(bind_until(1, expiry()));
		let node_key = Person::new(1).node_key();
		assert_eq!(Peerz::bound_node_key(&account(1)), Some(node_key));
		System::assert_last_event(
			Event::NodeKeyBound {
				account: account(1),
				node_key,
				expiry: expiry(),
			}
			.into(),
		);
	});
}

#[test]
fn nobody_binds_the_key_of_another() {
	run(|| {
		let (thief, victim) = (Person::new(1), Person::new(2));
		let body = Peerz::binding_body(&thief.id(), &victim.node_key(), expiry());
		let sign = |algorithm| Peerz::signed_payload(BINDING_DOMAIN, algorithm, &body);
		let by_account = thief.account_pair.sign(&sign(2)).0;
		let by_wrong_node = thief.node_pair.sign(&sign(1)).0;
		assert_noop!(
			Peerz::bind_node_key(signed(1), victim.node_key(), expiry(), by_account, by_wrong_node),
			Error::<Test>::BadNodeSignature
		);
	});
}

#[test]
fn a_binding_signed_by_another_account_is_forged() {
	run(|| {
		let (by_account, by_node) = Person::new(1).binding(expiry());
		assert_noop!(
			Peerz::bind_node_key(signed(2), Person::new(1).node_key(), expiry(), by_account, by_node),
			Error::<Test>::BadAccountSignature
		);
	});
}

#[test]
fn a_binding_of_another_expiry_or_chain_is_forged() {
	run(|| {
		let person = Person::new(1);
		let (by_account, by_node) = person.binding(expiry());
		let call = |expiry| Peerz::bind_node_key(signed(1), person.node_key(), expiry, by_account, by_node);
		assert_noop!(call(expiry() + 1), Error::<Test>::BadAccountSignature);
		frame_system::BlockHash::<Test>::insert(0, sp_core::H256::repeat_byte(1));
		assert_noop!(call(expiry()), Error::<Test>::BadAccountSignature);
	});
}

#[test]
fn a_binding_expires_and_holds_for_a_year_at_most() {
	run(|| {
		let now = BlockClock::now().as_secs();
		assert_noop!(bind_until(1, now), Error::<Test>::BindingExpired);
		let longest = now + parameters().max_binding_seconds;
		assert_noop!(bind_until(1, longest + 1), Error::<Test>::BindingTooLong);
		assert_ok!(bind_until(1, longest));
		System::set_block_number(100_000_000);
		assert_eq!(Peerz::bound_node_key(&account(1)), None);
	});
}

#[test]
fn a_renewal_holds_longer_and_costs_no_second_deposit() {
	run(|| {
		assert_ok!(bind_until(1, expiry()));
		let before = free(1);
		assert_noop!(bind_until(1, expiry()), Error::<Test>::NotARenewal);
		assert_ok!(bind_until(1, expiry() + 1));
		assert_eq!(free(1), before);
	});
}

/// Person 1's account with person `n`'s node key.
fn bind_key_of(n: u8) -> frame_support::dispatch::DispatchResult {
	let (holder, other) = (Person::new(1), Person::new(n));
	let body = Peerz::binding_body(&holder.id(), &other.node_key(), expiry());
	let by_account = holder
		.account_pair
		.sign(&Peerz::signed_payload(BINDING_DOMAIN, 2, &body))
		.0;
	let by_node = other.node_pair.sign(&Peerz::signed_payload(BINDING_DOMAIN, 1, &body)).0;
	Peerz::bind_node_key(signed(1), other.node_key(), expiry(), by_account, by_node)
}

#[test]
fn a_new_key_retires_the_old_one() {
	run(|| {
		assert_ok!(bind_until(1, expiry()));
		assert_ok!(bind_key_of(9));
		assert_eq!(Peerz::bound_node_key(&account(1)), Some(Person::new(9).node_key()));
		let old = NodeKeys::<Test>::get(Person::new(1).node_key()).unwrap();
		assert_eq!(old.retired, Some(1));
		assert_noop!(bind_until(1, expiry() + 5), Error::<Test>::NodeKeyTaken);
	});
}

#[test]
fn a_key_in_use_is_taken() {
	run(|| {
		bind(9);
		assert_noop!(bind_key_of(9), Error::<Test>::NodeKeyTaken);
	});
}

#[test]
fn a_retired_key_is_released_after_the_dispute_window() {
	run(|| {
		let node_key = Person::new(1).node_key();
		assert_noop!(Peerz::retire_node_key(signed(1)), Error::<Test>::NoNodeKey);
		assert_noop!(
			Peerz::release_node_key(signed(1), node_key),
			Error::<Test>::UnknownNodeKey
		);
		assert_ok!(bind_until(1, expiry()));
		assert_noop!(Peerz::release_node_key(signed(1), node_key), Error::<Test>::StillActive);
		assert_ok!(Peerz::retire_node_key(signed(1)));
		assert_noop!(Peerz::release_node_key(signed(1), node_key), Error::<Test>::TooEarly);
		assert_noop!(Peerz::release_node_key(signed(2), node_key), Error::<Test>::NotOwner);
		to_epoch(7);
		assert_ok!(Peerz::release_node_key(signed(1), node_key));
		assert_eq!(free(1), WEALTH);
		System::assert_last_event(Event::NodeKeyReleased { node_key }.into());
	});
}
