"""Probes: questions asked of the model that is serving, about requests it has served.

Each probe is a file with a frozen dataclass of its configuration; it changes features of a request, sees
the answers and says what they mean. All is pure: asking is somebody else's.
"""
