"""Probing before a release: what is asked beside the probes, what is tolerated, the page that shows it."""
