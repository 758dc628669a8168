"""{| … |} → a line for every row, its cells divided by " | "

{| class="wikitable"
|+ Caption
! Country !! Year          →    Caption
|-                              Country | Year
| Germany || 1949               Germany | 1949
|}
"""

from __future__ import annotations

import re

ROW = re.compile(r"^[ \t]*\|-[^\n]*$", re.MULTILINE)
CELL = re.compile(r"^[ \t]*[|!]|\|\||!!", re.MULTILINE)
CAPTION = re.compile(r"^[ \t]*\|\+([^\n]*)$", re.MULTILINE)
ATTRIBUTES = re.compile(r'^(?:\s*[\w-]{1,30}\s*=\s*(?:"[^"]*"|[^\s|"]+))+\s*\|')


def flat_table(span: str) -> str:
    """The rows of one table as lines; attributes and empty rows go."""
    table = span.lstrip().partition("\n")[2].rpartition("|}")[0]
    rows = [ATTRIBUTES.sub("", caption).strip() for caption in CAPTION.findall(table)]
    for part in ROW.split(CAPTION.sub("", table)):
        cells = [ATTRIBUTES.sub("", cell).strip(" |") for cell in CELL.split(part)]
        cells = [" ".join(cell.split()) for cell in cells if cell.strip()]
        if cells:
            rows.append(" | ".join(cells))
    return "\n" + "\n".join(row for row in rows if row) + "\n"
