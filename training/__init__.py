"""What changes models: the only room that imports torch, tinker, transformers and peft."""
