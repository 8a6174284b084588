//! Faults that prove themselves, and faults that a panel reproduces.

use crate::{
	bindings::ED25519,
	pallet::{
		ClassFaults, Config, CurrentEpoch, Disputes, EpochValidators, Error, Event, NodeKeyOf, NodeKeys, Pallet,
		Params, Seeds, Subjects, WorkRoots,
	},
	types::{
		Dispute, DisputeStatus, EpochIndex, Fault, FrozenValidator, LeafProof, NodeKey, Receipt, RoleKind, SessionId,
		SignedReceipt, Slot, SubjectIndex, COMPUTE, PANEL,
	},
};
use alloc::vec::Vec;
use codec::Encode;
use frame_support::{
	ensure,
	pallet_prelude::{DispatchError, DispatchResult},
};
use peerz_consensus::{
	assignment::{assigned, AssignmentParams},
	merkle,
};
use sp_core::H256;

/// The domain of step receipts.
pub const RECEIPT_DOMAIN: &[u8] = b"peerz/step-receipt";

impl Receipt {
	/// The canonical bytes of the receipt of a session's step: integers little-endian, no lengths.
	pub fn body(&self, session: &SessionId) -> Vec<u8> {
		[
			session.as_slice(),
			&self.seq.to_le_bytes(),
			&self.position.to_le_bytes(),
			&self.n_tokens.to_le_bytes(),
			&[self.kind],
			&self.in_hash,
			&self.out_hash,
			&self.in_chain,
		]
		.concat()
	}
}

impl<T: Config> Pallet<T> {
	pub(crate) fn do_report_equivocation(
		reporter: T::AccountId,
		node_key: NodeKey,
		session: SessionId,
		first: SignedReceipt,
		second: SignedReceipt,
	) -> DispatchResult {
		let mut record = NodeKeys::<T>::get(node_key).ok_or(Error::<T>::UnknownNodeKey)?;
		ensure!(!record.burnt, Error::<T>::AlreadyReported);
		ensure!(first.receipt.seq == second.receipt.seq, Error::<T>::DifferentSteps);
		ensure!(first.receipt != second.receipt, Error::<T>::SameReceipt);
		for signed in [&first, &second] {
			let payload = Self::signed_payload(RECEIPT_DOMAIN, ED25519, &signed.receipt.body(&session));
			let valid = Self::node_signed(&node_key, &payload, &signed.signature);
			ensure!(valid, Error::<T>::BadReceiptSignature);
		}

		record.burnt = true;
		let account = record.account.clone();
		let in_use = record.retired.is_none();
		NodeKeys::<T>::insert(node_key, record);
		if in_use && NodeKeyOf::<T>::get(&account) == Some(node_key) {
			Self::retire_key(&account, node_key);
		}
		Self::deposit_event(Event::EquivocationReported {
			account: account.clone(),
			node_key,
			session,
			seq: first.receipt.seq,
			reporter: reporter.clone(),
		});
		let part = Params::<T>::get().equivocation_slash;
		Self::accuse(account, COMPUTE, Fault::Equivocation, part, Some(reporter));
		Ok(())
	}

	pub(crate) fn do_refute_work_root(
		reporter: T::AccountId,
		epoch: EpochIndex,
		index: SubjectIndex,
		first: LeafProof,
		second: LeafProof,
	) -> DispatchResult {
		let posted = WorkRoots::<T>::get(epoch, index).ok_or(Error::<T>::UnknownWorkRoot)?;
		let subject = Subjects::<T>::get(index)
			.filter(|subject| subject.generation == posted.generation)
			.ok_or(Error::<T>::UnknownSubject)?;
		ensure!(first.position != second.position, Error::<T>::SameLeaf);
		ensure!(first.leaf.session == second.leaf.session, Error::<T>::DifferentSessions);
		for proof in [&first, &second] {
			let leaf = merkle::leaf(&proof.leaf.encode());
			let siblings: Vec<[u8; 32]> = proof.siblings.iter().map(|hash| hash.0).collect();
			let valid = merkle::verify(&posted.root.0, posted.sessions, proof.position, &leaf, &siblings);
			ensure!(valid, Error::<T>::BadProof);
		}

		WorkRoots::<T>::remove(epoch, index);
		let session = first.leaf.session;
		Self::deposit_event(Event::RootRefuted {
			epoch,
			index,
			session,
			reporter: reporter.clone(),
		});
		let part = Params::<T>::get().equivocation_slash;
		Self::accuse(subject.account, COMPUTE, Fault::InvalidRoot, part, Some(reporter));
		Ok(())
	}

