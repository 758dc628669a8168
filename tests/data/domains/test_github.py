"""repositories: licences per project and file, headers off without hurting code, notebooks, copies, nasty archives"""

from __future__ import annotations

import ast
import io
import json
import os
import sysconfig
import tarfile
import tokenize
import zipfile
from pathlib import Path

import pytest

from packtrain.data.code.headers import without_header
from packtrain.data.code.languages import HASH, SLASH, comments_of
from packtrain.data.code.licences import licence_of, named, of_project, permitted
from packtrain.data.code.notebooks import to_code
from packtrain.data.documents import Document, read_documents
from packtrain.data.domains.github import DOMAIN, Parameters
from packtrain.data.origin import digest, size_of
from packtrain.data.prepare import PrepareOptions, prepare
from packtrain.data.step import Skips
from packtrain.errors import UserError
from tests.data.run_domain import Made, made

MIT = "MIT License\n\nCopyright (c) X\n\nPermission is hereby granted, free of charge, to any person obtaining a copy"
GPL = "GNU GENERAL PUBLIC LICENSE\nVersion 3, 29 June 2007"
APACHE_HEADER = """# Copyright 2024 Some Team. All rights reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
#
#     http://www.apache.org/licenses/LICENSE-2.0
"""
BODY = '"""What this module does."""\n\nimport os\n\n\ndef separate(path):\n    return os.path.split(path)\n'
KEEP = ("MIT", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0")


def repository(root: Path, name: str, files: dict[str, str | bytes], licence: str = MIT) -> Path:
    for path, content in {"LICENSE": licence, **files}.items():
        (root / name / path).parent.mkdir(parents=True, exist_ok=True)
        (root / name / path).write_bytes(content.encode() if isinstance(content, str) else content)
    return root / name


def of(root: Path, tmp_path: Path, **parameters: object) -> Made:
    return made(DOMAIN, root, tmp_path, Parameters(**parameters))  # type: ignore[arg-type]


# ---- headers -------------------------------------------------------------------------------------------------------


def test_a_header_goes_and_shebang_encoding_docstring_and_code_stay() -> None:
    start = "#!/usr/bin/env python3\n# -*- coding: utf-8 -*-\n"
    assert without_header(start + APACHE_HEADER + "\n" + BODY, HASH) == (start + "\n" + BODY, 3)
    assert without_header(BODY, HASH) == (BODY, 0)
    amazon = APACHE_HEADER.replace(
        "#     http://www.apache.org/licenses/LICENSE-2.0", "# https://aws.amazon.com/apache2.0/"
    )
    assert without_header(amazon + BODY, HASH)[0] == BODY
    licensed = '"""Copyright 2020 X. Licensed under the MIT license."""\nx = 1\n'
    assert without_header(licensed, HASH) == (licensed, 0), "a docstring is not a comment"


def test_what_else_a_comment_says_stays() -> None:
    text = "# Sorts things by height.\n#\n# Copyright (c) 2019 X\n#\n# The algorithm is stable.\n\nx = 1  # copyright\n"
    cleaned, gone = without_header(text, HASH)
    assert gone == 1 and "Copyright (c)" not in cleaned
    assert "Sorts things" in cleaned and "algorithm is stable" in cleaned and "x = 1  # copyright" in cleaned
    plain = "# A leading comment block about the module,\n# which says nothing legal.\nx = 1\n"
    assert without_header(plain, HASH) == (plain, 0)
    late = "x = 1\n# Copyright 2020 X. All rights reserved.\ny = 2\n"
    assert without_header(late, HASH) == (late, 0)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("/* Copyright 2020 X */\nint a;\n", "int a;\n"),
        ("/*\n * Copyright 2020 X\n *\n * Adds numbers.\n */\nint a;\n", "/*\n *\n * Adds numbers.\n */\nint a;\n"),
        ("// Copyright 2020 X\n// All rights reserved.\n\n// Adds.\nint a;\n", "// Adds.\nint a;\n"),
        ("/* Copyright 2020 X */ int a;\nint b;\n", "/* Copyright 2020 X */ int a;\nint b;\n"),
        ("/* Copyright 2020, never closed\nint b;\n", "/* Copyright 2020, never closed\nint b;\n"),
        ("//go:build linux\n// Copyright 2020 X\npackage a\n", "//go:build linux\npackage a\n"),
    ],
)  # fmt: skip
def test_block_comments_stay_closed(text: str, wanted: str) -> None:
    assert without_header(text, SLASH)[0] == wanted


def test_cleaning_never_changes_what_python_runs() -> None:
    """The standard library's own sources: the same syntax tree, first line and docstring before and after."""
    folder, changed = Path(sysconfig.get_path("stdlib")), 0
    for path in (
        sorted(folder.glob("*.py"))[::2] + sorted(folder.glob("email/*.py")) + sorted(folder.glob("ctypes/*.py"))
    ):
        with tokenize.open(path) as file:
            text = file.read()
        cleaned, gone = without_header(text, HASH)
        changed += gone > 0
        assert ast.dump(ast.parse(cleaned)) == ast.dump(ast.parse(text)), path
        if text.startswith("#!"):
            assert cleaned.splitlines()[0] == text.splitlines()[0], path
    assert changed >= 15


