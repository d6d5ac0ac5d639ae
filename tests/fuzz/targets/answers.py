"""What a model's endpoint sends back, in every format that is spoken.

There is one answer a row or one reason why not; a score is finite, a decision small enough to be counted;
what is asked of an answer can be told.
"""

from __future__ import annotations

import json
import math
from functools import cache

from monitor.core.probes.answers import Answer, Subject, is_score
from monitor.core.probes.endpoint import Endpoint, Failure, Format
from monitor.core.probes.space import FeatureSpace
from monitor.core.schema import Feature, FeatureSchema
from monitor.edges.model.http import document_in
from monitor.edges.model.shapes import Shape, shape_of
from tests.fuzz.targets.target import Target

_FORMATS: tuple[Format, ...] = ("json", "kserve", "tensorflow", "mlflow")
_PATHS = (None, "$.predictions[*].score", "$.out.p", "$[*]", "$.outputs[0].data")
_CLASSES: tuple[bool | int | str, ...] = (1, True, "yes", ">50K")
_INT64 = 2**63


@cache
def _shape(bits: int) -> Shape:
    return shape_of(
        Endpoint(
            "http://m/p",
            _FORMATS[bits & 3],
            score=_PATHS[(bits >> 2) % 5],
            decision="$.predictions[*].decision" if bits & 32 else None,
            positive_class=_CLASSES[bits >> 6 & 3],
        )
    )


@cache
def _space() -> FeatureSpace:
    return FeatureSpace.of(FeatureSchema(features={"age": Feature(type="number")}))


def run(data: bytes) -> None:
    bits, count = (data[:1] or b"\0")[0], 1 + (data[1:2] or b"\0")[0] % 4
    document = document_in(data[2:])
    if isinstance(document, Failure):
        return
    answers = _shape(bits).answers(document, count)
    if isinstance(answers, Failure):
        return
    assert len(answers) == count, "one answer a row"
    for answer in answers:
        assert (answer.score is None) != (answer.error is None), "a score or an error"
        assert answer.score is None or is_score(answer.score)
        assert answer.decision is None or type(answer.decision) is int
        assert answer.decision is None or -_INT64 <= answer.decision < _INT64, "a decision can be counted"
        json.dumps(answer.decision, allow_nan=False)
    known = [answer for answer in answers if answer.error is None] or [Answer(0.5)]
    subject = Subject("r", "m", "1", {"age": 1}, known[0], 0.5, space=_space())
    for answer in answers:
        subject.flips(answer)
        subject.differs(answer)
        change = subject.change(answer)
        assert change is None or not math.isnan(change)


TARGET = Target(
    run,
    seeds=(
        b'\x00\x01{"predictions":[0.5,0.25]}',
        b'\x00\x01{"predictions":[[0.3,0.7],[0.9,0.1]]}',
        b'\x04\x01{"predictions":[{"score":0.5},{"score":"0.1","decision":true}]}',
        b'\x40\x00{"score":0.4,"decision":false}',
        b'\x01\x01{"outputs":[{"name":"o","shape":[2,1],"datatype":"FP64","data":[0.1,0.2]}]}',
        b'\xc2\x00{"predictions":[{"probabilities":{">50K":0.5}}]}',
        b'\x88\x00{"out":{"p":["yes"]}}',
        b'\x2c\x01{"predictions":[{"decision":1},{"decision":2.0}],"x":[NaN,Infinity]}',
        b"\x03\x02[1,0,null]",
    ),
)
