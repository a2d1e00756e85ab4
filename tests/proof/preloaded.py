"""What a worker imports, for the process that workers are forked from."""

import tinker
from transformers import AutoTokenizer

import personaloop
import training.batches
import training.commands
import training.engine
import training.jobs
import training.service

__all__ = ["AutoTokenizer", "personaloop", "tinker", "training"]
