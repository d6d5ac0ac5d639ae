"""The store on Redis or Valkey: one fenced script a flush, a pipeline a read."""

from monitor.edges.redis.reader import RedisReader
from monitor.edges.redis.store import RedisStore

__all__ = ["RedisReader", "RedisStore"]
