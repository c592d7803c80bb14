"""Nobody is let in: what listens during a run is on the loopback interface, and answers those with its key only."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
import ssl
import sys
from pathlib import Path

import psutil
import pytest
from distributed.comm.core import connect
from distributed.security import Security

from landscape.host import cluster, safety

pytestmark = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="sockets are looked up in /proc")
LISTENING = "0A"


def address_of(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address in a line of /proc/net/tcp or tcp6: words of four bytes, each in the order of the machine."""
    words = [bytes.fromhex(text[i : i + 8]) for i in range(0, len(text), 8)]
    packed = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    return ipaddress.ip_address(packed)


def listening(pids: list[int]) -> list[tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]]:
    """Addresses and ports on which these processes wait for others."""
    inodes = set()
    for pid in pids:
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                inodes.add(os.readlink(handle))
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and f"socket:[{fields[9]}]" in inodes:
                address, port = fields[1].split(":")
                found.append((address_of(address), int(port, 16)))
    return found


@pytest.fixture(scope="module")
def local():
    """Two workers and their scheduler, and where all three listen."""
    before = set(listening([os.getpid()]))
    with cluster.pool(workers=2) as pool:
        assert pool is not None
        pool.ready()
        pids = [os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))]
        yield pool, sorted(set(listening(pids)) - before, key=str)


def test_the_look_sees_a_socket_that_is_open_to_all():
    with socket.create_server(("0.0.0.0", 0)) as server:
        assert (ipaddress.ip_address("0.0.0.0"), server.getsockname()[1]) in listening([os.getpid()])


def test_scheduler_and_workers_listen_on_this_machine_only_and_have_no_pages(local):
    _, ports = local
    assert len(ports) == 3, "a scheduler and two workers, and no HTTP server beside them"
    assert all(address.is_loopback for address, _ in ports)


async def identity(address: str, security) -> object:
    """What answers there, as dask's own client asks it."""
    comm = await connect(address, timeout=2, **security.get_connection_args("client"))
    try:
        await comm.write({"op": "identity", "reply": True})
        return await asyncio.wait_for(comm.read(), 2)
    finally:
        comm.abort()


def test_with_the_key_all_answer_and_without_it_none(local):
    pool, ports = local
    for _, port in ports:
        said = asyncio.run(identity(f"tls://127.0.0.1:{port}", pool.client.security))
        assert said["type"] in ("Scheduler", "Worker")
        stranger = safety.security(*safety.made())
        for address, security in ((f"tcp://127.0.0.1:{port}", Security()), (f"tls://127.0.0.1:{port}", stranger)):
            with pytest.raises((OSError, asyncio.TimeoutError)):
                asyncio.run(identity(address, security))


def test_no_certificate_at_all_ends_the_talk(local):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for _, port in local[1]:
        assert answer(port, context) == b""


def answer(port: int, context: ssl.SSLContext) -> bytes:
    """The first byte that comes back, none where the talk is ended."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
        try:
            with context.wrap_socket(plain) as talk:
                talk.sendall(b"GET / HTTP/1.0\r\n\r\n")  # with TLS 1.3 the refusal comes with the first answer
                return talk.recv(1)
        except (ssl.SSLError, ConnectionError):
            return b""


def test_the_key_is_on_no_command_line_and_in_no_environment(local):
    children = psutil.Process().children(recursive=True)
    assert len(children) >= 2
    for child in children:
        assert "PRIVATE KEY" not in " ".join(child.cmdline()) + str(child.environ())
