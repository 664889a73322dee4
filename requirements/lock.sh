#!/bin/sh
# Regenerates the lock files from pyproject.toml: with hashes, without a registry's address.
set -eu
cd "$(dirname "$0")/.."
compile() {
    output=$1
    shift
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
        --no-header --no-annotate "$@" pyproject.toml --output-file "requirements/$output"
}
compile dev.txt --extra operator --extra runtime --group lint --group test --group bench
compile operator.txt --extra operator --constraint requirements/dev.txt
compile runtime.txt --extra runtime --constraint requirements/dev.txt
compile clients.txt --group clients
compile go.txt --group go
compile schemathesis.txt --group schemathesis
compile s3-server.txt --group s3-server
