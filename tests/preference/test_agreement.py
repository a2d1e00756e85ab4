"""Agreement against the digits of the papers and packages that define it."""

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worked_examples import rows

from preference import InputError, cohen_kappa, fleiss_kappa, gwet_ac1, krippendorff_alpha
from preference.agreement import alpha_of_counts, fleiss_of_counts

nan = np.nan

# Krippendorff (2011), "Computing Krippendorff's alpha-reliability", example C; also Gwet's
# cac.raw4raters
FOUR_OBSERVERS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, nan, nan, nan],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, nan, 3],
        [nan, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, nan],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, nan],
    ]
)


@pytest.mark.parametrize(
    ("level", "printed"),
    [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)],
)
def test_krippendorffs_four_observers_have_his_alphas(level, printed):
    got = krippendorff_alpha(FOUR_OBSERVERS, level)
    assert got.value == pytest.approx(printed, abs=5e-4)
    assert (got.units, got.ratings) == (11, 40)
    assert got.ci_low < got.value < got.ci_high <= 1


def test_krippendorffs_binary_and_nominal_examples_have_his_alphas():
    binary = [[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]]
    assert krippendorff_alpha(binary).value == pytest.approx(0.095, abs=5e-4)
    nominal = [list("aabbdcccedda"), list("babbbcccdddd")]
    nominal[1] = list("babbbccceddd")
    assert krippendorff_alpha(nominal).value == pytest.approx(0.692, abs=5e-4)


def test_gwets_four_raters_have_his_ac1_and_fleiss_kappa_with_errors():
    """Digits printed by R's irrCAC for cac.raw4raters (Gwet 2014, Handbook, 4th edition)."""
    ac1 = gwet_ac1(FOUR_OBSERVERS.T)
    assert (ac1.value, ac1.se) == (
        pytest.approx(0.77544, abs=5e-6),
        pytest.approx(0.14295, abs=5e-6),
    )
    assert (round(ac1.ci_low, 3), ac1.ci_high) == (0.461, 1)
    assert (ac1.observed, ac1.expected) == (
        pytest.approx(0.81818, abs=5e-6),
        pytest.approx(0.19032, abs=5e-6),
    )
    kappa = fleiss_kappa(FOUR_OBSERVERS.T)
    assert (kappa.value, kappa.se) == (
        pytest.approx(0.76117, abs=5e-6),
        pytest.approx(0.15302, abs=5e-6),
    )


def test_fleiss_1971_psychiatric_diagnoses_have_kappa_0_430():
    counts = np.array([[int(v) for v in r.values()] for r in rows("fleiss_1971.csv")], dtype=float)
    got = fleiss_of_counts(counts)
    assert got.value == pytest.approx(0.430, abs=5e-4)
    assert got.observed == pytest.approx(0.5556, abs=5e-5)
    assert got.expected == pytest.approx(0.2199, abs=5e-5)
    ratings = [np.repeat(np.arange(5), row.astype(int)) for row in counts]
    assert fleiss_kappa(ratings).value == got.value


def ratings_of(table):
    """A square table of counts as two raters' ratings."""
    k = range(len(table))
    pairs = [(i, j) for i in k for j in k for _ in range(table[i][j])]
    return [p[0] for p in pairs], [p[1] for p in pairs]


def skin_condition():
    """SAS/STAT User's Guide, The FREQ Procedure, getting started: agreement study."""
    return ratings_of([[10, 4, 1, 0], [5, 10, 12, 2], [2, 4, 12, 5], [0, 2, 6, 13]])


def test_cohens_diagnoses_have_his_plain_and_weighted_kappas():
    """Cohen (1968, Psych. Bull. 70:213-220), table 1: .492 and, by the gravity of disagreements,
    .348; with other, asymmetric weights .353 (the digits as R's psych quotes them)."""
    a, b = ratings_of([[88, 14, 18], [10, 40, 10], [2, 6, 12]])
    assert cohen_kappa(a, b).value == pytest.approx(0.492, abs=5e-4)
    grave = np.array([[0, 1, 3], [1, 0, 6], [3, 6, 0]])
    assert cohen_kappa(a, b, weights=1 - grave / 6).value == pytest.approx(0.348, abs=5e-4)
    lopsided = np.array([[0, 1, 4], [1, 0, 6], [2, 2, 0]])
    assert cohen_kappa(a, b, weights=1 - lopsided / 6).value == pytest.approx(0.353, abs=5e-4)


def test_married_couples_have_the_weighted_kappa_error_and_limits_that_r_prints():
    """Hout and others 1987 in Agresti 1990, 91 couples; digits of R's vcdExtra for `Kappa`."""
    a, b = ratings_of([[7, 7, 2, 3], [2, 8, 3, 7], [1, 5, 4, 9], [2, 8, 9, 14]])
    for weights, printed in (
        (None, (0.1293, 0.06860, -0.00512, 0.2638)),
        ("linear", (0.2374, 0.07832, 0.08388, 0.3909)),
    ):
        got = cohen_kappa(a, b, weights=weights)
        assert (round(got.value, 4), round(got.se, 5)) == printed[:2]
        assert (round(got.ci_low, 5), round(got.ci_high, 4)) == printed[2:]


