"""What text a database can keep. Knows nothing of what the text says."""

REPLACEMENT = "\ufffd"


def storable(text: str) -> str:
    """The text with what no database stores (NUL, lone surrogates) replaced by U+FFFD."""
    if "\x00" in text:
        text = text.replace("\x00", REPLACEMENT)
    if text.isascii():
        return text
    return "".join(REPLACEMENT if "\ud800" <= each <= "\udfff" else each for each in text)


def is_storable(text: str) -> bool:
    """Whether the text can be kept exactly."""
    return storable(text) == text
