//! Votes on the weights of the roles, and the review that counts them.

use crate::{
	pallet::{
		Config, CurrentEpoch, Error, Event, HoldReason, NextReview, Pallet, Params, ReviewNumber, Reviews, RoleWeights,
		Roles, VoteLocked, Votes,
	},
	types::{Balance, EpochIndex, ReviewRecord, RoleId, RoleShares, Vote, Weights, REVIEWS_KEPT},
};
use alloc::vec::Vec;
use frame_support::{
	ensure,
	pallet_prelude::DispatchResult,
	traits::{fungible::hold::Mutate, tokens::Precision, Get},
};
use peerz_consensus::review::{ballot_counts, check_ballot, review, Ballot, BallotError, RoleState};

impl<T: Config> Pallet<T> {
	pub(crate) fn do_vote(
		who: T::AccountId,
		shares: RoleShares,
		amount: Balance,
		evict: Option<T::AccountId>,
	) -> DispatchResult {
		let params = Params::<T>::get();
		ensure!(amount >= params.min_vote && amount > 0, Error::<T>::VoteTooSmall);
		let open: Vec<RoleId> = Self::role_ids()
			.filter(|id| Roles::<T>::get(id).is_some_and(|role| role.terms.enabled))
			.collect();
		check_ballot(&shares, &open).map_err(|error| match error {
			BallotError::NotSorted => Error::<T>::VoteNotSorted,
			BallotError::UnknownRole => Error::<T>::VoteForClosedRole,
			BallotError::WrongSum => Error::<T>::VoteDoesNotSum,
		})?;
		let former = Votes::<T>::get(&who);
		let locked = former.as_ref().map_or(0, |vote| vote.amount);
		// A smaller lock would free funds at once that a review may have counted a moment ago.
		let more = amount.checked_sub(locked).ok_or(Error::<T>::VoteShrinks)?;
		if former.is_none() && Votes::<T>::count() >= T::MaxVoters::get() {
			let victim = evict.ok_or(Error::<T>::TooManyVoters)?;
			let vote = Votes::<T>::get(&victim).ok_or(Error::<T>::NoVote)?;
			// A vote that was taken back is still locked: an eviction by dust would be a way around that.
			let stale = match vote.unlock {
				Some(unlock) => CurrentEpoch::<T>::get().index >= unlock,
				None => !Self::vote_counts(&vote, ReviewNumber::<T>::get()),
			};
			ensure!(stale || vote.amount < amount, Error::<T>::CannotEvict);
			// The newcomer's lock comes first: if it fails, nothing has changed.
			T::Currency::hold(&HoldReason::Vote.into(), &who, more)?;
			Self::end_vote(&victim, vote.amount)?;
			Self::deposit_event(Event::VoteEvicted {
				account: victim,
				amount: vote.amount,
			});
		} else if more > 0 {
			T::Currency::hold(&HoldReason::Vote.into(), &who, more)?;
		}
		VoteLocked::<T>::mutate(|sum| *sum = sum.saturating_add(more));
		let review = ReviewNumber::<T>::get();
		Votes::<T>::insert(
			&who,
			Vote {
				shares: shares.clone(),
				amount,
				review,
				unlock: None,
			},
		);
		Self::deposit_event(Event::Voted {
			account: who,
			shares,
			amount,
			review,
		});
		Ok(())
	}

	pub(crate) fn do_remove_vote(who: T::AccountId) -> DispatchResult {
		let mut vote = Votes::<T>::get(&who).ok_or(Error::<T>::NoVote)?;
		ensure!(vote.unlock.is_none(), Error::<T>::VoteRemoved);
		let unlock = CurrentEpoch::<T>::get()
			.index
			.saturating_add(Params::<T>::get().vote_unlock_epochs);
		vote.unlock = Some(unlock);
		Votes::<T>::insert(&who, vote);
		Self::deposit_event(Event::VoteRemoved { account: who, unlock });
		Ok(())
	}

	pub(crate) fn do_unlock_vote(who: T::AccountId) -> DispatchResult {
		let vote = Votes::<T>::get(&who).ok_or(Error::<T>::NoVote)?;
		let unlock = vote.unlock.ok_or(Error::<T>::VoteStillCounts)?;
		ensure!(CurrentEpoch::<T>::get().index >= unlock, Error::<T>::TooEarly);
		Self::end_vote(&who, vote.amount)?;
		Self::deposit_event(Event::VoteUnlocked {
			account: who,
			amount: vote.amount,
		});
		Ok(())
	}

	/// Frees a vote's lock and forgets it.
	fn end_vote(who: &T::AccountId, amount: Balance) -> DispatchResult {
		T::Currency::release(&HoldReason::Vote.into(), who, amount, Precision::Exact)?;
		Votes::<T>::remove(who);
		VoteLocked::<T>::mutate(|sum| *sum = sum.saturating_sub(amount));
		Ok(())
	}

	/// Whether a vote counts in review number `now`.
	pub(crate) fn vote_counts(vote: &Vote, now: u32) -> bool {
		vote.unlock.is_none() && ballot_counts(vote.review, now, Params::<T>::get().vote_reviews)
	}

	/// Holds the review that is due in `epoch`, if one is.
	pub(crate) fn review_weights(epoch: EpochIndex) {
		if epoch < NextReview::<T>::get() {
			return;
		}
		let params = Params::<T>::get();
		let number = ReviewNumber::<T>::get();
		let weights = RoleWeights::<T>::get();
		let roles: Vec<RoleState> = Self::role_ids()
			.zip(&weights)
			.filter_map(|(id, weight)| {
				let terms = Roles::<T>::get(id)?.terms;
				// A role that is off is let down to nothing.
				let (floor, ceiling) = if terms.enabled {
					(terms.floor, terms.ceiling)
				} else {
					(0, 0)
				};
				Some(RoleState {
					id,
					weight: *weight,
					floor,
					ceiling,
				})
			})
			.collect();
		// At most `MaxVoters`.
		let ballots: Vec<Ballot> = Votes::<T>::iter_values()
			.filter(|vote| Self::vote_counts(vote, number))
			.map(|vote| Ballot {
				stake: vote.amount,
				weights: vote.shares.into_inner(),
			})
			.collect();
		let result = review(&params.review(), &roles, &ballots, VoteLocked::<T>::get());
		NextReview::<T>::put(epoch.saturating_add(params.review_epochs));
		ReviewNumber::<T>::put(number.saturating_add(1));
		// The invariants exclude an error; if they are broken the weights stay.
		let Ok(result) = result else { return };
		let Ok(next) = Weights::try_from(result.next) else {
			return;
		};
		let record = ReviewRecord {
			epoch,
			counted: result.counted,
			eligible: result.eligible,
			quorum_met: result.quorum_met,
			weights: next.clone(),
		};
		RoleWeights::<T>::put(&next);
		Reviews::<T>::insert(number, &record);
		if let Some(old) = number.checked_sub(REVIEWS_KEPT) {
			Reviews::<T>::remove(old);
		}
		Self::deposit_event(Event::WeightsReviewed { number, record });
	}
}
