"""The edges: thin modules that talk to the outside, one subject each; they never import each other."""
