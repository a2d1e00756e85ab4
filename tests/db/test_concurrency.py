"""The concurrency proof at a tenth of its size, and that it can fail."""

from pathlib import Path

import pytest

from tests.proof.concurrency import prove
from tests.proof.ledgers import CONSTRAINTS, remove_constraint, seed


@pytest.mark.slow
def test_killed_processes_and_lost_leases_lose_double_and_over_assign_nothing(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = prove(url, annotators=6, comparisons=200, overlap=3, life=5, limit=280)
    with capsys.disabled():
        print(f"\n{outcome}")
    assert outcome.holds, outcome


@pytest.mark.slow
@pytest.mark.parametrize("constraint", sorted(CONSTRAINTS))
def test_without_a_constraint_the_proof_fails(url: str, constraint: str) -> None:
    outcome = prove(
        url, annotators=4, comparisons=60, overlap=2, life=4, limit=120, without=constraint
    )
    assert not outcome.holds
    assert outcome.doubled if constraint == "one-judgment" else outcome.over_assigned


def test_every_named_constraint_is_there_to_be_removed(tmp_path: Path) -> None:
    for name in CONSTRAINTS:
        url = f"sqlite:///{tmp_path / name}.db"
        seed(url, comparisons=1, overlap=1, annotators=1)
        remove_constraint(url, name)
