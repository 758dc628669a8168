"""\"\"\"a b c\"\"\" → {a, b, c}: long lists of names, as one writes them down"""


def words(text: str) -> frozenset[str]:
    """The words of `text`."""
    return frozenset(text.split())
