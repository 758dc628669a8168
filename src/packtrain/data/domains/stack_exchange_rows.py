"""Posts.xml, fed in pieces → its <row …/> elements as bytes with their offset → attributes

The file is one element after another, so it is cut by one regular expression instead of an XML parser: a damaged row is
passed over and the next one is found, nothing is held but the row at hand, and there are no entities to expand (a DTD
is not read: a row that uses an entity of its own is damaged).
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator

LONGEST_ROW = 4 << 20  # a post has at most 30 000 characters; with its tags and entities still far below this
# A value cannot hold a bare <, hence neither can a row. Possessive: every byte is looked at once.
ELEMENT = re.compile(rb"<!--.*?-->|<row(?=[\s/>])(?:[^<>\"']|\"[^\"<]*\"|'[^'<]*')*+>|<row(?=[\s/>])|<row\Z|<!--", re.S)
ATTRIBUTE = re.compile(rb"([A-Za-z_][\w.-]*)\s*=\s*(?:\"([^\"<]*)\"|'([^'<]*)')")
WHITE = bytes.maketrans(b"\t\n\r", b"   ")  # XML 1.0, 3.3.3: white space in an attribute's value is spaces
OWN_ENTITY = re.compile(r"&(?!(?:amp|lt|gt|quot|apos);)[A-Za-z_]\w*;")
NAMED = (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&apos;", "'"))
Skip = Callable[[str, int, str], None]


class Damaged(ValueError):
    """A row that holds no post; the reason in a few words."""


class Rows:
    """`feed` pieces of a file, in any encoding that its first bytes declare; gives its rows in UTF-8 with offsets.

    Offsets are bytes into the file (into its UTF-8 form, where it has another encoding).
    """

    def __init__(self, skip: Skip) -> None:
        self.skip = skip
        self._decoder: codecs.IncrementalDecoder | None = None
        self._begun = False
        self._buffer = b""
        self._offset = 0  # of the buffer's first byte
        self.found = False  # a row, whole or broken

    def feed(self, data: bytes, final: bool = False) -> Iterator[tuple[int, bytes]]:
        """(offset, `<row …/>`) of every row that ends in the bytes up to now. `final`: the file ends here."""
        if not self._begun:
            self._buffer += data
            if len(self._buffer) < 200 and not final:
                return
            data, self._buffer, self._begun = self._buffer, b"", True
            encoding = declared(data)
            if encoding:
                self._decoder = codecs.getincrementaldecoder(encoding)("replace")
        if self._decoder:
            data = self._decoder.decode(data, final).encode("utf-8", "replace")
        self._buffer += data
        yield from self._cut(final)

    def _cut(self, final: bool) -> Iterator[tuple[int, bytes]]:
        buffer, done = self._buffer, 0
        for match in ELEMENT.finditer(buffer):
            found, start = match[0], match.start()
            self.found = self.found or found.startswith(b"<row")
            if found.startswith(b"<row") and found.endswith(b">"):
                yield self._offset + start, found
                done = match.end()
            elif found.startswith(b"<!--") and found.endswith(b"-->"):
                done = match.end()
            else:  # without an end: broken off by another element, or not all of it is here yet
                broken = found != b"<!--" and buffer.find(b"<", start + 4) >= 0
                if not broken and not final and len(buffer) - start <= LONGEST_ROW:
                    done = start
                    break
                if found != b"<!--":
                    long = len(buffer) - start > LONGEST_ROW and not broken
                    self.skip("row too long" if long else "row without an end", self._offset + start, "")
                done = match.end()
        else:
            done = max(done, len(buffer) - 8) if not final else len(buffer)  # a `<row` cut in two stays
        self._offset += done
        self._buffer = buffer[done:]


def declared(head: bytes) -> str | None:
    """The encoding that a file's first bytes say, None for UTF-8 (also where they name one that does not exist)."""
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if head.startswith(mark):
            return encoding
    for mark, encoding in ((b"<\0?\0", "utf-16-le"), (b"\0<\0?", "utf-16-be")):
        if head.startswith(mark):
            return encoding
    match = re.match(rb"(?:\xef\xbb\xbf)?\s*<\?xml[^>]*?encoding\s*=\s*[\"']([\w.:-]{1,40})[\"']", head[:200])
    try:
        name = codecs.lookup(match[1].decode()).name if match else "utf-8"
        "".encode(name)  # refuses codecs that make no text
    except (LookupError, TypeError, ValueError):
        return None
    return None if name in ("utf-8", "utf-8-sig", "ascii", "utf-16") else name


def attributes(row: bytes) -> dict[str, str]:
    """The attributes of a row. Raises `Damaged` for bytes that are no UTF-8 and entities that XML does not know."""
    found: dict[str, str] = {}
    for name, double, single in ATTRIBUTE.findall(row):
        found.setdefault(name.decode(), text(double or single))
    return found


def text(value: bytes) -> str:
    """The text of an attribute's value; line ends are \\n."""
    try:
        out = value.translate(WHITE).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Damaged("row is not UTF-8") from error
    if "&" not in out:
        return out
    if OWN_ENTITY.search(out):
        raise Damaged("row uses an entity of its own")
    for entity, character in NAMED:
        out = out.replace(entity, character)
    if "&#" in out:
        out = re.sub(r"&#(x[0-9a-fA-F]{1,8}|[0-9]{1,9});", _character, out)
        out = out.replace("\r\n", "\n").replace("\r", "\n")
    return out.replace("&amp;", "&")


def _character(match: re.Match[str]) -> str:
    number = int(match[1][1:], 16) if match[1][0] == "x" else int(match[1])
    if number > 0x10FFFF or 0xD800 <= number < 0xE000 or (number < 32 and number not in (9, 10, 13)):
        raise Damaged("row has a character reference that XML forbids")
    return chr(number)
