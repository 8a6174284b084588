"""Takes the chain's news to those who subscribed. Belongs to the event loop."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from chain_client.devchain.pool import PoolEvent, Status
from chain_client.devchain.rpc.news import NewFinal, NewHead, News, Opened
from chain_client.devchain.rpc.params import to_hex
from chain_client.devchain.rpc.subscription import Subscription, Topic

_LAST_STATUSES = frozenset({Status.FINALISED, Status.USURPED, Status.DROPPED, Status.INVALID})
_WHOLE_TOPIC = b""

Change = tuple[str, str | None]


class Hub:
    """All open subscriptions, by topic and by the key that they are about."""

    def __init__(self) -> None:
        self._open: dict[Topic, defaultdict[bytes, dict[str, Subscription]]] = {
            topic: defaultdict(dict) for topic in Topic
        }

    def publish(self, news: Iterable[News]) -> None:
        """Tell everybody concerned."""
        for item in news:
            match item:
                case Opened():
                    self._add(item)
                case NewHead():
                    self._new_head(item)
                case NewFinal():
                    self._tell(Topic.FINAL_HEADS, item.header)
                case PoolEvent():
                    self._pool_event(item)

    def close(self, subscription: Subscription) -> None:
        """The client does not want to hear more."""
        subscription.closed = True
        for key in subscription.interest.keys or (_WHOLE_TOPIC,):
            waiting = self._open[subscription.interest.topic]
            if key in waiting:
                waiting[key].pop(subscription.id, None)
                if not waiting[key]:
                    del waiting[key]

    def _add(self, opened: Opened) -> None:
        subscription = opened.subscription
        if subscription.closed:
            return
        for key in subscription.interest.keys or (_WHOLE_TOPIC,):
            self._open[subscription.interest.topic][key][subscription.id] = subscription
        for result in opened.first:
            subscription.notify(result)

    def _at(self, topic: Topic, key: bytes = _WHOLE_TOPIC) -> list[Subscription]:
        return list(self._open[topic].get(key, {}).values())

    def _tell(self, topic: Topic, result: object) -> None:
        for subscription in self._at(topic):
            subscription.notify(result)

    def _new_head(self, news: NewHead) -> None:
        self._tell(Topic.HEADS, news.header)
        if news.version is not None:
            self._tell(Topic.VERSION, news.version)
        concerned: dict[str, tuple[Subscription, list[Change]]] = {}
        for key, value in news.changes.items():
            for subscription in self._at(Topic.STORAGE, key):
                changes = concerned.setdefault(subscription.id, (subscription, []))[1]
                changes.append((to_hex(key), None if value is None else to_hex(value)))
        for subscription, changes in concerned.values():
            subscription.notify({"block": to_hex(news.block_hash), "changes": changes})

    def _pool_event(self, event: PoolEvent) -> None:
        status = event.status.value
        result = {status: to_hex(event.other)} if event.other else status
        for subscription in self._at(Topic.TRANSACTION, event.transaction_hash):
            subscription.notify(result)
            if event.status in _LAST_STATUSES:
                self.close(subscription)
                subscription.on_end()
