"""Adapter: progress lines, metrics and pages."""
