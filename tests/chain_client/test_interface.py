"""What this package knows of the pallet is what the chain's metadata says: calls, events, errors, items, and numbers.

The snapshot catches a renumbering that nobody meant; the others catch a call, event or error without its twin here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
from scalecodec.base import RuntimeConfigurationObject, ScaleBytes
from scalecodec.type_registry import load_type_registry_preset

from chain_client import calls, pallet_errors, pallet_events
from chain_client.devchain.executor import Executor
from chain_client.devchain.runtime import RUNTIME_FILE, Runtime
from chain_client.pallet_errors import PALLET
from chain_client.parameters import Parameters
from chain_client.queries import Queries
from chain_client.runtime_api import TYPE_REGISTRY


@pytest.fixture(scope="module")
def metadata(compiled: Any) -> Any:
    """The metadata of the committed runtime, decoded as substrate-interface does."""
    encoded = Runtime(Executor(RUNTIME_FILE.read_bytes(), compiled)).metadata
    config = RuntimeConfigurationObject()
    for preset in ("core", "legacy"):
        config.update_type_registry(load_type_registry_preset(preset))
    decoded = config.create_scale_object("MetadataVersioned", data=ScaleBytes(encoded))
    decoded.decode()
    config.add_portable_registry(decoded)
    return decoded


@pytest.fixture(scope="module")
def pallet(metadata: Any) -> Any:
    return next(pallet for pallet in metadata.pallets if pallet.value["name"] == PALLET)


def _names(entries: Any) -> list[str]:
    return [field["name"] for field in entries.value["fields"]]


def test_every_call_has_its_function_with_its_arguments(pallet: Any) -> None:
    made = {
        name: list(inspect.signature(function).parameters)
        for name, function in inspect.getmembers(calls, inspect.isfunction)
        if function.__module__ == calls.__name__ and not name.startswith("_")
    }
    not_the_pallets = {"transfer", "as_root"}
    assert made.keys() - not_the_pallets == {call.value["name"] for call in pallet.calls}
    renamed = {"bind_node_key": ["binding"], "apply_slash": ["slash"], "cancel_slash": ["slash"]}
    for call in pallet.calls:
        name = call.value["name"]
        assert made[name] == renamed.get(name, _names(call)), name


def test_every_event_has_its_dataclass_with_its_fields(pallet: Any) -> None:
    ours = {name: [f.name.rstrip("_") for f in fields(kind)] for name, kind in pallet_events.BY_NAME.items()}
    assert ours == {event.value["name"]: _names(event) for event in pallet.events}


def test_every_error_has_its_class_with_the_pallets_words(pallet: Any) -> None:
    def words(text: str) -> str:
        return " ".join(text.split())

    ours = {name: words(kind.__doc__ or "") for name, kind in pallet_errors.BY_NAME.items()}
    assert ours == {error.name: words(" ".join(error.docs)) for error in pallet.errors}


def test_every_stored_item_has_a_query(pallet: Any) -> None:
    source = inspect.getsource(Queries)
    items = [item.value["name"] for item in pallet.storage if not item.value["name"].startswith(":")]
    assert [name for name in items if f'"{name}"' not in source] == []


def test_the_parameters_are_the_pallets(metadata: Any) -> None:
    found = _struct(metadata, ["pallet_peerz", "params", "Parameters"])
    assert [f.name for f in fields(Parameters)] == found


def test_what_we_tell_of_the_runtime_api_is_what_the_runtime_implements(metadata: Any) -> None:
    """The API's own types are not in metadata V14; those that it shares with storage are, under these paths."""
    shared = {
        part
        for method in TYPE_REGISTRY["runtime_api"]["PeerzApi"]["methods"].values()
        for part in method["type"].strip("()").split(", ")
        if part.startswith("pallet_peerz")
    }
    assert shared == {"pallet_peerz::types::Epoch"}
    assert _struct(metadata, ["pallet_peerz", "types", "Epoch"]) == ["index", "phase", "started", "phase_end"]


def _struct(metadata: Any, path: list[str]) -> list[str]:
    types = [entry.value["type"] for entry in metadata.portable_registry["types"]]
    (found,) = [entry for entry in types if entry["path"] == path]
    return [field["name"] for field in found["def"]["composite"]["fields"]]


def test_numbers_and_shapes_are_those_of_the_snapshot(
    metadata: Any, check_vectors: Callable[[str, object], None]
) -> None:
    """A changed number breaks every signed call made before: when it is meant, raise the transaction version."""
    made = {
        "extrinsic_version": metadata.value[1]["V14"]["extrinsic"]["version"],
        "extensions": list(metadata.get_signed_extensions()),
        "pallets": {pallet.value["name"]: _snapshot(pallet) for pallet in metadata.pallets},
    }
    check_vectors("metadata", made)


def _snapshot(pallet: Any) -> dict[str, Any]:
    return {
        "index": pallet.value["index"],
        "calls": {c.value["name"]: [c.value["index"], *_typed(c)] for c in pallet.calls or []},
        "events": {e.value["name"]: [e.value["index"], *_typed(e)] for e in pallet.events or []},
        "errors": {e.name: e.value["index"] for e in pallet.errors or []},
        "storage": [item.value["name"] for item in pallet.storage or []],
        "constants": sorted(constant.value["name"] for constant in pallet.constants or []),
    }


def _typed(entry: Any) -> list[str]:
    return [f"{field['name']}: {field['typeName']}" for field in entry.value["fields"]]