# ---- licences ------------------------------------------------------------------------------------------------------


def test_the_licences_of_installed_packages_are_what_their_metadata_say() -> None:
    """Metadata and licence texts are two accounts by the authors; where both name one, they agree."""
    root, agreed = Path(sysconfig.get_path("purelib")), 0
    roots = [root, *(Path(p) for p in os.sys.path if p.endswith("site-packages"))]  # type: ignore[attr-defined]
    for info in sorted({p for folder in roots for p in folder.glob("*.dist-info")}):
        head = (info / "METADATA").read_text(encoding="utf-8", errors="replace").split("\n\n", 1)[0]
        said = [line.split(": ", 1)[1] for line in head.splitlines() if line.startswith("License-Expression: ")]
        texts = [p for p in info.rglob("*") if p.name.upper() in ("LICENSE", "LICENSE.TXT", "LICENSE.MD", "LICENCE")]
        if len(said) != 1 or len(texts) != 1 or said[0] not in ("MIT", "Apache-2.0", "BSD-3-Clause", "BSD-2-Clause"):
            continue
        assert of_project([texts[0].read_text(encoding="utf-8", errors="replace")]) == said[0], info.name
        agreed += 1
    assert agreed >= 15


def test_expressions_are_read_as_spdx_means_them() -> None:
    assert permitted("MIT", KEEP) and permitted("mit OR GPL-3.0", KEEP) and permitted("MIT AND Apache-2.0", KEEP)
    assert not permitted("MIT AND GPL-3.0", KEEP) and not permitted("GPL-2.0-only WITH Classpath-exception-2.0", KEEP)
    assert not permitted(None, KEEP) and not permitted("(MIT OR GPL-3.0) AND MPL-2.0", KEEP)
    assert licence_of("// SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0\n") == "BSD-3-Clause OR GPL-2.0"
    assert of_project([MIT, GPL]) == "GPL AND MIT" and of_project([], ["Apache 2.0"]) == "Apache-2.0"
    assert of_project(["no licence at all"]) is None and named("Proprietary software of X") is None


def test_the_licence_of_a_file_goes_before_that_of_its_repository(tmp_path: Path) -> None:
    root = tmp_path / "in"
    repository(root, "free", {"a.py": BODY, "b.py": "# SPDX-License-Identifier: GPL-3.0-only\n" + BODY + "#b\n"})
    repository(
        root, "unfree", {"a.py": BODY + "# c\n", "b.py": "# SPDX-License-Identifier: MIT\n" + BODY + "# d\n"}, GPL
    )
    repository(root, "none", {"a.py": BODY + "# e\n"}, "Ask me.")
    result = of(root, tmp_path)
    assert result.ids == ["free/a.py", "unfree/b.py"]
    assert {d.licence for d in result.documents} == {"MIT"}
    assert result.tallies["licence"].dropped == {
        "licence of the file": 1, "licence of the repository": 1, "no licence found": 1,
    }  # fmt: skip
    assert len(of(root, tmp_path, licences=("GPL", "MIT")).ids) == 3


# ---- files ---------------------------------------------------------------------------------------------------------


def test_every_kind_of_poor_file_goes_for_its_reason(tmp_path: Path) -> None:
    long_line = "x = '" + "a b " * 400 + "'\n"
    files: dict[str, str | bytes] = {
        "good.py": BODY,
        "copy.py": APACHE_HEADER + "\n" + BODY,
        "vendor/lib.py": BODY + "# v\n",
        "app.min.js": "function f(){return 1}\n" * 9,
        "made.py": "# Generated by the maker. DO NOT EDIT!\n" + BODY,
        "guarded.h": "#pragma once\n// @generated by gen.py\n" + "int a_function(int);\n" * 5,
        "long.py": BODY + long_line,
        "wide.py": "value = call(" + "argument, " * 12 + ")\n" + ("y = f(" + "a, " * 50 + ")\n") * 9,
        "symbols.py": "((((((((((\n))))))))))\n" * 20,
        "short.py": "x = 1\n",
        "image.py": b"\0\1\2",
        "data.bin": b"\0" * 10,
    }
    repository(tmp_path / "in", "r", files)
    result = of(tmp_path / "in", tmp_path)
    assert result.ids == ["r/copy.py"] and result.documents[0].text == BODY  # first in order; good.py is its copy
    reasons = {d: t.dropped for d, t in result.tallies.items()}
    assert reasons["hand-written"] == {
        "vendored": 1,
        "generated or minified, by its name": 1,
        "generated, as it says": 2,
    }
    assert reasons["lines"] == {
        "a line too long": 1, "lines too long on average": 1, "too few letters and digits": 1, "too short": 1,
    }  # fmt: skip
    assert reasons["exact duplicates"] == {"exact duplicate": 1} and result.skips.counts == {"binary": 1}


