"""Serves a folder over HTTP; its top-level folders are S3 buckets, of which one requires an access key."""

from __future__ import annotations

import functools
import http.server
import shutil
import sys
import urllib.parse
from pathlib import Path
from typing import Any

import imageclassifier_runtime


class Handler(http.server.SimpleHTTPRequestHandler):
    """Handles one request."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments: Any, directory: str, private_bucket: str, access_key: str) -> None:
        self.private_bucket = private_bucket
        self.access_key = access_key
        super().__init__(*arguments, directory=directory)  # handles the request

    def do_GET(self) -> None:
        """Return a file, or list a bucket."""
        bucket, _, query = self.path.partition("?")
        signed = f"Credential={self.access_key}/" in self.headers.get("Authorization", "")
        if bucket.startswith(f"/{self.private_bucket}") and not signed:
            self.send_error(403)
        elif "list-type=2" in query:
            self.send_list(Path(self.directory + bucket), urllib.parse.parse_qs(query).get("prefix", [""])[0])
        else:
            super().do_GET()

    def send_list(self, bucket: Path, prefix: str) -> None:
        """Send the keys of a bucket's files directly below a prefix."""
        names = [path.name for path in (bucket / prefix).iterdir() if path.is_file()]
        keys = "".join(f"<Contents><Key>{prefix}{name}</Key></Contents>" for name in names)
        body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{keys}</ListBucketResult>".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main(folder: str, port: str, model: str, private_bucket: str, access_key: str) -> None:
    """Serve the folder, with copies of this bundled model if the image has it."""
    bundled = Path(imageclassifier_runtime.__file__).parent / "bundled" / model
    if bundled.is_dir():
        shutil.copytree(bundled, Path(folder) / model, dirs_exist_ok=True)
        shutil.copytree(bundled, Path(folder) / private_bucket / "pets", dirs_exist_ok=True)
    handler = functools.partial(Handler, directory=folder, private_bucket=private_bucket, access_key=access_key)
    http.server.ThreadingHTTPServer(("", int(port)), handler).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
