"""What DSPy knows of a model's prices, looked up once.

DSPy goes through its table of some 2,500 models twice for every response it prices: a quarter of all that a call
takes beside the LM. The table does not change while a process runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from dspy.clients import costs


@contextmanager
def remembered_prices() -> Iterator[None]:
    """Price every response inside from what was found for its model the first time."""
    looked_up = costs.model_info
    costs.model_info = lru_cache(maxsize=256)(looked_up)
    try:
        yield
    finally:
        costs.model_info = looked_up
