"""Evidence that may be looked at for ever: e-values, e-detectors and the levels they are held against.

An *e-value* is a non-negative statistic whose mean is at most 1 while nothing is wrong, so reaching
1/α has probability at most α at any look. An *e-detector* adds up e-values that start in every bucket;
reaching 1/α takes at least 1/α buckets on average while nothing is wrong. All values are natural logs.
"""
