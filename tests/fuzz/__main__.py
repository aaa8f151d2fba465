"""`python -m tests.fuzz sse|chunks|http --seconds 60`: bytes that a fuzzer makes up, and what long inputs cost.

The fuzzer is atheris, which is in no extra, as not every platform has it: `pip install atheris`.
"""

import argparse
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

from . import growth
from .targets import SEEDS, TARGETS, TOKENS

ROOT = Path(__file__).parents[2]
HANG_SECONDS = 10  # for one input of at most `MOST_BYTES`
MOST_BYTES = 4096
MOST_MEGABYTES = 2048


def main() -> int:
    """Run the command; what to exit with."""
    parser = argparse.ArgumentParser("python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=list(TARGETS))
    parser.add_argument("--seconds", type=int, default=60, help="of fuzzing (default: 60)")
    parser.add_argument("--again", type=Path, metavar="FILE", help="only this input, which a run has found")
    arguments = parser.parse_args()
    target: str = arguments.target
    if arguments.again is not None:
        TARGETS[target](arguments.again.read_bytes())
        return 0
    if importlib.util.find_spec("atheris") is None:
        parser.error("there is no atheris: pip install atheris")
    steep = growth.steep(target)
    for line in steep:
        print(f"twice as much of this costs too many times as much: {line}")
    return fuzz(target, arguments.seconds) or bool(steep)


def fuzz(target: str, seconds: int) -> int:
    """Fuzz in a process of its own, as libFuzzer ends the one it runs in; what that one exits with."""
    with tempfile.TemporaryDirectory(prefix="tokenwire-fuzz-") as folder:
        corpus = Path(folder, "corpus")
        corpus.mkdir()
        for number, seed in enumerate(SEEDS[target]):
            for size in (0, 6, 63):
                Path(corpus, f"{number}-{size}").write_bytes(bytes([size, number]) + seed)
        tokens = Path(folder, "tokens")
        tokens.write_text("".join(map(_quoted, TOKENS[target])))
        options = {
            "max_total_time": seconds,
            "max_len": MOST_BYTES,
            "timeout": HANG_SECONDS,
            "rss_limit_mb": MOST_MEGABYTES,
            "dict": tokens,
            "artifact_prefix": f"{tempfile.gettempdir()}/tokenwire-fuzz-{target}-",
            "print_final_stats": 1,
            "verbosity": 1,
        }
        command = [sys.executable, "-m", "tests.fuzz.instrumented", target, str(corpus)]
        return subprocess.run(
            [*command, *(f"-{name}={value}" for name, value in options.items())], cwd=ROOT, check=False
        ).returncode


def _quoted(token: bytes) -> str:
    """A line of libFuzzer's dictionary."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in token) + '"\n'


if __name__ == "__main__":
    sys.exit(main())
