"""Losses against closed forms, worked digits, finite differences and autograd."""

import json
import math
from pathlib import Path

import pytest
import torch

from training.errors import LossRefused
from training.losses import (
    LOSS_NAMES,
    kto_loss,
    needs_lengths,
    nll_loss,
    preference_loss,
    required_option,
)

OPTION = {"label_smoothing": 0.1, "gamma": 0.5, "alpha": math.log(3)}


def options(name: str, pairs: int) -> dict:
    given = {required_option(name): OPTION[required_option(name)]} if required_option(name) else {}
    if needs_lengths(name):
        given |= {
            "length_chosen": torch.arange(3, 3 + pairs),
            "length_rejected": torch.arange(5, 5 + pairs),
        }
    return given


def double(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x))


def test_zero_margin_costs_log_two():
    same = double(-7.0, -3.0)
    losses, _, _ = preference_loss("sigmoid", same, same, same, same, beta=0.3)
    assert losses.tolist() == pytest.approx([math.log(2)] * 2)


def test_dpo_equals_its_equation_by_hand():
    # Δ = (−10 + 11) − (−12 + 11) = 2, h = 0.2
    losses, chosen, rejected = preference_loss(
        "sigmoid", double(-10.0), double(-12.0), double(-11.0), double(-11.0), beta=0.1
    )
    assert losses.item() == pytest.approx(0.5981388693815918, abs=1e-12)
    assert (chosen.item(), rejected.item()) == pytest.approx((0.1, -0.1))


def test_a_soft_label_mixes_both_directions():
    args = (double(-10.0), double(-12.0), double(-11.0), double(-11.0))
    losses, _, _ = preference_loss("sigmoid", *args, beta=0.1, label=0.8)
    assert losses.item() == pytest.approx(-0.8 * log_sigmoid(0.2) - 0.2 * log_sigmoid(-0.2))


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_label_zero_is_the_swapped_pair(name):
    one, other = double(-9.0, -4.0), double(-11.0, -6.0)
    ref_one, ref_other = double(-9.5, -5.0), double(-10.0, -5.5)
    given = options(name, 2)
    swapped = dict(given)
    if "length_chosen" in given:
        swapped |= {
            "length_chosen": given["length_rejected"],
            "length_rejected": given["length_chosen"],
        }
    forward, _, _ = preference_loss(
        name, one, other, ref_one, ref_other, beta=0.4, label=0.0, **given
    )
    backward, _, _ = preference_loss(name, other, one, ref_other, ref_one, beta=0.4, **swapped)
    assert torch.allclose(forward, backward)


def test_ipo_by_hand_summed_and_averaged():
    args = (double(-10.0), double(-12.0), double(-11.0), double(-11.0))
    summed, _, _ = preference_loss("ipo", *args, beta=0.5)
    assert summed.item() == pytest.approx((2.0 - 1.0) ** 2)
    averaged, _, _ = preference_loss(
        "ipo", *args, beta=0.5, length_chosen=torch.tensor([4]), length_rejected=torch.tensor([5])
    )
    assert averaged.item() == pytest.approx((1 / 4 + 1 / 5 - 1.0) ** 2)


def test_hinge_by_hand_on_both_sides_of_the_corner():
    ref = double(0.0, 0.0)
    losses, _, _ = preference_loss("hinge", double(3.0, 30.0), ref, ref, ref, beta=0.1)
    assert losses.tolist() == pytest.approx([0.7, 0.0])


def test_robust_by_hand_and_unbiased_under_flips():
    args = (double(-10.0), double(-12.0), double(-11.0), double(-11.0))
    losses, _, _ = preference_loss("robust", *args, beta=0.1, label_smoothing=0.2)
    kept, flipped = -log_sigmoid(0.2), -log_sigmoid(-0.2)
    assert losses.item() == pytest.approx((0.8 * kept - 0.2 * flipped) / 0.6)
    # A label flipped with probability 0.2, seen through the robust loss, costs what DPO costs.
    mixed, _, _ = preference_loss("robust", *args, beta=0.1, label=0.8, label_smoothing=0.2)
    clean, _, _ = preference_loss("sigmoid", *args, beta=0.1)
    assert mixed.item() == pytest.approx(clean.item())


