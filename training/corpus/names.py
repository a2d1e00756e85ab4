"""Invents product names and puts names into answers.

Random pseudo-names are what teaches a small model to copy the name that it reads instead of
recalling one. Knows nothing of intents.
"""

from __future__ import annotations

import random
import re

_LETTERS = {
    "onset": "b c d f g h j k l m n p r s t v w z",
    "rare onset": "br cl cr dr fl fr gl gr kl kr pl pr qu sh sk sl sn sp st sw th tr tw vr zh ch "
    "x y",
    "vowel": "a e i o u",
    "rare vowel": "ai au ea ei eo ia io oa ou y ee oo",
    "coda": "l m n r s t x k d",
    "rare coda": "th nd nt lt rn sk ck ss ll v p g f b z rm ng",
}
_PARTS = {name: tuple(letters.split()) for name, letters in _LETTERS.items()}
ONSETS = (*_PARTS["onset"] * 4, *_PARTS["rare onset"], *("",) * 8)
VOWELS = (*_PARTS["vowel"] * 6, *_PARTS["rare vowel"])
CODAS = (*("",) * 34, *_PARTS["coda"] * 2, *_PARTS["rare coda"])
_ENDINGS = "a o i ia io ex ix on en um us ora ara elo ino iva ara eon ius ant ent ify ly is y er el"
ENDINGS = tuple(_ENDINGS.split())
_FAMILY = """
Pro Max Mini Lite Plus Air One Home Go Studio Hub Watch Pad Tab Cam Drive Cloud Sync Desk Note Play
Stream Band Ring Buds Pods Speaker Link Mesh Box Stick Dock Pen Key Lock Light Lamp Sound Bar Care
Fit Pay Mail Chat Notes Music Photos TV Book Phone Ultra Edge Core Neo SE Express Touch Smart Kids
Family Pulse Wave Eye Vision Ride Scale Clean Print Scan Router
"""
FAMILY = tuple(_FAMILY.split())
# Brands also take words that everybody knows: a model must copy those too.
_WORDS = """
Aurora Nova Echo Pixel Breeze Cloud River Falcon Cobalt Ember Willow Atlas Orbit Summit Harbor Maple
Comet Lotus Meadow Onyx Prism Quartz Raven Sierra Tempo Vista Zephyr Amber Blaze Coral Delta Flint
Garnet Hazel Ivory Jasper Lunar Marble Nimbus Opal Pearl Ridge Solar Terra Velvet Winter Zen Arrow
Bolt Cedar Drift Fable Glow Haven Iris Juno Kite Lynx Mint North Oasis Pine Rover Sage Tiger Union
Aero Sound Sun Moon Blue Red Silver Gold Bright Swift Snap Quick Hyper Omni Power Home Life Mind
"""
WORDS = tuple(_WORDS.split())
WORD_SHARE = 0.15
# Names that are typed often, as a brand's own catalogue would be.
CATALOGUE = (
    "Velora 3",
    "Zentho X2",
    "aurelo-7",
    "Lumira",
    "Kestrelo Home",
    "Pavona 5",
    "Orvella Sync",
    "Tindra One",
    "Mirovo Buds",
    "Solenne 8",
    "Halcyo Desk",
    "Quorra 12",
)
RANDOM_SHARE = 0.8


def _syllable(rng: random.Random) -> str:
    return rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS)


def _word(rng: random.Random) -> str:
    while True:
        count = rng.choices((1, 2, 3), (0.12, 0.7, 0.18))[0]
        word = "".join(_syllable(rng) for _ in range(count))
        if rng.random() < 0.45:
            word = word.rstrip("aeiouy") + rng.choice(ENDINGS)
        if 3 <= len(word) <= 9:
            return word


def _suffix(rng: random.Random) -> str:
    digits = str(rng.choice((*range(1, 13), rng.randint(10, 99), 100 * rng.randint(1, 9))))
    letter = rng.choice("XSTPVZRQKMGAE")
    return rng.choices(
        (
            f" {digits}",
            f" {letter}{digits}",
            f"-{digits}",
            f" {digits}{rng.choice(('s', 'x', 'i', 'S', 'X', ' Pro', ' Mini'))}",
            f"{digits}",
            f" {rng.choice(FAMILY)}",
            f" {rng.choice(FAMILY)} {digits}",
            f" {letter}",
        ),
        (5, 2.5, 1.5, 1, 1, 5, 2, 0.5),
    )[0]


def pseudo_name(rng: random.Random) -> str:
    """Invents a product name as a customer would type it: "Velora 3", "Zentho X2", "aurelo-7"."""
    name = rng.choice(WORDS) if rng.random() < WORD_SHARE else _word(rng).capitalize()
    if rng.random() < 0.08:  # "NovaBook", "TelSound"
        name += rng.choice((*FAMILY, *WORDS))
    elif rng.random() < 0.02:
        name = rng.choice("ei") + name
    if rng.random() < 0.07:
        name += " " + _word(rng).capitalize()
    if rng.random() < 0.62:
        name += _suffix(rng)
    style = rng.random()
    if style < 0.2:
        return name.lower()
    return name.upper() if style < 0.21 else name


def product_name(rng: random.Random) -> str:
    """A pseudo-name (80 %) or one of the catalogue's, sometimes typed in lower case."""
    if rng.random() < RANDOM_SHARE:
        return pseudo_name(rng)
    name = rng.choice(CATALOGUE)
    return name.lower() if rng.random() < 0.2 else name


def fill(text: str, product: str | None, generic: str) -> str:
    """Puts the name exactly as typed into an answer, or the generic phrase where there is none.

    A generic phrase gets a capital at the start of a sentence; a typed name stays as typed.
    """
    if product is not None:
        return text.replace("{product}", product)
    capital = generic[:1].upper() + generic[1:]
    text = re.sub(r"(^|[.!?:] |[🎉🚀✨😊👍] )\{product\}", lambda m: m[1] + capital, text)
    return text.replace("{product}", generic)
