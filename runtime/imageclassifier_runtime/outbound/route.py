"""The way to a server, directly or through a proxy, and the HTTP connection over it."""

from __future__ import annotations

import dataclasses
import http.client
import ssl
from typing import TYPE_CHECKING, Any

from imageclassifier_runtime.errors import error_text
from imageclassifier_runtime.outbound.tunnel import ProxyRefusedError, TlsInTls, open_tunnel

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from imageclassifier_runtime.settings.proxies import Proxies, Proxy

_HTTP_PORT = 80


@dataclasses.dataclass(frozen=True)
class Route:
    """The way to a server; `proxy` is None if requests use none. `str()` names the proxy, for messages."""

    secure: bool
    host: str
    port: int
    proxy: Proxy | None

    @classmethod
    def to(cls, scheme: str, host: str, port: int, proxies: Proxies) -> Route:
        """Return the way to the server of an http or https URL."""
        return cls(scheme == "https", host, port, proxies.find(scheme, host, port))

    def __str__(self) -> str:
        """Return nothing without a proxy, so that it can follow the name of the server."""
        return f" through the proxy {self.proxy}" if self.proxy else ""

    @property
    def secure_proxy(self) -> bool:
        """Whether the connection to the proxy uses TLS."""
        return self.proxy is not None and self.proxy.scheme == "https"

    @property
    def is_forwarded(self) -> bool:
        """Whether the proxy forwards single requests, because they are not encrypted. It may respond itself."""
        return self.proxy is not None and not self.secure

    @property
    def address(self) -> tuple[str, int]:
        """Return the host and port to connect to: those of the proxy if there is one."""
        return (self.proxy.host, self.proxy.port) if self.proxy else (self.host, self.port)

    def request_target(self, path: str) -> str:
        """Return what the request line has: the path or, for a proxy that forwards the request, the whole URL.

        A proxy takes the header `Host` from that URL, so it has no default port, as the header that S3 signs.
        """
        authority = self._host if self.port == _HTTP_PORT else self._authority
        return f"http://{authority}{path}" if self.is_forwarded else path

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the headers for a proxy that forwards the request. In a tunnel, the server would get them."""
        if self.proxy is None or self.proxy.authorization is None or not self.is_forwarded:
            return {}
        return {"Proxy-Authorization": self.proxy.authorization}

    def connection(
        self, raw: socket.socket, context: ssl.SSLContext | None, *, proxy_context: ssl.SSLContext | None
    ) -> http.client.HTTPConnection:
        """Return an HTTP connection over `raw`, a socket that is connected to `address`; raises OSError.

        `context` is for TLS with the server, `proxy_context` for TLS with the proxy; None is for no TLS.
        """
        connection = http.client.HTTPConnection(self.host, self.port)
        stream = raw
        try:
            if self.proxy is not None and proxy_context is not None:
                stream = _proxy_stream(raw, proxy_context, self.proxy.host)
            if self.proxy is not None and context is not None:
                open_tunnel(stream, self.proxy, self._authority)
            connection.sock = stream if context is None else _with_tls(stream, context, self.host)
        except BaseException:
            stream.close()
            raise
        return connection

    def check_response(self, response: http.client.HTTPResponse) -> None:
        """Raise ProxyRefusedError for a 407 of the proxy that forwarded the request."""
        if self.proxy is not None and self.is_forwarded and response.status == 407:
            raise ProxyRefusedError(self.proxy, "request", response.status, response.reason)

    @property
    def _host(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def _authority(self) -> str:
        return f"{self._host}:{self.port}"


def _proxy_stream(raw: socket.socket, context: ssl.SSLContext, host: str) -> ssl.SSLSocket:
    """Return the stream with TLS; the error says that it is about the proxy, not about the server."""
    try:
        return context.wrap_socket(raw, server_hostname=host)
    except ssl.SSLError as error:
        raise OSError(f"TLS with the proxy failed: {error_text(error)}") from error


def _with_tls(stream: socket.socket, context: ssl.SSLContext, host: str) -> Any:
    """Return the stream with TLS; typed as Any, because http.client has sockets only."""
    if isinstance(stream, ssl.SSLSocket):
        return TlsInTls(stream, context, host)
    return context.wrap_socket(stream, server_hostname=host)
