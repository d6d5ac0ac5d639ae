"""Detection, measured: what is found, how soon, and what is said while nothing is wrong."""
