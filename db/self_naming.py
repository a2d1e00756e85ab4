"""Whether a completion says who wrote it: pure, with a stated list of names.

Only statements about oneself count ("I am Claude", "as GPT-4", "I was trained by OpenAI"), never a
name alone, which may be what the conversation is about; an id that only a machine makes counts
anywhere. Knows no ledger.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

MODELS = (
    r"chat\s?gpt", r"gpt[-\s]?[0-9][\w.]*", r"gpt", r"claude", r"gemini", r"bard", r"palm\s?2?",
    r"lamda", r"llama(?:[-\s]?[0-9][\w.]*)?", r"mistral", r"mixtral", r"qwen[\w.]*",
    r"tongyi\s?qianwen", r"deepseek", r"grok", r"falcon", r"vicuna", r"alpaca", r"guanaco",
    r"dolly", r"koala", r"gemma", r"phi-[0-9][\w.]*", r"chatglm[\w.]*", r"internlm", r"baichuan",
    r"zephyr", r"open\s?assistant", r"wizardlm", r"smollm[\w.]*", r"copilot", r"kimi", r"ernie",
    r"command[-\s]r", r"nemotron", r"stablelm", r"bing\s?chat",
)  # fmt: skip
VENDORS = (
    "openai", "anthropic", "google", "deepmind", "meta(?: ai)?", "microsoft", "mistral ai",
    "alibaba(?: cloud)?", "deepseek", "xai", "cohere", "ai21(?: labs)?", "stability ai",
    "hugging ?face", "nvidia", "baidu", "moonshot ai", "zhipu ai", "lmsys", "laion", "inflection",
)  # fmt: skip

_MODEL = "(?:" + "|".join(MODELS) + ")"
_VENDOR = "(?:" + "|".join(VENDORS) + ")"
_I_AM = r"\b(?:i am|i'm|my name is|call me|you can call me|this is)\s+(?:(?:called|named)\s+)?"
_MADE = r"(?:developed|trained|created|made|built|designed|powered)"
_KIND = r"(?:(?:a|an|the)\s+)?(?:(?:large |ai |language |open[- ]source )*(?:model|assistant|chatbot|ai)[\s,]+)?(?:(?:called|named|known as)\s+)?"  # noqa: E501
_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"{_I_AM}{_KIND}({_MODEL})\b",
        rf"\bas\s+({_MODEL}),?\s+(?:i|my)\b",
        r"\bas\s+(chat\s?gpt|gpt[-\s]?[0-9][\w.]*)\b",
        rf"\b(?:i was|i am|i'm|i have been|i've been)\s+{_MADE}\s+(?:and \w+ )?by\s+({_VENDOR})\b",
        rf"\b(?:as|i am|i'm)\s+an?\s+(?:large |ai )*(?:language model|ai(?: \w+)?|assistant|chatbot),?\s+{_MADE}\s+(?:and \w+ )?by\s+({_VENDOR})\b",  # noqa: E501
    )
)
_HINT = re.compile(r"\b(?:i am|i'm|i was|i have been|i've been|my name is|call me|this is|as)\b")


def found_in(text: str, *, ids: Iterable[str] = (), others: Iterable[str] = ()) -> str:
    """The words with which a text names its author; empty where it does not.

    Args:
        text: A completion.
        ids: Ids of the adapters in question; those with ``_`` or ``/``, or with a digit and 8
            characters or more, count wherever they stand.
        others: Names of personas that the text should not be; counted as ``I am NAME``.
    """
    plain = _plain(text)
    for name in ids:
        if _machine_made(name) and name.casefold() in plain:
            return name
    if not _HINT.search(plain):
        return ""
    for pattern in _PATTERNS:
        if hit := pattern.search(plain):
            return " ".join(hit.group(0).split())
    said = tuple(sorted({*(n.casefold() for n in ids), *(n.casefold() for n in others)} - {""}))
    hit = _named(said).search(plain) if said else None
    return " ".join(hit.group(0).split()) if hit else ""


@lru_cache(maxsize=256)
def _named(names: tuple[str, ...]) -> re.Pattern[str]:
    joined = "|".join(re.escape(name) for name in names)
    return re.compile(rf"{_I_AM}(?:(?:a|an|the|your)\s+)?(?:{joined})(?!\w)")


def _machine_made(name: str) -> bool:
    if len(name) < 8:
        return False
    return "_" in name or "/" in name or any(letter.isdigit() for letter in name)


def _plain(text: str) -> str:
    """Lower case, straight apostrophes, no marks of Markdown, nothing invisible."""
    text = unicodedata.normalize("NFKC", text).replace("’", "'").replace("ʼ", "'")
    text = re.sub("[\u200b-\u200f\u2060\ufeff\u00ad]", "", text)
    return re.sub(r"[*`\"“”]|(?<!\w)_|_(?!\w)", "", text).casefold()
