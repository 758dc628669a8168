"""WARC and WET made in memory, and where the real ones are; for the tests of web pages"""

import gzip
import os
from pathlib import Path

import pytest

from packtrain.data.documents import Document

CORPORA = Path(os.environ.get("PACKTRAIN_TEST_DATA", Path(__file__).parents[3] / "shared/data")) / "corpora"


def corpus(name: str) -> Path:
    """A folder of the shared corpora; the test is skipped where it is absent."""
    if not (CORPORA / name).exists():
        pytest.skip(f"{CORPORA / name} is not here; set PACKTRAIN_TEST_DATA")
    return CORPORA / name


def record(body: bytes, kind: str = "conversion", url: str = "http://a.org/", length: object = None) -> bytes:
    head = f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {url}\r\nWARC-Date: 2019-03-18T00:00:00Z\r\n"
    size = len(body) if length is None else length
    return f"{head}Content-Type: text/plain\r\nContent-Length: {size}\r\n\r\n".encode() + body + b"\r\n\r\n"


def response(body: bytes, headers: str = "Content-Type: text/html\r\n", status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\n{headers}\r\n".encode() + body


def wet(texts: list[str]) -> bytes:
    return b"".join(gzip.compress(record(text.encode(), url=f"http://a.org/{i}")) for i, text in enumerate(texts))


def document(text: str, identity: str = "1", source: str = "test") -> Document:
    return Document(identity, text, "test", source)