	pub(crate) fn do_open_dispute(
		opener: T::AccountId,
		index: SubjectIndex,
		evidence: H256,
		kernel_class: H256,
	) -> DispatchResult {
		let epoch = CurrentEpoch::<T>::get().index;
		Self::slot_of(epoch, &opener).ok_or(Error::<T>::NotAValidator)?;
		let subject = Subjects::<T>::get(index).ok_or(Error::<T>::UnknownSubject)?;
		let kind = Self::kind_of(&subject);
		ensure!(kind == Some(RoleKind::Compute), Error::<T>::WrongRoleKind);
		ensure!(subject.account != opener, Error::<T>::OwnSubject);
		ensure!(!Disputes::<T>::contains_key(index), Error::<T>::DisputeExists);
		let deposit = Params::<T>::get().dispute_deposit;
		Self::hold_deposit(&opener, deposit)?;
		Self::add_accusation(&subject.account);
		Disputes::<T>::insert(
			index,
			Dispute {
				opener: opener.clone(),
				deposit,
				index,
				generation: subject.generation,
				accused: subject.account,
				evidence,
				kernel_class,
				opened: epoch,
				reproduced: Default::default(),
				refuted: Default::default(),
				status: DisputeStatus::Open,
			},
		);
		Self::deposit_event(Event::DisputeOpened {
			index,
			opener,
			evidence,
			kernel_class,
		});
		Ok(())
	}

	/// Who judges a dispute: three validators of the epoch after its opening, drawn by that epoch's seed.
	pub fn panel(dispute: &Dispute<T::AccountId>) -> Result<Vec<(Slot, T::AccountId)>, DispatchError> {
		let epoch = dispute.opened.saturating_add(1);
		let seed = Seeds::<T>::get(epoch).ok_or(Error::<T>::NoPanelYet)?;
		let candidates: Vec<(Slot, FrozenValidator<T::AccountId>)> = (0..)
			.zip(EpochValidators::<T>::get(epoch))
			.filter(|(_, validator)| validator.account != dispute.opener && validator.account != dispute.accused)
			.collect();
		let keys: Vec<Vec<u8>> = candidates
			.iter()
			.map(|(_, validator)| Self::rank_key(&validator.account, validator.generation))
			.collect();
		let key = (
			b"dispute",
			dispute.index,
			dispute.generation,
			dispute.opened,
			dispute.evidence,
		)
			.encode();
		let draw = AssignmentParams { all_up_to: 0, k: PANEL };
		Ok(assigned(&draw, &seed.0, &key, &keys)
			.into_iter()
			.filter_map(|at| candidates.get(at))
			.map(|(slot, validator)| (*slot, validator.account.clone()))
			.collect())
	}

