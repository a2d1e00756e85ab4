"""Every text colour on every background that it stands on is at least 4.5:1 (WCAG 2.2, AA)."""

import re
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
THEMES = tomllib.loads((REPOSITORY / ".streamlit" / "config.toml").read_text())["theme"]
BUTTON = re.search(
    r'stBaseButton-primary"\] p \{ color: light-dark\((#\w{6}), (#\w{6})\)',
    (REPOSITORY / "annotate_app" / "style.css").read_text(),
)


def luminance(colour: str) -> float:
    """Relative luminance by WCAG's definition, 0 to 1."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_of_black_and_white_is_twenty_one():
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21)


@pytest.mark.parametrize("name", ["light", "dark"])
@pytest.mark.parametrize("text", ["textColor", "linkColor"])
@pytest.mark.parametrize("ground", ["backgroundColor", "secondaryBackgroundColor"])
def test_words_can_be_read_in_both_palettes(name, text, ground):
    assert contrast(THEMES[name][text], THEMES[name][ground]) >= 4.5


@pytest.mark.parametrize(("name", "which"), [("light", 1), ("dark", 2)])
def test_words_on_a_primary_button_can_be_read(name, which):
    assert BUTTON is not None
    assert contrast(BUTTON.group(which), THEMES[name]["primaryColor"]) >= 4.5
