"""The fuzzer's own process: libFuzzer, led by the branches that `tokenwire.wire` and `http.protocol` take.

Started by `python -m tests.fuzz`, with libFuzzer's arguments behind the target's name.
"""

import importlib
import sys
from typing import Any

atheris: Any = importlib.import_module("atheris")  # which is not installed where the types are checked

with atheris.instrument_imports(include=["tokenwire.wire", "tokenwire.http.protocol"], enable_loader_override=False):
    from .targets import TARGETS

if __name__ == "__main__":
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()
