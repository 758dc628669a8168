"""every shard against its checksum, beside the start of a run: nothing that was trained on damaged shards is ever saved

sizes at once ─→ small packs: checksums at once ─→ larger ones: in a thread; `check` at every step, `wait` before a save

So a run starts as fast on a large corpus as on a small one, and a flipped byte still ends it before its first
checkpoint. Packs beyond `CHECKED_BYTES` are compared by size alone: hashing terabytes would outlast the run.
"""

from __future__ import annotations

import threading
from pathlib import Path

from packtrain.data.manifest import FileRecord, Manifest, check_file, check_own_tokenizer, load_manifest, verify
from packtrain.errors import Failure

AT_ONCE_BYTES = 64 << 20  # a tenth of a second
CHECKED_BYTES = 4 << 30  # a few seconds of one core


class Integrity:
    """The check of one pack. Raises at once for sizes, for the tokenizer, and for the checksums of a small pack."""

    def __init__(self, directory: str | Path) -> None:
        self.manifest: Manifest = load_manifest(directory)
        splits = [split for domain in self.manifest.domains.values() for split in (domain.train, domain.held_out)]
        files = [(Path(directory) / name, record) for split in splits for name, record in split.files.items()]
        self.bytes = sum(record.bytes for _, record in files)
        verify(directory, checksums=self.bytes <= AT_ONCE_BYTES)
        check_own_tokenizer(directory, self.manifest)
        self._failure: Failure | None = None
        self._thread: threading.Thread | None = None
        if AT_ONCE_BYTES < self.bytes <= CHECKED_BYTES:
            self._thread = threading.Thread(target=self._run, args=(files,), name="checksums", daemon=True)
            self._thread.start()

    def _run(self, files: list[tuple[Path, FileRecord]]) -> None:
        try:
            for path, record in files:
                check_file(path, record, checksum=True)
        except Failure as failure:
            self._failure = failure
        except OSError as error:
            self._failure = Failure(f"{error.filename}: shard cannot be read ({error}); pack again with overwrite=true")

    def check(self) -> None:
        """Raises `Failure` naming the shard where damage has been found; never waits."""
        if self._failure:
            raise self._failure

    def wait(self) -> Manifest:
        """Until every file has been compared. Raises `Failure` naming the first that differs."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.check()
        return self.manifest
