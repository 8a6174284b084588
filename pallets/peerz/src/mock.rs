//! A runtime for the tests.

use crate::{self as pallet_peerz, params::PRZ, types::*, Parameters};
use frame_support::{
	derive_impl, parameter_types,
	traits::{ConstU128, Hooks, UnixTime},
	PalletId,
};
use frame_system::EnsureRoot;
use sp_core::{ed25519, sr25519, Pair, H256};
use sp_runtime::{traits::IdentityLookup, AccountId32, BuildStorage};

pub type AccountId = AccountId32;

frame_support::construct_runtime!(
	pub enum Test {
		System: frame_system,
		Balances: pallet_balances,
		Peerz: pallet_peerz,
	}
);

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Test {
	type Block = frame_system::mocking::MockBlock<Test>;
	type AccountId = AccountId;
	type Lookup = IdentityLookup<AccountId>;
	type AccountData = pallet_balances::AccountData<u128>;
}

#[derive_impl(pallet_balances::config_preludes::TestDefaultConfig)]
impl pallet_balances::Config for Test {
	type Balance = u128;
	type ExistentialDeposit = ConstU128<1_000>;
	type AccountStore = System;
}

parameter_types! {
	pub const PeerzPalletId: PalletId = PalletId(*b"py/peerz");
	pub static MaxSubjects: u32 = 256;
	pub static MaxValidators: u32 = 32;
	pub static MaxVoters: u32 = 8;
	pub static HistoryDepth: u32 = 6;
}

/// Six seconds a block.
pub struct BlockClock;
impl UnixTime for BlockClock {
	fn now() -> core::time::Duration {
		core::time::Duration::from_secs(START + 6 * System::block_number())
	}
}

/// When block zero was.
pub const START: u64 = 1_700_000_000;

impl pallet_peerz::Config for Test {
	type Currency = Balances;
	type RuntimeHoldReason = RuntimeHoldReason;
	type GovernanceOrigin = EnsureRoot<AccountId>;
	type CancelOrigin = EnsureRoot<AccountId>;
	type PauseOrigin = EnsureRoot<AccountId>;
	type UnixTime = BlockClock;
	type PalletId = PeerzPalletId;
	type MaxSubjects = MaxSubjects;
	type MaxValidators = MaxValidators;
	type MaxVoters = MaxVoters;
	type HistoryDepth = HistoryDepth;
	type WeightInfo = pallet_peerz::CountedWeight<Test>;
}

/// What everybody begins with.
pub const WEALTH: u128 = 1_000_000 * PRZ;

/// Short phases and windows.
pub fn parameters() -> Parameters {
	Parameters {
		commit_blocks: 4,
		reveal_blocks: 4,
		epoch_blocks: 20,
		review_epochs: 3,
		vote_unlock_epochs: 2,
		unbonding_epochs: 6,
		dispute_epochs: 2,
		slash_delay: 1,
		withheld_epochs: 1,
		jail_epochs: 2,
		..Default::default()
	}
}

/// A person with keys.
pub struct Person {
	pub account_pair: sr25519::Pair,
	pub node_pair: ed25519::Pair,
}

impl Person {
	/// The `n`th person.
	pub fn new(n: u8) -> Self {
		Self {
			account_pair: sr25519::Pair::from_seed(&[n; 32]),
			node_pair: ed25519::Pair::from_seed(&[n; 32]),
		}
	}

	pub fn id(&self) -> AccountId {
		AccountId::from(self.account_pair.public().0)
	}

	pub fn node_key(&self) -> NodeKey {
		self.node_pair.public().0
	}

	/// The two signatures of a binding.
	pub fn binding(&self, expiry: u64) -> (Signature, Signature) {
		let body = Peerz::binding_body(&self.id(), &self.node_key(), expiry);
		let domain = crate::bindings::BINDING_DOMAIN;
		(
			self.account_pair.sign(&Peerz::signed_payload(domain, 2, &body)).0,
			self.node_pair.sign(&Peerz::signed_payload(domain, 1, &body)).0,
		)
	}
}

pub fn account(n: u8) -> AccountId {
	Person::new(n).id()
}

pub fn signed(n: u8) -> RuntimeOrigin {
	RuntimeOrigin::signed(account(n))
}

/// People 1 to 60 with `WEALTH` each.
pub fn new_test_ext() -> sp_io::TestExternalities {
	let mut storage = frame_system::GenesisConfig::<Test>::default().build_storage().unwrap();
	pallet_balances::GenesisConfig::<Test> {
		balances: (1..=60).map(|n| (account(n), WEALTH)).collect(),
		..Default::default()
	}
	.assimilate_storage(&mut storage)
	.unwrap();
	pallet_peerz::GenesisConfig::<Test> {
		parameters: Some(parameters()),
		seed: H256::repeat_byte(7),
		_runtime: Default::default(),
	}
	.assimilate_storage(&mut storage)
	.unwrap();
	let mut ext = sp_io::TestExternalities::from(storage);
	ext.execute_with(|| System::set_block_number(1));
	ext
}

/// Runs a test and then checks every invariant.
pub fn run(test: impl FnOnce()) {
	new_test_ext().execute_with(|| {
		test();
		Peerz::check_invariants().unwrap();
	});
}

/// Goes to the next block.
pub fn next_block() {
	System::set_block_number(System::block_number() + 1);
	Peerz::on_initialize(System::block_number());
}

/// Binds a node key and registers a provider.
pub fn provider(n: u8) -> SubjectIndex {
	bind(n);
	Peerz::register_provider(signed(n)).unwrap();
	crate::SlotOf::<Test>::get(account(n), COMPUTE).unwrap()
}

