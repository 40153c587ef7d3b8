"""Assertions for a single test, one file a subject."""
