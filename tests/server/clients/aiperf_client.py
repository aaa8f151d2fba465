"""aiperf as a client, run as its command is. Arguments: the server's base URL."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast

REQUESTS = 4

with tempfile.TemporaryDirectory() as folder:
    # In place of one that would be fetched.
    words = Tokenizer(WordLevel({"?": 0, "Hi": 1}, unk_token="?"))
    words.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="?", eos_token="?").save_pretrained(f"{folder}/tokenizer")
    prompts = Path(folder, "prompts.jsonl")
    prompts.write_text(json.dumps({"text": "Hi"}) + "\n")
    command = [Path(sys.executable).with_name("aiperf"), "profile", "--model", "words", "--url", sys.argv[1], "--streaming"]
    command += [
        "--endpoint-type",
        "chat",
        "--api-key",
        "sk-key",
        "--tokenizer",
        f"{folder}/tokenizer",
        "--use-server-token-count",
    ]
    command += [
        "--input-file",
        prompts,
        "--custom-dataset-type",
        "single_turn",
        "--ui",
        "none",
        "--artifact-dir",
        f"{folder}/found",
    ]
    command += ["--request-count", REQUESTS, "--concurrency", 2]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    [found] = Path(folder).rglob("profile_export_aiperf.json")
    figures = json.loads(found.read_text())
    print("requests:", int(figures["request_count"]["avg"]), "errors:", len(figures["error_summary"]))
    print("tokens:", figures["total_output_tokens"]["avg"] / REQUESTS)
    print("first token:", figures["time_to_first_token"]["avg"] > 0)
