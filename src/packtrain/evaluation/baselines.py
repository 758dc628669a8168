"""the same held-out text → what knows no model: token frequencies (unigram), a general compressor (xz -9)

Two honest yardsticks in bits per byte. A model not clearly below the unigram entropy has learnt frequencies only;
`xz` has no training data, but finds every repetition inside the text itself, so a small model may well lose to it.
"""

from __future__ import annotations

import lzma
import math
from collections import Counter
from collections.abc import Iterable


def unigram_bits_per_byte(tokens: Iterable[int], n_bytes: int) -> float:
    """The entropy of the text's own token frequencies × its tokens ÷ its bytes.

    `tokens` are those of the held-out text without BOS and EOS. The frequencies are the held-out text's own, which no
    unigram model fitted elsewhere could beat: the baseline is stronger than a fair one, never weaker.
    """
    counts = Counter(tokens)
    total = sum(counts.values())
    if total == 0 or n_bytes <= 0:
        raise ValueError("an empty text has no entropy per byte")
    bits = math.fsum(count * math.log2(total / count) for count in counts.values())
    return bits / n_bytes


def xz_bits_per_byte(text: bytes) -> float:
    """8 × the size of `xz -9` of the text ÷ its bytes, container included. Takes up to 700 MB of memory."""
    if not text:
        raise ValueError("an empty text has no bits per byte")
    return 8 * len(lzma.compress(text, preset=9)) / len(text)
