"""Varies what customers type: case, punctuation, typos, politeness, spelling, synonyms, word drop.

Works on a phrasing that still holds its {product} slot, so that a name is never misspelt. Knows
nothing of intents or answers.
"""

from __future__ import annotations

import random
import re
import string

SLOT = "{product}"
NEIGHBOURS = {
    left: right
    for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm")
    for left, right in zip(row, row[1:] + row[-2], strict=True)
}
GREETINGS = (
    "hi", "hello", "hey", "Hi there", "Hello there", "hey there", "Good morning", "Good evening",
    "good afternoon", "Dear support", "Dear team", "Hi team", "hello support", "hi all", "yo",
    "Greetings", "Good day", "hiya", "morning", "Hi folks",
)  # fmt: skip
OPENERS = (
    "please help", "quick question", "I need help", "sorry to bother you", "I have a question",
    "a question", "one question", "help", "urgent", "need some help here", "can you help me",
    "not sure if you can help", "I hope you can help", "maybe you can tell me", "so",
    "ok", "well", "look", "just wondering", "I was wondering", "I am writing because",
    "could you tell me", "a little problem", "little issue", "I am new to this",
    "first time writing here", "my husband asked me to write", "I am not good with computers",
    "please", "listen", "honestly", "excuse me", "I tried everything", "since yesterday",
    "since this morning", "since last week", "as of today", "for two days now", "again",
    "I bought it last week", "I got it for my birthday", "I am at work", "I am travelling",
    "I have been a customer for years", "I am a new customer", "it is a gift for my mother",
    "my son uses it too", "I use it every day", "I already looked at the website",
    "I read the manual", "the manual did not help", "I am on my phone right now",
    "we use it at the office", "asking for a friend",
)  # fmt: skip
CLOSERS = (
    "thanks", "thank you", "thx", "please", "pls", "any idea?", "any ideas?", "can you help?",
    "what should I do?", "what now?", "please advise", "help please", "asap", "many thanks",
    "cheers", "thanks in advance", "is that possible?", "how does that work?", "please help me",
    "I hope you can help", "let me know", "kind regards", "tell me what to do",
    "please answer soon",
    "that would be great", "ok?", "right?", "what can I do?", "how do I do this?", "it is urgent",
    "I would appreciate it", "thank you so much", "tnx", "thank you for your help",
    "I have no idea", "this is new to me", "since yesterday", "since last week", "for days now",
    "today", "right now", "again", "every time", "all the time",
)  # fmt: skip
ABOUT = (
    "I have {product}. ", "I use {product}. ", "It is about {product}. ", "{product}: ",
    "{product} - ",
    "I own {product}. ", "We have {product} at home. ", "I just bought {product}. ",
    "My product is {product}. ", "about {product}: ", "for {product}, ", "on my {product}: ",
    "with my {product}, ", "I got {product} yesterday. ", "I am a {product} customer. ",
    "{product} user here. ", "This is about my {product}. ", "{product} here. ",
    "hi, {product} question: ",
    "regarding {product}, ",
)  # fmt: skip
ABOUT_AFTER = (
    " ({product})", " It is {product}.", " I use {product}.", " on {product}", " with {product}",
    " for {product}", " - {product}", ", {product}", " {product}", " It's {product}.",
    " My model is {product}.", " The product is {product}.", " I have {product}.", " in {product}",
    " on my {product}", " with my {product}", " It is the {product}.", " of my {product}",
)  # fmt: skip
SYNONYMS = (
    ("cannot", "can't", "cant", "can not", "am unable to", "am not able to"),
    ("doesn't", "does not", "doesnt"), ("don't", "do not", "dont"), ("isn't", "is not", "isnt"),
    ("won't", "will not", "wont"), ("didn't", "did not", "didnt"), ("I'm", "I am", "im"),
    ("it's", "it is", "its"), ("I've", "I have", "ive"), ("I'd like", "I would like"),
    ("app", "application", "program", "software"), ("phone", "mobile", "smartphone", "cell phone"),
    ("fix", "repair", "solve", "resolve"), ("broken", "defective", "faulty", "damaged"),
    ("buy", "purchase"), ("bought", "purchased"),
    ("help", "assist", "support"), ("problem", "issue", "trouble"),
    ("price", "cost"), ("cheaper", "less expensive", "more affordable"),
    ("start", "begin"), ("delete", "remove", "erase"),
    ("set up", "setup", "configure", "install"), ("change", "switch", "modify", "alter"),
    ("wifi", "wi-fi", "wireless", "WiFi"), ("internet", "network", "connection"),
    ("sign in", "log in", "login", "log on"), ("photo", "picture", "pic"),
    ("photos", "pictures", "pics"), ("email", "e-mail", "mail"), ("you", "u"),
    ("please", "pls", "plz", "kindly"), ("because", "cause"), ("quickly", "fast"),
    ("slow", "sluggish", "laggy"), ("want", "wish", "would like"),
    ("what is", "what's", "whats"), ("how do I", "how can I", "how to", "how should I"),
    ("where is", "where's", "where can I find"), ("possible", "an option", "doable"),
    ("computer", "laptop", "PC", "desktop"), ("two", "2"), ("three", "3"), ("four", "4"),
    ("package", "parcel"),
    ("angry", "upset", "annoyed", "furious"), ("awful", "terrible", "horrible", "very bad"),
    ("great", "awesome"), ("extra", "additional"),
    ("every time", "always", "constantly", "each time"),
    ("wrong", "incorrect"), ("and", "&"), ("with", "w/"),
    ("recommend", "suggest", "advise"), ("about", "regarding"),
    ("my wife", "my husband", "my partner", "my mother", "my son", "my friend"),
    ("subscription", "plan", "membership"), ("months", "weeks", "days"), ("bill", "invoice"),
    ("really", "very", "extremely"), ("tutorial", "guide", "walkthrough"),
    ("need", "require"), ("information", "info", "details"),
)  # fmt: skip
SPELLINGS = (
    ("color", "colour"), ("favorite", "favourite"), ("center", "centre"), ("canceled", "cancelled"),
    ("canceling", "cancelling"), ("organize", "organise"), ("customize", "customise"),
    ("personalize", "personalise"), ("apologize", "apologise"), ("recognize", "recognise"),
    ("synchronize", "synchronise"), ("behavior", "behaviour"), ("catalog", "catalogue"),
    ("program", "programme"), ("traveling", "travelling"), ("gray", "grey"),
    ("cell phone", "mobile"),
    ("authorize", "authorise"), ("optimize", "optimise"), ("license", "licence"),
)  # fmt: skip
_FILLERS = """
a an the to of in on for is are was am be my your i it this that and do does please can could would
will me you just with at some any so very really
"""
FILLERS = frozenset(_FILLERS.split())