/// Binds a person's node key.
pub fn bind(n: u8) {
	let person = Person::new(n);
	let expiry = BlockClock::now().as_secs() + 1_000_000;
	let (by_account, by_node) = person.binding(expiry);
	Peerz::bind_node_key(signed(n), person.node_key(), expiry, by_account, by_node).unwrap();
}

/// Sets parameters.
pub fn with_parameters(change: impl FnOnce(&mut Parameters)) {
	let mut parameters = crate::Params::<Test>::get();
	change(&mut parameters);
	Peerz::set_parameters(RuntimeOrigin::root(), parameters).unwrap();
}

/// All events of the pallet since the last call.
pub fn events() -> Vec<crate::Event<Test>> {
	let events = System::read_events_for_pallet::<crate::Event<Test>>();
	System::reset_events();
	events
}

// --- Driving epochs ---------------------------------------------------------------------------------------------------

/// Goes on until a phase.
pub fn to_phase(phase: Phase) {
	while crate::CurrentEpoch::<Test>::get().phase != phase {
		if crate::CurrentEpoch::<Test>::get().phase == Phase::Finalise {
			finalise();
		} else {
			next_block();
		}
	}
}

/// Goes on until the commit phase of an epoch.
pub fn to_epoch(index: EpochIndex) {
	while crate::CurrentEpoch::<Test>::get().index < index {
		to_phase(Phase::Open);
		to_phase(Phase::Commit);
	}
	assert_eq!(crate::CurrentEpoch::<Test>::get().index, index);
}

/// Runs all steps of finalising.
pub fn finalise() {
	while crate::CurrentEpoch::<Test>::get().phase == Phase::Finalise {
		Peerz::finalise(signed(60)).unwrap();
	}
}

/// The current epoch.
pub fn now() -> EpochIndex {
	crate::CurrentEpoch::<Test>::get().index
}

/// The links of a validator's seed chain, last shown first.
pub fn link(n: u8, shown: u32) -> H256 {
	H256(peerz_consensus::seed::chain(&[n; 32], 1_000 - shown))
}

/// Bonds and registers a validator.
pub fn validator(n: u8, bond: u128) -> SubjectIndex {
	Peerz::bond(signed(n), VALIDATOR, bond).unwrap();
	Peerz::register_validator(signed(n), link(n, 0)).unwrap();
	crate::SlotOf::<Test>::get(account(n), VALIDATOR).unwrap()
}

/// Bonds and registers a member of a role.
pub fn member(n: u8, role: RoleId) -> SubjectIndex {
	Peerz::bond(signed(n), role, 100 * PRZ).unwrap();
	Peerz::join_role(signed(n), role).unwrap();
	crate::SlotOf::<Test>::get(account(n), role).unwrap()
}

/// Registers a model.
pub fn model(n: u8, root: u8) -> SubjectIndex {
	let shape = ModelShape {
		blocks: 30,
		params_per_block: 1_000_000,
		d_model: 576,
	};
	let root = H256::repeat_byte(root);
	Peerz::register_model(signed(n), root, shape).unwrap();
	crate::Models::<Test>::get(root).unwrap().index
}

/// An entry of a row.
pub fn entry(member: SubjectIndex, units: u64) -> Entry {
	Entry {
		member,
		units,
		capacity: 2 * units,
		faults: 0,
	}
}

/// The salt of all tests.
pub const SALT: H256 = H256::repeat_byte(9);
/// The evidence root of all tests.
pub const EVIDENCE: H256 = H256::repeat_byte(8);

/// A bounded row.
pub fn row(entries: &[Entry]) -> Row {
	entries.to_vec().try_into().unwrap()
}

/// What a validator commits to for its row about the epoch before.
pub fn commitment(n: u8, entries: &[Entry]) -> H256 {
	let genesis = System::block_hash(0).0;
	let body = (row(entries), EVIDENCE);
	H256(peerz_consensus::commit::commit_hash(
		&genesis,
		now() - 1,
		&account(n),
		&body,
		&SALT.0,
	))
}

/// How many links a validator has shown.
pub fn shown(n: u8) -> u32 {
	let index = crate::SlotOf::<Test>::get(account(n), VALIDATOR).unwrap();
	let tip = Peerz::seed_chain(index).unwrap().tip;
	(0..100).find(|shown| link(n, *shown) == tip).unwrap()
}

/// Reveals a row.
pub fn reveal(n: u8, entries: &[Entry]) -> frame_support::dispatch::DispatchResult {
	Peerz::reveal(signed(n), row(entries), EVIDENCE, SALT, link(n, shown(n) + 1))
		.map(|_| ())
		.map_err(|error| error.error)
}

/// All validators attest their rows in this epoch, which ends final and open.
pub fn attest(rows: &[(u8, Vec<Entry>)]) {
	for (n, entries) in rows {
		Peerz::commit(signed(*n), commitment(*n, entries)).unwrap();
	}
	to_phase(Phase::Reveal);
	for (n, entries) in rows {
		reveal(*n, entries).unwrap();
	}
	to_phase(Phase::Open);
}

/// Validators 1 to 3 with a bond of 1,000 PRZ each, whose rows about epoch 2 are due: epoch 3, commit phase.
pub fn three_validators() -> [SubjectIndex; 3] {
	[1, 2, 3].map(|n| validator(n, 1_000 * PRZ))
}

/// The same row from validators 1 to 3.
pub fn agree(entries: &[Entry]) {
	attest(&[1, 2, 3].map(|n| (n, entries.to_vec())));
}

/// What an account has free.
pub fn free(n: u8) -> u128 {
	Balances::free_balance(account(n))
}
