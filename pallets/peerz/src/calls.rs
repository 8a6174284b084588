//! The calls. They check their origin and leave the rest to the module of their concern.

use frame_support::pallet_macros::pallet_section;

/// A section of the pallet: see the head of this file.
#[pallet_section]
mod calls {
	#[pallet::call(weight(<T as Config>::WeightInfo))]
	impl<T: Config> Pallet<T> {
		/// Replaces the parameters. Lengths count from the next phase on.
		#[pallet::call_index(0)]
		#[pallet::weight(T::WeightInfo::govern())]
		pub fn set_parameters(origin: OriginFor<T>, parameters: Parameters) -> DispatchResult {
			T::GovernanceOrigin::ensure_origin(origin)?;
			Self::do_set_parameters(parameters)
		}

		/// Stops the clock and all calls but those of governance.
		#[pallet::call_index(1)]
		#[pallet::weight(T::WeightInfo::govern())]
		pub fn pause(origin: OriginFor<T>) -> DispatchResult {
			T::PauseOrigin::ensure_origin(origin)?;
			Self::do_pause()
		}

		/// Goes on after a pause. The phase is longer by the pause.
		#[pallet::call_index(2)]
		#[pallet::weight(T::WeightInfo::govern())]
		pub fn resume(origin: OriginFor<T>) -> DispatchResult {
			T::PauseOrigin::ensure_origin(origin)?;
			Self::do_resume()
		}

		/// Adds a member role with a weight of zero: votes lift it.
		#[pallet::call_index(3)]
		#[pallet::weight(T::WeightInfo::govern())]
		pub fn add_role(origin: OriginFor<T>, name: Vec<u8>, kind: RoleKind, terms: RoleTerms) -> DispatchResult {
			T::GovernanceOrigin::ensure_origin(origin)?;
			Self::do_add_role(name, kind, terms)
		}

		/// Changes the terms of a role.
		#[pallet::call_index(4)]
		#[pallet::weight(T::WeightInfo::govern())]
		pub fn change_role(origin: OriginFor<T>, role: RoleId, terms: RoleTerms) -> DispatchResult {
			T::GovernanceOrigin::ensure_origin(origin)?;
			Self::do_change_role(role, terms)
		}

		/// Pays from the treasury.
		#[pallet::call_index(5)]
		#[pallet::weight(T::WeightInfo::govern())]
		pub fn spend_treasury(origin: OriginFor<T>, to: T::AccountId, amount: Balance) -> DispatchResult {
			T::GovernanceOrigin::ensure_origin(origin)?;
			Self::do_spend_treasury(to, amount)
		}

		/// Adds to the caller's bond in a role.
		#[pallet::call_index(10)]
		#[pallet::weight(T::WeightInfo::bond())]
		pub fn bond(origin: OriginFor<T>, role: RoleId, amount: Balance) -> DispatchResult {
			let who = Self::signed(origin)?;
			Self::do_bond(who, role, amount)
		}

		/// Starts to take from the caller's bond. Validators and members that have not left keep the least bond.
		#[pallet::call_index(11)]
		#[pallet::weight(T::WeightInfo::bond())]
		pub fn unbond(origin: OriginFor<T>, role: RoleId, amount: Balance) -> DispatchResult {
			let who = Self::signed(origin)?;
			Self::do_unbond(who, role, amount)
		}

		/// Withdraws what has unbonded.
		#[pallet::call_index(12)]
		#[pallet::weight(T::WeightInfo::bond())]
		pub fn withdraw_unbonded(origin: OriginFor<T>, role: RoleId) -> DispatchResult {
			let who = Self::signed(origin)?;
			Self::do_withdraw(who, role)
		}

		/// Registers the caller as a compute provider. It needs a bound node key, and no bond.
		#[pallet::call_index(20)]
		#[pallet::weight(T::WeightInfo::register())]
		pub fn register_provider(origin: OriginFor<T>) -> DispatchResult {
			let who = Self::signed(origin)?;
			Self::do_register_provider(who)
		}

		/// Registers the caller as a validator with the end of its seed chain. It needs the role's bond.
		#[pallet::call_index(21)]
		#[pallet::weight(T::WeightInfo::register())]
		pub fn register_validator(origin: OriginFor<T>, seed_chain: H256) -> DispatchResult {
			let who = Self::signed(origin)?;
			Self::do_register_validator(who, seed_chain)
		}

		/// Names the start of another seed chain. It counts from the next epoch, and only the commit phase takes it:
		/// before anybody has shown a link.
		#[pallet::call_index(22)]
		#[pallet::weight(T::WeightInfo::register())]
		pub fn set_seed_chain(origin: OriginFor<T>, seed_chain: H256) -> DispatchResult {
			let who = Self::signed(origin)?;
			Self::do_set_seed_chain(who, seed_chain)
		}

		/// Registers a model by the root of its manifest.
		#[pallet::call_index(23)]
		#[pallet::weight(T::WeightInfo::register())]
		pub fn register_model(origin: OriginFor<T>, root: ModelRoot, shape: ModelShape) -> DispatchResult {
			let who = Self::signed(origin)?;
			Self::do_register_model(who, root, shape)
		}

