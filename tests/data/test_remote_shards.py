"""a pack at a URL is read like one on the disk, within a bounded cache; one of 1.4 T tokens opens in seconds"""

from __future__ import annotations

import functools
import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import psutil
import pytest

from packtrain.data.integrity import Integrity
from packtrain.data.manifest import Domain, FileRecord, Manifest, Split, file_sha256, save_manifest
from packtrain.data.mixture import Mixture
from packtrain.data.remote_shards import local_pack
from packtrain.data.shards import Shards, open_blocks, write_shards
from packtrain.errors import Failure, UserError


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve chunks of some 2 kB."""
    folder = tmp_path_factory.mktemp("remote") / "pack"
    documents = [(list(np.random.default_rng(i).integers(3, 300, 100)), 300) for i in range(120)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("packtrain.data.shards.CHUNK_BYTES", 2100)
        splits = {s: write_shards(folder / "a" / s, documents, 300) for s in ("train", "held_out")}
    (folder / "tokenizer.model").write_bytes(b"model")
    fingerprint = file_sha256(folder / "tokenizer.model")
    save_manifest(folder, Manifest(1, 300, fingerprint, {}, {"a": Domain(**splits)}))
    return folder


@pytest.fixture(params=["memory", "http"])
def url(request: pytest.FixtureRequest, pack: Path) -> Iterator[str]:
    if request.param == "memory":
        system = fsspec.filesystem("memory")
        system.put(str(pack), "/pack", recursive=True)
        yield "memory://pack"
        system.rm("/pack", recursive=True)
        return

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(pack))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_remote_shards_give_the_same_blocks_within_a_bounded_cache(url: str, pack: Path, tmp_path: Path) -> None:
    limit = 7000
    folder = local_pack(url, tmp_path / "cache", limit)
    assert not list(folder.rglob("*.bin"))
    assert Integrity(folder).wait().fingerprint == Integrity(pack).wait().fingerprint
    ours, theirs = open_blocks(folder, "a", 64), open_blocks(pack, "a", 64)
    assert len(ours) == len(theirs) and len(list((pack / "a" / "train").glob("*.bin"))) > 10
    for block in np.random.default_rng(1).permutation(len(theirs)):
        assert ours[int(block)].tolist() == theirs[int(block)].tolist()
        assert sum(path.stat().st_size for path in folder.rglob("*.bin")) <= limit
    here = [d.tolist() for d in Shards(folder, "a", "held_out").documents()]
    assert here == [d.tolist() for d in Shards(pack, "a", "held_out").documents()]


def test_a_shard_that_is_not_what_the_manifest_says_is_never_read(pack: Path, tmp_path: Path) -> None:
    system = fsspec.filesystem("memory")
    system.put(str(pack), "/bad", recursive=True)
    chunk = next(name for name in system.find("/bad/a/train") if name.endswith(".bin"))
    system.pipe(chunk, b"x" * system.size(chunk))
    folder = local_pack("memory://bad", tmp_path)
    with pytest.raises(Failure, match=r"memory://bad/a/train/.*is not what its manifest says"):
        open_blocks(folder, "a", 64)[0]
    assert not list(folder.rglob("*.bin"))
    system.rm("/bad", recursive=True)


def test_a_url_that_cannot_be_reached_is_one_line(tmp_path: Path) -> None:
    for url in ("memory://nothing/here", "http://127.0.0.1:9/pack", "nosuch://pack"):
        with pytest.raises(UserError, match=rf"data\.path={url}.*cannot be reached .*; check the address"):
            local_pack(url, tmp_path)


def simulated(folder: Path, shards: int, tokens: int) -> int:
    """A pack of so many shards, of one document each, whose files are holes with a header; returns its tokens."""
    (folder / "c4" / "train").mkdir(parents=True)
    header = np.array([1, 12, 12 + 2 * tokens], np.uint32).tobytes()
    size, chunks, files = len(header) + 2 * tokens, [], {}
    for number in range(shards):
        name = f"chunk-{number}-0.bin"
        with (folder / "c4" / "train" / name).open("wb") as file:
            file.write(header)
            file.truncate(size)
        chunks.append({"chunk_bytes": size, "chunk_size": 1, "dim": tokens, "filename": name})
        files[f"c4/train/{name}"] = FileRecord(size, "0" * 64)
    index = json.dumps({"chunks": chunks, "config": {"data_format": ["no_header_tensor:20"]}})
    (folder / "c4" / "train" / "index.json").write_text(index)
    files["c4/train/index.json"] = FileRecord(len(index), "0" * 64)
    (folder / "tokenizer.model").write_bytes(b"x")
    train = Split(shards, shards * tokens, 4 * shards * tokens, files)
    fingerprint = file_sha256(folder / "tokenizer.model")
    save_manifest(folder, Manifest(1, 32_000, fingerprint, {}, {"c4": Domain(train, Split())}))
    return shards * tokens


@pytest.mark.slow
def test_1_4_trillion_tokens_in_100_000_shards_open_and_resume_in_five_seconds(tmp_path: Path) -> None:
    """Seconds of this thread: the machine may do other work beside."""
    tokens = simulated(tmp_path / "pack", 100_000, 14_000_000)
    assert tokens == 1_400_000_000_000
    process = psutil.Process()
    before, begun, wall = process.memory_info().rss, time.thread_time(), time.monotonic()
    integrity = Integrity(tmp_path / "pack")
    blocks = open_blocks(tmp_path / "pack", "c4", 2048)
    mixture = Mixture({"c4": 1.0}, {"c4": len(blocks)}, 1)
    _ = integrity.manifest.fingerprint
    last = len(blocks) - 2000  # a resume near the end, and a batch of 64 from there
    for g in range(last, last + 64):
        assert blocks[mixture.sample(g)[2]].shape == (2049,)
    seconds, grown = time.thread_time() - begun, process.memory_info().rss - before
    print(
        f"{len(blocks):,} blocks, {seconds:.2f} s ({time.monotonic() - wall:.2f} on the clock), {grown / 2**20:.0f} MiB"
    )
    assert len(blocks) == 683_593_749
    assert seconds < 5 and grown < 600 * 2**20
    integrity.wait()
