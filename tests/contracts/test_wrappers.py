"""Each wrapper around the memory store keeps the contract, and so do the stack and the faulty."""

from datetime import timedelta

import pytest

from forebay.stores.contract import Store
from forebay.stores.limited import Limits, limited
from forebay.stores.measured import StoreCounters, measured
from forebay.stores.memory import MemoryStore
from forebay.stores.punctual import Deadlines, punctual
from forebay.stores.retrying import Patience, Surroundings, retrying
from forebay.stores.stack import StackOptions, stacked
from tests.contracts.store_contract import Outsider, StoreContract
from tests.contracts.test_memory import planter
from tests.fakes.clock import FakeClock
from tests.fakes.faulty import FaultyStore


class AroundMemory(StoreContract):
    """What the wrappers' tests share."""

    @pytest.fixture
    def memory(self) -> MemoryStore:
        return MemoryStore(real_directories=True)

    @pytest.fixture
    def outsider(self, memory: MemoryStore) -> Outsider:
        return planter(memory)


class TestRetrying(AroundMemory):
    """A retrying store is a store."""

    @pytest.fixture
    def store(self, memory: MemoryStore) -> Store:
        clock = FakeClock()
        return retrying(memory, Patience(), Surroundings(clock, clock.sleep))


class TestLimited(AroundMemory):
    """A limited store is a store, also with two connections and budgets."""

    @pytest.fixture
    def store(self, memory: MemoryStore) -> Store:
        return limited(memory, Limits(2, requests_per_second=1e6, bytes_per_second=1e12))


class TestMeasured(AroundMemory):
    """A measured store is a store."""

    @pytest.fixture
    def store(self, memory: MemoryStore) -> Store:
        return measured(memory, StoreCounters())


class TestPunctual(AroundMemory):
    """A punctual store is a store."""

    @pytest.fixture
    def store(self, memory: MemoryStore) -> Store:
        return punctual(memory, Deadlines())


class TestFaultyWithoutFaults(AroundMemory):
    """The faulty store is a store while nothing is to go wrong."""

    @pytest.fixture
    def store(self, memory: MemoryStore) -> Store:
        return FaultyStore(memory)


class TestStacked(AroundMemory):
    """All of them around an object store."""

    @pytest.fixture
    def memory(self) -> MemoryStore:
        return MemoryStore()

    @pytest.fixture
    def store(self, memory: MemoryStore) -> Store:
        options = StackOptions(patience=Patience(deadline=timedelta(0)))
        return stacked(memory, options, StoreCounters())
