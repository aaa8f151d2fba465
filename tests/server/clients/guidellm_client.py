"""guidellm as a client, run as its command is. Arguments: the server's base URL."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import save_tokenizer

REQUESTS = 4

with tempfile.TemporaryDirectory() as folder:
    prompts, found = Path(folder, "prompts.csv"), Path(folder, "found.json")
    prompts.write_text("prompt\n" + "Hi\n" * REQUESTS)
    server = sys.argv[1].removesuffix("/v1")
    command = [Path(sys.executable).with_name("guidellm"), "run", "--disable-console"]
    command += ["--backend", f"kind=openai_http,target={server},model=words,api_key=sk-key"]
    command += ["--profile", "kind=concurrent,streams=2", "--constraint", f"kind=max_requests,count={REQUESTS}"]
    command += ["--data", f"kind=csv_file,path={prompts}", "--output", f"kind=json,path={found}"]
    command += ["--tokenizer", f"kind=huggingface_auto,model={save_tokenizer(f'{folder}/tokenizer')}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    [benchmark] = json.loads(found.read_text())["benchmarks"]
    figures = benchmark["metrics"]
    print("requests:", figures["request_totals"]["successful"], "errors:", figures["request_totals"]["errored"])
    print("tokens:", figures["output_token_count"]["successful"]["mean"])
    print("first token:", figures["time_to_first_token_ms"]["successful"]["mean"] > 0)
