"""name of a file → its language and how the language writes comments"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class Comments:
    """`line`: what begins a comment to the end of the line. `block`: what opens one and what closes it."""

    line: tuple[str, ...] = ()
    block: tuple[tuple[str, str], ...] = ()


HASH = Comments(("#",))
SLASH = Comments(("//",), (("/*", "*/"),))
DASH = Comments(("--",), (("--[[", "]]"), ("{-", "-}"), ("/*", "*/")))
SEMICOLON = Comments((";",))
PERCENT = Comments(("%",))
ANGLE = Comments((), (("<!--", "-->"),))
OCAML = Comments((), (("(*", "*)"),))
BANG = Comments(("!",))
BATCH = Comments(("REM ", "rem ", "::"))
DOTS = Comments((".. ",))

GROUPS: tuple[tuple[Comments, str], ...] = (
    (HASH, "python:.py,.pyi,.pyx,.pxd shell:.sh,.bash,.zsh,.fish ruby:.rb,.rake perl:.pl,.pm r:.r julia:.jl "
           "elixir:.ex,.exs cmake:.cmake yaml:.yaml,.yml toml:.toml nim:.nim powershell:.ps1 tcl:.tcl awk:.awk "
           "graphql:.graphql hcl:.tf make:.mk coffeescript:.coffee"),
    (SLASH, "c:.c,.h c++:.cc,.cpp,.cxx,.hpp,.hh,.hxx,.inl,.ipp c#:.cs java:.java javascript:.js,.jsx,.mjs,.cjs "
            "typescript:.ts,.tsx go:.go rust:.rs kotlin:.kt,.kts swift:.swift scala:.scala php:.php dart:.dart "
            "objective-c:.m,.mm cuda:.cu,.cuh metal:.metal opencl:.cl glsl:.glsl,.vert,.frag proto:.proto "
            "groovy:.groovy zig:.zig solidity:.sol verilog:.v,.sv css:.css,.scss,.less d:.d f#:.fs,.fsx"),
    (DASH, "sql:.sql lua:.lua haskell:.hs ada:.adb,.ads vhdl:.vhd,.vhdl elm:.elm"),
    (SEMICOLON, "lisp:.lisp,.el,.cl scheme:.scm racket:.rkt clojure:.clj,.cljs assembly:.asm,.s"),
    (PERCENT, "tex:.tex,.sty,.cls erlang:.erl,.hrl prolog:.pro"),
    (ANGLE, "html:.html,.htm vue:.vue svelte:.svelte markdown:.md xml:.xsl,.xslt"),
    (OCAML, "ocaml:.ml,.mli pascal:.pas"),
    (BANG, "fortran:.f90,.f95,.f03,.f08"),
    (BATCH, "batch:.bat,.cmd"),
    (DOTS, "restructuredtext:.rst"),
    (HASH, "notebook:.ipynb"),
)  # fmt: skip
LANGUAGES: dict[str, tuple[str, Comments]] = {
    suffix: (language, comments)
    for comments, text in GROUPS
    for entry in text.split()
    for language, _, suffixes in [entry.partition(":")]
    for suffix in suffixes.split(",")
}
NAMES = {"Makefile": ("make", HASH), "Dockerfile": ("dockerfile", HASH), "CMakeLists.txt": ("cmake", HASH),
         "Rakefile": ("ruby", HASH), "Gemfile": ("ruby", HASH), "meson.build": ("meson", HASH),
         "BUILD": ("bazel", HASH)}  # fmt: skip


def language_of(path: str) -> str | None:
    """The language by the file's name, None for what is no source code."""
    found = _known(path)
    return found[0] if found else None


def comments_of(path: str) -> Comments:
    found = _known(path)
    return found[1] if found else Comments()


def _known(path: str) -> tuple[str, Comments] | None:
    name = PurePosixPath(path)
    return NAMES.get(name.name) or LANGUAGES.get(name.suffix.lower())