def test_notebooks_become_code_with_their_markdown_as_comments(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "some words"]},
        {"cell_type": "code", "source": "%matplotlib inline\nx = 1\nprint(x)", "outputs": [{"text": "SECRET OUTPUT"}]},
        {"cell_type": "code", "source": []},
    ]
    book = json.dumps({"cells": cells, "metadata": {"kernelspec": {"language": "python"}}})
    wanted = "# # Title\n# some words\n\n# %matplotlib inline\nx = 1\nprint(x)\n"
    assert to_code(book) == (wanted, "python")
    for broken in ("", "[]", "{", "null", '{"cells": 3}', '{"cells": [1]}', "[" * 99999):
        assert to_code(broken) is None or to_code(broken) == ("", "python")
    repository(tmp_path / "in", "r", {"a.ipynb": book, "b.ipynb": "{"})
    result = of(tmp_path / "in", tmp_path)
    assert [d.text for d in result.documents] == [wanted] and result.documents[0].language == "python"
    assert result.tallies["notebooks"].dropped == {"not a notebook": 1}


def test_archives_are_read_like_folders_and_write_nothing(tmp_path: Path) -> None:
    root = tmp_path / "in"
    root.mkdir()
    with zipfile.ZipFile(root / "a.zip", "w") as archive:
        for name, text in (("a-main/LICENSE", MIT), ("a-main/x.py", BODY), ("../../evil.py", BODY + "#\n")):
            archive.writestr(name, text)
    with tarfile.open(root / "b.tar.gz", "w:gz") as tar:
        for name, text in (
            ("b/y.py", BODY + "# b\n"),
            ("b/LICENSE", MIT),
            ("/etc/evil.py", BODY),
        ):  # the licence comes later
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
        link = tarfile.TarInfo("b/link.py")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    (root / "c.zip").write_bytes(b"PK\x03\x04 broken")
    before = sorted(tmp_path.rglob("*"))
    documents, skips = [], Skips()
    for path in DOMAIN.inputs(root, Parameters()):
        skips.file = str(path)
        documents += list(DOMAIN.read(path, Path(path).name, Parameters(), skips))
    assert [(d.id, d.licence) for d in documents] == [("a.zip/a-main/x.py", "MIT"), ("b.tar.gz/b/y.py", "MIT")]
    assert skips.counts["name that leaves the archive"] == 2 and skips.counts["archive damaged"] >= 1
    assert skips.counts["link or device in an archive"] == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_links_out_of_a_folder_are_not_followed(tmp_path: Path) -> None:
    repository(tmp_path / "in", "r", {"a.py": BODY})
    (tmp_path / "outside.py").write_text(BODY + "# outside\n")
    (tmp_path / "in" / "r" / "b.py").symlink_to(tmp_path / "outside.py")
    (tmp_path / "in" / "r" / "up").symlink_to(tmp_path)
    assert of(tmp_path / "in", tmp_path).ids == ["r/a.py"]


def test_installed_packages_are_repositories(tmp_path: Path) -> None:
    """One real package of this environment, from its RECORD, on two processes."""
    import packaging

    site = Path(packaging.__file__).parents[1]
    (info,) = site.glob("packaging-*.dist-info")
    report = prepare("github", info, tmp_path / "out", 0.1, options=PrepareOptions(processes=2))
    found = {d.metadata["path"]: d for d in read_documents(tmp_path / "out")}
    assert "packaging/version.py" in found and report["kept"] >= 10
    assert found["packaging/version.py"].text in (site / "packaging" / "version.py").read_text()
    assert {name for name in found if not name.startswith("packaging/")} == set()


def test_what_is_no_repository_is_answered_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no repository; expected a folder of repositories"):
        prepare("github", tmp_path / "a.mp3", tmp_path / "out", 0.1)
    with pytest.raises(UserError, match="no documents to keep"):
        prepare("github", tmp_path / "empty", tmp_path / "out", 0.1, options=PrepareOptions(processes=0))


def test_comment_syntax_follows_the_name() -> None:
    assert comments_of("a/b.py") == HASH and comments_of("x.CPP") == SLASH and comments_of("Makefile") == HASH
    assert Document("a", "b", "github", "s").licence is None


def test_an_installed_package_is_as_large_as_the_files_it_lists(tmp_path: Path) -> None:
    folder = tmp_path / "some-1.0.dist-info"
    (tmp_path / "some").mkdir()
    folder.mkdir()
    (tmp_path / "some" / "a.py").write_text("x = 1\n" * 1000)
    (folder / "RECORD").write_text("some/a.py,,6000\nsome-1.0.dist-info/RECORD,,\n")
    assert size_of(folder) == 6000 + (folder / "RECORD").stat().st_size
    before = digest([(folder, folder.name)])
    (tmp_path / "some" / "a.py").write_text("y = 1\n")
    assert digest([(folder, folder.name)]) != before
