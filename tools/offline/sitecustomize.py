"""Refuse connections that leave this machine; on the path of every Python that the tests start."""

import ipaddress
import socket
from typing import Any

connect, connect_ex, getaddrinfo = (
    socket.socket.connect,
    socket.socket.connect_ex,
    socket.getaddrinfo,
)


def is_local(host: Any) -> bool:
    """Whether a host name or address is this machine."""
    if host in (None, "", b"", "localhost", b"localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.decode() if isinstance(host, bytes) else host)
    except ValueError:
        return host == socket.gethostname()
    return address.is_loopback or address.is_unspecified


def check(host: Any) -> None:
    """Raise for a foreign host."""
    if not is_local(host):
        raise OSError(f"the tests run without a network, yet something asked for {host!r}")


def guarded(original: Any) -> Any:
    """A method of socket that checks the address first."""

    def method(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            check(address[0])
        return original(self, address)

    return method


def guarded_getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
    """Look up names of this machine only."""
    check(host)
    return getaddrinfo(host, *args, **kwargs)


def install() -> None:
    """Put the guard in place."""
    socket.socket.connect = guarded(connect)  # type: ignore[method-assign]
    socket.socket.connect_ex = guarded(connect_ex)  # type: ignore[method-assign]
    socket.getaddrinfo = guarded_getaddrinfo


install()
