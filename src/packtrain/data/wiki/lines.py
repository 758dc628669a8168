"""lines of half-cleaned wikitext → headings, list items and paragraphs, without sections of sources and empty ones"""

from __future__ import annotations


def prose_lines(text: str, skip_sections: frozenset[str]) -> tuple[str, int]:
    """The prose, and how many sections went: those headed by one of `skip_sections` (lower case), and the empty.

    List markers become "- ", indentation goes; lines of broken tables and rulers go.
    """
    out: list[str] = []
    headings: list[tuple[int, str]] = []  # seen, but nothing has stood under them yet
    skipping, gone = 0, 0  # skipping: the level of the heading whose section is passed over
    for line in text.split("\n"):
        line = line.strip()
        if not line:
            if out and out[-1]:
                out.append("")
            continue
        first = line[0]
        if first == "=" and (heading := heading_of(line)):
            level, title = heading
            if skipping and level > skipping:
                continue
            while headings and headings[-1][0] >= level:
                headings.pop()
                gone += 1
            skipping = level if title.lower().rstrip(":") in skip_sections else 0
            gone += bool(skipping)
            if not skipping:
                headings.append(heading)
            continue
        if skipping or first in "|!" or line.startswith(("{|", "----")):
            continue
        if first in "*#:;":
            item = line.lstrip("*#:; ")
            if not any(c.isalnum() or c == "\0" for c in item):
                continue
            line = f"- {item}" if first in "*#" else item
        for _, title in headings:
            if out and out[-1]:
                out.append("")
            out += [title, ""]
        headings.clear()
        out.append(line)
    return "\n".join(out).strip(), gone + len(headings)


def heading_of(line: str) -> tuple[int, str] | None:
    """(level, title) of `== title ==`; None where the line is no heading."""
    bare = line.strip("=")
    level = min(len(line) - len(line.lstrip("=")), len(line) - len(line.rstrip("=")), 6)
    title = bare.strip()
    return (level, title) if level and title else None
