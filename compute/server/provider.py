"""A provider from start to end: composition of model, engine, network, sessions and record.

    start:  key, model files, manifest ─► swarm ─► span (given, or the one that helps most) ─► JOINING is published
            ─► weights, self-test, rates ─► engine, sessions ─► ONLINE is published, and again every `refresh_s`
    drain:  LEAVING is published, new sessions are refused, running ones end by themselves or with the grace
    close:  whatever has been started ends in reverse order, also in the middle of `start`
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from compute.identity import NodeKey
from compute.models.loading import LoadOptions, load_span
from compute.models.manifest import Manifest, load_or_build_manifest
from compute.models.progress import Progress, silent
from compute.models.sources import ModelFiles, resolve
from compute.models.span import LoadedSpan
from compute.runner.engine import Engine, EngineOptions, EngineStats
from compute.runner.selftest import SpanRates, measure, self_test
from compute.server.announcer import Announcer
from compute.server.declaration import Identity, record_of, terms_of
from compute.server.memory import default_cache_bytes, read_free_bytes
from compute.server.options import ProviderOptions, ProviderState, ProviderStatus
from compute.server.placement import Placement, choose_placement, given_placement
from compute.server.service import SessionService
from compute.swarm.directory import Directory
from compute.swarm.network import NetworkOptions, SwarmNetwork
from compute.types import PeerId, Precision, Span
from compute.wire.frames import STREAM_PROTOCOL

__all__ = ["Provider", "ProviderOptions", "ProviderState", "ProviderStatus"]

logger = logging.getLogger(__name__)
T = TypeVar("T")

GOODBYE_TIMEOUT_S = 1.0
"""For the last publication: a swarm that cannot be reached must not hold up the end."""
