"""The whole pipeline's price: records a CPU second, stage by stage, beside its limits and its peers."""
