use codec::Encode;
use frame_support::{assert_noop, dispatch::GetDispatchInfo, traits::fungible::Inspect};
use sp_keyring::Sr25519Keyring::{Alice, Bob, Charlie, Eve};
use sp_runtime::{
	traits::{BadOrigin, Dispatchable},
	transaction_validity::{InvalidTransaction, TransactionSource},
	DispatchError, DispatchResult,
};

use super::{account, address, apply, open_block, signed, transfer, with_preset};
use crate::{
	configs::ProxyType, Balances, Executive, Peerz, Runtime, RuntimeCall, RuntimeEvent, RuntimeOrigin, System,
	TransactionPayment, EXISTENTIAL_DEPOSIT, MICRO_PRZ, PRZ,
};

fn in_first_block(test: impl FnOnce()) {
	with_preset("development", || {
		open_block(1, 1);
		test()
	})
}

#[test]
fn a_transfer_moves_its_value_and_costs_exactly_the_fee_that_was_announced() {
	in_first_block(|| {
		let extrinsic = signed(Alice, 0, transfer(Bob, 5 * PRZ));
		let announced = TransactionPayment::query_info(extrinsic.clone(), extrinsic.encoded_size() as u32);
		let (alice, bob) = (
			Balances::free_balance(account(Alice)),
			Balances::free_balance(account(Bob)),
		);

		Executive::apply_extrinsic(extrinsic)
			.expect("valid")
			.expect("dispatched");

		assert!(announced.partial_fee > 0);
		assert_eq!(
			Balances::free_balance(account(Alice)),
			alice - 5 * PRZ - announced.partial_fee
		);
		assert_eq!(Balances::free_balance(account(Bob)), bob + 5 * PRZ);
		assert_eq!(System::account_nonce(account(Alice)), 1);
	});
}

#[test]
fn a_fee_is_its_base_its_length_and_its_weight() {
	in_first_block(|| {
		let extrinsic = signed(Alice, 0, transfer(Bob, PRZ));
		let length = extrinsic.encoded_size() as u32;
		let fee = TransactionPayment::query_fee_details(extrinsic.clone(), length)
			.inclusion_fee
			.expect("it pays");
		assert_eq!(fee.len_fee, u128::from(length) * MICRO_PRZ);
		let info = extrinsic.get_dispatch_info();
		assert_eq!(fee.adjusted_weight_fee, u128::from(info.total_weight().ref_time()));
	});
}

#[test]
fn fees_and_dust_go_to_the_treasury_and_nothing_is_burnt() {
	in_first_block(|| {
		let issuance = Balances::total_issuance();
		let wealth = || {
			[Alice, Bob, Charlie]
				.map(|who| Balances::total_balance(&account(who)))
				.iter()
				.sum::<u128>()
		};
		let (people, treasury) = (wealth(), Balances::free_balance(Peerz::treasury()));
		let all_but_dust = Balances::free_balance(account(Charlie)) - EXISTENTIAL_DEPOSIT / 2;
		apply(Alice, 0, transfer(Bob, PRZ)).expect("valid").expect("dispatched");
		let reaping = pallet_balances::Call::force_transfer {
			source: address(Charlie),
			dest: address(Bob),
			value: all_but_dust,
		};
		RuntimeCall::from(reaping)
			.dispatch(RuntimeOrigin::root())
			.expect("dispatched");

		assert_eq!(Balances::total_balance(&account(Charlie)), 0);
		let gained = Balances::free_balance(Peerz::treasury()) - treasury;
		assert!(gained > EXISTENTIAL_DEPOSIT / 2);
		assert_eq!(gained, people - wealth());
		assert_eq!(Balances::total_issuance(), issuance);
	});
}

#[test]
fn a_refused_call_leaves_only_fee_and_nonce() {
	in_first_block(|| {
		let (alice, bob) = (
			Balances::free_balance(account(Alice)),
			Balances::free_balance(account(Bob)),
		);
		let outcome = apply(Alice, 0, transfer(Bob, alice)).expect("valid");
		assert!(outcome.is_err());
		assert_eq!(Balances::free_balance(account(Bob)), bob);
		let paid = alice - Balances::free_balance(account(Alice));
		assert!(paid > 0 && paid < PRZ / 100, "{paid}");
		assert_eq!(System::account_nonce(account(Alice)), 1);
	});
}

#[test]
fn a_signature_counts_once_and_for_its_signer_only() {
	in_first_block(|| {
		let extrinsic = signed(Alice, 0, transfer(Bob, PRZ));
		Executive::apply_extrinsic(extrinsic.clone())
			.expect("valid")
			.expect("dispatched");
		assert_eq!(
			Executive::apply_extrinsic(extrinsic),
			Err(InvalidTransaction::Stale.into())
		);
		assert_eq!(
			apply(Alice, 5, transfer(Bob, PRZ)),
			Err(InvalidTransaction::Future.into())
		);

		let mut forged = signed(Bob, 0, transfer(Eve, PRZ));
		if let sp_runtime::generic::Preamble::Signed(who, ..) = &mut forged.preamble {
			*who = address(Charlie);
		}
		assert_eq!(
			Executive::apply_extrinsic(forged),
			Err(InvalidTransaction::BadProof.into())
		);
	});
}

#[test]
fn who_cannot_pay_is_kept_out_of_the_pool() {
	in_first_block(|| {
		let poor = sp_keyring::Sr25519Keyring::One;
		let extrinsic = signed(poor, 0, transfer(Bob, PRZ));
		let verdict = Executive::validate_transaction(TransactionSource::External, extrinsic, System::block_hash(0));
		assert_eq!(verdict, Err(InvalidTransaction::Payment.into()));
	});
}

