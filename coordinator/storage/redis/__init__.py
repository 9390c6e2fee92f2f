"""A store on Redis or Valkey."""

from coordinator.storage.redis.server import RedisStoreServer

__all__ = ["RedisStoreServer"]
