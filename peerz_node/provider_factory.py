"""A `Provider` out of settings. Imports the compute half, so only `--compute` imports this."""

from __future__ import annotations

from pathlib import Path

from compute.server.provider import Provider, ProviderOptions
from compute.types import PeerId
from peerz_node.runtime import quiet_weight_bars
from peerz_node.settings import Settings

LISTEN_DEFAULT = ("/ip4/0.0.0.0/tcp/0",)


def build_provider(settings: Settings, identity: Path) -> Provider:
    """A provider that has not started yet."""
    quiet_weight_bars()
    return Provider(provider_options(settings, identity))


def provider_options(settings: Settings, identity: Path) -> ProviderOptions:
    if settings.model is None:
        raise ValueError("a provider needs a model")
    return ProviderOptions(
        model=settings.model,
        blocks=settings.blocks,
        listen=settings.listen or LISTEN_DEFAULT,
        initial_peers=settings.peer,
        precision=settings.precision,
        cache_bytes=settings.cache_bytes,
        identity_path=identity,
        allowed_peers=None if settings.allow is None else frozenset(map(PeerId, settings.allow)),
        threads=settings.threads,
        device=settings.device,
    )