		/// Registers the caller in a member role. It needs the role's bond.
		#[pallet::call_index(24)]
		#[pallet::weight(T::WeightInfo::register())]
		pub fn join_role(origin: OriginFor<T>, role: RoleId) -> DispatchResult {
			let who = Self::signed(origin)?;
			Self::do_join_role(who, role)
		}

		/// Ends the work of one of the caller's subjects with this epoch.
		#[pallet::call_index(25)]
		#[pallet::weight(T::WeightInfo::register())]
		pub fn leave(origin: OriginFor<T>, index: SubjectIndex) -> DispatchResult {
			let who = Self::signed(origin)?;
			Self::do_leave(who, index)
		}

		/// Forgets one of the caller's subjects that left long enough ago, and returns its deposit.
		#[pallet::call_index(26)]
		#[pallet::weight(T::WeightInfo::register())]
		pub fn release(origin: OriginFor<T>, index: SubjectIndex) -> DispatchResult {
			let who = Self::signed(origin)?;
			Self::do_release(who, index)
		}

		/// Binds an ed25519 node key to the caller, or renews its binding. Both keys sign
		/// (account, node key, expiry), so that nobody binds the key of another.
		#[pallet::call_index(30)]
		#[pallet::weight(T::WeightInfo::bind_node_key())]
		pub fn bind_node_key(
			origin: OriginFor<T>,
			node_key: NodeKey,
			expiry: u64,
			account_signature: Signature,
			node_signature: Signature,
		) -> DispatchResult {
			let who = Self::signed(origin)?;
			Self::do_bind_node_key(who, node_key, expiry, account_signature, node_signature)
		}

		/// Gives the caller's node key up.
		#[pallet::call_index(31)]
		#[pallet::weight(T::WeightInfo::register())]
		pub fn retire_node_key(origin: OriginFor<T>) -> DispatchResult {
			let who = Self::signed(origin)?;
			Self::do_retire_node_key(who)
		}

		/// Forgets a node key that the caller retired long enough ago, and returns its deposit.
		#[pallet::call_index(32)]
		#[pallet::weight(T::WeightInfo::register())]
		pub fn release_node_key(origin: OriginFor<T>, node_key: NodeKey) -> DispatchResult {
			let who = Self::signed(origin)?;
			Self::do_release_node_key(who, node_key)
		}

		/// Locks funds and votes on the weights of the roles, or confirms a vote. A full house is joined by naming a
		/// vote that is smaller or counts no more.
		#[pallet::call_index(40)]
		#[pallet::weight(T::WeightInfo::vote())]
		pub fn vote(
			origin: OriginFor<T>,
			shares: RoleShares,
			amount: Balance,
			evict: Option<T::AccountId>,
		) -> DispatchResult {
			let who = Self::signed(origin)?;
			Self::do_vote(who, shares, amount, evict)
		}

		/// Takes the caller's vote back. Its lock stays for some epochs.
		#[pallet::call_index(41)]
		#[pallet::weight(T::WeightInfo::vote())]
		pub fn remove_vote(origin: OriginFor<T>) -> DispatchResult {
			let who = Self::signed(origin)?;
			Self::do_remove_vote(who)
		}

		/// Releases the lock of a vote that was taken back.
		#[pallet::call_index(42)]
		#[pallet::weight(T::WeightInfo::vote())]
		pub fn unlock_vote(origin: OriginFor<T>) -> DispatchResult {
			let who = Self::signed(origin)?;
			Self::do_unlock_vote(who)
		}

		/// Posts the root of the caller's co-signed sessions. Only in the commit phase: the seed that picks the leaves
		/// to challenge is not known then.
		#[pallet::call_index(50)]
		#[pallet::weight(T::WeightInfo::commit())]
		pub fn submit_work_root(origin: OriginFor<T>, root: H256, sessions: u32) -> DispatchResult {
			let who = Self::signed(origin)?;
			Self::do_submit_work_root(who, root, sessions)
		}

		/// Commits to the caller's row about the epoch before. Once an epoch, and free.
		#[pallet::call_index(51)]
		#[pallet::weight(T::WeightInfo::commit())]
		pub fn commit(origin: OriginFor<T>, commitment: H256) -> DispatchResultWithPostInfo {
			let who = Self::signed(origin)?;
			Self::do_commit(who, commitment)?;
			Ok(Pays::No.into())
		}

		/// Reveals the caller's row about the epoch before, with the next link of its seed chain. Free, if it is right.
		#[pallet::call_index(52)]
		#[pallet::weight(T::WeightInfo::reveal(row.len() as u32, T::MaxValidators::get()))]
		pub fn reveal(
			origin: OriginFor<T>,
			row: Row,
			evidence_root: H256,
			salt: H256,
			link: H256,
		) -> DispatchResultWithPostInfo {
			let who = Self::signed(origin)?;
			let entries = row.len() as u32;
			let validators = Self::do_reveal(who, row, evidence_root, salt, link)?;
			Ok((Some(T::WeightInfo::reveal(entries, validators)), Pays::No).into())
		}

