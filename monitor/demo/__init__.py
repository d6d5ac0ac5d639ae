"""The demo: a population, a model that serves it, faults on a timeline, and a scoreboard."""
