"""Peers that need an environment of their own, and the versions of all.

arena-rank 0.1.1 asks for exactly numpy 2.3.3, which is not ours, and FastChat for a web server and
more, of which its rating functions need nothing. So each gets its own virtual environment under
`.venv/peers/`, made once; the sides that use it run under that Python.
"""

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

BESIDE = (
    "evalica",
    "choix",
    "transformers",
    "peft",
    "torch",
    "trl",
    "tinker-cookbook",
    "pandas",
    "streamlit",
    "tinker",
)
_PACKAGES = {"fastchat": "fschat"}
_HERE = Path(__file__).resolve().parent
_HOME = Path(sys.prefix) / "peers"


def environment(name: str) -> tuple[str, str | None]:
    """The Python of a peer's environment, made from ``bench/peers/NAME.txt`` where it is not there.

    Returns:
        The interpreter and None, or the own interpreter and why there is no environment.
    """
    wanted = _HERE / "peers" / f"{name}.txt"
    folder = _HOME / name
    python, stamp = folder / "bin" / "python", folder / "installed.txt"
    if stamp.is_file() and stamp.read_text() == wanted.read_text():
        return str(python), None
    print(f"making {folder} for {name} (once)", file=sys.stderr)
    steps = (
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        # The file lists everything, so nothing else is resolved or pulled.
        [str(python), "-m", "pip", "install", "-q", "--no-deps", "-r", str(wanted)],
    )
    for command in steps:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            errors = [line for line in lines if line.startswith("ERROR")] or lines[-1:]
            return sys.executable, f"cannot be installed: {errors[-1] if errors else 'no message'}"
    stamp.write_text(wanted.read_text())
    return str(python), None


def versions() -> dict[str, str]:
    """Installed versions of the peers and of what they are measured with."""
    found: dict[str, str] = {}
    for name in BESIDE:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    for file in sorted((_HERE / "peers").glob("*.txt")):
        for line in file.read_text().splitlines():
            package, _, pinned = line.partition("==")
            package, _, source = package.partition(" @ ")
            if package == _PACKAGES.get(file.stem, file.stem):
                found[package] = pinned or source
    return found