def test_cohens_kappa_has_the_value_error_and_limits_that_sas_prints():
    a, b = skin_condition()
    plain = cohen_kappa(a, b)
    assert [round(x, 4) for x in (plain.value, plain.se, plain.ci_low, plain.ci_high)] == [
        0.3449,
        0.0724,
        0.2030,
        0.4868,
    ]


def test_weighted_kappa_equals_its_definition_by_hand():
    a, b = skin_condition()
    for name, power in (("linear", 1), ("quadratic", 2)):
        loss = np.mean([abs(i - j) ** power for i, j in zip(a, b, strict=True)])
        chance = np.mean([abs(i - j) ** power for i in a for j in b])
        got = cohen_kappa(a, b, weights=name)
        assert got.value == pytest.approx(1 - loss / chance, abs=1e-12)
        custom = 1 - (abs(np.subtract.outer(range(4), range(4))) / 3) ** power
        assert cohen_kappa(a, b, weights=custom).se == pytest.approx(got.se, abs=1e-12)


def test_names_work_and_units_with_a_missing_rating_are_left_out():
    a, b = ["x", "y", None, "x"], ["x", "y", "y", "y"]
    assert cohen_kappa(a, b).units == 3
    assert cohen_kappa(a, b).value == pytest.approx(cohen_kappa([0, 1, 0], [0, 1, 1]).value)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(2, 5),
    st.integers(2, 12),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["nominal", "ordinal", "interval", "ratio"]),
)
def test_alpha_equals_the_krippendorff_package(raters, units, seed, level):
    rng = np.random.default_rng(seed)
    table = rng.integers(1, 5, (raters, units)).astype(float)
    table[rng.random(table.shape) < 0.2] = nan
    ours = krippendorff_alpha(table, level)
    if np.isnan(ours.value):
        assert ours.explanation
        return
    theirs = krippendorff.alpha(table, level_of_measurement=level)
    assert ours.value == pytest.approx(theirs, abs=1e-9)
    assert krippendorff_alpha(table[::-1, ::-1], level).value == pytest.approx(ours.value)


def test_the_jackknife_is_alpha_without_each_unit():
    for level in ("nominal", "ordinal"):
        full = krippendorff_alpha(FOUR_OBSERVERS, level)
        left = [
            krippendorff_alpha(np.delete(FOUR_OBSERVERS, u, axis=1), level).value for u in range(11)
        ]
        spread = np.var(left) * 10  # (m - 1)/m times the sum of squares, m = 11
        assert full.se == pytest.approx(np.sqrt(spread), abs=1e-9)


@pytest.mark.parametrize("function", [gwet_ac1, fleiss_kappa])
def test_undefined_agreement_says_why(function):
    assert function([[1, nan], [nan, 2]]).explanation == "no unit has two ratings"
    assert "one unit only" in function([[1, 2]]).explanation


def test_undefined_alpha_and_kappa_say_why():
    same = krippendorff_alpha([[1, 1], [1, 1]])
    assert np.isnan(same.value)
    assert "every rating is the same" in same.explanation
    assert krippendorff_alpha([[1, nan], [nan, 1]]).explanation == "no unit has two ratings"
    assert "one and the same category" in cohen_kappa([1, 1], [1, 1]).explanation
    assert "no unit" in cohen_kappa([1, None], [None, 1]).explanation
    assert "one unit only" in krippendorff_alpha([[1], [2]]).explanation


def test_ac1_stays_high_where_kappa_falls_for_a_dominant_category():
    """The paradox that AC1 was made for (Gwet 2008, section 1)."""
    a = ["+"] * 118 + ["+"] * 5 + ["-"] * 2
    b = ["+"] * 118 + ["-"] * 5 + ["+"] * 2
    assert cohen_kappa(a, b).value < 0
    assert gwet_ac1(np.array([a, b]).T).value > 0.9


def test_wrong_agreement_input_is_refused():
    with pytest.raises(InputError, match="level 'cardinal' is unknown"):
        krippendorff_alpha([[1, 2]], "cardinal")
    with pytest.raises(InputError, match="two dimensions"):
        krippendorff_alpha([1, 2])
    with pytest.raises(InputError, match="nominal only"):
        krippendorff_alpha([["x", "y"], ["x", "x"]], "interval")
    with pytest.raises(InputError, match="a has 2 ratings where b has 1"):
        cohen_kappa([1, 2], [1])
    with pytest.raises(InputError, match="weights 'cubic' is unknown"):
        cohen_kappa([1, 2], [1, 2], weights="cubic")


def test_alpha_interval_covers_its_population_value():
    rng = np.random.default_rng(0)

    def sample(units):
        truth = rng.integers(0, 3, units)
        table = np.where(rng.random((3, units)) < 0.7, truth, rng.integers(0, 3, (3, units)))
        counts = np.stack([(table == c).sum(axis=0) for c in range(3)], axis=1)
        return alpha_of_counts(counts)

    target = sample(200_000).value
    inside = [(s := sample(80)).ci_low < target < s.ci_high for _ in range(300)]
    assert 0.92 < np.mean(inside) < 0.98


@pytest.mark.parametrize(
    ("ratings", "why"),
    [([[1, 2], [1]], "same length"), ([[1, np.inf], [2, 3]], "infinite")],
)
def test_a_table_that_cannot_be_read_is_refused(ratings, why):
    with pytest.raises(InputError, match=why):
        krippendorff_alpha(ratings, level="interval")
