"""How features, scores and answers are distributed, and whether that has changed."""
