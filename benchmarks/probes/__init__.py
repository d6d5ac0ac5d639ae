"""Probes against exhaustive search, other searches, and planted effects."""
