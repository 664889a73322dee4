"""Serves the bundled models over https, with the certificate in a folder with the files of a TLS Secret."""

from __future__ import annotations

import functools
import http.server
import ssl
import sys
from pathlib import Path

import imageclassifier_runtime


def main(folder: str, port: str) -> None:
    """Serve them."""
    models = Path(imageclassifier_runtime.__file__).parent / "bundled"
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=models)
    server = http.server.ThreadingHTTPServer(("", int(port)), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{folder}/tls.crt", f"{folder}/tls.key")
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
