from __future__ import annotations

import importlib.resources
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from compute.types import Codec, WireDType
from compute.wire import peerz_pb2

PROTO = Path("compute/wire/peerz.proto")
ROOT = Path(__file__).parents[3]


def test_the_generated_code_is_that_of_the_schema(tmp_path: Path) -> None:
    protoc = pytest.importorskip("grpc_tools.protoc")
    out = tmp_path / "schema.bin"
    includes = importlib.resources.files("grpc_tools") / "_proto"
    arguments = ["protoc", f"-I{ROOT}", f"-I{includes}", f"--descriptor_set_out={out}", str(ROOT / PROTO)]
    assert protoc.main(arguments) == 0
    (fresh,) = FileDescriptorSet.FromString(out.read_bytes()).file
    _without_json_names(fresh)
    committed = FileDescriptorProto.FromString(peerz_pb2.DESCRIPTOR.serialized_pb)
    assert fresh == committed, "run `make wire`"


def _without_json_names(file: FileDescriptorProto) -> None:
    """Takes out what protoc adds to a descriptor set but not to generated Python."""
    for message in file.message_type:
        for field in message.field:
            field.ClearField("json_name")


def test_the_stubs_know_every_message() -> None:
    stubs = (ROOT / PROTO).with_name("peerz_pb2.pyi").read_text()
    assert [name for name in peerz_pb2.DESCRIPTOR.message_types_by_name if f"class {name}(" not in stubs] == []


def test_domain_enums_have_the_numbers_of_the_wire() -> None:
    assert {c.name: c.value for c in Codec} == {n: v for n, v in peerz_pb2.CodecId.items() if v}
    assert {d.name: d.value for d in WireDType} == {n: v for n, v in peerz_pb2.DType.items() if v}
