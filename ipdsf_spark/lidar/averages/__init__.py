"""Profiles to averages over fixed UTC intervals: all that an analysis sees."""
