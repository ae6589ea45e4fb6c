"""Adapter: the storage array by one name, whatever lies under it."""