def _swap(text: str, old: str, new: str) -> str:
    return re.sub(rf"(?<![\w{{]){re.escape(old)}(?![\w}}])", lambda _: new, text, count=1)


def synonyms(text: str, rng: random.Random, rate: float = 0.35) -> str:
    """Replaces words by others of the same meaning, each group with probability `rate`."""
    for group in SYNONYMS:
        for word in group:
            if re.search(rf"(?<![\w{{]){re.escape(word)}(?![\w}}])", text):
                if rng.random() < rate:
                    text = _swap(text, word, rng.choice(group))
                break
    for american, british in SPELLINGS:
        if rng.random() < 0.5:
            text = _swap(text, american, british)
    return text


def typo(word: str, rng: random.Random) -> str:
    """One slip of the finger inside a word: swapped, lost, doubled or neighbouring letters."""
    at = rng.randrange(1, len(word) - 1)
    kind = rng.randrange(4)
    if kind == 0:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind == 1:
        return word[:at] + word[at + 1 :]
    if kind == 2:
        return word[: at + 1] + word[at:]
    near = NEIGHBOURS.get(word[at].lower(), word[at])
    return word[:at] + near + word[at + 1 :]


def _typos(words: list[str], rng: random.Random, count: int) -> list[str]:
    places = [i for i, word in enumerate(words) if len(word) > 3 and word.isalpha()]
    for place in rng.sample(places, min(count, len(places))):
        words[place] = typo(words[place], rng)
    return words


