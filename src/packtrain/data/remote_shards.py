"""data.path=s3://bucket/pack → CACHE/remote-<hash>/: manifest, tokenizer and indexes now, each shard when it is read

Shards are fetched through fsspec into the cache, compared with the manifest's sha256, and published by rename. Beyond
`limit` bytes those that were longest not asked for go; one that is mapped stays readable until it is let go. Several
processes may share a cache: each fetches by itself what it does not find.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from pathlib import Path

from packtrain.data.manifest import MANIFEST, TOKENIZER, FileRecord, check_file, load_manifest
from packtrain.errors import Failure, UserError

ORIGIN = "remote.json"
INDEX = "index.json"
CACHE_BYTES = 20 << 30


def local_pack(path: str, cache: Path = Path("data/cache"), limit: int = CACHE_BYTES) -> Path:
    """A folder that reads as the pack at `path`; `path` itself where that is no URL.

    Raises `UserError` where the URL cannot be reached or holds no pack.
    """
    if "://" not in path:
        return Path(path)
    url = path.rstrip("/")
    folder = cache / f"remote-{hashlib.sha256(url.encode()).hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    origin = folder / ORIGIN
    _write(origin, json.dumps({"url": url, "limit": limit}).encode())
    _write(folder / MANIFEST, _read(f"{url}/{MANIFEST}", "data.path"))
    if not (folder / TOKENIZER).exists():
        _write(folder / TOKENIZER, _read(f"{url}/{TOKENIZER}", "data.path"))
    for domain in load_manifest(folder).domains.values():
        for split in (domain.train, domain.held_out):
            for name, record in split.files.items():
                if name.endswith(INDEX):
                    fetch(folder, name, record)
    return folder


def is_remote(folder: Path) -> bool:
    return (folder / ORIGIN).is_file()


def fetch(folder: Path, name: str, record: FileRecord) -> Path:
    """The file `name` of a remote pack, from the cache or from where it lies. Raises `Failure` where it is damaged."""
    path = folder / name
    try:
        if path.stat().st_size == record.bytes:
            os.utime(path)  # the newest now
            return path
    except OSError:
        pass
    origin = json.loads((folder / ORIGIN).read_text())
    path.parent.mkdir(parents=True, exist_ok=True)
    if not name.endswith(INDEX):
        _make_room(folder, origin["limit"] - record.bytes)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        temporary.write_bytes(_read(f"{origin['url']}/{name}", "data.path"))
        check_file(temporary, record, checksum=True)
        temporary.replace(path)
    except Failure:
        raise Failure(f"{origin['url']}/{name}: is not what its manifest says; pack it again") from None
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _make_room(folder: Path, limit: int) -> None:
    """Removes the shards that were longest not asked for until the rest take `limit` bytes."""
    found = []
    for path in folder.glob("*/*/*.bin"):
        try:
            state = path.stat()
        except FileNotFoundError:  # another process was faster
            continue
        found.append((state.st_mtime_ns, state.st_size, path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= limit:
            break
        path.unlink(missing_ok=True)
        total -= size


def _read(url: str, setting: str) -> bytes:
    import fsspec  # 50 ms that local packs need not pay

    try:
        with fsspec.open(url, "rb") as file:
            return file.read()  # pyright: ignore[reportAttributeAccessIssue]
    except Exception as error:  # whatever a file system raises: no network, no such bucket, no plug-in
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"{setting}={url}: cannot be reached ({reason}); check the address and your access") from None


def _write(path: Path, content: bytes) -> None:
    """By rename, and only where it differs: a manifest that stays keeps its time."""
    if path.exists() and path.read_bytes() == content:
        return
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    temporary.write_bytes(content)
    temporary.replace(path)
