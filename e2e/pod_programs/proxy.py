"""An HTTP proxy for tunnels, which prints the first line of each request."""

from __future__ import annotations

import select
import socket
import socketserver
import sys


class Handler(socketserver.StreamRequestHandler):
    """Handles one tunnel."""

    rbufsize = 0

    def handle(self) -> None:
        """Connect to the server, and copy in both directions until one side closes its connection."""
        line = self.rfile.readline(1024).decode("ascii")
        while self.rfile.readline(1024).strip():
            pass
        print(line, end="", flush=True)
        if not line.startswith("CONNECT "):
            return
        host, _, port = line.split()[1].rpartition(":")
        with socket.create_connection((host, int(port))) as server:
            self.request.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                for origin in select.select([self.request, server], [], [])[0]:
                    data = origin.recv(65536)
                    if not data:
                        return
                    (server if origin is self.request else self.request).sendall(data)


def main(port: str) -> None:
    """Serve."""
    socketserver.ThreadingTCPServer(("", int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
