"""Store, publisher and clocks in memory: for a monitor inside one process, and for deciding without Redis.

`MemoryStore` passes the same laws as the store on Redis (`tests/laws`). Share one instance between workers;
`reader()` is its synchronous side.
"""

from monitor.edges.memory.clock import ManualClock, SystemClock, WallClock
from monitor.edges.memory.publisher import MemoryPublisher
from monitor.edges.memory.reader import MemoryReader
from monitor.edges.memory.store import MemoryStore

__all__ = ["ManualClock", "MemoryPublisher", "MemoryReader", "MemoryStore", "SystemClock", "WallClock"]
