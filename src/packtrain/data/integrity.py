"""every shard against its checksum, beside the start of a run: nothing that was trained on damaged shards is ever saved

sizes at once ─→ small packs: checksums at once ─→ larger ones: in a thread; `check` at every step, `wait` before a save

So a run starts as fast on a large corpus as on a small one, and a flipped byte still ends it before its first
checkpoint. Packs beyond `CHECKED_BYTES` are compared by size alone: hashing terabytes would outlast the run. Of packs
with more than `AT_ONCE_FILES` the sizes too are compared in the thread, and of remote ones when a shard is fetched.
"""

from __future__ import annotations

import threading
from pathlib import Path

from packtrain.data.manifest import (
    AT_ONCE_FILES,
    FileRecord,
    Manifest,
    check_file,
    check_own_tokenizer,
    check_sizes,
    load_manifest,
)
from packtrain.data.remote_shards import is_remote
from packtrain.errors import Failure

AT_ONCE_BYTES = 64 << 20  # a tenth of a second
CHECKED_BYTES = 4 << 30  # a few seconds of one core


class Integrity:
    """The check of one pack. Raises at once for sizes, for the tokenizer, and for the checksums of a small pack."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self.manifest: Manifest = load_manifest(directory)
        splits = [split for domain in self.manifest.domains.values() for split in (domain.train, domain.held_out)]
        files = {name: record for split in splits for name, record in split.files.items()}
        self.bytes = sum(record.bytes for record in files.values())
        check_own_tokenizer(directory, self.manifest)
        self._failure: Failure | None = None
        self._thread: threading.Thread | None = None
        if is_remote(self.directory):
            return
        late = len(files) > AT_ONCE_FILES
        if not late:
            check_sizes(directory, files)
        if self.bytes <= AT_ONCE_BYTES and not late:
            self._checksums(files)
        elif late or self.bytes <= CHECKED_BYTES:
            self._thread = threading.Thread(target=self._run, args=(files, late), name="checksums", daemon=True)
            self._thread.start()

    def _checksums(self, files: dict[str, FileRecord]) -> None:
        for name, record in files.items():
            check_file(self.directory / name, record, checksum=True)

    def _run(self, files: dict[str, FileRecord], sizes: bool) -> None:
        try:
            if sizes:
                check_sizes(self.directory, files)
            if self.bytes <= CHECKED_BYTES:
                self._checksums(files)
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
