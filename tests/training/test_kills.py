"""Real processes killed at random moments: the small size of `make proof`."""

import pytest

from tests.proof.training import prove_loop, prove_run


@pytest.mark.slow
def test_a_retraining_killed_at_random_moments_ends_in_the_same_adapter(tmp_path):
    outcome = prove_run(tmp_path / "run", kills=10, seed=3)
    assert outcome.holds, (str(outcome), outcome.problems)
    assert str(outcome) == "kills 10 finished 10 distinct 1"


@pytest.mark.slow
def test_a_killed_loop_goes_on_and_reports_everything(tmp_path):
    outcome = prove_loop(tmp_path / "loop", kills=1, seed=1)
    assert outcome.holds, (str(outcome), outcome.problems)
