"""Errors as Python uses them beside being raised."""

import copy
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from mythline import errors
from mythline.agents import RunConflict
from mythline.errors import MythlineError, SessionNotFound, StoreClosed
from mythline.testing.samples import turn

MADE = {
    errors.EntryNotFound: ("entry",),
    errors.SessionNotFound: ("one",),
    errors.SessionExists: ("one",),
    errors.RevisionConflict: ("one",),
    errors.SessionBusy: ("one",),
    errors.UnreadableMessages: (("first", "second"),),
    errors.StoreCorrupt: ("Do this.",),
    errors.StoreTooNew: (7, 3),
    errors.EntryExists: (),
    errors.IdempotencyMismatch: (),
    errors.StoreFull: (),
    errors.StoreClosed: (),
    RunConflict: ("one", turn("a")),
}
"""What those are made with that word their own message."""


def _kinds(kind: type[MythlineError]) -> Iterator[type[MythlineError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _kinds(each)


def _by_pickle(error: MythlineError) -> MythlineError:
    return pickle.loads(pickle.dumps(error))


@pytest.mark.parametrize("kind", [*dict.fromkeys(_kinds(MythlineError))])
@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, _by_pickle])
def test_an_error_is_the_same_when_it_is_copied(
    kind: type[MythlineError], way: Callable[[MythlineError], MythlineError]
) -> None:
    error = kind(*MADE.get(kind, ("What to do.",)))
    error.add_note("beside")
    again = way(error)
    assert type(again) is kind
    assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))


def _fail(wanted: type[MythlineError]) -> None:
    raise wanted(*MADE[wanted])


def test_errors_come_back_from_a_worker_process() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for kind in (StoreClosed, SessionNotFound, RunConflict):
            with pytest.raises(kind) as caught:
                pool.submit(_fail, kind).result(timeout=60)
            assert str(caught.value) == str(kind(*MADE[kind]))
