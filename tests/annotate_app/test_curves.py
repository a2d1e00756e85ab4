"""metrics.jsonl is shown as far as it can be read, and never breaks a page."""

import json

from annotate_app import curves
from tests.annotate_app.seeding import write_metrics


def test_a_run_gives_loss_accuracy_and_margin_with_held_out(tmp_path):
    write_metrics(tmp_path / "metrics.jsonl", 24)
    table = curves.read_curves(str(tmp_path))
    assert set(table["quantity"]) == {"loss", "accuracy", "margin"}
    held = table[(table["series"] == "held-out") & (table["quantity"] == "accuracy")]
    assert list(held["step"]) == [6, 12, 18, 24]
    assert (table[table["quantity"] == "loss"]["step"].diff().dropna() != 0).all()


def test_a_missing_file_is_no_curve(tmp_path):
    assert curves.read_curves("").empty
    assert curves.read_curves(str(tmp_path / "nowhere")).empty


def test_broken_and_foreign_lines_are_passed_over(tmp_path):
    lines = [
        json.dumps({"step": 1, "loss": 0.7, "accuracy": "high", "margin": None}),
        "{half a line",
        "[1, 2]",
        '"text"',
        json.dumps({"step": 2, "loss": float("nan")}),
        '{"step": 3, "loss": 1e999}',
        json.dumps({"step": True, "train/loss": 0.6}),
        json.dumps({"step": 4, "loss": 0.5, "seconds": 3, "note": "x"}),
        '{"step": 5, "lo',
    ]
    (tmp_path / "metrics.jsonl").write_bytes("\n".join(lines).encode() + b"\xff\xfe")
    table = curves.read_curves(str(tmp_path))
    assert list(table["quantity"].unique()) == ["loss"]
    assert list(table["value"]) == [0.7, 0.5, 0.6]  # the line without a step stands at its place


def test_a_resumed_run_counts_the_later_line_of_a_step(tmp_path):
    rows = [{"step": 1, "loss": 0.7}, {"step": 2, "loss": 0.6}, {"step": 2, "loss": 0.55}]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert list(curves.read_curves(str(tmp_path))["value"]) == [0.7, 0.55]


def test_a_stored_folder_is_found_under_the_outputs(tmp_path, monkeypatch):
    monkeypatch.setenv("PERSONALOOP_OUTPUTS", str(tmp_path))
    (tmp_path / "runs" / "7").mkdir(parents=True)
    write_metrics(tmp_path / "runs" / "7" / "metrics.jsonl", 3)
    assert not curves.read_curves("outputs/runs/7").empty
    assert not curves.read_curves("runs/7").empty


def test_rewards_likelihood_and_distance_are_lines_of_their_own(tmp_path):
    row = {"step": 1, "chosen_reward": 0.1, "rejected_reward": -0.2, "chosen_nll": 1.5, "kl": 0.3}
    more = {"kl_base": 2.0, "heldout_nll": 1.7, "kl_token": 0.01, "heldout_kl": 9.0}
    (tmp_path / "metrics.jsonl").write_text(json.dumps({**row, **more}))
    table = curves.read_curves(str(tmp_path))
    found = {(row.quantity, row.series): row.value for row in table.itertuples()}
    assert found == {
        ("kl", "from the base model"): 2.0,
        ("kl", "from the reference"): 0.3,
        ("nll", "held-out"): 1.7,
        ("nll", "training"): 1.5,
        ("reward", "chosen"): 0.1,
        ("reward", "rejected"): -0.2,
    }


def test_an_alarm_is_told_with_its_steps(tmp_path):
    assert curves.read_alarm("") == ([], "")
    lines = [{"step": 1}, {"step": 3, "alarm": "a"}, {"step": 4, "alarm": "b"}, {"alarm": "c"}]
    text = "\n".join(map(json.dumps, lines)) + '\n{"step": 5, "al\n[1]\n{"step": 6, "alarm": 7}'
    (tmp_path / "metrics.jsonl").write_text(text)
    assert curves.read_alarm(str(tmp_path)) == ([3, 4], "b")
