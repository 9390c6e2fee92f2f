"""Keys are in order whenever somebody looks, however many came since."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain.ordered import INSERTED_LIMIT, OrderedKeys


@given(st.lists(st.lists(st.integers(0, 500), max_size=3 * INSERTED_LIMIT), max_size=4), st.randoms())
def test_keys_are_in_order_after_any_changes(rounds: list[list[int]], chance) -> None:
    keys: OrderedKeys[tuple[int, int]] = OrderedKeys()
    there: set[tuple[int, int]] = set()

    for number, values in enumerate(rounds):
        for value in values:
            if (key := (value, number)) not in there:
                keys.add(key)
                there.add(key)
        for key in chance.sample(sorted(there), len(there) // 3):
            keys.remove(key)
            there.remove(key)

        assert list(keys.all()) == sorted(there)
