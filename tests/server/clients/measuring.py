"""What clients that measure need: a tokenizer on this machine, in place of one that would be fetched."""

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast


def save_tokenizer(folder: str) -> str:
    """Write one that knows one word into a folder; returns the folder."""
    words = Tokenizer(WordLevel({"?": 0, "Hi": 1}, unk_token="?"))
    words.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="?", eos_token="?").save_pretrained(folder)
    return folder