def test_simpo_by_hand():
    losses, chosen, _ = preference_loss(
        "simpo",
        double(-8.0),
        double(-12.0),
        None,
        None,
        beta=2.0,
        gamma=0.5,
        length_chosen=torch.tensor([4]),
        length_rejected=torch.tensor([4]),
    )
    assert losses.item() == pytest.approx(-log_sigmoid(2.0 * (-2.0 + 3.0) - 0.5))
    assert chosen.item() == pytest.approx(-4.0)


def test_orpo_by_hand():
    one, other = -0.5, -1.25
    odds = [math.exp(x) / (1 - math.exp(x)) for x in (one, other)]
    losses, _, _ = preference_loss(
        "orpo",
        double(one * 6),
        double(other * 8),
        None,
        None,
        beta=0.25,
        length_chosen=torch.tensor([6]),
        length_rejected=torch.tensor([8]),
    )
    expected = 0.5 - 0.25 * log_sigmoid(math.log(odds[0] / odds[1]))
    assert losses.item() == pytest.approx(expected)


def test_rao_kupper_probabilities_sum_to_one():
    for margin in (-3.0, 0.0, 0.7, 12.0):
        args = (double(margin), double(0.0), double(0.0), double(0.0))
        win, _, _ = preference_loss("rao_kupper_win", *args, beta=0.6, alpha=0.8)
        lose, _, _ = preference_loss("rao_kupper_win", *args, beta=0.6, alpha=0.8, label=0.0)
        tie, _, _ = preference_loss("rao_kupper_tie", *args, beta=0.6, alpha=0.8)
        assert sum(math.exp(-x.item()) for x in (win, lose, tie)) == pytest.approx(1.0)


def test_rao_kupper_by_hand():
    # h = 0.5, ν = 3: P(win) = 1/(1 + 3·e^−0.5) = 0.354661, P(loss) = 1/(1 + 3·e^0.5) = 0.168176
    args = (double(-10.0), double(-15.0), double(-11.0), double(-11.0))
    win, _, _ = preference_loss("rao_kupper_win", *args, beta=0.1, alpha=math.log(3))
    assert win.item() == pytest.approx(1.036592, abs=1e-6)
    tie, _, _ = preference_loss("rao_kupper_tie", *args, beta=0.1, alpha=math.log(3))
    assert tie.item() == pytest.approx(0.739897, abs=1e-6)


def test_a_very_wide_tie_band_keeps_its_loss_finite():
    same = torch.tensor([-5.0])
    tie, _, _ = preference_loss("rao_kupper_tie", same, same, same, same, beta=0.1, alpha=60.0)
    assert tie.item() == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize("name", LOSS_NAMES)
@pytest.mark.parametrize("label", [1.0, 0.75])
def test_gradients_equal_finite_differences(name, label):
    generator = torch.Generator().manual_seed(3)
    values = [-4 - 6 * torch.rand(5, generator=generator, dtype=torch.float64) for _ in range(4)]
    policy = [value.clone().requires_grad_(True) for value in values[:2]]
    weight = torch.rand(5, generator=generator, dtype=torch.float64)

    def losses(chosen, rejected):
        return preference_loss(
            name,
            chosen,
            rejected,
            *values[2:],
            beta=0.7,
            label=label,
            weight=weight,
            **options(name, 5),
        )[0]

    assert torch.autograd.gradcheck(losses, policy)


def test_dpo_gradient_equals_its_closed_form():
    chosen = double(-10.0, -4.0).requires_grad_(True)
    rejected = double(-12.0, -3.0).requires_grad_(True)
    ref = double(-11.0, -3.5)
    losses, _, _ = preference_loss("sigmoid", chosen, rejected, ref, ref, beta=0.1)
    losses.sum().backward()
    h = 0.1 * (chosen - rejected).detach()
    expected = -0.1 * torch.sigmoid(-h)
    assert chosen.grad is not None and rejected.grad is not None
    assert torch.allclose(chosen.grad, expected)
    assert torch.allclose(rejected.grad, -expected)


def test_weights_scale_each_pair():
    args = (double(-10.0, -10.0), double(-12.0, -12.0), double(-11.0, -11.0), double(-11.0, -11.0))
    plain, _, _ = preference_loss("sigmoid", *args, beta=0.1)
    weighted, _, _ = preference_loss("sigmoid", *args, beta=0.1, weight=double(0.0, 3.0))
    assert weighted.tolist() == pytest.approx([0.0, 3 * plain[1].item()])


