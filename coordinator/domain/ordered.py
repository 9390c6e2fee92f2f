"""Keys in order, of which a start brings a hundred thousand at once and a result brings one."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound="tuple[Any, ...] | str")

INSERTED_LIMIT = 64
"""New keys that are inserted one by one; more are sorted in together, which moves the others once."""


class OrderedKeys(Generic[Key]):
    """Distinct keys. New ones are put in their place when somebody looks."""

    def __init__(self) -> None:
        self._keys: list[Key] = []
        self._added: list[Key] = []

    def add(self, key: Key) -> None:
        """A key that is not there yet."""
        self._added.append(key)

    def remove(self, key: Key) -> None:
        """A key that is there."""
        keys = self._settled()
        keys.pop(bisect_left(keys, key))

    def all(self) -> Sequence[Key]:
        """Every key in order; to be read before the next change."""
        return self._settled()

    def _settled(self) -> list[Key]:
        if len(self._added) > INSERTED_LIMIT:
            self._keys.extend(self._added)
            self._keys.sort()
        else:
            for key in self._added:
                insort(self._keys, key)
        self._added.clear()
        return self._keys
