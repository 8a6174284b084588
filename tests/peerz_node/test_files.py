"""The ready file and the key file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from peerz_node.errors import ConfigurationError
from peerz_node.identity_file import claimed_identity, client_key
from peerz_node.readiness import check_ready_path, write_ready_file


def test_a_ready_file_is_written_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    write_ready_file(tmp_path / "ready", {"pid": 1})
    write_ready_file(tmp_path / "ready", {"pid": 2})
    assert json.loads((tmp_path / "ready").read_text()) == {"pid": 2}
    assert [p.name for p in tmp_path.iterdir()] == ["ready"]


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    write_ready_file(tmp_path / "ready", {"pid": 1})
    with pytest.raises(TypeError):
        write_ready_file(tmp_path / "ready", {"pid": object()})
    assert json.loads((tmp_path / "ready").read_text()) == {"pid": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["ready"]


def test_yesterdays_ready_file_is_removed_first(tmp_path: Path) -> None:
    (tmp_path / "ready").write_text("{}")
    check_ready_path(tmp_path / "ready")
    assert not (tmp_path / "ready").exists()


def test_a_ready_file_in_no_directory_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no directory"):
        check_ready_path(tmp_path / "none" / "ready")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        check_ready_path(tmp_path)


def test_nodes_of_one_machine_get_identities_of_their_own(tmp_path: Path) -> None:
    with claimed_identity(None) as first, claimed_identity(None) as second:
        assert (first.name, second.name) == ("node.key", "node-2.key")
        assert first.parent == tmp_path / "data" / "peerz"
    with claimed_identity(None) as again:
        assert again == first


def test_a_named_identity_is_used_once_at_a_time(tmp_path: Path) -> None:
    key = tmp_path / "my.key"
    with claimed_identity(key) as mine:
        assert mine == key
        with pytest.raises(ConfigurationError, match="another running node holds"), claimed_identity(key):
            pass
    with claimed_identity(key):
        pass


def test_clients_share_an_identity_but_not_with_a_provider(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "me.key"
    with client_key(path) as one, client_key(path) as other:
        assert one is not None
        assert other is not None
        assert one.peer_id == other.peer_id
        assert path.stat().st_mode & 0o777 == 0o600
        with pytest.raises(ConfigurationError, match="another running node holds"), claimed_identity(path):
            pass
    with (
        claimed_identity(path),
        pytest.raises(ConfigurationError, match=r"me\.key; choose another --identity"),
        client_key(path),
    ):
        pass


def test_a_client_without_a_key_file_leaves_nothing_behind(tmp_path: Path) -> None:
    with client_key(None) as key:
        assert key is None
    assert list(tmp_path.iterdir()) == []


def test_an_identity_where_nothing_can_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="--identity"), claimed_identity(tmp_path / "file" / "key"):
        pass
