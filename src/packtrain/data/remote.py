"""fsspec URL → the files below it, their state, their bytes; s3://, gs://, https://, memory://, file://"""

from __future__ import annotations

from typing import Any, BinaryIO

from packtrain.errors import UserError


def find(url: str) -> list[str]:
    """The URLs of the files at or below `url`, sorted. Raises `UserError`: unreachable, missing, nothing there."""
    import fsspec  # 50 ms that local files need not pay

    try:
        system, path = fsspec.core.url_to_fs(url)
        # Over http a folder's list is a page, and every page a file: its address ends with a slash, asked or sent on.
        alone = system.isfile(path) and not str(system.info(path).get("url", "")).endswith("/")
        found = [path] if alone else sorted(file for file in system.find(path) if file.rstrip("/") != path.rstrip("/"))
        urls = [str(system.unstrip_protocol(file)) for file in found]
        if not urls:
            _reach(system, path)
    except Exception as error:  # whatever a file system raises: no network, no such bucket, no plug-in
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"input={url}: cannot be reached ({reason}); check the address and your access") from None
    if not urls:
        raise UserError(f"input={url}: no files there; check the address")
    return urls


def _reach(system: Any, path: str) -> None:
    """Raises what a file system keeps to itself when it finds nothing: http takes a server that is not there for a
    missing file. A file that is missing raises nothing."""
    try:
        system.info(path)
    except FileNotFoundError as error:
        if error.__cause__ is not None and getattr(error.__cause__, "status", None) != 404:
            raise error.__cause__ from None


def is_file(url: str) -> bool:
    """Whether `url` is one file. Raises as `find` does."""
    return find(url) == [_canonical(url)]


def name_below(url: str, source: str) -> str:
    """The part of `url`, one that `find` gave, below `source`; its last part where it is `source` itself."""
    root = _canonical(source).rstrip("/") + "/"
    return url.removeprefix(root) if url.startswith(root) else url.rsplit("/", 1)[-1]


def _canonical(url: str) -> str:
    system, path = _open(url)
    return str(system.unstrip_protocol(path))


def state(url: str) -> tuple[int, str]:
    """(size in bytes, a word that changes when the file does), as far as the file system tells."""
    system, path = _open(url)
    info = system.info(path)
    changed = next((str(info[key]) for key in ("etag", "ETag", "mtime", "LastModified", "created") if key in info), "")
    return int(info.get("size") or 0), changed


def open_url(url: str) -> BinaryIO:
    system, path = _open(url)
    return system.open(path, "rb")


def _open(url: str) -> tuple[Any, str]:
    import fsspec

    return fsspec.core.url_to_fs(url)
