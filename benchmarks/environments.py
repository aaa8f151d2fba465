"""A virtual environment for each group of contenders, made when it is first needed, by venv and pip."""

import json
import subprocess
import sys
from pathlib import Path

from .contenders import Group

VERSIONS = """
import importlib.metadata, json
print(json.dumps({d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}))
"""


class CannotInstall(Exception):
    """An environment could not be made; the message has pip's last words."""


def ensure(folder: Path, name: str, group: Group) -> Path:
    """The interpreter of a group's environment, which is recreated if its requirements have changed.

    Raises:
        CannotInstall: pip failed.
    """
    place = folder / name
    python = place / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    made_for = place / "made-for.json"
    wanted = {"python": sys.version.split()[0], "requirements": list(group.requirements)}
    if made_for.is_file() and json.loads(made_for.read_text("utf-8")) == wanted:
        return python
    print(f"making the environment {name!r}: {' '.join(group.requirements)}", flush=True)
    _run([sys.executable, "-m", "venv", "--clear", str(place)])
    _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *group.requirements])
    made_for.write_text(json.dumps(wanted), "utf-8")
    return python


def versions(python: Path) -> dict[str, str]:
    """The packages installed in an environment, with versions."""
    done = subprocess.run([str(python), "-c", VERSIONS], check=True, capture_output=True, text=True, timeout=120)
    return {name.lower(): version for name, version in json.loads(done.stdout).items()}


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise CannotInstall(f"{Path(command[0]).name} {' '.join(command[1:4])}: {last}")
