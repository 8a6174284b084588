"""Settings of a command: options over environment over file, checked once, frozen.

One rule for names: what is `--cache-bytes` on the command line is `cache_bytes` in the TOML file and
`PEERZ_CACHE_BYTES` in the environment. A name that nobody knows is an error with the nearest known one, for a silently
ignored setting is the worst kind.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from compute.types import Codec, Precision, Span
from peerz_node.addresses import check_chain_url, check_listen_address, check_peer_address, check_peer_id
from peerz_node.errors import ConfigurationError
from peerz_node.sizes import parse_bytes

ENV_PREFIX = "PEERZ_"
_ENV_ONLY = frozenset({"PEERZ_CONFIG", "PEERZ_DEBUG", "PEERZ_LEAN_IMPORTS", "PEERZ_CARGO_TARGET"})
"""Of one run, or of the build, rather than settings: not allowed in the file."""


def _as_tuple(value: object) -> object:
    """A list written `a,b` (in the environment) as a tuple of its parts."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _as_span(value: object) -> object:
    return Span.parse(value) if isinstance(value, str) else value


def _as_bytes(value: object) -> object:
    return parse_bytes(value) if isinstance(value, str) else value


def _as_codec(value: object) -> object:
    """A codec by its name, as people write it."""
    if not isinstance(value, str):
        return value
    try:
        return Codec[value.upper()]
    except KeyError:
        raise ValueError(f"{value!r} is no codec; write {' or '.join(codec.name.lower() for codec in Codec)}") from None


def _somebody(value: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if value == ():
        raise ValueError("it names nobody; name at least one peer id, or leave it out to serve everybody")
    return value


PeerAddress = Annotated[str, AfterValidator(check_peer_address)]
ListenAddress = Annotated[str, AfterValidator(check_listen_address)]
ChainUrl = Annotated[str, AfterValidator(check_chain_url)]
AllowedPeer = Annotated[str, AfterValidator(check_peer_id)]


class Settings(BaseSettings):
    """Everything that can be set. None means: decide at start (from the machine, the model or the swarm)."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_ignore_empty=True, extra="forbid", frozen=True, arbitrary_types_allowed=True
    )

    model: str | None = None
    peer: Annotated[tuple[PeerAddress, ...], NoDecode, BeforeValidator(_as_tuple)] = ()
    identity: Path | None = None
    cache: Path | None = None
    chain: ChainUrl | None = None
    log_json: bool = False

    blocks: Annotated[Span | None, NoDecode, BeforeValidator(_as_span)] = None
    listen: Annotated[tuple[ListenAddress, ...], NoDecode, BeforeValidator(_as_tuple)] = ()
    precision: Precision = Precision.FP32
    cache_bytes: Annotated[Annotated[int, Field(gt=0)] | None, BeforeValidator(_as_bytes)] = None
    allow: Annotated[
        tuple[AllowedPeer, ...] | None, NoDecode, AfterValidator(_somebody), BeforeValidator(_as_tuple)
    ] = None
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    device: str = "cpu"
    drain_timeout: Annotated[float, Field(ge=0, le=86_400)] = 30.0

    max_new_tokens: Annotated[int, Field(ge=1, le=1_000_000)] = 256
    greedy: bool = False
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    temperature: Annotated[float, Field(gt=0, le=100)] = 0.7
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.9
    no_chat_template: bool = False
    codec: Annotated[Codec, BeforeValidator(_as_codec)] = Codec.RAW


def default_config_path(environ: Mapping[str, str] = os.environ) -> Path:
    base = environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "peerz" / "config.toml"


def load_settings(config: Path | None, options: Mapping[str, object]) -> Settings:
    """The merged settings. `options` are those given on the command line (None or empty: not given).

    `config` must exist when it is named; the default file may be absent. Raises ConfigurationError naming the source of
    whatever cannot be used.
    """
    path = config or default_config_path()
    values = _read_file(path, required=config is not None)
    _check_environment(os.environ)
    given = {name: value for name, value in options.items() if value not in (None, ())}
    # pydantic-settings puts the environment below what it is handed: of the file, hand it what the environment leaves.
    below = {name: value for name, value in values.items() if not os.environ.get(_variable(name))}
    try:
        return Settings(**{**below, **given})
    except ValidationError as error:
        raise _explained(error, given, path) from None


def _variable(name: str) -> str:
    return ENV_PREFIX + name.upper()


def _read_file(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if required:
            raise ConfigurationError(f"there is no configuration file {path}; check --config") from None
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read as TOML: {error}; correct or remove it") from None
    for key in values:
        if key not in Settings.model_fields:
            raise ConfigurationError(f"{path} sets {key!r}, which is no setting; {_hint(key)}")
    return values


def _check_environment(environ: Mapping[str, str]) -> None:
    for name in environ:
        if not name.startswith(ENV_PREFIX) or name in _ENV_ONLY:
            continue
        key = name.removeprefix(ENV_PREFIX).lower()
        if key not in Settings.model_fields:
            raise ConfigurationError(
                f"the environment variable {name} is no setting; {_hint(key, ENV_PREFIX, upper=True)}"
            )


def _hint(key: str, prefix: str = "", *, upper: bool = False) -> str:
    near = difflib.get_close_matches(key.lower().replace("-", "_"), list(Settings.model_fields), n=1)
    if not near:
        return "remove it, or see docs/cli.md for the names"
    return f"did you mean {prefix}{near[0].upper() if upper else near[0]}?"


def _explained(error: ValidationError, given: Mapping[str, object], path: Path) -> ConfigurationError:
    first = error.errors()[0]
    key = str(first["loc"][0]) if first["loc"] else "settings"
    if key in given:
        source = f"--{key.replace('_', '-')}"
    elif os.environ.get(_variable(key)):
        source = f"{_variable(key)} in the environment"
    else:
        source = f"{key} in {path}"
    reason = first["msg"].removeprefix("Value error, ")
    return ConfigurationError(f"{source} cannot be used: {_lower_first(reason)}")


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
