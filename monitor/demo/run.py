"""The demo as a whole: traffic, alerts and the board, in one terminal."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.live import Live

from monitor.demo.board import View, draw_board, rate_warning, save_board
from monitor.demo.faults import Pace, timeline
from monitor.demo.scoreboard import Sightings, document, judge
from monitor.demo.stage import Stage, set_stage
from monitor.demo.traffic import TICK_S, Traffic
from monitor.edges.kafka.alert_stream import AlertStream

_DRAWS_PER_S: Final = 4
_HEAD_START_S: Final = 0.5
_INTERRUPTED: Final = 130


@dataclass(frozen=True)
class DemoOptions:
    """How to run the demo.

    Attributes:
        rate: requests a second.
        seed: of the population, the model and the traffic.
        headless: no live board; progress goes to stderr.
        json: print the result as one JSON document, last on stdout.
        keep: leave everything running at the end, until Ctrl-C.
        stretch: every length of the timeline times this.
        picture: write the final board here, as SVG and as text.
    """

    rate: int = 1_000
    seed: int = 7
    headless: bool = False
    json: bool = False
    keep: bool = False
    stretch: float = 1.0
    picture: Path | None = None


def run_demo(options: DemoOptions) -> int:
    """Run the demo from start to end.

    Returns:
        Exit code: 0 when it came to its end, whatever was caught; 130 when interrupted.

    Raises:
        ServiceError: something did not start, or ended before its time.
        KafkaError: the broker failed.
    """
    # Told to end, it ends what it started: the same way as on Ctrl-C.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with ExitStack() as running:
            _Demo(options).run(running)
    except KeyboardInterrupt:
        return _INTERRUPTED
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0


class _Demo:
    def __init__(self, options: DemoOptions) -> None:
        self._options = options
        self._timeline = timeline(Pace().stretched(options.stretch))
        self._began_s = time.monotonic()
        self._start_ms: int | None = None
        self._traffic: Traffic | None = None
        self._sightings = Sightings(0)
        self._doing = "starting"
        self._told: set[str] = set()
        # A JSON document has stdout for itself; the board moves aside.
        self._console = Console(stderr=options.json, highlight=False)

    def run(self, running: ExitStack) -> None:
        with self._live() as show:
            stage = set_stage(running, self._options.seed, lambda doing: self._say(doing, show))
            start_up_s = time.monotonic() - self._began_s
            traffic = self._begin(stage)
            with (
                _Background(lambda stop: self._produce(traffic, stop)) as producing,
                _Background(lambda stop: self._listen(stage.alerts, stop)) as listening,
            ):
                while self._position_s() < self._timeline.length_s:
                    stage.worker.check()
                    producing.check()
                    listening.check()
                    show()
                    time.sleep(1 / _DRAWS_PER_S)
            self._doing = "finished"
            show()
        self._finish(traffic, start_up_s)
        if self._options.keep:
            self._stay(stage)

    def _begin(self, stage: Stage) -> Traffic:
        # A whole second, so that faults begin where buckets do.
        self._start_ms = 1000 * int(time.time() + _HEAD_START_S + 1)
        self._sightings = Sightings(self._start_ms)
        self._traffic = Traffic(
            self._timeline,
            stage.ask,
            stage.send,
            rate_per_s=self._options.rate,
            seed=self._options.seed,
            start_ms=self._start_ms,
        )
        self._doing = "live traffic"
        return self._traffic

    def _produce(self, traffic: Traffic, stop: threading.Event) -> None:
        while not stop.wait(TICK_S):
            if self._position_s() > 0:
                traffic.advance(self._position_s())

    def _listen(self, alerts: AlertStream, stop: threading.Event) -> None:
        while not stop.is_set():
            for alert in alerts:  # ends after a moment of silence
                self._sightings.see(alert, self._position_s())
                self._note(f"{alert.kind} {alert.state}: {alert.summary}")

    def _position_s(self) -> float:
        """Seconds since the first request; negative before it."""
        if self._start_ms is None:
            return -1.0
        return time.time() - self._start_ms / 1000

    def _view(self) -> View:
        lives = tuple(self._sightings)
        traffic = self._traffic
        return View(
            timeline=self._timeline,
            verdict=judge(self._timeline, lives),
            lives=lives,
            position_s=min(self._position_s(), self._timeline.length_s),
            rate_per_s=0.0 if traffic is None else traffic.rate_now_per_s(),
            requests=0 if traffic is None else traffic.sent,
            labels=0 if traffic is None else traffic.labels_sent,
            doing=self._doing,
            finished=self._doing == "finished",
        )

    @contextmanager
    def _live(self) -> Iterator[Callable[[], None]]:
        """Something to call whenever there may be news."""
        if self._options.headless:
            yield self._tell
            return
        with Live(console=self._console, auto_refresh=False, transient=False) as live:
            yield lambda: live.update(draw_board(self._view()), refresh=True)

    def _say(self, doing: str, show: Callable[[], None]) -> None:
        self._doing = doing
        self._note(doing)
        show()

    def _tell(self) -> None:
        """Progress without a board: each fault as it begins."""
        for fault in self._timeline.active(self._position_s()):
            if fault.name not in self._told:
                self._told.add(fault.name)
                self._note(f"{fault.title}: {fault.cause}")

    def _note(self, text: str) -> None:
        if self._options.headless:
            at_s = self._position_s()
            sys.stderr.write(f"{f'{at_s:5.1f} s' if at_s >= 0 else '  start'}  {text}\n")
            sys.stderr.flush()

    def _finish(self, traffic: Traffic, start_up_s: float) -> None:
        view = self._view()
        if self._options.picture is not None:
            save_board(view, self._options.picture)
        if self._options.headless and not self._options.json:
            self._console.print(draw_board(view))
        rate_per_s = traffic.sent / self._timeline.length_s
        warning = rate_warning(rate_per_s)
        if warning:
            sys.stderr.write(f"{warning}\n")
        if self._options.json:
            result = document(self._timeline, view.verdict, rate_per_s=rate_per_s, start_up_s=start_up_s)
            sys.stdout.write(json.dumps(result, indent=2) + "\n")
            sys.stdout.flush()

    def _stay(self, stage: Stage) -> None:
        sys.stderr.write(
            f"Still running. Try: monitor slices -c {stage.settings_path} --since 15m\n"
            f"Or its pages: monitor dashboard -c {stage.settings_path}\nCtrl-C ends it.\n"
        )
        while True:
            stage.worker.check()
            time.sleep(1.0)


class _Background:
    """Work in a thread of its own, told to end with the body; what goes wrong comes out of `check`."""

    def __init__(self, work: Callable[[threading.Event], None]) -> None:
        self._work = work
        self._stop = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self._work(self._stop)
        except Exception as error:  # noqa: BLE001 - carried to the main thread
            self._error = error

    def check(self) -> None:
        """Raise what went wrong, if anything did."""
        if self._error is not None:
            raise self._error

    def __enter__(self) -> _Background:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