def test_extreme_margins_stay_finite():
    far = double(-5000.0, 5000.0)
    zero = double(0.0, 0.0)
    for name in ("sigmoid", "robust", "rao_kupper_win", "rao_kupper_tie"):
        losses, _, _ = preference_loss(name, far, zero, zero, zero, beta=1.0, **options(name, 2))
        assert torch.isfinite(losses).all()
    losses, _, _ = preference_loss(
        "orpo",
        double(-1e-12),
        double(-5000.0),
        None,
        None,
        beta=1.0,
        length_chosen=torch.tensor([1]),
        length_rejected=torch.tensor([1]),
    )
    assert torch.isfinite(losses).all()


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("dpo", {}, "no loss named 'dpo'"),
        ("robust", {"label_smoothing": 0.5}, "0 to below 0.5"),
        ("simpo", {"gamma": 1.0}, "needs length_chosen"),
        ("orpo", {"length_chosen": torch.ones(1)}, "needs length_rejected"),
        ("hinge", {"length_chosen": torch.zeros(1), "length_rejected": 2}, "length_chosen must be"),
        ("hinge", {"length_rejected": torch.ones(1)}, "needs length_chosen"),
        ("hinge", {"margin": 1.0}, "no option 'margin'; it takes length_chosen"),
        ("robust", {"gamma": 0.5}, "no option 'gamma'; it takes label_smoothing"),
        ("sigmoid", {"label_smoothing": 0.1}, "conservative DPO is label = 1 − label_smoothing"),
        ("rao_kupper_tie", {"alpha": 0.0}, "above 0"),
        ("sigmoid", {"label_smoothing": 0.1}, "no option 'label_smoothing'"),
        ("sigmoid", {"beta": 0.0}, "beta must be above 0"),
        ("sigmoid", {"beta": "strong"}, "beta must be a number"),
        ("simpo", {"gamma": "wide", **options("orpo", 1)}, "gamma must be a number"),
        ("sigmoid", {"label": "a"}, "label must be a number"),
        ("sigmoid", {"label": 1.2}, "label must lie between"),
        ("sigmoid", {"weight": -1.0}, "weight must be 0 or more"),
        ("sigmoid", {"weight": torch.ones(2)}, "weight must be a number or have shape"),
        ("ipo", {"length_chosen": torch.ones(1)}, "needs length_rejected"),
    ],
)
def test_wrong_names_and_options_are_named(name, change, message):
    one = double(-1.0)
    given = {"beta": 0.1, **change}
    with pytest.raises(LossRefused, match=message):
        preference_loss(name, one, one, one, one, **given)


def test_bad_tensors_are_refused():
    one = double(-1.0)
    with pytest.raises(LossRefused, match="shape"):
        preference_loss("sigmoid", one, double(-1.0, -2.0), one, one, beta=0.1)
    with pytest.raises(LossRefused, match="not finite"):
        preference_loss("sigmoid", one, double(math.nan), one, one, beta=0.1)
    whole = torch.tensor([-1])
    with pytest.raises(LossRefused, match="policy_chosen must be a tensor of floats"):
        # Their arithmetic would cut a soft label of 0.5 down to 0.
        preference_loss("sigmoid", whole, whole, whole, whole, beta=0.1, label=0.5)
    with pytest.raises(LossRefused, match="needs ref_chosen"):
        preference_loss("sigmoid", one, one, None, None, beta=0.1)


GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "trl_losses.json").read_text())


@pytest.mark.parametrize("case", GOLDEN["losses"])
def test_losses_and_rewards_equal_what_trl_computes(case):
    told = GOLDEN["losses"][case]
    four = ("policy_chosen", "policy_rejected", "ref_chosen", "ref_rejected")
    losses, rewards, _ = preference_loss(
        told["name"],
        *(double(*GOLDEN[field]) for field in four),
        beta=told["beta"],
        length_chosen=torch.tensor(GOLDEN["length_chosen"]),
        length_rejected=torch.tensor(GOLDEN["length_rejected"]),
        **told["options"],
    )
    assert losses.tolist() == pytest.approx(told["values"], rel=1e-6)
    if "chosen_rewards" in told:
        assert rewards.tolist() == pytest.approx(told["chosen_rewards"], rel=1e-6)