#[test]
fn dust_opens_no_account() {
	in_first_block(|| {
		let unknown = sp_keyring::Sr25519Keyring::Two;
		let outcome = apply(Alice, 0, transfer(unknown, EXISTENTIAL_DEPOSIT - 1)).expect("valid");
		assert_eq!(outcome, Err(DispatchError::Token(sp_runtime::TokenError::BelowMinimum)));
		apply(Alice, 1, transfer(unknown, EXISTENTIAL_DEPOSIT))
			.expect("valid")
			.expect("dispatched");
		assert_eq!(Balances::total_balance(&account(unknown)), EXISTENTIAL_DEPOSIT);
	});
}

#[test]
fn a_block_closes_and_the_next_follows_in_a_later_slot() {
	with_preset("development", || {
		for number in 1..=3 {
			open_block(number, u64::from(number) * 2);
			apply(Alice, number - 1, transfer(Bob, PRZ))
				.expect("valid")
				.expect("dispatched");
			let header = Executive::finalize_block();
			assert_eq!(header.number, number);
		}
	});
}

#[test]
#[should_panic(expected = "Slot must increase")]
fn a_slot_has_one_block() {
	with_preset("development", || {
		open_block(1, 7);
		Executive::finalize_block();
		open_block(2, 7);
	});
}

#[test]
fn root_is_the_sudo_key_and_nobody_else() {
	in_first_block(|| {
		let remark = || Box::new(RuntimeCall::from(frame_system::Call::remark { remark: vec![1] }));
		let refused = pallet_sudo::Pallet::<Runtime>::sudo(RuntimeOrigin::signed(account(Bob)), remark());
		assert_eq!(
			refused.unwrap_err().error,
			pallet_sudo::Error::<Runtime>::RequireSudo.into()
		);
		apply(Alice, 0, pallet_sudo::Call::sudo { call: remark() }.into())
			.expect("valid")
			.expect("dispatched");
		assert_noop!(
			frame_system::Pallet::<Runtime>::set_code(RuntimeOrigin::signed(account(Alice)), vec![]),
			BadOrigin
		);
	});
}

/// The outcome of a call of Bob's in Alice's name, after Alice gave him powers of `kind`.
fn proxied(kind: ProxyType, call: RuntimeCall) -> DispatchResult {
	let mut result = None;
	in_first_block(|| {
		let add = pallet_proxy::Call::add_proxy {
			delegate: address(Bob),
			proxy_type: kind,
			delay: 0,
		};
		apply(Alice, 0, add.into()).expect("valid").expect("dispatched");
		let proxy = pallet_proxy::Call::proxy {
			real: address(Alice),
			force_proxy_type: None,
			call: Box::new(call),
		};
		apply(Bob, 0, proxy.into()).expect("valid").expect("dispatched");
		result = System::events().into_iter().find_map(|record| match record.event {
			RuntimeEvent::Proxy(pallet_proxy::Event::ProxyExecuted { result }) => Some(result),
			RuntimeEvent::Utility(pallet_utility::Event::BatchInterrupted { error, .. }) => Some(Err(error)),
			_ => None,
		});
	});
	result.expect("an event says how it went")
}

fn batch(call: RuntimeCall) -> RuntimeCall {
	pallet_utility::Call::batch { calls: vec![call] }.into()
}

fn bond() -> RuntimeCall {
	pallet_peerz::Call::bond {
		role: pallet_peerz::types::COMPUTE,
		amount: PRZ,
	}
	.into()
}

#[test]
fn a_proxy_moves_money_only_with_all_powers() {
	let filtered = Err(frame_system::Error::<Runtime>::CallFiltered.into());
	assert_eq!(proxied(ProxyType::Any, transfer(Eve, PRZ)), Ok(()));
	for kind in [ProxyType::NonTransfer, ProxyType::Node, ProxyType::CancelProxy] {
		assert_eq!(proxied(kind, transfer(Eve, PRZ)), filtered, "{kind:?}");
	}
	for kind in [ProxyType::NonTransfer, ProxyType::Node] {
		assert_eq!(
			proxied(kind, batch(transfer(Eve, PRZ))),
			filtered,
			"{kind:?} in a batch"
		);
	}
}

#[test]
fn a_nodes_proxy_hands_on_no_powers() {
	let delegate = pallet_proxy::Call::add_proxy {
		delegate: address(Eve),
		proxy_type: ProxyType::Any,
		delay: 0,
	};
	let filtered = Err(frame_system::Error::<Runtime>::CallFiltered.into());
	assert_eq!(proxied(ProxyType::Node, delegate.into()), filtered);
}

#[test]
fn a_nodes_proxy_runs_the_node() {
	assert_eq!(proxied(ProxyType::Node, bond()), Ok(()));
	assert_eq!(proxied(ProxyType::Node, batch(bond())), Ok(()));
	let filtered = Err(frame_system::Error::<Runtime>::CallFiltered.into());
	assert_eq!(proxied(ProxyType::CancelProxy, bond()), filtered);
}

#[cfg(feature = "try-runtime")]
#[test]
fn the_invariants_hold_from_the_first_block_on() {
	use frame_support::traits::{TryState, TryStateSelect};
	for preset in ["development", "local"] {
		with_preset(preset, || {
			open_block(1, 1);
			apply(Alice, 0, bond()).expect("valid").expect("dispatched");
			Executive::finalize_block();
			crate::AllPalletsWithSystem::try_state(1, TryStateSelect::All).expect("the invariants hold");
		});
	}
}
