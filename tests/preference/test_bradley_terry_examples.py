"""Ratings against digits printed in the literature, and against independent calculations."""

import choix
import numpy as np
import pytest
from scipy.optimize import minimize
from worked_examples import baseball, citations, puddings, tennis

from preference import fit_bradley_terry, goodness_of_fit
from preference.comparisons import quasi_se


def against(fit, reference):
    return {
        item: (fit.difference(item, reference).value, fit.difference(item, reference).se)
        for item in fit.items
    }


def test_baseball_1987_without_home_effect_has_the_published_abilities_and_errors():
    a, b, verdict, games, _ = baseball()
    fit = fit_bradley_terry(a, b, verdict, weight=games, ties="half", variance="model")
    got = against(fit, "Baltimore")
    published = {  # Agresti 1990; errors as printed for BradleyTerry2's `baseball`
        "Boston": (1.1077, 0.3339),
        "Cleveland": (0.6839, 0.3319),
        "Detroit": (1.4364, 0.3396),
        "Milwaukee": (1.5814, 0.3433),
        "New York": (1.2476, 0.3359),
        "Toronto": (1.2945, 0.3367),
    }
    for team, (ability, se) in published.items():
        assert got[team] == (pytest.approx(ability, abs=5e-5), pytest.approx(se, abs=5e-5))


def test_baseball_1987_home_advantage_is_0_3023_with_error_0_1309():
    a, b, verdict, games, home = baseball()
    fit = fit_bradley_terry(a, b, verdict, weight=games, placement=home, variance="model")
    assert fit.placement_effect == pytest.approx(0.3023, abs=5e-5)
    assert fit.effects["placement"].se == pytest.approx(0.1309, abs=5e-5)
    published = {
        "Boston": (1.1438, 0.3378),
        "Cleveland": (0.7047, 0.3350),
        "Detroit": (1.4754, 0.3446),
        "Milwaukee": (1.6196, 0.3474),
        "New York": (1.2813, 0.3404),
        "Toronto": (1.3271, 0.3403),
    }
    got = against(fit, "Baltimore")
    for team, (ability, se) in published.items():
        assert got[team] == (pytest.approx(ability, abs=5e-5), pytest.approx(se, abs=5e-5))


def test_davidsons_puddings_have_his_worths_and_tie_parameter():
    a, b, verdict, n = puddings()
    fit = fit_bradley_terry(a, b, verdict, weight=n)
    worths = np.exp(fit.ratings) / np.exp(fit.ratings).sum()
    # printed in the introduction to R's PlackettLuce package, which stops after seven of Davidson's
    # iterations to show his digits; the converged values differ in the sixth place
    assert worths == pytest.approx(
        [0.1388005, 0.1729985, 0.1617420, 0.1653930, 0.1586805, 0.2023855], abs=3e-5
    )
    assert fit.tie_parameter == pytest.approx(0.7468147, abs=2e-5)


def test_davidsons_puddings_have_the_published_errors_deviance_and_quasi_errors():
    a, b, verdict, n = puddings()
    fit = fit_bradley_terry(a, b, verdict, weight=n, variance="model")
    # printed in the introduction to R's PlackettLuce package
    assert fit.se == pytest.approx(
        [0.121949, 0.121818, 0.126823, 0.122003, 0.127054, 0.126594], abs=2e-6
    )
    assert fit.effects["log_tie_parameter"].se == pytest.approx(0.082499, abs=1e-6)
    assert -2 * fit.log_likelihood == pytest.approx(1619.4, abs=0.05)
    quasi = quasi_se(fit)
    assert quasi.quasi_se == pytest.approx(
        [0.1328950, 0.1327373, 0.1395740, 0.1330240, 0.1399253, 0.1392047], abs=2e-6
    )
    assert quasi.worst_relative_error == pytest.approx(0.008, abs=5e-4)


def test_stiglers_citations_have_the_published_export_scores():
    a, b, verdict, n = citations()
    fit = fit_bradley_terry(a, b, verdict, weight=n, ties="half", variance="model")
    got = against(fit, "Biometrika")
    for journal, value, se in (
        ("Comm Statist", -2.94907, 0.10255),
        ("JASA", -0.47957, 0.06059),
        ("JRSS-B", 0.26895, 0.07083),
    ):
        assert got[journal] == (pytest.approx(value, abs=6e-6), pytest.approx(se, abs=6e-6))


def test_tennis_players_have_the_abilities_errors_and_deviance_of_agrestis_book():
    """Section 8.6.2: R's output with Wawrinka as the reference; deviance 4.3958 on 6 degrees."""
    a, b, verdict, n = tennis()
    fit = fit_bradley_terry(a, b, verdict, weight=n, variance="model")
    got = against(fit, "Wawrinka")
    for player, ability, se in (
        ("Djokovic", 1.17612, 0.49952),
        ("Federer", 1.13578, 0.51095),
        ("Murray", -0.56852, 0.56833),
        ("Nadal", -0.06185, 0.51487),
    ):
        assert got[player] == (pytest.approx(ability, abs=5e-6), pytest.approx(se, abs=5e-6))
    wins = np.array([[0.0] * 5] * 5)
    for x, y, count in zip(a, b, n, strict=True):
        wins[fit.index(x), fit.index(y)] += count
    games = wins + wins.T
    met = (games > 0) & (wins > 0)
    saturated = float((wins[met] * np.log(wins[met] / games[met])).sum())
    assert 2 * (saturated - fit.log_likelihood) == pytest.approx(4.3958, abs=5e-5)
    assert goodness_of_fit(fit).degrees_of_freedom == 6


