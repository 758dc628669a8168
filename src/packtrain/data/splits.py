"""few documents → train and held out, both with something in them, whatever the sizes"""

from __future__ import annotations

from dataclasses import replace

from packtrain.data.documents import Document, key_number

FEW = 200  # with fewer documents than this, chance may hold out none of them, or all


def both_splits(documents: list[Document], held_out: float) -> list[Document]:
    """Few documents with a split each: about `held_out` of their characters is held out, whatever the sizes.

    Documents that say their split keep it. Of the others, whole ones are held out in the order of their hash while
    they fit; where that is not enough the end of the longest is cut off, at a line.
    """
    free = sorted((d for d in documents if d.split is None), key=lambda d: key_number(d.id))
    wanted = held_out * sum(len(d.text) for d in documents) - sum(
        len(d.text) for d in documents if d.split == "held_out"
    )
    held: set[str] = set()
    seen = 0
    for document in free:
        if seen + len(document.text) <= 1.5 * wanted and len(held) + 1 < len(documents):
            held.add(document.id)
            seen += len(document.text)
    done = [replace(d, split=d.split or ("held_out" if d.id in held else "train")) for d in documents]
    rest = [d for d in free if d.id not in held]
    if seen >= wanted / 2 or not rest:
        return done
    longest = max(rest, key=lambda d: len(d.text))
    halves = _cut_in_two(longest, wanted - seen)
    if len(halves) == 1 and len(documents) > 1 and not held:  # one line each: the shortest goes whole
        shortest = min(rest, key=lambda d: len(d.text))
        return [replace(d, split="held_out") if d.id == shortest.id else d for d in done]
    return [half for d in done for half in (halves if d.id == longest.id else [d])]


def _cut_in_two(document: Document, characters: float) -> list[Document]:
    """The document without its last lines of about so many characters, and those; whole where it has one line."""
    lines = document.text.splitlines(keepends=True)
    cut, tail = len(lines), 0
    while cut > 1 and tail < characters:
        cut -= 1
        tail += len(lines[cut])
    halves = ("".join(lines[:cut]), "train"), ("".join(lines[cut:]), "held_out")
    if not all(text.strip() for text, _ in halves):
        return [replace(document, split="train")]
    return [replace(document, id=f"{document.id}#{split}", text=text, split=split) for text, split in halves]