def test_an_option_left_out_has_its_published_default():
    args = (double(-10.0, -4.0), double(-12.0, -9.0), double(-11.0, -5.0), double(-11.0, -7.0))
    plain, _, _ = preference_loss("sigmoid", *args, beta=0.3)
    robust, _, _ = preference_loss("robust", *args, beta=0.3)
    assert torch.equal(robust, plain), "no flipped labels is DPO"
    long = {"length_chosen": 4, "length_rejected": [5, 6]}
    simpo, _, _ = preference_loss("simpo", *args, beta=2.0, **long)
    assert torch.equal(simpo, preference_loss("simpo", *args, beta=2.0, gamma=0.5, **long)[0])
    same = double(-7.0)
    tie, _, _ = preference_loss("rao_kupper_tie", same, same, same, same, beta=0.1)
    win, _, _ = preference_loss("rao_kupper_win", same, same, same, same, beta=0.1, alpha=None)
    assert math.exp(-tie.item()) == pytest.approx(1 / 2), "equals tie half of the time"
    assert math.exp(-win.item()) == pytest.approx(1 / 4)


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_every_loss_takes_lengths_and_only_those_that_average_read_them(name):
    args = (double(-10.0), double(-12.0), double(-11.0), double(-11.5))
    own = {key: value for key, value in options(name, 1).items() if "length" not in key}
    found = [
        preference_loss(name, *args, beta=0.4, **own, length_chosen=one, length_rejected=other)[0]
        for one, other in ((4, 5), (9, 2))
    ]
    assert (found[0] != found[1]).item() == (name in ("ipo", "simpo", "orpo"))


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_soft_labels_and_weights_of_a_batch_are_those_of_each_pair(name):
    generator = torch.Generator().manual_seed(5)
    four = [-3 - 9 * torch.rand(4, generator=generator, dtype=torch.float64) for _ in range(4)]
    labels, weights = double(1.0, 0.5, 0.7, 0.0), double(1.0, 2.0, 0.0, 0.3)
    given = options(name, 4)
    together, good, bad = preference_loss(
        name, *four, beta=0.3, label=labels, weight=weights, **given
    )
    for i in range(4):
        own = {k: v[i : i + 1] if isinstance(v, torch.Tensor) else v for k, v in given.items()}
        alone, one, other = preference_loss(
            name,
            *(each[i : i + 1] for each in four),
            beta=0.3,
            label=float(labels[i]),
            weight=float(weights[i]),
            **own,
        )
        assert together[i].item() == pytest.approx(alone.item(), rel=1e-12)
        assert (good[i].item(), bad[i].item()) == (one.item(), other.item())
        assert not one.requires_grad


@pytest.mark.parametrize("name", [name for name in LOSS_NAMES if name != "orpo"])
def test_an_even_label_costs_the_mean_of_both_directions(name):
    four = (double(-10.0), double(-12.0), double(-11.0), double(-13.5))
    given = options(name, 1)
    ways = [
        preference_loss(name, *four, beta=0.4, label=label, **given)[0].item()
        for label in (0.5, 1.0, 0.0)
    ]
    assert ways[0] == pytest.approx((ways[1] + ways[2]) / 2)


def test_doubt_about_a_label_never_makes_orpos_worse_completion_more_likely():
    long = {"length_chosen": torch.tensor([4, 6]), "length_rejected": torch.tensor([5, 5])}
    chosen = double(-6.0, -9.0).requires_grad_(True)
    rejected = double(-7.5, -7.5).requires_grad_(True)
    losses, _, _ = preference_loss(
        "orpo", chosen, rejected, None, None, beta=0.1, label=0.8, **long
    )
    by_hand = []
    for c, r in ((-6.0 / 4, -7.5 / 5), (-9.0 / 6, -7.5 / 5)):
        log_odds = (c - math.log1p(-math.exp(c))) - (r - math.log1p(-math.exp(r)))
        by_hand.append(-c - 0.1 * (0.8 * log_sigmoid(log_odds) + 0.2 * log_sigmoid(-log_odds)))
    assert losses.tolist() == pytest.approx(by_hand)
    losses.sum().backward()
    assert (chosen.grad < 0).all() and (rejected.grad > 0).all()  # type: ignore[operator]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("label", [1.0, 0.5, 0.2])
