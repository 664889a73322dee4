"""The certificate authorities that outgoing TLS connections trust: those of the system, and those of CA_DIR.

CA_DIR may be a ConfigMap that is mounted as a folder: its files are links into a hidden folder.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from imageclassifier_runtime.errors import CaCertificatesError, error_text
from imageclassifier_runtime.settings.environment import PREFIX

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 8 * 1024 * 1024
"""Size limit of all files together; the system's own certificate authorities take 0.2 MiB."""
_SUFFIXES = (".crt", ".pem")


def client_context(ca_dir: Path | None, *, only: Path | None = None) -> ssl.SSLContext:
    """Return a context that verifies servers.

    It trusts the system's authorities and those of `ca_dir` or, if `only` is given, those of that file alone.
    Raises CaCertificatesError for `ca_dir`, and OSError for `only`.
    """
    context = ssl.create_default_context(cafile=only)
    if ca_dir is not None and only is None:
        context.load_verify_locations(cadata=authorities(ca_dir))
    return context


def authorities(ca_dir: Path) -> str:
    """Return the certificates of all files of a folder in PEM; raises CaCertificatesError."""
    found: list[str] = []
    remaining = MAX_BYTES
    for file in _files(ca_dir):
        content = _read(file, remaining + 1)
        remaining -= len(content)
        if remaining < 0:
            raise CaCertificatesError(f"{_setting(ca_dir)} has more than {MAX_BYTES} bytes: remove other files")
        # The texts between certificates may be in any encoding.
        text = content.decode("ascii", errors="ignore")
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
        except (ssl.SSLError, ValueError) as error:
            raise CaCertificatesError(
                f"{_setting(file)} is not a file of valid certificates in PEM: replace or remove it, or convert "
                "it from DER with openssl x509 -inform der"
            ) from error
        found.append(text)
    return "\n".join(found)


def _files(ca_dir: Path) -> list[Path]:
    try:
        entries = sorted(path for path in ca_dir.iterdir() if path.name[0] != ".")
    except OSError as error:
        raise CaCertificatesError(f"{_setting(ca_dir)} is not a readable folder: {error_text(error)}") from error
    names = [path for path in entries if path.suffix in _SUFFIXES]
    files = [path for path in names if not path.is_dir()]
    if not files:
        raise CaCertificatesError(f"{_setting(ca_dir)} {'has no file *.crt or *.pem' if entries else 'is empty'}")
    return files


def _read(file: Path, size: int) -> bytes:
    if file.exists() and not file.is_file():  # opening a pipe would wait for its other end
        raise CaCertificatesError(f"{_setting(file)} cannot be read: it is not a file")
    try:
        with file.open("rb") as stream:
            return stream.read(size)
    except OSError as error:
        raise CaCertificatesError(f"{_setting(file)} cannot be read: {error_text(error)}") from error


def _setting(path: Path) -> str:
    return f"{PREFIX}CA_DIR: {path}"
