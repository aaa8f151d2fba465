"""`tokenwire completion`."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("shtab")


def completed(script: str, folder: Path, *words: str) -> list[str]:
    """What bash offers for the last of the words."""
    line = f"COMP_WORDS=({' '.join(words)}) COMP_CWORD={len(words) - 1}; _shtab_tokenwire; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    command = ["bash", "-c", f"{script}\n{line}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=20)
    return done.stdout.split()


def test_bash_completes_commands_options_and_files(tokenwire: Callable[..., Any], tmp_path: Path) -> None:
    run = tokenwire("completion", "bash")
    assert (run.status, run.err) == (0, "")
    (tmp_path / "in.jsonl").touch()
    assert completed(run.out, tmp_path, "tokenwire", "em") == ["embed"]
    assert completed(run.out, tmp_path, "tokenwire", "chat", "--att") == ["--attach"]
    assert completed(run.out, tmp_path, "tokenwire", "batch", "in.") == ["in.jsonl"]


def test_another_shell_is_refused(tokenwire: Callable[..., Any]) -> None:
    run = tokenwire("completion", "sh")
    assert run.status == 2
    assert "zsh" in run.err
