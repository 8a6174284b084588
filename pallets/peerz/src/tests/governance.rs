use crate::{mock::*, types::*, Error, Event, Parameters, Params, RoleWeights, Roles, PRZ};
use frame_support::{assert_noop, assert_ok};
use sp_runtime::DispatchError;

const TERMS: RoleTerms = RoleTerms {
	enabled: true,
	floor: 0,
	ceiling: 100_000,
	min_bond: 0,
	target_use: 0,
};

fn root() -> RuntimeOrigin {
	RuntimeOrigin::root()
}

#[test]
fn genesis_has_six_roles_and_two_of_them_wait_for_votes() {
	run(|| {
		let names: Vec<_> = Peerz::role_weights()
			.into_iter()
			.map(|role| (String::from_utf8(role.name).unwrap(), role.weight))
			.collect();
		let expected = [
			("compute", 600_000),
			("validator", 200_000),
			("model", 100_000),
			("developer", 100_000),
			("liquidity", 0),
			("social", 0),
		];
		assert_eq!(names, expected.map(|(name, weight)| (name.to_string(), weight)));
	});
}

#[test]
fn the_default_parameters_are_valid() {
	assert!(Parameters::default().is_valid());
	assert!(parameters().is_valid());
}

#[test]
fn parameters_survive_json_and_a_genesis_names_only_what_differs() {
	let all = serde_json::to_value(Parameters::default()).unwrap();
	assert_eq!(
		serde_json::from_value::<Parameters>(all).unwrap(),
		Parameters::default()
	);
	let few = serde_json::from_str::<Parameters>(r#"{"epoch_blocks": 30, "max_supply": "5000000000000000000000"}"#);
	let expected = Parameters {
		epoch_blocks: 30,
		max_supply: 5_000_000_000 * crate::PRZ,
		..Default::default()
	};
	assert_eq!(few.unwrap(), expected);
	for wrong in [
		r#"{"epoch_block": 30}"#,
		r#"{"max_supply": "many"}"#,
		r#"{"max_supply": -1}"#,
	] {
		assert!(serde_json::from_str::<Parameters>(wrong).is_err());
	}
}

#[test]
fn only_governance_sets_parameters() {
	run(|| {
		let parameters = Parameters {
			review_epochs: 5,
			..parameters()
		};
		assert_noop!(
			Peerz::set_parameters(signed(1), parameters.clone()),
			DispatchError::BadOrigin
		);
		assert_ok!(Peerz::set_parameters(root(), parameters.clone()));
		assert_eq!(Params::<Test>::get(), parameters);
		System::assert_last_event(Event::ParametersSet { parameters }.into());
	});
}

#[test]
fn parameters_must_fit_together() {
	run(|| {
		let broken: [fn(&mut Parameters); 10] = [
			|p| p.commit_blocks = 0,
			|p| p.epoch_blocks = p.commit_blocks + p.reveal_blocks,
			|p| p.unbonding_epochs = p.dispute_epochs + p.slash_delay + 2,
			|p| p.voter_cap = 10_001,
			|p| p.day_cap = p.month_cap + 1,
			|p| p.assigned = 129,
			|p| p.bond_per_unit = 0,
			|p| p.weight_step = 1_000_001,
			|p| p.withheld_epochs = HistoryDepth::get(),
			|p| p.dispute_epochs = 0,
		];
		for change in broken {
			let mut parameters = parameters();
			change(&mut parameters);
			let call = Peerz::set_parameters(root(), parameters);
			assert_eq!(call, Err(Error::<Test>::InvalidParameters.into()));
		}
	});
}

#[test]
fn the_assignment_never_changes_under_rows_that_are_being_made() {
	run(|| {
		three_validators();
		let fewer = || {
			let mut parameters = Params::<Test>::get();
			(parameters.assign_all_up_to, parameters.assigned) = (0, 1);
			Peerz::set_parameters(root(), parameters)
		};
		to_epoch(3);
		for phase in [Phase::Commit, Phase::Reveal, Phase::Finalise] {
			to_phase(phase);
			assert_eq!(fewer(), Err(Error::<Test>::WrongPhase.into()));
			with_parameters(|p| p.review_epochs += 1);
		}
		to_phase(Phase::Open);
		assert_ok!(fewer());
	});
}

#[test]
fn a_pause_stops_calls_and_the_clock() {
	run(|| {
		assert_ok!(Peerz::pause(root()));
		assert_noop!(Peerz::bond(signed(1), COMPUTE, 1), Error::<Test>::Paused);
		assert_noop!(Peerz::pause(root()), Error::<Test>::Paused);
		let before = crate::CurrentEpoch::<Test>::get();
		for _ in 0..50 {
			next_block();
		}
		assert_eq!(crate::CurrentEpoch::<Test>::get(), before);
		assert_ok!(Peerz::resume(root()));
		let after = crate::CurrentEpoch::<Test>::get();
		assert_eq!(after.phase_end, before.phase_end + 50);
		assert_noop!(Peerz::resume(root()), Error::<Test>::NotPaused);
		assert_ok!(Peerz::bond(signed(1), COMPUTE, PRZ));
	});
}

#[test]
fn a_new_role_begins_with_nothing() {
	run(|| {
		assert_ok!(Peerz::add_role(root(), b"translator".to_vec(), RoleKind::Member, TERMS));
		assert_eq!(RoleWeights::<Test>::get().last(), Some(&0));
		System::assert_last_event(
			Event::RoleAdded {
				role: 6,
				kind: RoleKind::Member,
			}
			.into(),
		);
		assert_noop!(
			Peerz::add_role(signed(1), b"mine".to_vec(), RoleKind::Member, TERMS),
			DispatchError::BadOrigin
		);
	});
}

#[test]
fn a_role_needs_a_name_of_some_length() {
	run(|| {
		for name in [vec![], vec![b'x'; 33]] {
			assert_noop!(
				Peerz::add_role(root(), name, RoleKind::Member, TERMS),
				Error::<Test>::BadRoleName
			);
		}
	});
}

#[test]
fn built_in_kinds_are_not_added() {
	run(|| {
		assert_noop!(
			Peerz::add_role(root(), b"x".to_vec(), RoleKind::Validator, TERMS),
			Error::<Test>::BuiltInKind
		);
	});
}

#[test]
fn there_are_sixteen_roles_at_most() {
	run(|| {
		for _ in 6..16 {
			assert_ok!(Peerz::add_role(root(), b"x".to_vec(), RoleKind::Member, TERMS));
		}
		assert_noop!(
			Peerz::add_role(root(), b"x".to_vec(), RoleKind::Member, TERMS),
			Error::<Test>::TooManyRoles
		);
	});
}

#[test]
fn floors_and_ceilings_leave_room() {
	run(|| {
		for terms in [
			RoleTerms {
				floor: 700_001,
				ceiling: 1_000_000,
				..TERMS
			},
			RoleTerms {
				floor: 2,
				ceiling: 1,
				..TERMS
			},
			RoleTerms {
				ceiling: 1_000_001,
				..TERMS
			},
		] {
			assert_noop!(
				Peerz::change_role(root(), DEVELOPER, terms),
				Error::<Test>::BadRoleTerms
			);
		}
	});
}

#[test]
fn governance_changes_a_role() {
	run(|| {
		let terms = RoleTerms {
			enabled: false,
			..TERMS
		};
		assert_ok!(Peerz::change_role(root(), SOCIAL, terms));
		assert_eq!(Roles::<Test>::get(SOCIAL).unwrap().terms, terms);
		assert_noop!(Peerz::join_role(signed(1), SOCIAL), Error::<Test>::RoleDisabled);
		assert_noop!(Peerz::change_role(root(), 77, terms), Error::<Test>::UnknownRole);
	});
}

#[test]
fn the_treasury_is_spent_by_governance() {
	run(|| {
		assert_ok!(Balances::transfer_allow_death(signed(2), Peerz::treasury(), 5_000));
		assert_noop!(
			Peerz::spend_treasury(signed(1), account(1), 5_000),
			DispatchError::BadOrigin
		);
		assert_noop!(Peerz::spend_treasury(root(), account(1), 0), Error::<Test>::ZeroAmount);
		assert_ok!(Peerz::spend_treasury(root(), account(1), 5_000));
		assert_eq!(free(1), WEALTH + 5_000);
	});
}
