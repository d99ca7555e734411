"""Two things that take turns, and how the one compares with the other."""

from __future__ import annotations

import gc
import inspect
import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

Work = Callable[[], Awaitable[Any] | Any]
BLOCKS = 15
WARM = 3


@dataclass(frozen=True)
class Figure:
    """A line of the table.

    Attributes:
        what: What was measured.
        ours: Mythline's side, the median.
        peer: The other side, or `None` where there is none.
        unit: Of both: `s`, or a word for a count.
        ratio: How many times the peer, or `None`.
        spread: The quartiles of the ratio over the blocks of the run.
        bound: The ratio (or the count, without a peer) not to exceed, or `None`.
        note: What else there is to say.
    """

    what: str
    ours: float
    peer: float | None = None
    unit: str = "s"
    ratio: float | None = None
    spread: tuple[float, float] | None = None
    bound: float | None = None
    note: str = ""

    @property
    def is_kept(self) -> bool | None:
        """Whether the bound is kept; `None` where there is none."""
        if self.bound is None:
            return None
        return (self.ours if self.ratio is None else self.ratio) <= self.bound


@dataclass(frozen=True)
class Check:
    """Something that must be so, whatever the machine."""

    what: str
    is_kept: bool
    note: str = ""


@dataclass(frozen=True)
class Skipped:
    """Something that could not be measured here."""

    what: str
    why: str


Line = Figure | Check | Skipped


async def timed(work: Work) -> float:
    """Seconds that `work` takes, once; to let go of what it gives is not part of it."""
    start = perf_counter()
    result = work()
    if inspect.isawaitable(result):
        result = await result
    return perf_counter() - start


async def compare(
    what: str,
    ours: Work,
    peer: Work,
    *,
    rounds: int,
    bound: float | None = None,
    before: Work | None = None,
    warm: int = WARM,
    note: str = "",
) -> Figure:
    """Let both sides take turns for `rounds` rounds, and compare their medians.

    `before` gets things ready for each round, and is not timed.

    The ratio is the median of the ratios of up to `BLOCKS` blocks of rounds, so that a disk that
    changes its pace between blocks doesn't change the ratio.
    """
    pairs: list[tuple[float, float]] = []
    for number in range(-warm, rounds):
        if number == 0:
            settle_memory()
        if before is not None:
            await timed(before)
        if number % 2:
            one = await timed(ours)
            other = await timed(peer)
        else:
            other = await timed(peer)
            one = await timed(ours)
        pairs.append((one, other))
    return figure(what, pairs[warm:], bound=bound, note=note)


def figure(
    what: str,
    pairs: Sequence[tuple[float, float]],
    *,
    bound: float | None = None,
    note: str = "",
    unit: str = "s",
) -> Figure:
    """The line for pairs of measurements, each taken one right after the other."""
    size = max(1, len(pairs) // BLOCKS)
    blocks = [pairs[start : start + size] for start in range(0, len(pairs), size)]
    ratios = [
        statistics.median(a for a, _ in block) / statistics.median(b for _, b in block)
        for block in blocks
    ]
    return Figure(
        what,
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        unit,
        statistics.median(ratios),
        quartiles(ratios),
        bound,
        note,
    )


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def settle_memory() -> None:
    """Take what is there now out of the garbage collector's sight: it is not what is measured."""
    gc.collect()
    gc.freeze()
