"""Store, publisher, model and clocks in memory: a monitor inside one process, decided without Redis.

`MemoryStore` passes the same laws as the store on Redis (`tests/laws`). Share one instance between workers;
`reader()` is its synchronous side.
"""

from monitor.edges.memory.clock import ManualClock, WallClock
from monitor.edges.memory.model import MemoryModelClient
from monitor.edges.memory.publisher import MemoryPublisher
from monitor.edges.memory.reader import MemoryReader
from monitor.edges.memory.store import MemoryStore

__all__ = [
    "ManualClock",
    "MemoryModelClient",
    "MemoryPublisher",
    "MemoryReader",
    "MemoryStore",
    "WallClock",
]
