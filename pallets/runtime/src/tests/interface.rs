//! What clients encode against. A number that changes here breaks every signed call made before.

use std::collections::BTreeSet;

use codec::Decode;
use frame_metadata::{v14::RuntimeMetadataV14, RuntimeMetadata, RuntimeMetadataPrefixed};
use scale_info::{form::PortableForm, TypeDef, Variant};
use serde_json::{json, Map, Value};

use crate::Runtime;

const SNAPSHOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tests/interface.json");

fn metadata() -> RuntimeMetadataV14 {
	let encoded = sp_io::TestExternalities::default().execute_with(|| codec::Encode::encode(&Runtime::metadata()));
	match RuntimeMetadataPrefixed::decode(&mut encoded.as_slice())
		.expect("metadata")
		.1
	{
		RuntimeMetadata::V14(metadata) => metadata,
		other => panic!("metadata of version {}", other.version()),
	}
}

/// Entries of an enum by name, each described by `describe`.
fn variants(
	metadata: &RuntimeMetadataV14,
	type_id: Option<u32>,
	describe: impl Fn(&Variant<PortableForm>) -> Value,
) -> Value {
	let Some(definition) = type_id.and_then(|id| metadata.types.resolve(id)) else {
		return json!({});
	};
	let TypeDef::Variant(definition) = &definition.type_def else {
		panic!("not an enum")
	};
	Value::Object(
		definition
			.variants
			.iter()
			.map(|variant| (variant.name.clone(), describe(variant)))
			.collect(),
	)
}

fn fields(variant: &Variant<PortableForm>) -> Value {
	let fields = variant.fields.iter().map(|field| {
		let (name, kind) = (
			field.name.as_deref().unwrap_or_default(),
			field.type_name.as_deref().unwrap_or_default(),
		);
		format!("{name}: {kind}")
	});
	json!({ "index": variant.index, "fields": fields.collect::<Vec<_>>() })
}

/// Indices and names of pallets, calls, events, errors and stored items.
fn interface(metadata: &RuntimeMetadataV14) -> Value {
	let pallets: Map<String, Value> = metadata
		.pallets
		.iter()
		.map(|pallet| {
			let storage: Vec<_> = pallet
				.storage
				.iter()
				.flat_map(|s| s.entries.iter().map(|e| e.name.clone()))
				.collect();
			let entry = json!({
				"index": pallet.index,
				"calls": variants(metadata, pallet.calls.as_ref().map(|c| c.ty.id), fields),
				"events": variants(metadata, pallet.event.as_ref().map(|e| e.ty.id), fields),
				"errors": variants(metadata, pallet.error.as_ref().map(|e| e.ty.id), |v| json!(v.index)),
				"storage": storage,
			});
			(pallet.name.clone(), entry)
		})
		.collect();
	let extensions: Vec<_> = metadata
		.extrinsic
		.signed_extensions
		.iter()
		.map(|e| e.identifier.clone())
		.collect();
	json!({ "extensions": extensions, "extrinsic_version": metadata.extrinsic.version, "pallets": pallets })
}

/// Where `new` differs from `old`, as paths with both values.
fn changes(path: &str, old: &Value, new: &Value) -> Vec<String> {
	let (Some(former), Some(latter)) = (old.as_object(), new.as_object()) else {
		return if old == new {
			Vec::new()
		} else {
			vec![format!("{path}: {old} -> {new}")]
		};
	};
	let keys: BTreeSet<_> = former.keys().chain(latter.keys()).collect();
	keys.into_iter()
		.flat_map(|key| changes(&format!("{path}/{key}"), &old[key], &new[key]))
		.collect()
}

#[test]
fn indices_names_and_fields_are_those_of_the_snapshot() {
	let current = interface(&metadata());
	if std::env::var_os("PEERZ_UPDATE_SNAPSHOTS").is_some() {
		let text = serde_json::to_string_pretty(&current).expect("serialises");
		std::fs::write(SNAPSHOT, text + "\n").expect("written");
	}
	let text = std::fs::read_to_string(SNAPSHOT).expect("a snapshot");
	let snapshot: Value = serde_json::from_str(&text).expect("JSON");
	let changes = changes("", &snapshot, &current);
	assert!(
		changes.is_empty(),
		"{changes:#?}; if this is meant, run with PEERZ_UPDATE_SNAPSHOTS=1"
	);
}

#[test]
fn clients_find_metadata_14_and_extrinsics_4_with_the_extensions_that_they_know() {
	let current = interface(&metadata());
	assert_eq!(current["extrinsic_version"], 4);
	assert_eq!(
		current["extensions"],
		json!([
			"CheckNonZeroSender",
			"CheckSpecVersion",
			"CheckTxVersion",
			"CheckGenesis",
			"CheckMortality",
			"CheckNonce",
			"CheckWeight",
			"ChargeTransactionPayment",
		])
	);
}

#[test]
fn our_own_items_are_documented() {
	let metadata = metadata();
	for pallet in metadata.pallets.iter().filter(|pallet| pallet.name == "Peerz") {
		for entry in pallet.storage.iter().flat_map(|storage| &storage.entries) {
			assert!(!entry.docs.is_empty(), "storage {}", entry.name);
		}
		let enums = [
			pallet.calls.as_ref().map(|calls| calls.ty.id),
			pallet.event.as_ref().map(|event| event.ty.id),
			pallet.error.as_ref().map(|error| error.ty.id),
		];
		for id in enums.into_iter().flatten() {
			let TypeDef::Variant(definition) = &metadata.types.resolve(id).expect("known").type_def else {
				continue;
			};
			for variant in &definition.variants {
				assert!(!variant.docs.is_empty(), "{}", variant.name);
			}
		}
	}
}