@pytest.mark.parametrize("name", LOSS_NAMES)
def test_extreme_margins_leave_losses_and_gradients_finite(name, label, dtype):
    chosen = torch.tensor([-1e4, -1e-6, -0.5, 0.0, -1e4], dtype=dtype).requires_grad_(True)
    rejected = torch.tensor([-1e-6, -1e4, -0.5, 0.0, -1e4], dtype=dtype).requires_grad_(True)
    ref = torch.full((5,), -1.0, dtype=dtype)
    losses, good, bad = preference_loss(
        name, chosen, rejected, ref, ref, beta=1.0, label=label, **options(name, 5)
    )
    losses.sum().backward()
    for each in (losses, good, bad, chosen.grad, rejected.grad):
        assert each is not None and torch.isfinite(each).all()


def test_half_precision_is_computed_in_32_bits():
    four = [
        torch.tensor([value], dtype=torch.bfloat16) for value in (-300.0, -310.0, -302.0, -304.0)
    ]
    losses, _, _ = preference_loss("ipo", *four, beta=0.1)
    assert losses.dtype is torch.float32 and losses.item() == pytest.approx(9.0)


def test_kto_by_hand_with_a_kl_from_mismatched_pairs():
    # r = 1 and −2; mismatched π − ρ = 3 and −2, so z₀ = 0.5
    args = (double(-10.0, -14.0), double(-11.0, -12.0), double(-20.0, -30.0), double(-23.0, -28.0))
    losses, rewards, kl = kto_loss(*args, beta=0.1, label=double(1.0, 0.0), undesirable=1.2)
    assert kl.item() == pytest.approx(0.5)
    assert rewards.tolist() == pytest.approx([0.1, -0.2])
    up = 1 - 1 / (1 + math.exp(-0.1 * (1.0 - 0.5)))
    down = 1.2 * (1 - 1 / (1 + math.exp(-0.1 * (0.5 + 2.0))))
    assert losses.tolist() == pytest.approx([up, down])
    assert losses.tolist() == pytest.approx([0.487502604, 0.525388199], abs=1e-8)
    soft, _, _ = kto_loss(*args, beta=0.1, label=0.25, weight=double(2.0, 0.0))
    fall = 1 - 1 / (1 + math.exp(-0.1 * (0.5 - 1.0)))
    assert soft.tolist() == pytest.approx([2 * (0.25 * up + 0.75 * fall), 0.0])


def test_the_kl_of_kto_is_clamped_and_carries_no_gradient():
    policy = double(-10.0, -9.0).requires_grad_(True)
    apart = double(-20.0, -19.0).requires_grad_(True)
    ref = double(-11.0, -11.0)
    losses, _, kl = kto_loss(policy, ref, apart, double(-10.0, -10.0), beta=0.2)
    assert kl.item() == 0.0, "a mean below zero counts as zero"
    losses.sum().backward()
    assert apart.grad is None and policy.grad is not None and (policy.grad < 0).all()
    assert torch.autograd.gradcheck(
        lambda p: kto_loss(p, ref, ref, ref - 1, beta=0.2, label=double(1.0, 0.3))[0], [policy]
    )
    far = double(1e4, -1e4).requires_grad_(True)
    extreme, _, _ = kto_loss(far, double(0.0, 0.0), ref, ref, beta=1.0, label=double(0.0, 1.0))
    extreme.sum().backward()
    assert extreme.tolist() == pytest.approx([1.0, 1.0]) and torch.isfinite(far.grad).all()  # type: ignore[arg-type]
    with pytest.raises(LossRefused, match="policy_mismatched is empty"):
        kto_loss(policy, ref, double(), double(), beta=0.2)
    with pytest.raises(LossRefused, match="undesirable must be above 0"):
        kto_loss(policy, ref, ref, ref, beta=0.2, undesirable=0.0)


def test_nll_is_the_weighted_mean_a_token():
    chosen = double(-6.0, -20.0).requires_grad_(True)
    assert nll_loss(chosen, torch.tensor([3, 5])).item() == pytest.approx(26 / 8)
    weighted = nll_loss(chosen, torch.tensor([3, 5]), weight=double(2.0, 0.5))
    assert weighted.item() == pytest.approx((12 + 10) / (6 + 2.5))
    weighted.backward()
    assert chosen.grad.tolist() == pytest.approx([-2 / 8.5, -0.5 / 8.5])  # type: ignore[union-attr]
    assert nll_loss(chosen, 4, weight=0.0).item() == 0.0
    with pytest.raises(LossRefused, match="length_chosen must be token counts"):
        nll_loss(chosen, 0)
