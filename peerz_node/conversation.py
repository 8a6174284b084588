"""A conversation at the terminal: turns of one session."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from compute.errors import CallerError, Refused, Unauthorised
from peerz_node import lean_imports
from peerz_node.console import spinner
from peerz_node.generation import Answer, Generator, Sampling, describe, route_of, show_text, swarm_generator
from peerz_node.invocation import Interrupts

if TYPE_CHECKING:
    from compute.client.token_session import TokenSession
    from peerz_node.settings import Settings

ROOM_DEFAULT = 4096
HELP = "/reset forgets the conversation, /quit leaves; Ctrl-C stops an answer"


class Conversation:
    """The messages so far and one session that holds their keys and values.

    Each turn hands the whole conversation to `generate()`, which computes only what the session does not hold yet: the
    prefix that both share is kept, whatever follows it is rolled back.
    """

    def __init__(self, generator: Generator, sampling: Sampling, session: TokenSession) -> None:
        self._generator = generator
        self._sampling = sampling
        self.session = session
        self.messages: list[dict[str, str]] = []

    def reset(self) -> None:
        """Forgets all turns. The session stays: the next prompt rolls it back to what both have in common."""
        self.messages.clear()

    def say(self, text: str, show: Callable[[str], None]) -> Answer:
        """The model's answer to `text`, handed to `show` as it comes. An answer that fails leaves no turn behind."""
        self.messages.append({"role": "user", "content": text})
        try:
            ids = self._generator.encode_messages(self.messages)
            answer = self._generator.generate(ids, self._sampling, show, session=self.session)
        except BaseException:
            self.messages.pop()
            raise
        self.messages.append({"role": "assistant", "content": answer.text})
        return answer


def converse(settings: Settings) -> None:
    """Runs a conversation until /quit or the end of input."""
    with ExitStack() as stack:
        with spinner("connecting"):
            generator = stack.enter_context(swarm_generator(settings, lean_imports.ENDS))
            session = stack.enter_context(generator.model.inference_session(_room(generator.model)))
        click.echo(f"{settings.model}: {HELP}", err=True)
        conversation = Conversation(generator, Sampling.of(settings), session)
        for line in _lines():
            if line == "/quit":
                return
            if line == "/reset":
                conversation.reset()
                click.echo("[forgotten]", err=True)
            elif line.startswith("/"):
                click.echo(f"[there is no {line.split()[0]}: {HELP}]", err=True)
            else:
                _turn(conversation, line)


def _room(model: Any) -> int:
    """The most tokens that a conversation can hold: what the model was made for."""
    return int(getattr(model.config, "max_position_embeddings", 0) or ROOM_DEFAULT)


def _turn(conversation: Conversation, line: str) -> None:
    try:
        with Interrupts():  # of its own: a stopped answer is no interrupted command
            answer = conversation.say(line, show_text)
    except KeyboardInterrupt:
        click.echo("\n[stopped]", err=True)
    except Unauthorised:
        raise  # asking again does not help
    except (CallerError, Refused) as error:  # the conversation can go on: after /reset, or after a while
        click.echo(f"\n[{error}]", err=True)
    else:
        click.echo()
        click.echo(describe(answer, route_of(conversation.session)), err=True)


def _lines() -> Iterator[str]:
    """What the person types, without blanks, until Ctrl-D."""
    while True:
        try:
            line = _read_line().strip()
        except EOFError:
            click.echo(err=True)
            return
        if line:
            yield line


def _read_line() -> str:
    """One line of stdin, with editing and history on a terminal. Raises EOFError at the end."""
    if sys.stdin.isatty():
        with contextlib.suppress(ImportError):  # not every Python was built with it
            import readline  # noqa: F401 (loading it gives `input` its editing)
        return input("> ")
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line
