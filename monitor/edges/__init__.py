"""The edges: thin modules that talk to the outside, one subject each; no back end imports another."""
