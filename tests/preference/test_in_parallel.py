"""Many rows are worked on in parts: order and errors are as in a plain loop, digits as on one."""

import numpy as np
import pytest

import preference.in_parallel as parallel
from preference import fit_bradley_terry
from preference.counts import _WIDE_CHUNK, count  # pyright: ignore[reportPrivateUsage]
from preference.encoding import encode
from preference.resampling import bootstrap


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(parallel, "threads", lambda: request.param)
    return request.param


def test_results_come_in_the_order_of_their_parts(threads: int) -> None:
    assert parallel.in_parallel(lambda part: part**2, range(50)) == [n**2 for n in range(50)]


def test_an_error_in_one_part_is_raised(threads: int) -> None:
    def work(part: int) -> int:
        return 1 // (part - 3)

    with pytest.raises(ZeroDivisionError):
        parallel.in_parallel(work, range(6))


def test_counts_of_several_parts_are_those_of_all_rows(threads: int) -> None:
    rng = np.random.default_rng(3)
    n = _WIDE_CHUNK + 12_345
    a = rng.integers(0, 7, n).astype(np.uint8)
    b = ((a + rng.integers(1, 7, n)) % 7).astype(np.uint8)
    verdict = rng.integers(0, 4, n).astype(np.uint8)
    placement = rng.integers(-1, 2, n).astype(np.int8)
    cells = count(encode(a, b, verdict, placement=placement))
    swap = a > b
    low, high = np.minimum(a, b), np.maximum(a, b)
    side = np.where(swap, -placement, placement)
    won = (verdict == 0) & ~swap | (verdict == 1) & swap
    for cell in range(0, len(cells.a), 5):
        here = (low == cells.a[cell]) & (high == cells.b[cell]) & (side == cells.placement[cell])
        assert cells.wins_a[cell] == (here & won).sum()
        assert cells.ties[cell] == (here & (verdict == 2)).sum()
        assert cells.both_bad[cell] == (here & (verdict == 3)).sum()


def test_digits_do_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    n = 300_000
    a = rng.integers(0, 6, n)
    b = (a + rng.integers(1, 6, n)) % 6
    verdict = rng.integers(0, 3, n).astype(np.uint8)
    x = rng.normal(size=(n, 2))
    found = []
    for number in (1, 4):
        monkeypatch.setattr(parallel, "threads", lambda number=number: number)
        fit = fit_bradley_terry(a, b, verdict, covariates=x)
        again = bootstrap(a[:5000], b[:5000], verdict[:5000], replicates=20)
        found.append((fit.ratings.tolist(), fit.se.tolist(), again.ratings.tolist()))
    assert found[0] == found[1]
