"""Finding a Mosquitto to run: the one on PATH, else Debian's package unpacked into a folder of our own.

`apt-get install` would start a system service on the default port; `apt-get download` and `dpkg -x` need no root and
start nothing.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.servers import processes

EXTRA_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin", "/usr/local/opt/mosquitto/sbin")
OLDEST = (2, 0)
Say = Callable[[str], None]


class NoMosquitto(RuntimeError):
    """No Mosquitto was found and none could be fetched; the text says what to do."""


@dataclass(frozen=True, kw_only=True)
class MosquittoProgram:
    """An executable, what it needs in its environment, and its version."""

    path: Path
    version: str
    env: dict[str, str] = field(default_factory=dict)


def find_mosquitto(*, folder: Path, say: Say) -> MosquittoProgram:
    """Return a Mosquitto 2: from PATH, else unpacked below `folder`, else fetched there; raises NoMosquitto."""
    for candidate in _installed():
        program = _examine(candidate, {})
        if program is not None:
            return program
    unpacked = _unpacked(folder)
    if unpacked is not None:
        return unpacked
    if sys.platform == "darwin":
        raise NoMosquitto("The MQTT broker is missing. Run this once: brew install mosquitto")
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise NoMosquitto("The MQTT broker is missing: install the package mosquitto (version 2 or newer)")
    say("Fetching the MQTT broker Mosquitto from the Debian archive (once) ...")
    _fetch(folder)
    unpacked = _unpacked(folder)
    if unpacked is None:
        raise NoMosquitto(f"Mosquitto was unpacked into {folder} but does not start there")
    return unpacked


def _installed() -> list[Path]:
    places = [*os.environ.get("PATH", "").split(os.pathsep), *EXTRA_FOLDERS]
    found = shutil.which("mosquitto", path=os.pathsep.join(places))
    return [Path(found)] if found else []


def _examine(path: Path, env: dict[str, str]) -> MosquittoProgram | None:
    """Return the program when it runs and is new enough."""
    try:
        result = subprocess.run(
            [path, "-h"], capture_output=True, text=True, timeout=10, check=False, env={**os.environ, **env}
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"mosquitto version (\d+)\.(\d+)\S*", result.stdout + result.stderr)
    if match is None or (int(match[1]), int(match[2])) < OLDEST:
        return None
    return MosquittoProgram(path=path, version=match[0].split()[-1], env=env)


def _unpacked(folder: Path) -> MosquittoProgram | None:
    libraries = sorted({str(path.parent) for path in folder.glob("**/*.so.*")})
    return _examine(folder / "usr/sbin/mosquitto", {"LD_LIBRARY_PATH": os.pathsep.join(libraries)} if libraries else {})


def _run(command: Sequence[str | Path], *, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False, timeout=300
    )


def _fetch(folder: Path) -> None:
    """Download the package and the libraries this machine lacks, and unpack them into `folder`, as root or not."""
    draft = folder.with_name(f"{folder.name}.{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    downloads = draft / "downloads"
    downloads.mkdir(parents=True)
    downloads.chmod(0o755)
    try:
        # The machine's own package lists first; they may be missing (a container) or too old for the archive.
        result = _download(downloads, [])
        if result.returncode != 0:
            options = _private_lists(draft)
            update = _run(["apt-get", *options, "update"], cwd=downloads)
            result = _download(downloads, options)
            if result.returncode != 0:
                raise NoMosquitto(
                    "The MQTT broker could not be fetched from the Debian archive:\n"
                    f"{update.stderr[-800:]}{result.stderr[-800:]}\nOr install it yourself: apt-get install mosquitto"
                )
        for package in sorted(downloads.glob("*.deb")):
            unpacked = _run(["dpkg", "-x", package, draft], cwd=draft)
            if unpacked.returncode != 0:
                raise NoMosquitto(f"{package.name} could not be unpacked: {unpacked.stderr}")
        for leftover in ("downloads", "apt"):
            shutil.rmtree(draft / leftover, ignore_errors=True)
        draft.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _private_lists(draft: Path) -> list[str]:
    """Return the options that keep apt's lists and cache in a folder of ours, so that no root is needed."""
    base = draft / "apt"
    for part in ("lists/partial", "cache/archives/partial"):
        (base / part).mkdir(parents=True, exist_ok=True)
    settings = {
        "Dir::State::lists": f"{base}/lists",
        "Dir::Cache": f"{base}/cache",
        "Debug::NoLocking": "1",
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
    }
    return [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]


def _download(downloads: Path, options: list[str]) -> "subprocess.CompletedProcess[str]":
    wanted = ["mosquitto", *_missing_libraries(downloads, options)]
    return _run(["apt-get", *options, "-o", "APT::Sandbox::User=", "download", *wanted], cwd=downloads)


def _missing_libraries(downloads: Path, options: list[str]) -> list[str]:
    """Return the library packages that Mosquitto needs and this machine does not have installed."""
    silence = [f"--no-{kind}" for kind in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")]
    tree = _run(["apt-cache", *options, "depends", "--recurse", *silence, "mosquitto"], cwd=downloads)
    libraries = sorted({line for line in tree.stdout.splitlines() if re.fullmatch(r"lib[a-z0-9.+-]+", line)})
    return [name for name in libraries if not _is_installed(name, downloads)]


def _is_installed(package: str, cwd: Path) -> bool:
    status = _run(["dpkg-query", "-W", "-f", "${db:Status-Status}", package], cwd=cwd)
    return "installed" in status.stdout.split()


def programs_folder(state: Path) -> Path:
    """Return where an unpacked Mosquitto is kept: for root beside the other programs, else in the state folder."""
    return processes.STATE_OF_ROOT / "mosquitto" if processes.is_root() else state / "mosquitto"