@pytest.mark.parametrize("ties", ["davidson", "rao_kupper"])
def test_tie_models_equal_a_direct_optimisation(ties):
    """Digits by an independent method: quasi-Newton on the probabilities as Rao and Kupper and
    Davidson wrote them, with no use of this package's formulas."""
    a, b, verdict, n = puddings()
    n = np.asarray(n, dtype=float)
    a, b = np.asarray(a) - 1, np.asarray(b) - 1

    def loss(x):
        worth, extra = np.exp(np.append(0.0, x[:5])), np.exp(x[5])
        p, q = worth[a], worth[b]
        if ties == "davidson":
            total = p + q + extra * np.sqrt(p * q)
            share = {"a": p / total, "b": q / total, "tie": extra * np.sqrt(p * q) / total}
        else:
            k = 1 + extra
            share = {"a": p / (p + k * q), "b": q / (k * p + q)}
            share["tie"] = 1 - share["a"] - share["b"]
        chosen = np.choose(
            [["a", "b", "tie"].index(v) for v in verdict], [share[v] for v in ("a", "b", "tie")]
        )
        return -float(n @ np.log(chosen))

    best = minimize(loss, np.zeros(6), method="BFGS", options={"gtol": 1e-9})
    ratings = np.append(0.0, best.x[:5])
    fit = fit_bradley_terry(a, b, verdict, weight=n, ties=ties)
    assert fit.ratings == pytest.approx(ratings - ratings.mean(), abs=2e-5)
    want = np.exp(best.x[5]) + (ties == "rao_kupper")
    assert fit.tie_parameter == pytest.approx(want, abs=2e-5)
    assert fit.log_likelihood == pytest.approx(-best.fun, abs=1e-6)


def test_plain_ratings_equal_those_of_choix():
    rng = np.random.default_rng(5)
    wins = [(int(i), int(j)) for i, j in rng.integers(0, 7, (400, 2)) if i != j]
    theirs = choix.opt_pairwise(7, wins, alpha=0.0, method="Newton-CG", tol=1e-12)
    ours = fit_bradley_terry([w[0] for w in wins], [w[1] for w in wins], ["a"] * len(wins))
    assert ours.ratings == pytest.approx(theirs - theirs.mean(), abs=1e-5)


def test_firths_prior_on_two_items_is_half_a_win_and_half_a_loss_more():
    """For one proportion Jeffreys' prior adds 1/2 to both counts (Firth 1993, section 3.3)."""
    fit = fit_bradley_terry(["x"] * 5, ["y"] * 5, ["a"] * 5, prior="firth")
    assert fit.difference("x", "y").value == pytest.approx(np.log(5.5 / 0.5), abs=1e-9)


def test_firths_prior_maximises_the_likelihood_times_the_root_of_the_information():
    """An independent maximisation of the penalised likelihood, information by hand."""
    a, b = [0, 0, 1, 0, 2, 1], [1, 2, 2, 1, 1, 0]
    verdict = ["a", "a", "tie", "a", "b", "tie"]
    code = [["a", "b", "tie"].index(v) for v in verdict]

    def loss(x):
        ratings, nu = np.array([0.0, x[0], x[1]]), np.exp(x[2])
        total, information = 0.0, np.zeros((3, 3))
        for i, j, v in zip(a, b, code, strict=True):
            eta = ratings[i] - ratings[j]
            odds = np.array([np.exp(eta / 2), np.exp(-eta / 2), nu])
            p = odds / odds.sum()
            total += np.log(p[v])
            row = np.zeros((3, 3))  # outcome -> statistics of (x0, x1, log nu)
            for outcome, sign in ((0, 0.5), (1, -0.5)):
                for item, s in ((i, sign), (j, -sign)):
                    if item:
                        row[outcome, item - 1] += s
            row[2, 2] = 1.0
            mean = p @ row
            information += (row - mean).T @ np.diag(p) @ (row - mean)
        return -(total + np.linalg.slogdet(information)[1] / 2)

    best = minimize(
        loss, np.zeros(3), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13}
    )
    ratings = np.append(0.0, best.x[:2])
    fit = fit_bradley_terry(a, b, verdict, prior="firth")
    assert fit.ratings == pytest.approx(ratings - ratings.mean(), abs=1e-6)
    assert fit.tie_parameter == pytest.approx(np.exp(best.x[2]), abs=1e-6)


def test_ridge_maximises_the_likelihood_minus_half_the_squared_ratings():
    fit = fit_bradley_terry(["x"] * 3, ["y"] * 3, ["a", "a", "b"], prior=0.7)
    best = minimize(
        lambda t: 2 * np.logaddexp(0, -t[0]) + np.logaddexp(0, t[0]) + 0.7 * (t[0] / 2) ** 2,
        [0.0],
        options={"gtol": 1e-10},
    )
    assert fit.difference("x", "y").value == pytest.approx(best.x[0], abs=1e-6)
