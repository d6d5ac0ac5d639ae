"""What a batch needs of the store before it can be counted: ids of its slices and of its features."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitor.core.batch import PredictionBatch
from monitor.core.counting import Violations
from monitor.core.drift.layout import FAMILY
from monitor.core.errors import StoreRefused, StoreUnavailable
from monitor.core.feature_cells import FeatureCells, feature_cells
from monitor.core.plan import ModelPlan
from monitor.core.schema.model import JUDGES
from monitor.core.schema.violations import RECORD, Code
from monitor.core.slices.assign import OUTSIDE, Token, other_token, token_name
from monitor.core.slices.spec import CategorySlice, CrossSlice, VersionSlice
from monitor.core.tasks.multiclass import CLASSES_MAX
from monitor.core.tasks.multiclass import FAMILY as CLASSES_FAMILY
from monitor.core.tasks.recorded import FAMILY as TASK_FAMILY
from monitor.ports import Clock, Store

log = logging.getLogger(__name__)

_WAITS_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0)
_EXPLAINED_PER_KIND: Final = 8
_NAMES_PER_CALL: Final = 5_000
_SCHEMAS_MAX: Final = 10_000
_TASKS_MAX: Final = 8
_OF_RECORD: Final = frozenset({Code.UNEXPECTED, Code.BAD_TIMESTAMP, Code.SCORE_RANGE})
"""Violations of the record itself: a feature may bear the name they go by."""

Retry = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]
Ints = NDArray[np.int64]


class Preparer:
    """Slice ids and violations of batches; ids are asked of the store once per name.

    Args:
        store: opened.
        retry: calls until the store answers.
    """

    def __init__(self, store: Store, retry: Retry) -> None:
        self._store = store
        self._retry = retry
        self._feature_ids: dict[str, dict[str, int]] = {}
        self._schema_ids: dict[str, int] = {}
        self._judges: dict[str, int] = {}
        self._numbered: dict[str, ModelPlan] = {}
        self._admitting = asyncio.Lock()

    async def numbered(self, plan: ModelPlan) -> ModelPlan:
        """The plan with the numbers the store gives to its task's classes.

        Raises:
            StoreRefused: the model was counted under another task, or has had too many classes.
        """
        found = self._numbered.get(plan.name)
        if found is None:
            task = plan.reading.task
            (place,) = await self._ids(plan, TASK_FAMILY, [task.recorded], _TASKS_MAX)
            if place != 1:
                raise StoreRefused(
                    f"{plan.name} is counted under another task than {task.recorded}; "
                    "give the new model another name, or the store another database"
                )
            if task.classes:
                places = await self._ids(plan, CLASSES_FAMILY, task.classes, CLASSES_MAX)
                if 0 in places:
                    raise StoreRefused(f"{plan.name} has had more than {CLASSES_MAX} classes")
                task = task.numbered([place - 1 for place in places])
            reading = replace(plan.reading, task=task)
            found = self._numbered[plan.name] = replace(plan, reading=reading)
        return found

    async def members(self, plan: ModelPlan, batch: PredictionBatch) -> Ints:
        """Slice ids, int64[rows, declarations], `OUTSIDE` where a row is in none."""
        tokens = plan.slices.tokens(batch.features, batch.versions)
        # What is known now may be forgotten before another batch; between here and the codes none may come.
        async with self._admitting:
            for index, fresh in plan.slices.unknown(tokens).items():
                await self.admit(plan, index, fresh)
            return plan.slices.codes(tokens)

    async def admit(self, plan: ModelPlan, declaration: int, tokens: Sequence[Token]) -> None:
        """Give tokens of a declaration their slice ids, the first ones first where places are limited."""
        spec = plan.slices.specs[declaration]
        names = [token_name(spec, token) for token in tokens]
        if isinstance(spec, CategorySlice | CrossSlice | VersionSlice):
            # The first `top` values to be seen have a slice of their own; the registry keeps the gate.
            places = await self._ids(plan, f"values:{spec.name}", names, spec.top)
            other = token_name(spec, other_token(spec))
            names = [name if place > 0 else other for name, place in zip(names, places, strict=True)]
        ids = await self._ids(plan, "slices", names, plan.slices_max)
        for token, slice_id in zip(tokens, ids, strict=True):
            # Past the cap of slices a row is in no slice of this declaration; all traffic still has it.
            plan.slices.learn(declaration, token, slice_id if slice_id > 0 else OUTSIDE)

    async def violations(self, plan: ModelPlan, batch: PredictionBatch) -> Violations:
        """Every violation of a batch, with texts for the few that may be kept as samples."""
        rows = [row for row, _, _ in batch.faults]
        codes = [int(code) for _, code, _ in batch.faults]
        features = [0] * len(rows)
        names = [RECORD] * len(rows)
        received = [shown for _, _, shown in batch.faults]
        schema = plan.schema
        accounts = (
            ()
            if schema is None
            else (
                schema.check_chunk(batch.features, batch.unjudged.tolist()),
                schema.soft_chunk(batch.features),
            )
        )
        for found in accounts:
            ids = await self._features(plan) if len(found) else {}
            explained: dict[tuple[int, int], int] = {}
            for j, (row, feature, code) in enumerate(
                zip(found.row.tolist(), found.feature.tolist(), found.code.tolist(), strict=True)
            ):
                name = found.compiled.names[feature] if feature >= 0 else RECORD
                rows.append(row)
                codes.append(code)
                features.append(ids.get(name, 0))
                names.append(name)
                count = explained[feature, code] = explained.get((feature, code), 0) + 1
                explain = count <= _EXPLAINED_PER_KIND
                received.append(found.explain(batch.features, j).received if explain else "")
        return Violations(
            np.array(rows, np.int64),
            np.array(features, np.int64),
            np.array(codes, np.int64),
            tuple(names),
            tuple(received),
        )

    async def cells(
        self, plan: ModelPlan, batch: PredictionBatch, violations: Violations
    ) -> FeatureCells | None:
        """Where the values of features are counted; None without a schema, or past the cap of layouts."""
        layout = plan.layout
        if layout is None:
            return None
        if plan.name not in self._schema_ids:
            (self._schema_ids[plan.name],) = await self._ids(plan, FAMILY, [layout.fingerprint], _SCHEMAS_MAX)
        schema_id = self._schema_ids[plan.name]
        if schema_id == 0:
            return None
        broken: dict[str, dict[int, int]] = {}
        for row, name, code in zip(
            violations.rows.tolist(), violations.names, violations.codes.tolist(), strict=True
        ):
            if code not in _OF_RECORD:
                broken.setdefault(name, {}).setdefault(row, code)
        return feature_cells(layout, schema_id, batch.features, batch.scores, broken)

    async def judge(self, plan: ModelPlan) -> int:
        """Id of the feature schema that judges; 0 without one, or past the cap of schemas."""
        if plan.schema is None:
            return 0
        if plan.name not in self._judges:
            names = [plan.schema.schema.fingerprint]
            (self._judges[plan.name],) = await self._ids(plan, JUDGES, names, _SCHEMAS_MAX)
        return self._judges[plan.name]

    async def _features(self, plan: ModelPlan) -> dict[str, int]:
        known = self._feature_ids.get(plan.name)
        if known is None:
            names = [] if plan.schema is None else list(plan.schema.names)
            ids = await self._ids(plan, "features", names, 10_000)
            known = self._feature_ids[plan.name] = dict(zip(names, ids, strict=True))
        return known

    async def _ids(self, plan: ModelPlan, family: str, names: Sequence[str], limit: int) -> list[int]:
        ids: list[int] = []
        for first in range(0, len(names), _NAMES_PER_CALL):
            part = names[first : first + _NAMES_PER_CALL]
            ids += await self._retry(partial(self._store.ids, plan.name, family, part, limit))
        return ids


async def until_answered(
    call: Callable[[], Awaitable[Any]], clock: Clock, on_retry: Callable[[], None]
) -> Any:
    """Repeat a call until the store answers: an outage is waited out; a lost reply is answered ALREADY."""
    attempt = 0
    while True:
        try:
            return await call()
        except StoreUnavailable as error:
            on_retry()
            if attempt in {0, 10}:
                log.warning("the store cannot be reached: %s", error)
            await clock.sleep(_WAITS_S[min(attempt, len(_WAITS_S) - 1)])
            attempt += 1
