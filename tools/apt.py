"""Installs missing Debian packages, and reads the machine's APT sources."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from tools.errors import ToolError
from tools.steps import step

_NONINTERACTIVE = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "a"}

_SERVICES = {"containerd": "containerd.service"}


class Source(NamedTuple):
    """One APT source of the machine."""

    uri: str
    suite: str
    signed_by: str


def missing(packages: list[str]) -> list[str]:
    """The packages that are not installed."""
    if shutil.which("dpkg-query") is None:
        raise ToolError(f"this needs Debian 12, for its packages {' '.join(packages)}")
    completed = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *packages],
        capture_output=True,
        text=True,
        check=False,
    )
    installed = {line.split()[0] for line in completed.stdout.splitlines() if line.endswith(" installed")}
    return [package for package in packages if package not in installed]


def install(packages: list[str]) -> None:
    """Install the packages that are missing, if any."""
    absent = missing(packages)
    if not absent:
        return
    if os.geteuid() != 0:
        raise ToolError(f"missing Debian packages: {' '.join(absent)}; install them, or run this as root")
    with step(f"Installing Debian packages: {' '.join(absent)}"):
        _apt("update", "-q")
        # --no-install-recommends also keeps the daemons that some packages suggest from being pulled in.
        _apt("install", "-q", "-y", "--no-install-recommends", *absent)
        _stop_services(absent)


def _stop_services(packages: list[str]) -> None:
    """Stop and disable services that Debian started on installation; the cluster starts its own."""
    units = [_SERVICES[package] for package in packages if package in _SERVICES]
    if units and Path("/run/systemd/system").is_dir():
        subprocess.run(["systemctl", "disable", "--now", "--quiet", *units], capture_output=True, check=False)


def _apt(*arguments: str) -> None:
    completed = subprocess.run(
        ["apt-get", *arguments],
        env={**os.environ, **_NONINTERACTIVE},
        capture_output=True,
        text=True,
        check=False,
    )
    if completed.returncode != 0:
        tail = "\n".join((completed.stdout + completed.stderr).strip().splitlines()[-15:])
        raise ToolError(f"apt-get {' '.join(arguments)} failed:\n{tail}")


def parse_one_line(text: str) -> list[Source]:
    """Sources of a `sources.list` file with the component main."""
    found = []
    for raw in text.splitlines():
        line = raw.split("#", 1)[0].strip()
        if not line.startswith("deb "):
            continue
        rest, signed_by = line.removeprefix("deb ").strip(), ""
        if rest.startswith("["):
            options, rest = rest[1:].split("]", 1)
            pairs = dict(option.split("=", 1) for option in options.split() if "=" in option)
            signed_by = pairs.get("signed-by", "")
        uri, suite, *components = rest.split()
        if "main" in components:
            found.append(Source(uri, suite, signed_by))
    return found


def parse_deb822(text: str) -> list[Source]:
    """Sources of a `.sources` file with the component main."""
    found = []
    for paragraph in text.replace("\r", "").split("\n\n"):
        fields: dict[str, str] = {}
        name = ""
        for line in paragraph.splitlines():
            if line.startswith("#") or not line.strip():
                continue
            if line[0].isspace():
                fields[name] = f"{fields.get(name, '')} {line.strip()}"
            else:
                name, _, value = line.partition(":")
                name = name.lower()
                fields[name] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() == "no":
            continue
        if "main" not in fields.get("components", "").split():
            continue
        # Ignore an inline key: the machine's default keyring has Debian's own.
        signed_by = fields.get("signed-by", "")
        signed_by = signed_by if signed_by.startswith("/") else ""
        found += [
            Source(uri, suite, signed_by)
            for uri in fields.get("uris", "").split()
            for suite in fields.get("suites", "").split()
        ]
    return found


def machine_sources(etc: Path = Path("/etc/apt")) -> list[Source]:
    """Every APT source of the machine with the component main."""
    found = []
    one_line = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*.list"))]
    for path in (path for path in one_line if path.is_file()):
        found += parse_one_line(path.read_text())
    for path in sorted((etc / "sources.list.d").glob("*.sources")):
        found += parse_deb822(path.read_text())
    return found


def debian_codename() -> str:
    """The release's name, for example bookworm. Raises ToolError on other systems than Debian."""
    release = platform.freedesktop_os_release()
    if release.get("ID") != "debian" or "VERSION_CODENAME" not in release:
        raise ToolError(f"this needs Debian 12; the machine says it is {release.get('PRETTY_NAME', 'unknown')}")
    return release["VERSION_CODENAME"]
