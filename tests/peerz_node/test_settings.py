from __future__ import annotations

from pathlib import Path

import pytest

from compute.types import Codec, Precision, Span
from peerz_node.errors import ConfigurationError
from peerz_node.settings import Settings, load_settings

A = "/ip4/192.0.2.1/tcp/1/p2p/12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo"
B = A.replace("192.0.2.1", "192.0.2.2")


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_nothing_set_gives_the_defaults() -> None:
    settings = load_settings(None, {})
    assert settings.model is None
    assert settings.peer == ()
    assert settings.precision is Precision.FP32
    assert settings.max_new_tokens == 256


def test_the_default_file_is_read(tmp_path: Path) -> None:
    write(tmp_path / "config" / "peerz" / "config.toml", f'model = "m"\npeer = ["{A}", "{B}"]\nblocks = "0:15"\n')
    settings = load_settings(None, {})
    assert (settings.model, settings.peer, settings.blocks) == ("m", (A, B), Span(0, 15))


@pytest.mark.parametrize(
    ("in_file", "in_environment", "option", "wins"),
    [
        ("file", None, None, "file"),
        ("file", "env", None, "env"),
        ("file", None, "option", "option"),
        (None, "env", "option", "option"),
        ("file", "env", "option", "option"),
        ("file", "", None, "file"),
        (None, None, None, None),
    ],
)
def test_options_win_over_environment_over_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    in_file: str | None,
    in_environment: str | None,
    option: str | None,
    wins: str | None,
) -> None:
    config = write(tmp_path / "c.toml", f'model = "{in_file}"' if in_file else "")
    if in_environment is not None:
        monkeypatch.setenv("PEERZ_MODEL", in_environment)
    assert load_settings(config, {"model": option}).model == wins


def test_a_file_value_that_an_option_overrides_is_not_checked(tmp_path: Path) -> None:
    config = write(tmp_path / "c.toml", 'blocks = "9:3"')
    assert load_settings(config, {"blocks": Span(0, 3)}).blocks == Span(0, 3)


def test_lists_and_sizes_can_be_written_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEERZ_PEER", f"{A}, {B}")
    monkeypatch.setenv("PEERZ_CACHE_BYTES", "1.5GiB")
    monkeypatch.setenv("PEERZ_BLOCKS", "3:9")
    monkeypatch.setenv("PEERZ_GREEDY", "true")
    settings = load_settings(None, {})
    assert settings.peer == (A, B)
    assert settings.cache_bytes == 3 * 2**29
    assert settings.blocks == Span(3, 9)
    assert settings.greedy


def test_everybody_is_allowed_unless_somebody_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = A.rpartition("/")[2], "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5"
    assert load_settings(None, {}).allow is None
    config = write(tmp_path / "c.toml", f'allow = ["{one}", "{other}"]')
    assert load_settings(config, {}).allow == (one, other)
    monkeypatch.setenv("PEERZ_ALLOW", f"{other},{one}")
    assert load_settings(config, {}).allow == (other, one)
    assert load_settings(config, {"allow": (one,)}).allow == (one,)


def test_a_codec_is_named_as_people_write_it(tmp_path: Path) -> None:
    assert load_settings(None, {}).codec is Codec.RAW
    assert load_settings(write(tmp_path / "c.toml", 'codec = "block8"'), {}).codec is Codec.BLOCK8


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no configuration file .*/none\.toml"):
        load_settings(tmp_path / "none.toml", {})


@pytest.mark.parametrize("text", ["model = ", "\x00", "[[["])
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"c\.toml cannot be read as TOML"):
        load_settings(write(tmp_path / "c.toml", text), {})


def test_a_directory_as_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_settings(tmp_path, {})


@pytest.mark.parametrize(
    ("key", "hint"),
    [("modle", "did you mean model?"), ("cache-bytes", "did you mean cache_bytes?"), ("zzz", "docs/cli")],
)
def test_an_unknown_key_of_the_file_is_an_error_with_a_hint(tmp_path: Path, key: str, hint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(write(tmp_path / "c.toml", f'"{key}" = "x"'), {})
    assert key in str(caught.value)
    assert hint in str(caught.value)


def test_an_unknown_variable_is_an_error_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEERZ_PEERS", A)
    with pytest.raises(ConfigurationError, match=r"PEERZ_PEERS is no setting; did you mean PEERZ_PEER\?"):
        load_settings(None, {})


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("blocks", '"15:0"', "is empty or negative"),
        ("blocks", '"all"', "START:END"),
        ("cache_bytes", '"lots"', "2GiB"),
        ("cache_bytes", "0", "greater than 0"),
        ("temperature", "0", "greater than 0"),
        ("top_p", "1.5", "less than or equal to 1"),
        ("threads", "0", "greater than or equal to 1"),
        ("precision", '"fp7"', "'int8'"),
        ("model", "[1]", "string"),
        ("peer", '["localhost:4711"]', "no address of libp2p"),
        ("listen", '"/ip4/0.0.0.0"', "no address of libp2p"),
        ("listen", '["/ip4/0.0.0.0/udp/1/quic-v1"]', "plain TCP only"),
        ("allow", "[]", "names nobody"),
        ("allow", '["me"]', "'me' is no peer id"),
        ("codec", '"zip"', "raw or block8"),
    ],
)
def test_a_wrong_value_is_named_with_its_source_and_why(tmp_path: Path, key: str, value: str, reason: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(write(tmp_path / "c.toml", f"{key} = {value}"), {})
    assert str(caught.value).startswith(f"{key} in {tmp_path}/c.toml cannot be used: ")
    assert reason in str(caught.value)


def test_a_wrong_value_of_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEERZ_TOP_P", "2")
    with pytest.raises(ConfigurationError, match="PEERZ_TOP_P in the environment cannot be used"):
        load_settings(None, {})


def test_settings_cannot_be_changed() -> None:
    settings = Settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.model = "other"
