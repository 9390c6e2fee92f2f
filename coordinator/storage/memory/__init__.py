"""A store in the process's own memory, for unit tests: nothing outlives the process."""

from coordinator.storage.memory.server import MemoryStoreServer

__all__ = ["MemoryStoreServer"]
