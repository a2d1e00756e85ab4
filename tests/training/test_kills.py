"""Real processes killed at random moments: the small size of `make proof`.

A whole loop is killed so in `make proof` only; test_loop.py kills one in its own process.
"""

import pytest

from tests.proof.training import prove_run


@pytest.mark.slow
def test_a_retraining_killed_at_random_moments_ends_in_the_same_adapter(tmp_path):
    outcome = prove_run(tmp_path / "run", kills=10, seed=3)
    assert outcome.holds, (str(outcome), outcome.problems)
    assert str(outcome) == "kills 10 finished 10 distinct 1"
