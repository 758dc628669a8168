"""What resiliparse takes for no main content although it is: lists of prose, and code in a figure

    tree ─<ul>, at most half of it links─→ <ol>
         ─<pre> in <figure>──────────────→ <pre>
It drops every `<ul>` near the root or beginning with a link, which it takes for a menu, and every `<figure>`.
An `<ol>` and a `<pre>` stay; what is around them (nav, footer, aside) goes as before.
"""

from __future__ import annotations

import re
from typing import Any

MOST_LINKS = 0.5  # of a list's characters; a menu is nothing but links
MOST = 200  # <pre> and <ul> of a page that are looked at: reaching the n-th takes n steps
TIMES = 8  # as much as the page is looked at, for lists in lists without end
LINK = re.compile(r"<a\b[^>]*>(.*?)</a>", re.DOTALL)
BLANK = re.compile(r"<[^>]*>|\s+")


def keep_prose(tree: Any, length: int) -> None:
    """Changes resiliparse's `HTMLTree` of `length` characters in place: main content then keeps lists and code."""
    if not tree.body:
        return
    for code in tree.body.get_elements_by_tag_name("pre")[:MOST]:
        if figure := code.closest("figure"):
            figure.parent.insert_before(code, figure)
    left = TIMES * length
    for menu in tree.body.get_elements_by_tag_name("ul")[:MOST]:
        html = menu.html
        left -= len(html)
        if left < 0:
            return
        if _length("".join(LINK.findall(html))) <= MOST_LINKS * _length(html):
            _rename(tree, menu, "ol")


def _length(html: str) -> int:
    return len(BLANK.sub("", html))


def _rename(tree: Any, node: Any, tag: str) -> None:
    new = tree.create_element(tag)
    for name in node.attrs or ():
        new.setattr(name, node.getattr(name))
    while node.first_child:
        new.append_child(node.first_child)
    node.parent.replace_child(new, node)
