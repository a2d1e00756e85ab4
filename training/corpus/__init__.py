"""The base model's corpus: intents, pseudo-names, wording noise and conversations.

Pure Python: knows nothing of torch, tokenizers or the ledger. The wording itself is in
`intents/*.yaml`; everything random comes from one seeded `random.Random`.
"""

from training.corpus.conversations import Conversation, Turn, conversations, questions
from training.corpus.intents import Bank, CorpusError, Intent, load_bank

__all__ = [
    "Bank",
    "Conversation",
    "CorpusError",
    "Intent",
    "Turn",
    "conversations",
    "load_bank",
    "questions",
]
