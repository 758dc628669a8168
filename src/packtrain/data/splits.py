"""few documents → train and held out, both with something in them, whatever the sizes"""

from __future__ import annotations

from dataclasses import replace

from packtrain.data.documents import Document, key_number

FEW = 200  # with fewer documents than this, chance may hold out none of them, or all
LONG_LINE = 1000


def known_by(document: Document) -> str:
    """By what a document's own split is remembered: files from elsewhere may number their lines alike."""
    return f"{document.id}\0{key_number(document.text):016x}"


def both_splits(documents: list[Document], held_out: float) -> list[Document]:
    """Few documents with a split each: about `held_out` of their characters is held out, whatever the sizes.

    Documents that say their split keep it. Of the others, whole ones are held out in the order of their hash while
    they fit; where that is not enough the end of the longest is cut off, at a line.
    """
    free = [at for at, document in enumerate(documents) if document.split is None]  # places: an id may come twice
    free.sort(key=lambda at: key_number(documents[at].id))
    sizes = [len(document.text) for document in documents]
    wanted = held_out * sum(sizes) - sum(len(d.text) for d in documents if d.split == "held_out")
    held: set[int] = set()
    seen = 0
    for at in free:
        if seen + sizes[at] <= 1.5 * wanted and len(held) + 1 < len(documents):
            held.add(at)
            seen += sizes[at]
    done = [replace(d, split=d.split or ("held_out" if at in held else "train")) for at, d in enumerate(documents)]
    rest = [at for at in free if at not in held]
    if seen >= wanted / 2 or not rest:
        return done
    longest = max(rest, key=lambda at: sizes[at])
    halves = _cut_in_two(documents[longest], wanted - seen)
    if len(halves) == 1 and len(documents) > 1 and not held:  # one line each: the shortest goes whole
        shortest = min(rest, key=lambda at: sizes[at])
        return [replace(d, split="held_out") if at == shortest else d for at, d in enumerate(done)]
    return [*done[:longest], *halves, *done[longest + 1 :]]


def _cut_in_two(document: Document, characters: float) -> list[Document]:
    """The document without its last lines of about so many characters, and those; whole where it has one line."""
    lines = document.text.splitlines(keepends=True)
    cut, tail = len(lines), 0
    while cut > 1 and tail < characters:
        cut -= 1
        tail += len(lines[cut])
    at = len(document.text) - tail
    if tail > LONG_LINE and tail > 2 * characters:  # a page in one line below its title: that is cut at a blank
        at = document.text.find(" ", len(document.text) - int(characters)) + 1 or len(document.text) - int(characters)
    halves = (document.text[:at], "train"), (document.text[at:], "held_out")
    if not all(text.strip() for text, _ in halves):
        return [replace(document, split="train")]
    return [replace(document, id=f"{document.id}#{split}", text=text, split=split) for text, split in halves]
