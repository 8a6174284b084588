//! Members of the roles that governance adds.

use crate::{
	pallet::{Config, Error, Pallet, Params},
	types::{RoleId, RoleKind},
};
use frame_support::{ensure, pallet_prelude::DispatchResult};

impl<T: Config> Pallet<T> {
	pub(crate) fn do_join_role(who: T::AccountId, id: RoleId) -> DispatchResult {
		let role = Self::role(id)?;
		ensure!(role.kind == RoleKind::Member, Error::<T>::WrongRoleKind);
		Self::check_can_register(&who, id)?;
		ensure!(
			Self::active_bond(&who, id) >= role.terms.min_bond,
			Error::<T>::BelowMinimumBond
		);
		Self::register(who, id, Params::<T>::get().subject_deposit)?;
		Ok(())
	}
}
