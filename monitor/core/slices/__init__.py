"""Declared slices of traffic: what they are (`spec`) and which rows belong to them (`assign`)."""

from monitor.core.slices.assign import SliceAssigner
from monitor.core.slices.spec import (
    BinSlice,
    CategorySlice,
    CrossSlice,
    SliceSpec,
    VersionSlice,
    WhereSlice,
    crossing,
    parse_slice,
    slice_key,
)

__all__ = [
    "BinSlice",
    "CategorySlice",
    "CrossSlice",
    "SliceAssigner",
    "SliceSpec",
    "VersionSlice",
    "WhereSlice",
    "crossing",
    "parse_slice",
    "slice_key",
]
