"""The laws of what an evaluator keeps in the store, on every store there is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from monitor.ports import EVALUATOR_VIEW, JUDGED_FIELD, Beat, Flush, Partition, Store
from tests.laws.store_backends import Backend

Open = Callable[[], Awaitable[Store]]

P, Q = Partition("predictions", 0), Partition("dash-ed.topic", 12)


def test_one_owner_holds_a_lease(any_backend: Backend) -> None:
    any_backend.fresh(1)
    reader = any_backend.reader()
    epoch = reader.lease("m", "a", 60_000)
    assert epoch > 0
    assert reader.lease("m", "a", 60_000) == epoch
    assert reader.lease("m", "b", 60_000) == 0
    assert reader.lease("other", "b", 60_000) > 0
    any_backend.pass_ms(450)
    assert reader.lease("m", "b", 60_000) == 0
    # Its owner makes it a short one only now: nothing depends on how soon these calls follow each other.
    assert reader.lease("m", "a", 400) == epoch
    any_backend.pass_ms(450)
    later = reader.lease("m", "b", 60_000)
    assert later > epoch
    assert reader.lease("m", "a", 60_000) == 0


def test_a_commit_needs_the_lease_and_the_sequence(any_backend: Backend) -> None:
    any_backend.fresh(1)
    reader = any_backend.reader()
    assert reader.state("m") == (b"", 0)
    epoch = reader.lease("m", "a", 300)
    assert reader.commit("m", epoch, 0, b"s1", [], {"id1": b"open", "id2": b"open"})
    assert reader.commit("m", epoch, 1, b"s2", [], {"id1": b"resolved"})
    assert reader.state("m") == (b"s2", 2)
    assert reader.alerts("m") == {"id1": b"resolved", "id2": b"open"}
    assert not reader.commit("m", epoch, 1, b"other", [], {"id1": b"wrong"})
    assert not reader.commit("m", epoch + 1, 2, b"other", [], {"id1": b"wrong"})
    any_backend.pass_ms(350)
    assert reader.commit("m", epoch, 2, b"s3", [], {})  # nobody else has taken over yet
    assert reader.lease("m", "b", 60_000) > epoch
    assert not reader.commit("m", epoch, 3, b"other", [(b"k", b"v")], {"id1": b"wrong"})
    assert reader.state("m") == (b"s3", 3)
    assert reader.alerts("m")["id1"] == b"resolved"
    assert reader.alerts("other") == {}


async def test_a_commit_may_be_repeated(any_backend: Backend, open_store: Open) -> None:
    any_backend.fresh(1)
    store, reader = await open_store(), any_backend.reader()
    epoch = reader.lease("m", "a", 60_000)
    for _ in range(2):
        assert reader.commit("m", epoch, 0, b"s1", [(b"key", b"alert")], {})
    assert reader.state("m") == (b"s1", 1)
    assert len(await store.outbox_read("alerts", 10)) == 1


async def test_alerts_leave_through_the_outbox(any_backend: Backend, open_store: Open) -> None:
    any_backend.fresh(2)
    store, reader = await open_store(), any_backend.reader()
    epoch = reader.lease("m", "a", 60_000)
    assert reader.commit("m", epoch, 0, b"", [(b"k1", b"v1"), (b"k2", b"v2")], {})
    any_backend.pass_ms(5)
    await store.register({P: 0})
    await store.flush(Flush(1, P, 0, 0, 1, 0, dead_letters=[b"letter"]))
    alerts, letters = await store.outbox_read("alerts", 10), await store.outbox_read("dead_letters", 10)
    assert [(e.topic_kind, e.key, e.value) for e in alerts] == [
        ("alerts", b"k1", b"v1"),
        ("alerts", b"k2", b"v2"),
    ]
    assert [(e.topic_kind, e.key, e.value) for e in letters] == [("dead_letters", b"", b"letter")]
    await store.outbox_ack(alerts[:1])
    assert await store.outbox_read("alerts", 10) == alerts[1:]
    await store.outbox_ack([*alerts, *letters])
    await store.outbox_ack([])
    assert await store.outbox_read("alerts", 10) == await store.outbox_read("dead_letters", 10) == []


async def test_partitions_as_the_evaluator_sees_them(any_backend: Backend, open_store: Open) -> None:
    any_backend.fresh(2)
    store, reader = await open_store(), any_backend.reader()
    assert reader.partitions() == {}
    await store.register({P: 10, Q: 0})
    await store.flush(Flush(0, P, 10, 10, 12, 500))
    await store.flush(Flush(1, P, 10, 10, 11, 400))
    await store.beat({P: Beat(11, 12)})
    states = reader.partitions()
    assert list(states) == [Q, P]
    assert (states[P].offset, states[P].watermark_ms, states[P].caught_up) == (11, 400, False)
    assert states[P].silent_s < 30
    assert (states[Q].offset, states[Q].caught_up, states[Q].silent_s) == (0, False, float("inf"))
    await store.beat({P: Beat(12, 12), Q: Beat(0, 0)})
    await store.beat({})
    assert all(state.caught_up for state in reader.partitions().values())
    await store.beat({P: Beat(12, 12, age_s=60.0)})
    states = reader.partitions()
    assert (states[P].caught_up, states[Q].caught_up) == (False, True), "nobody knows what came to P since"
    assert states[P].silent_s >= 60
    any_backend.lose_shard(1)
    assert reader.partitions()[P].offset == -1


async def test_a_view_tells_the_worker_how_far_evaluation_is(any_backend: Backend) -> None:
    any_backend.fresh(1)
    store = await any_backend.store()
    reader = any_backend.reader()
    assert await store.judged_s("m") == 0
    reader.write_views("m", {"5m/all": {"accuracy": "0.93"}, "1h/all": {}}, 60)
    reader.write_views("m", {EVALUATOR_VIEW: {JUDGED_FIELD: "1700000000"}}, 60)
    assert await store.judged_s("m") == 1_700_000_000
    assert await store.judged_s("other") == 0
    await store.close()
