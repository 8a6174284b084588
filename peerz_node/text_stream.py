"""Tokens as they come: text that can be shown so far, and when each token came."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

_INCOMPLETE = "\N{REPLACEMENT CHARACTER}"


class IncrementalText:
    """Text of a growing list of tokens, handed out in pieces that never change afterwards.

    A token may be a part of a character, and a tokenizer may write a token differently once it sees the next one. So
    what is decoded is a short window from the last settled token on, and a piece that ends inside a character waits.

    Args:
        decode: text of a list of token ids.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._settled = 0
        """Tokens before this index are no longer decoded: they are context of nothing that is still open."""
        self._shown = 0
        """All text of tokens before this index has been handed out."""

    def push(self, token: int) -> str:
        """The new text that `token` completes; "" while a character is unfinished."""
        self._ids.append(token)
        before = self._decode(self._ids[self._settled : self._shown])
        after = self._decode(self._ids[self._settled :])
        if after.endswith(_INCOMPLETE) or len(after) <= len(before):
            return ""
        self._settled, self._shown = self._shown, len(self._ids)
        return after[len(before) :]

    def flush(self) -> str:
        """What is left at the end, even if it ends inside a character."""
        before = self._decode(self._ids[self._settled : self._shown])
        after = self._decode(self._ids[self._settled :])
        self._settled = self._shown = len(self._ids)
        return after[len(before) :]


class TokenStream:
    """A streamer for `generate()` of one sequence: keeps tokens and times, and hands on text as it settles.

    Args:
        clock: monotonic seconds.
        show: called with every settled piece of text.
    """

    def __init__(self, text: IncrementalText, clock: Callable[[], float], show: Callable[[str], None]) -> None:
        self.token_ids: list[int] = []
        self.times_s: list[float] = []
        self.started_s = clock()
        self._text = text
        self._clock = clock
        self._show = show
        self._prompt_seen = False

    def put(self, value: Any) -> None:
        """Called by `generate()`: first with the prompt, then with each new token (a tensor of one element)."""
        if not self._prompt_seen:
            self._prompt_seen = True
            return
        now_s = self._clock()
        for token in value.reshape(-1).tolist():
            self.token_ids.append(int(token))
            self.times_s.append(now_s)
            if piece := self._text.push(int(token)):
                self._show(piece)

    def end(self) -> None:
        """Called by `generate()` after the last token."""
        if piece := self._text.flush():
            self._show(piece)

    @property
    def ttft_s(self) -> float:
        """Seconds from the start to the first token; 0 when none came."""
        return self.times_s[0] - self.started_s if self.times_s else 0.0

    @property
    def s_per_token(self) -> float:
        """Mean seconds between tokens after the first; 0 for fewer than two."""
        if len(self.times_s) < 2:
            return 0.0
        return (self.times_s[-1] - self.times_s[0]) / (len(self.times_s) - 1)