	pub(crate) fn do_judge_dispute(who: T::AccountId, index: SubjectIndex, reproduced: bool) -> DispatchResult {
		let mut dispute = Disputes::<T>::get(index).ok_or(Error::<T>::UnknownDispute)?;
		ensure!(dispute.status == DisputeStatus::Open, Error::<T>::DisputeHeld);
		ensure!(!Self::dispute_over(&dispute), Error::<T>::DisputeOver);
		let panel = Self::panel(&dispute)?;
		let slot = panel
			.iter()
			.find(|(_, member)| *member == who)
			.map(|(slot, _)| *slot)
			.ok_or(Error::<T>::NotOnPanel)?;
		let judged = dispute.reproduced.contains(&slot) || dispute.refuted.contains(&slot);
		ensure!(!judged, Error::<T>::AlreadyJudged);
		let side = if reproduced {
			&mut dispute.reproduced
		} else {
			&mut dispute.refuted
		};
		side.try_push(slot).map_err(|_| Error::<T>::AlreadyJudged)?;
		let (for_it, against) = (dispute.reproduced.len() as u32, dispute.refuted.len() as u32);
		Self::deposit_event(Event::DisputeJudged {
			index,
			member: who,
			reproduced,
		});
		if for_it == PANEL {
			return Self::confirm(dispute);
		}
		if against == 2 {
			// Two of three who cannot reproduce it: the opener pays for the trouble.
			return Self::end_dispute(dispute, true);
		}
		if for_it.saturating_add(against) == PANEL {
			return Self::end_dispute(dispute, false);
		}
		Disputes::<T>::insert(index, dispute);
		Ok(())
	}

	fn dispute_over(dispute: &Dispute<T::AccountId>) -> bool {
		let last = dispute.opened.saturating_add(Params::<T>::get().dispute_epochs);
		CurrentEpoch::<T>::get().index > last
	}

	/// All three reproduced it: a slash, or a hold if a whole class of hardware fails at once.
	fn confirm(mut dispute: Dispute<T::AccountId>) -> DispatchResult {
		let epoch = CurrentEpoch::<T>::get().index;
		let failed = ClassFaults::<T>::mutate(epoch, dispute.kernel_class, |count| {
			*count = count.saturating_add(1);
			*count
		});
		if failed >= Params::<T>::get().class_hold {
			dispute.status = DisputeStatus::Held;
			let (index, kernel_class) = (dispute.index, dispute.kernel_class);
			Disputes::<T>::insert(index, dispute);
			Self::deposit_event(Event::DisputeHeld { index, kernel_class });
			return Ok(());
		}
		Self::convict(dispute)
	}

	fn convict(dispute: Dispute<T::AccountId>) -> DispatchResult {
		let part = Params::<T>::get().reproduced_slash;
		let (accused, opener) = (dispute.accused.clone(), dispute.opener.clone());
		Self::end_dispute(dispute, false)?;
		Self::accuse(accused, COMPUTE, Fault::Reproduced, part, Some(opener));
		Ok(())
	}

	fn end_dispute(dispute: Dispute<T::AccountId>, forfeit: bool) -> DispatchResult {
		if forfeit {
			Self::forfeit_deposit(&dispute.opener, dispute.deposit)?;
		} else {
			Self::return_deposit(&dispute.opener, dispute.deposit)?;
		}
		Disputes::<T>::remove(dispute.index);
		Self::drop_accusation(&dispute.accused);
		Self::deposit_event(Event::DisputeEnded {
			index: dispute.index,
			forfeited: forfeit,
		});
		Ok(())
	}

	pub(crate) fn do_close_dispute(index: SubjectIndex) -> DispatchResult {
		let dispute = Disputes::<T>::get(index).ok_or(Error::<T>::UnknownDispute)?;
		ensure!(dispute.status == DisputeStatus::Open, Error::<T>::DisputeHeld);
		ensure!(Self::dispute_over(&dispute), Error::<T>::TooEarly);
		Self::end_dispute(dispute, false)
	}

	pub(crate) fn do_resolve_held(index: SubjectIndex, slash: bool) -> DispatchResult {
		let dispute = Disputes::<T>::get(index).ok_or(Error::<T>::UnknownDispute)?;
		ensure!(dispute.status == DisputeStatus::Held, Error::<T>::DisputeNotHeld);
		if slash {
			Self::convict(dispute)
		} else {
			Self::end_dispute(dispute, false)
		}
	}
}
