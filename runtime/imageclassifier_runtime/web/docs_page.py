"""`/docs`: the OpenAPI document as one page without external scripts, for clusters without internet access."""

from __future__ import annotations

import json
from html import escape
from typing import Any

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;
background:#fff}
h2{margin-top:2.5rem;border-top:1px solid #d0d7de;padding-top:1rem;font-size:1.1rem}
code,pre{font:14px/1.45 ui-monospace,monospace;background:#f3f4f6;border-radius:4px}
code{padding:.1em .3em}pre{padding:.8em;overflow-x:auto}
.m{display:inline-block;min-width:3.2rem;font-weight:700;color:#0b5cad}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.3em .6em .3em 0}
th{font-weight:600;border-bottom:1px solid #d0d7de}
@media (prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}code,pre{background:#1c2128}
.m{color:#6cb6ff}h2,th{border-color:#373e47}}
"""
_KEYS = (
    "<p>An API key is required for every request except health, metrics and this page: "
    "<code>Authorization: Bearer KEY</code> or <code>X-API-Key: KEY</code>.</p>"
)
_EXAMPLES = {
    "/api/v1/classify": (
        "curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' 'http://HOST/api/v1/classify?top_k=3'\n"
        "curl -F file=@photo.jpg -F top_k=3 http://HOST/api/v1/classify"
    ),
    "/api/v1/classify/batch": "curl -F file=@one.jpg -F file=@two.jpg -F top_k=3 http://HOST/api/v1/classify/batch",
    "/v2/models/{name}/infer": (
        "curl --data-binary @photo.jpg -H 'Inference-Header-Content-Length: 0' http://HOST/v2/models/NAME/infer"
    ),
    "/v1/models/{name}:predict": (
        'echo \'{"instances": [{"b64": "\'$(base64 -w0 photo.jpg)\'"}]}\' |'
        " curl -d @- http://HOST/v1/models/NAME:predict"
    ),
}


def render(document: dict[str, Any]) -> str:
    """Return the page for an OpenAPI document."""
    info, schemas = document["info"], document["components"]["schemas"]
    sections = [
        _operation(path, method, operation, schemas)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(info['title'])} API</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info.get('description', ''))}</p>"
        '<p>Machine-readable: <a href="openapi.json">openapi.json</a>. Metrics: <a href="metrics">metrics</a>.</p>'
        f"{_KEYS if document.get('security') else ''}{''.join(sections)}</body></html>"
    )


def _operation(path: str, method: str, operation: dict[str, Any], schemas: dict[str, Any]) -> str:
    parts = [
        (
            f'<h2><span class="m">{method.upper()}</span> <code>{escape(path)}</code> '
            f"{escape(operation.get('summary', ''))}</h2>"
        ),
        f"<p>{escape(operation.get('description', ''))}</p>",
    ]
    if path in _EXAMPLES:
        parts.append(f"<pre>{escape(_EXAMPLES[path])}</pre>")
    parameters = operation.get("parameters", [])
    if parameters:
        rows = "".join(
            f"<tr><td><code>{escape(item['name'])}</code></td><td>{escape(item['in'])}</td>"
            f"<td>{escape(_range(item['schema']))}</td>"
            f"<td>{escape(item.get('description') or item['schema'].get('description', ''))}</td></tr>"
            for item in parameters
        )
        parts.append(f"<table><tr><th>Parameter</th><th>In</th><th>Type</th><th></th></tr>{rows}</table>")
    if "requestBody" in operation:
        media = ", ".join(f"<code>{escape(kind)}</code>" for kind in operation["requestBody"]["content"])
        parts.append(f"<p>Body: {media}</p>")
    rows = "".join(_response(code, answer) for code, answer in sorted(operation["responses"].items()))
    parts.append(f"<table><tr><th>Status</th><th>When</th><th>Type</th></tr>{rows}</table>")
    good = operation["responses"].get("200", {}).get("content", {}).get("application/json")
    if good:
        example = json.dumps(_sample(good["schema"], schemas), indent=2, ensure_ascii=False)
        parts.append(f"<details><summary>Example response</summary><pre>{escape(example)}</pre></details>")
    return "".join(parts)


def _response(code: str, answer: dict[str, Any]) -> str:
    media = ", ".join(answer.get("content", {}))
    return (
        f"<tr><td>{escape(code)}</td><td>{escape(answer['description'])}</td>"
        f"<td><code>{escape(media)}</code></td></tr>"
    )


def _range(schema: dict[str, Any]) -> str:
    text = str(schema.get("type", ""))
    if "minimum" in schema:
        text += f" {schema['minimum']}–{schema['maximum']}, default {schema.get('default')}"
    return text


def _sample(schema: dict[str, Any], schemas: dict[str, Any]) -> object:
    """Return an example; of several alternatives it is the first."""
    match schema:
        case {"$ref": reference}:
            return _sample(schemas[reference.rpartition("/")[2]], schemas)
        case {"anyOf": [first, *_]}:
            return _sample(first, schemas)
        case {"const": value} | {"enum": [value, *_]}:
            return value
        case {"type": "object"}:
            return {name: _sample(part, schemas) for name, part in schema.get("properties", {}).items()}
        case {"type": "array"}:
            return [_sample(schema["items"], schemas)]
        case {"type": "integer"}:
            return 0
        case {"type": "number"}:
            return 0.0
        case {"type": "boolean"}:
            return True
        case _:
            return "…"
