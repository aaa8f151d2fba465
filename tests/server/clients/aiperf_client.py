"""aiperf as a client, run as its command is. Arguments: the server's base URL."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import save_tokenizer

REQUESTS = 4

with tempfile.TemporaryDirectory() as folder:
    prompts = Path(folder, "prompts.jsonl")
    prompts.write_text('{"text": "Hi"}\n')
    command = [Path(sys.executable).with_name("aiperf"), "profile", "--model", "words", "--url", sys.argv[1], "--streaming"]
    command += ["--endpoint-type", "chat", "--api-key", "sk-key", "--use-server-token-count"]
    command += ["--tokenizer", save_tokenizer(f"{folder}/tokenizer"), "--ui", "none", "--artifact-dir", f"{folder}/found"]
    command += ["--input-file", prompts, "--custom-dataset-type", "single_turn"]
    command += ["--request-count", REQUESTS, "--concurrency", 2]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    [found] = Path(folder).rglob("profile_export_aiperf.json")
    figures = json.loads(found.read_text())
    print("requests:", int(figures["request_count"]["avg"]), "errors:", len(figures["error_summary"]))
    print("tokens:", figures["total_output_tokens"]["avg"] / REQUESTS)
    print("first token:", figures["time_to_first_token"]["avg"] > 0)
