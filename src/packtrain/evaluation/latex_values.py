"""a formula as one writes it → tokens → a small recursive-descent parser → its value where its variables are given

Numbers, letters, + − · / ^ !, fractions, roots, |x|, π, i, and the elementary functions; anything else is `Unreadable`.
Nothing is ever evaluated but this grammar, and the effort is bounded by `LONGEST`.

    sum   → [±] product {± product}          power → atom [! …] [^ argument]
    product → power {· × ÷ / power | power}  atom  → number, letter, (sum), {sum}, |sum|, \\frac ab, \\sqrt[n]a, \\sin a
"""

from __future__ import annotations

import cmath
import math
import re
from collections.abc import Callable, Mapping

LONGEST = 400  # characters
TOKEN = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+|\\[a-zA-Z]+|[a-zA-Z]|[-+*/^!()\[\]{}|])")
TIMES, OVER = {"*", "\\cdot", "\\times"}, {"/", "\\div"}
FUNCTIONS: dict[str, Callable[[complex], complex]] = {
    "\\sin": cmath.sin, "\\cos": cmath.cos, "\\tan": cmath.tan, "\\arcsin": cmath.asin, "\\arccos": cmath.acos,
    "\\arctan": cmath.atan, "\\sinh": cmath.sinh, "\\cosh": cmath.cosh, "\\tanh": cmath.tanh, "\\exp": cmath.exp,
    "\\ln": cmath.log, "\\log": cmath.log10, "\\sec": lambda x: 1 / cmath.cos(x), "\\csc": lambda x: 1 / cmath.sin(x),
    "\\cot": lambda x: 1 / cmath.tan(x),
}  # fmt: skip
ENDS = {")", "]", "}", "|", "+", "-"}


class Unreadable(Exception):
    """No formula of this grammar, or one without a finite value."""


def tokens(text: str) -> list[str]:
    if len(text) > LONGEST:
        raise Unreadable
    found, at = [], 0
    while text[at:].strip():
        match = TOKEN.match(text, at)
        if not match:
            raise Unreadable
        found.append(match[1])
        at = match.end()
    return found


def value(text: str, variables: Mapping[str, complex] | None = None) -> complex:
    """Raises `Unreadable`; a letter without a value in `variables` is one of its reasons."""
    try:
        parser = _Parser(tokens(text), variables or {})
        found = parser.sum()
    except (ZeroDivisionError, OverflowError, ValueError, RecursionError, TypeError) as error:
        raise Unreadable from error
    if parser.at != len(parser.tokens) or not cmath.isfinite(found):
        raise Unreadable
    return found


class _Parser:
    def __init__(self, found: list[str], variables: Mapping[str, complex]) -> None:
        self.tokens, self.variables, self.at = found, variables, 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, expected: str | None = None) -> str:
        token = self.peek()
        if not token or (expected is not None and token != expected):
            raise Unreadable
        self.at += 1
        return token

    def sum(self) -> complex:
        total = 0j
        sign = self.sign()
        total += sign * self.product()
        while self.peek() in ("+", "-"):
            sign = self.sign()
            total += sign * self.product()
        return total

    def sign(self) -> int:
        found = 1
        while self.peek() in ("+", "-"):
            found = -found if self.take() == "-" else found
        return found

    def product(self) -> complex:
        found = self.power()
        while (token := self.peek()) and token not in ENDS:
            if token in TIMES or token in OVER:
                self.take()
                sign = self.sign()
                factor = sign * self.power()
                found = found * factor if token in TIMES else found / factor
            else:
                found *= self.power()  # side by side
        return found

    def power(self) -> complex:
        if re.fullmatch(r"\d+", self.peek()) and self._mixed():
            return float(self.take()) + self.atom()
        base = self.atom()
        while self.peek() == "!":
            self.take()
            if base.imag or base.real != int(base.real) or not 0 <= base.real <= 170:
                raise Unreadable
            base = complex(math.factorial(int(base.real)))
        if self.peek() == "^":
            self.take()
            base = self.raised(base)
        return base

    def raised(self, base: complex) -> complex:
        exponent = self.sign() * self.atom()
        found = base**exponent
        whole = exponent.real == int(exponent.real) and not exponent.imag
        return complex(found.real) if whole and not base.imag else found

    def _mixed(self) -> bool:
        """3\\frac{1}{2}: a whole number and a fraction of whole numbers behind it are added."""
        rest = "".join(self.tokens[self.at + 1 : self.at + 8])
        return bool(re.match(r"\\frac\{\d+\}\{\d+\}", rest))

    def atom(self) -> complex:
        token = self.take()
        if token[0].isdigit() or token[0] == ".":
            return complex(float(token))
        if token in "({[" or token == "|":
            inside = self.sum()
            self.take({"(": ")", "{": "}", "[": "]", "|": "|"}[token])
            return complex(abs(inside)) if token == "|" else inside
        if token == "\\frac":
            above, below = self.argument(), self.argument()
            return above / below
        if token == "\\sqrt":
            return self.root()
        if token in FUNCTIONS:
            return self.function(token)
        if token in ("\\pi", "i"):
            return complex(math.pi) if token == "\\pi" else 1j
        if token in self.variables:
            return self.variables[token]
        raise Unreadable

    def argument(self) -> complex:
        """{…}, or the one digit or letter that LaTeX takes without braces."""
        token = self.peek()
        if re.fullmatch(r"\d{2,}", token):
            self.tokens[self.at : self.at + 1] = [token[0], token[1:]]
        return self.atom()

    def root(self) -> complex:
        degree = 2 + 0j
        if self.peek() == "[":
            self.take()
            degree = self.sum()
            self.take("]")
        inside = self.argument()
        if inside.imag or inside.real >= 0:
            return inside ** (1 / degree)
        if degree.real % 2:
            return complex(-((-inside.real) ** (1 / degree.real)))
        return 1j * (-inside.real) ** (1 / degree.real) if degree == 2 else inside ** (1 / degree)

    def function(self, name: str) -> complex:
        exponent = 1 + 0j
        if self.peek() == "^":
            self.take()
            exponent = self.sign() * self.atom()
        if self.peek() in ("(", "{"):
            inside = self.atom()
        else:
            inside = self.power()
            while self.peek() and self.peek() not in ENDS | TIMES | OVER | FUNCTIONS.keys():
                inside *= self.power()
        return FUNCTIONS[name](inside) ** exponent
