//! Beginning, parameters, the pause and the treasury.

use crate::{
	pallet::{Config, CurrentEpoch, EpochValidators, Error, Event, NextReview, Pallet, Params, PausedSince},
	params::Parameters,
	types::{Balance, Phase},
};
use frame_support::{
	ensure,
	pallet_prelude::{DispatchError, DispatchResult},
	traits::{
		fungible::{Inspect, Mutate},
		tokens::Preservation,
		Get,
	},
};
use frame_system::{ensure_signed, pallet_prelude::OriginFor};
use sp_core::H256;
use sp_runtime::traits::{AccountIdConversion, Saturating};

impl<T: Config> Pallet<T> {
	/// The account that emission goes to and claims are paid from.
	pub fn pot() -> T::AccountId {
		T::PalletId::get().into_account_truncating()
	}

	/// The account that slashes, unclaimed rewards and dust go to.
	pub fn treasury() -> T::AccountId {
		T::PalletId::get().into_sub_account_truncating(b"treasury")
	}

	/// Whether parameters fit together, and into this runtime: withheld pay must become payable before it expires.
	fn are_valid(parameters: &Parameters) -> bool {
		parameters.is_valid() && parameters.withheld_epochs < T::HistoryDepth::get()
	}

	/// Writes the state of block zero.
	pub(crate) fn begin(parameters: Parameters, seed: H256) {
		assert!(
			Self::are_valid(&parameters),
			"the genesis parameters do not fit together"
		);
		let phase_end = parameters.commit_blocks.into();
		let parameters_review = parameters.review_epochs;
		Params::<T>::put(parameters);
		CurrentEpoch::<T>::mutate(|epoch| epoch.phase_end = phase_end);
		NextReview::<T>::put(parameters_review);
		Self::add_genesis_roles();
		Self::begin_epochs(seed);
		// Without it, an amount below the existential deposit could not be moved into them.
		let minimum = T::Currency::minimum_balance();
		for account in [Self::pot(), Self::treasury()] {
			T::Currency::set_balance(&account, minimum);
		}
	}

	/// The caller, while the pallet is not paused.
	pub(crate) fn signed(origin: OriginFor<T>) -> Result<T::AccountId, DispatchError> {
		let who = ensure_signed(origin)?;
		ensure!(!PausedSince::<T>::exists(), Error::<T>::Paused);
		Ok(who)
	}

	pub(crate) fn do_set_parameters(parameters: Parameters) -> DispatchResult {
		ensure!(Self::are_valid(&parameters), Error::<T>::InvalidParameters);
		// Rows that are committed were made for the assignment in force: changed under them, all of them would be refused, and
		// their authors slashed.
		let epoch = CurrentEpoch::<T>::get();
		let idle = epoch.phase == Phase::Open
			|| EpochValidators::<T>::decode_len(Self::attested_in(epoch.index)).unwrap_or(0) == 0;
		let same = parameters.assignment() == Params::<T>::get().assignment();
		ensure!(idle || same, Error::<T>::WrongPhase);
		Params::<T>::put(&parameters);
		Self::deposit_event(Event::ParametersSet { parameters });
		Ok(())
	}

	pub(crate) fn do_pause() -> DispatchResult {
		ensure!(!PausedSince::<T>::exists(), Error::<T>::Paused);
		PausedSince::<T>::put(frame_system::Pallet::<T>::block_number());
		Self::deposit_event(Event::Paused);
		Ok(())
	}

	pub(crate) fn do_resume() -> DispatchResult {
		let since = PausedSince::<T>::take().ok_or(Error::<T>::NotPaused)?;
		let pause = frame_system::Pallet::<T>::block_number().saturating_sub(since);
		CurrentEpoch::<T>::mutate(|epoch| {
			epoch.started = epoch.started.saturating_add(pause);
			epoch.phase_end = epoch.phase_end.saturating_add(pause);
		});
		Self::deposit_event(Event::Resumed);
		Ok(())
	}

	pub(crate) fn do_spend_treasury(to: T::AccountId, amount: Balance) -> DispatchResult {
		ensure!(amount > 0, Error::<T>::ZeroAmount);
		T::Currency::transfer(&Self::treasury(), &to, amount, Preservation::Preserve)?;
		Self::deposit_event(Event::TreasurySpent { to, amount });
		Ok(())
	}
}