def _drop(words: list[str], rng: random.Random, filler: float, content: float) -> list[str]:
    kept = [
        word
        for word in words
        if SLOT in word or rng.random() > (filler if word.lower() in FILLERS else content)
    ]
    return kept or words


def keywords(text: str, rng: random.Random) -> str:
    """A search-box version: content words only, now and then in another order."""
    words = [w.strip(string.punctuation.replace("{", "").replace("}", "")) for w in text.split()]
    words = [word for word in words if word and word.lower() not in FILLERS]
    if rng.random() < 0.35:
        rng.shuffle(words)
    return " ".join(words) or text


def _join(first: str, second: str, rng: random.Random) -> str:
    mark = rng.choice((". ", ", ", "! ", ": ", " - ", " ", ", "))
    if mark in (". ", "! "):
        return first + mark + second
    keep = second.startswith(("I ", "I'", SLOT)) or second[:2].isupper()
    return first + mark + (second if keep else second[:1].lower() + second[1:])


def surround(text: str, rng: random.Random) -> str:
    """Adds a greeting, an opener or a closer, as people do around what they want."""
    if rng.random() < 0.22:
        text = _join(rng.choice(OPENERS), text, rng)
    if rng.random() < 0.25:
        text = _join(rng.choice(GREETINGS), text, rng)
    if rng.random() < 0.25:
        text = text.rstrip() + rng.choice((" ", ", ", ". ", " - ")) + rng.choice(CLOSERS)
    return text


def mention(text: str, rng: random.Random) -> str:
    """Adds a {product} mention to a phrasing that has none."""
    if rng.random() < 0.5:
        return rng.choice(ABOUT) + text
    after = rng.choice(ABOUT_AFTER)
    if after.endswith(".") and text[-1:] not in ".!?":
        text += "."
    elif not after.endswith("."):
        mark = text[-1:] if text[-1:] in ".!?" else ""
        return text.rstrip(".!?") + after + (mark if rng.random() < 0.6 else "")
    return text + after


def vary(
    text: str,
    rng: random.Random,
    strength: float = 1.0,
    *,
    surrounded: bool = True,
    dropping: float = 0.0,
) -> str:
    """One customer's way to type a phrasing. Keeps the {product} slot intact.

    Args:
        text: a phrasing, with or without the slot.
        rng: the source of all randomness.
        strength: 0 returns the text as it is, 1 is what training uses.
        surrounded: whether a greeting, an opener or a closer may be added.
        dropping: how often a quarter of the words is lost besides, so that no phrasing can be
            told by a single one of them.
    """
    if rng.random() > strength * 0.92:
        return text
    phrasing = text
    text = synonyms(text, rng)
    if rng.random() < 0.08 and text.count(" ") > 3:
        text = keywords(text, rng)
    elif rng.random() < 0.35 and text.count(" ") > 3:
        text = " ".join(_drop(text.split(), rng, filler=0.3, content=0.12))
    if dropping and rng.random() < dropping and text.count(" ") > 2:
        text = " ".join(_drop(text.split(), rng, filler=0.4, content=0.25))
    if surrounded:
        text = surround(text, rng)
    words = text.split(" ")
    if rng.random() < 0.3:
        words = _typos(words, rng, rng.choice((1, 1, 2)))
    text = " ".join(words)
    if rng.random() < 0.42:
        text = SLOT.join(part.lower() for part in text.split(SLOT))
    style = rng.random()
    if style < 0.3:
        text = text.rstrip(".!?")
    elif style < 0.38:
        text = re.sub(r"[,.!?;:'-](?=\s|$)", "", text)
    elif style < 0.44:
        text = text.rstrip(".!?") + rng.choice(("!!", "??", "...", "!!!", " :(", "?!"))
    return text if text.strip() else phrasing  # “...” is nothing but punctuation