		/// Runs the next step of finalising. Whoever moves the network on pays nothing.
		#[pallet::call_index(53)]
		#[pallet::weight(Pallet::<T>::greatest_step_weight())]
		pub fn finalise(origin: OriginFor<T>) -> DispatchResultWithPostInfo {
			Self::signed(origin)?;
			let weight = Self::step_weight();
			// Whoever comes a moment after another pays for looking, not for the dearest step.
			Self::do_finalise().map_err(|error| error.with_weight(T::WeightInfo::on_initialize()))?;
			Ok((Some(weight), Pays::No).into())
		}

		/// Pays the caller what one of its subjects earned in an epoch.
		#[pallet::call_index(54)]
		#[pallet::weight(T::WeightInfo::claim())]
		pub fn claim(origin: OriginFor<T>, epoch: EpochIndex, index: SubjectIndex) -> DispatchResult {
			let who = Self::signed(origin)?;
			Self::do_claim(who, epoch, index)
		}

		/// Plants a fault in this epoch: a provider that misbehaves by arrangement, named by a hash.
		#[pallet::call_index(55)]
		#[pallet::weight(T::WeightInfo::govern())]
		pub fn plant_fault(origin: OriginFor<T>, commitment: H256) -> DispatchResult {
			T::GovernanceOrigin::ensure_origin(origin)?;
			Self::do_plant(commitment)
		}

		/// Names a fault that was planted in the epoch before. All rows are committed by now.
		#[pallet::call_index(56)]
		#[pallet::weight(T::WeightInfo::govern())]
		pub fn show_plant(origin: OriginFor<T>, index: SubjectIndex, salt: H256) -> DispatchResult {
			Self::signed(origin)?;
			Self::do_show_plant(index, salt)
		}

		/// Shows two different receipts that a node key signed for one step of a session.
		#[pallet::call_index(60)]
		#[pallet::weight(T::WeightInfo::report())]
		pub fn report_equivocation(
			origin: OriginFor<T>,
			node_key: NodeKey,
			session: SessionId,
			first: SignedReceipt,
			second: SignedReceipt,
		) -> DispatchResult {
			let who = Self::signed(origin)?;
			Self::do_report_equivocation(who, node_key, session, first, second)
		}

		/// Accuses a provider of a failure that a panel is to reproduce. Only validators of this epoch can.
		#[pallet::call_index(61)]
		#[pallet::weight(T::WeightInfo::dispute(T::MaxValidators::get()))]
		pub fn open_dispute(
			origin: OriginFor<T>,
			index: SubjectIndex,
			evidence: H256,
			kernel_class: H256,
		) -> DispatchResult {
			let who = Self::signed(origin)?;
			Self::do_open_dispute(who, index, evidence, kernel_class)
		}

		/// Says, as a member of the panel, whether the failure was reproduced.
		#[pallet::call_index(62)]
		#[pallet::weight(T::WeightInfo::dispute(T::MaxValidators::get()))]
		pub fn judge_dispute(origin: OriginFor<T>, index: SubjectIndex, reproduced: bool) -> DispatchResult {
			let who = Self::signed(origin)?;
			Self::do_judge_dispute(who, index, reproduced)
		}

		/// Ends a dispute that was not decided in time.
		#[pallet::call_index(63)]
		#[pallet::weight(T::WeightInfo::dispute(0))]
		pub fn close_dispute(origin: OriginFor<T>, index: SubjectIndex) -> DispatchResult {
			Self::signed(origin)?;
			Self::do_close_dispute(index)
		}

		/// Applies a slash that is due. Governance can do so while the breaker stops all others.
		#[pallet::call_index(64)]
		#[pallet::weight(T::WeightInfo::slash())]
		pub fn apply_slash(origin: OriginFor<T>, id: u32) -> DispatchResult {
			Self::do_apply_slash(origin, id)
		}

		/// Cancels a slash that waits.
		#[pallet::call_index(65)]
		#[pallet::weight(T::WeightInfo::slash())]
		pub fn cancel_slash(origin: OriginFor<T>, id: u32) -> DispatchResult {
			T::CancelOrigin::ensure_origin(origin)?;
			Self::do_cancel_slash(id)
		}

		/// Decides a dispute that is held because a whole kernel class failed.
		#[pallet::call_index(66)]
		#[pallet::weight(T::WeightInfo::slash())]
		pub fn resolve_held(origin: OriginFor<T>, index: SubjectIndex, slash: bool) -> DispatchResult {
			T::CancelOrigin::ensure_origin(origin)?;
			Self::do_resolve_held(index, slash)
		}

		/// Shows one session at two places under the work root of a provider.
		#[pallet::call_index(67)]
		#[pallet::weight(T::WeightInfo::report())]
		pub fn refute_work_root(
			origin: OriginFor<T>,
			epoch: EpochIndex,
			index: SubjectIndex,
			first: LeafProof,
			second: LeafProof,
		) -> DispatchResult {
			let who = Self::signed(origin)?;
			Self::do_refute_work_root(who, epoch, index, first, second)
		}
	}
}
