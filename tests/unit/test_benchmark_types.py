"""The table of types: a real server of scikit-learn, and what is made of answers."""

from __future__ import annotations

from benchmarks.type_matrix.__main__ import ask, serving, table
from benchmarks.type_matrix.models import MODELS
from benchmarks.type_matrix.page import page


async def test_a_pipeline_on_a_data_frame_reads_types_as_it_does() -> None:
    with serving("scikit-learn") as port:
        found = table(await ask(port))
    cells = found["cells"]
    assert cells["age"]["text"] == "same"
    assert cells["age"]["text with comma"] == "refused"
    assert cells["age"]["true"] == "different"  # read as 1
    assert cells["member"]["true"] == "same"
    assert cells["sex"]["empty text"] == "different"  # a category nobody knows is none
    counts = [found[what] for what in ("same", "refused", "different")]
    assert sum(counts) == sum(len(row) for row in cells.values())
    assert min(counts) > 0
    text = page({"scikit-learn": {"version": "1", **found}})
    assert f"| scikit-learn | 1 | {counts[0]} | {counts[1]} | **{counts[2]}** |" in text
    assert "| true | **different** | **different** | **different** | · | refused |" in text


def test_every_library_of_the_table_is_there() -> None:
    assert {"scikit-learn", "lightgbm", "xgboost", "pytorch", "tensorflow"} <= MODELS.keys()
