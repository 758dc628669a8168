"""peak FLOP/s × utilisation → tokens/s        tokens, seconds, peak → utilisation"""

from __future__ import annotations


def tokens_per_second(peak_flops: float, utilisation: float, flops_per_token: float) -> float:
    """Tokens a second on hardware of `peak_flops` FLOP/s that does `utilisation` (0–1) of them."""
    return peak_flops * utilisation / flops_per_token


def mfu(tokens: float, seconds: float, flops_per_token: float, peak_flops: float | None) -> float | None:
    """Model FLOPs utilisation, 0 to 1: the FLOPs that the model needed over those the hardware could have done.

    `tokens` trained in `seconds` on hardware of `peak_flops` FLOP/s in all (every GPU together). None where the peak
    is unknown or no time has passed.
    """
    if peak_flops is None or peak_flops <= 0 or seconds <= 0:
        return None
    return tokens * flops_per_token / (seconds * peak_flops)
