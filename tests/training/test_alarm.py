"""The alarm rings where the chosen fall while the margin grows, and only there."""

from training.alarm import Alarm


def steps(*rows: tuple[float, float]) -> list[dict]:
    return [{"chosen_gain": gain, "margin": margin} for gain, margin in rows]


def rang(fall: float, rows: list[dict]) -> list[int]:
    alarm = Alarm(fall)
    return [number for number, row in enumerate(rows, 1) if alarm.look(row) is not None]


def test_it_rings_at_the_step_where_the_chosen_have_fallen_and_the_margin_has_grown():
    rows = steps((0, 0), (-0.5, 0.1), (-1.0, 0.2), (-2.0, 0.3), (-3.0, 0.4), (-4.0, 0.5))
    assert rang(1.0, rows) == [4, 5, 6]
    assert rang(10.0, rows) == []


def test_it_is_silent_where_the_margin_shrinks_or_the_chosen_recover():
    falling = [-float(n) for n in range(8)]
    assert rang(1.0, steps(*((gain, gain) for gain in falling))) == []
    assert rang(1.0, steps(*((0.2 * n, 0.1 * n) for n in range(8)))) == []
    down_and_up = [0, -2, -4, -6, -6, -5, -4, -3, -2]
    assert max(rang(1.0, steps(*((g, 0.1 * n) for n, g in enumerate(down_and_up))))) == 7


def test_one_bad_batch_is_no_alarm():
    rows = steps((0, 0), (0.1, 0.1), (0.2, 0.2), (-2.5, 0.3), (0.3, 0.4), (0.4, 0.5), (0.4, 0.6))
    assert rang(1.0, rows) == []


def test_taken_up_again_it_says_the_same():
    rows = steps(*((-0.7 * n, 0.1 * n) for n in range(9)))
    whole = Alarm(1.0)
    said = [whole.look(row) for row in rows]
    resumed = Alarm(1.0, rows[:5])
    assert [resumed.look(row) for row in rows[5:]] == said[5:]
    assert "less likely" in str(said[-1]) and "margin grew to" in str(said[-1])


def test_a_step_of_ties_alone_is_passed_over():
    assert rang(0.0, [{"chosen_gain": None, "margin": None}] * 6) == []
