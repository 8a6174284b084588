use crate::{mock::*, Call, Error, Event, Parameters};
use frame_support::traits::GetCallName;
use scale_info::{TypeDef, TypeInfo};

const MANUAL: &str = include_str!("../../../../docs/chain.md");

/// The names of an enum's variants or of a structure's fields.
fn names<T: TypeInfo>() -> Vec<String> {
	match T::type_info().type_def {
		TypeDef::Variant(of) => of.variants.iter().map(|one| one.name.to_string()).collect(),
		TypeDef::Composite(of) => of.fields.iter().filter_map(|one| one.name).map(String::from).collect(),
		_ => Vec::new(),
	}
}

#[test]
fn the_manual_names_every_call_event_error_and_parameter() {
	let calls = Call::<Test>::get_call_names().iter().map(|name| format!("| `{name}("));
	let errors = names::<Error<Test>>().into_iter().map(|name| format!("| `{name}` |"));
	let events = names::<Event<Test>>().into_iter().map(|name| format!("| `{name}` |"));
	let parameters = names::<Parameters>().into_iter().map(|name| format!("| `{name}` |"));
	let all: Vec<String> = calls.chain(errors).chain(events).chain(parameters).collect();
	assert!(all.len() > 200);
	let missing: Vec<_> = all.iter().filter(|name| !MANUAL.contains(name.as_str())).collect();
	assert!(missing.is_empty(), "docs/chain.md does not name {missing:?}");
}
