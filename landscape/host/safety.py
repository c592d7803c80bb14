"""Who may talk to the scheduler and the workers of this machine: those who have the key of the run, and nobody else."""

from __future__ import annotations

import json
from typing import Any, NamedTuple


class Terms(NamedTuple):
    """What a local worker must know to be let in.

    Attributes:
        address: Of the scheduler.
        key: The private key, PEM.
        certificate: The certificate that goes with it and is the only authority, PEM.
    """

    address: str
    key: str
    certificate: str

    def line(self) -> bytes:
        """These terms as one line, which a worker is told on its standard input: a pipe that no other user reads."""
        return json.dumps(self).encode() + b"\n"


def made() -> tuple[str, str]:
    """A new key and its certificate, PEM; kept in memory only."""
    from distributed.security import Security

    temporary: Any = Security.temporary()
    return temporary.tls_worker_key, temporary.tls_worker_cert


def security(key: str, certificate: str) -> Any:
    """What dask needs in order to speak with this key only, in every role."""
    from distributed.security import Security

    roles = {}
    for role in ("client", "scheduler", "worker"):
        roles |= {f"tls_{role}_key": key, f"tls_{role}_cert": certificate}
    return Security(require_encryption=True, tls_ca_file=certificate, **roles)


def without_pages(node: type) -> Any:
    """The class of scheduler or worker without its HTTP server, which anyone could read from."""
    return type(node.__name__, (node,), {"start_http_server": lambda *_, **__: None})
