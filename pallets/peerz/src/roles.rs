//! The open registry of roles.

use crate::{
	pallet::{Config, Error, Event, NextRole, Pallet, RoleWeights, Roles},
	params::PRZ,
	types::{Role, RoleId, RoleKind, RoleTerms, Weights, MAX_ROLES, PPM},
};
use alloc::vec::Vec;
use frame_support::{
	ensure,
	pallet_prelude::{DispatchError, DispatchResult},
};

/// Name, kind, weight and terms of the roles that a network begins with.
const GENESIS: [(&str, RoleKind, u32, RoleTerms); 6] = [
	(
		"compute",
		RoleKind::Compute,
		600_000,
		terms(200_000, 800_000, 100 * PRZ, 500_000),
	),
	(
		"validator",
		RoleKind::Validator,
		200_000,
		terms(100_000, 400_000, 1_000 * PRZ, 0),
	),
	("model", RoleKind::Model, 100_000, terms(0, 300_000, 0, 0)),
	("developer", RoleKind::Member, 100_000, terms(0, 300_000, 100 * PRZ, 0)),
	("liquidity", RoleKind::Member, 0, terms(0, 200_000, 100 * PRZ, 0)),
	("social", RoleKind::Member, 0, terms(0, 200_000, 100 * PRZ, 0)),
];

const fn terms(floor: u32, ceiling: u32, min_bond: u128, target_use: u32) -> RoleTerms {
	RoleTerms {
		enabled: true,
		floor,
		ceiling,
		min_bond,
		target_use,
	}
}

impl<T: Config> Pallet<T> {
	/// The role, if it exists.
	pub(crate) fn role(role: RoleId) -> Result<Role, DispatchError> {
		Roles::<T>::get(role).ok_or(Error::<T>::UnknownRole.into())
	}

	/// All ids that were ever given, ascending.
	pub(crate) fn role_ids() -> core::ops::Range<RoleId> {
		0..NextRole::<T>::get()
	}

	pub(crate) fn add_genesis_roles() {
		let mut weights = Weights::new();
		for (id, (name, kind, weight, terms)) in (0..).zip(GENESIS) {
			let name = name.as_bytes().to_vec().try_into().unwrap_or_default();
			Roles::<T>::insert(id, Role { name, kind, terms });
			// There are fewer than fit.
			let _ = weights.try_push(weight);
			NextRole::<T>::put(id.saturating_add(1));
		}
		RoleWeights::<T>::put(weights);
	}

	pub(crate) fn do_add_role(name: Vec<u8>, kind: RoleKind, terms: RoleTerms) -> DispatchResult {
		ensure!(!name.is_empty(), Error::<T>::BadRoleName);
		let name = name.try_into().map_err(|_| Error::<T>::BadRoleName)?;
		ensure!(kind == RoleKind::Member, Error::<T>::BuiltInKind);
		let id = NextRole::<T>::get();
		ensure!(u32::from(id) < MAX_ROLES, Error::<T>::TooManyRoles);
		Self::check_terms(id, &terms)?;
		let mut weights = RoleWeights::<T>::get();
		weights.try_push(0).map_err(|_| Error::<T>::TooManyRoles)?;

		Roles::<T>::insert(id, Role { name, kind, terms });
		NextRole::<T>::put(id.saturating_add(1));
		RoleWeights::<T>::put(weights);
		Self::deposit_event(Event::RoleAdded { role: id, kind });
		Ok(())
	}

	pub(crate) fn do_change_role(id: RoleId, terms: RoleTerms) -> DispatchResult {
		let mut role = Self::role(id)?;
		Self::check_terms(id, &terms)?;
		role.terms = terms;
		Roles::<T>::insert(id, role);
		Self::deposit_event(Event::RoleChanged { role: id, terms });
		Ok(())
	}

	/// Whether a review can satisfy all roles when `id` has `terms`.
	fn check_terms(id: RoleId, terms: &RoleTerms) -> DispatchResult {
		let shares = [terms.floor, terms.ceiling, terms.target_use];
		ensure!(shares.iter().all(|share| *share <= PPM), Error::<T>::BadRoleTerms);
		ensure!(terms.floor <= terms.ceiling, Error::<T>::BadRoleTerms);
		let others = Self::role_ids()
			.filter(|other| *other != id)
			.filter_map(Roles::<T>::get);
		let all = others.map(|role| role.terms).chain(core::iter::once(*terms));
		let (floors, ceilings) = all
			.filter(|terms| terms.enabled)
			.fold((0u64, 0u64), |(floors, ceilings), terms| {
				(floors + u64::from(terms.floor), ceilings + u64::from(terms.ceiling))
			});
		ensure!(floors <= PPM.into() && ceilings >= PPM.into(), Error::<T>::BadRoleTerms);
		Ok(())
	}
}
