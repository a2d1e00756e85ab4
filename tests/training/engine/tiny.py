"""A causal language model small enough for tests: random weights, a byte tokenizer, any family."""

from pathlib import Path


def make_tiny(folder: Path, family: str = "llama", *, layers: int = 2, seed: int = 0) -> Path:
    """Write a Hugging Face folder of a random model (width 32, vocabulary 260)."""
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    special = ["<|pad|>", "<|user|>", "<|assistant|>", "<|end|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate(special + alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|pad|>"
    )
    common = {
        "vocab_size": len(vocab),
        "hidden_size": 32,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 512,
        "eos_token_id": 3,
        "pad_token_id": 0,
        "bos_token_id": None,
    }
    configs = {
        "llama": lambda: transformers.LlamaConfig(
            num_key_value_heads=2, tie_word_embeddings=True, **common
        ),
        "qwen2": lambda: transformers.Qwen2Config(num_key_value_heads=2, **common),
        "neox": lambda: transformers.GPTNeoXConfig(**common),
        "gpt2": lambda: transformers.GPT2Config(
            vocab_size=len(vocab),
            n_embd=32,
            n_layer=layers,
            n_head=4,
            n_positions=512,
            eos_token_id=3,
            bos_token_id=3,
            resid_pdrop=0,
            embd_pdrop=0,
            attn_pdrop=0,
        ),
        "mistral": lambda: transformers.MistralConfig(
            num_key_value_heads=2, sliding_window=16, **common
        ),
        "gemma3": lambda: transformers.Gemma3TextConfig(
            num_key_value_heads=2,
            head_dim=8,
            sliding_window=16,
            layer_types=["sliding_attention", "full_attention"],
            **common,
        ),
    }
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(configs[family]())
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(0, 0.15)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    fast.chat_template = (
        "{% for m in messages %}{% if m['role'] != 'system' %}<|{{ m['role'] }}|>{{ m['content'] }}"
        "<|end|>{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    fast.save_pretrained(folder)
    return folder
