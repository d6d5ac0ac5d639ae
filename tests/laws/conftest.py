"""Fixtures of the laws: every store there is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from monitor.ports import Store
from tests.laws.store_backends import BACKENDS, Backend, backend


@pytest.fixture(scope="session", params=BACKENDS)
def any_backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Each kind of store once; a test makes it `fresh` before use."""
    with backend(request.param) as made:
        yield made


@pytest.fixture
async def open_store(any_backend: Backend) -> AsyncIterator[Callable[[], Awaitable[Store]]]:
    """Opens the store as another worker sees it; closed after the test."""
    opened: list[Store] = []

    async def make() -> Store:
        opened.append(await any_backend.store())
        return opened[-1]

    yield make
    for store in opened:
        await store.close()
