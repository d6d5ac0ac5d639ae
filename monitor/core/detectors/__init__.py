"""Detectors, one file each: counts of a bucket and what was known before, to findings. All pure.

A detector speaks as long as something holds: it answers one `Finding` per standing failure at every
step, and a last one with `holds=False` when recovery is established. `monitor.core.alerts` turns that
into transitions.
"""
