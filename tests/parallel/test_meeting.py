"""Processes that do not find each other say so after a time that can be set, not after half an hour"""

import socket
import threading
import time

import pytest

from packtrain.errors import Failure, UserError
from packtrain.parallel.config import ParallelConfig
from packtrain.parallel.meeting import meet


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    """One that nobody listens at, as the launcher would say it."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        number = listener.getsockname()[1]
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(number))
    monkeypatch.delenv("TORCHELASTIC_USE_AGENT_STORE", raising=False)
    return number


def test_a_name_without_an_address_is_named(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(host: str, *_: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setenv("MASTER_ADDR", "n17")
    monkeypatch.setattr("socket.getaddrinfo", unknown)
    begin = time.monotonic()
    with pytest.raises(Failure, match=r"MASTER_ADDR=n17 has no address on .+ \(Name or service not known\): export"):
        meet(1, 2, seconds=1.5)
    assert 1.5 <= time.monotonic() - begin < 5


def test_a_process_that_does_not_come_is_said_after_the_time_that_was_set(port: int) -> None:
    begin = time.monotonic()
    with pytest.raises(Failure, match=r"rank 0 on .+: the 3 .+ in parallel.join_seconds=1: .*1/3 clients joined"):
        meet(0, 3, seconds=1.0)
    assert time.monotonic() - begin < 15


def test_two_that_come_share_a_store(port: int) -> None:
    found = {}
    other = threading.Thread(target=lambda: found.update(store=meet(1, 2, seconds=60.0)))
    other.start()
    store = meet(0, 2, seconds=60.0)
    store.set("said", "by the first")
    other.join()
    assert found["store"].get("said") == b"by the first"


def test_no_time_is_refused() -> None:
    with pytest.raises(UserError, match="join_seconds=0: expected more than 0"):
        ParallelConfig(join_seconds=0)
