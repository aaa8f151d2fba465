"""`python -m tests.server.clients [NAME ...]`: each client in an environment of its own against our server, and a table.

With `--through chat`, `responses` or `messages` there is a gateway in between, which asks the server in that dialect.

The environments stay in `--folder`, so that the next run is quick. This needs the package registries.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from .table import CLIENTS, HERE, THROUGH, Client, run, served

INSTALL_SECONDS = 1800  # guidellm brings gigabytes


def main() -> int:
    """Run the command; what to exit with."""
    parser = argparse.ArgumentParser(prog="python -m tests.server.clients", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(client.name for client in CLIENTS)}")
    default = Path(tempfile.gettempdir(), "tokenwire-clients")
    parser.add_argument("--folder", type=Path, default=default, help="of the environments (default: %(default)s)")
    parser.add_argument("--python", default=sys.executable, help="what makes Python's (default: this one)")
    parser.add_argument("--through", choices=THROUGH, help="the dialect of a gateway in between (default: no gateway)")
    arguments = parser.parse_args()
    chosen = [client for client in CLIENTS if not arguments.names or client.name in arguments.names]
    failed = False
    print("| client | version | outcome |\n|---|---|---|")
    with ExitStack() as servers:
        url = servers.enter_context(served())
        if arguments.through:
            url = servers.enter_context(served(THROUGH[arguments.through], url))
        for client in chosen:
            version, outcome = _tried(client, arguments.folder / client.name.replace(" ", "-"), arguments.python, url)
            failed |= outcome.startswith("**")
            print(f"| {client.name} | {version} | {outcome} |", flush=True)
    return int(failed)


def _tried(client: Client, folder: Path, python: str, url: str) -> tuple[str, str]:
    """The version of a client, and what came of it."""
    try:
        version = _installed(client, folder, python)
    except (subprocess.SubprocessError, OSError) as error:
        return "", f"not installed: {type(error).__name__}"
    command = [folder / "bin" / "python", HERE / client.script] if client.is_python else ["node", HERE / client.script, folder]
    try:
        printed = run(*command, url)
    except (AssertionError, subprocess.SubprocessError) as error:
        return version, f"**failed**: {(str(error).strip().splitlines() or [type(error).__name__])[-1]:.200}"
    if printed == client.printed:
        return version, f"all {len(printed.splitlines())} as expected"
    wanted = client.printed.splitlines()
    other = next((line for line in printed.splitlines() if line not in wanted), "less than that")
    return version, f"**other**: {other:.200}"


def _installed(client: Client, folder: Path, python: str) -> str:
    """Install a client, as far as it is not there; its version."""
    package = client.packages[0].partition("[")[0]
    if client.is_python:
        pip = [folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "-q"]
        try:
            if not folder.exists():
                subprocess.run([python, "-m", "venv", folder], check=True, capture_output=True)
            subprocess.run([*pip, "install", *client.packages], check=True, capture_output=True, timeout=INSTALL_SECONDS)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)  # half of an environment is none
            raise
        say = f"import importlib.metadata as m; print(m.version({package!r}))"
        return subprocess.run([folder / "bin" / "python", "-c", say], check=True, capture_output=True, text=True).stdout.strip()
    if not (folder / "node_modules" / client.module).exists():
        install = ["npm", "install", "--silent", "--prefix", folder, *client.packages]
        subprocess.run(install, check=True, capture_output=True, timeout=INSTALL_SECONDS)
    return json.loads((folder / "node_modules" / package / "package.json").read_text())["version"]


if __name__ == "__main__":
    sys.exit(main())
