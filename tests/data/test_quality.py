"""Perplexity to KenLM's own numbers, percentiles of the run, the classifier, and what their commands refuse"""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from packtrain import settings
from packtrain.data import lmplz
from packtrain.data.documents import Document, DocumentWriter, read_documents
from packtrain.data.ngram import NGramModel, convert
from packtrain.data.perplexity import Percentiles, Perplexity, token_lines
from packtrain.data.prepare import PrepareOptions, prepare
from packtrain.data.references import Classifier, References, features
from packtrain.data.step import Tally
from packtrain.errors import UserError
from packtrain.jobs import quality
from tests.data.test_repeated_lines import run
from tests.data.web import document

# Made by lmplz -o 3 --discount_fallback (KenLM 0.3.0) from four lines, and scored by its program `query`.
ARPA = r"""\data\
ngram 1=13
ngram 2=15
ngram 3=15

\1-grams:
-1.2410321	<unk>	0
0	<s>	-0.028028725
-1.2410321	</s>	0
-1.0989254	the	-0.12493875
-1.0989254	llama	-0.12493875
-1.0989254	carries	-0.12493875
-0.90631896	a	-0.35902193
-1.0989254	load	-0.12493875
-1.0989254	hums	-0.12493875
-1.0989254	of	-0.12493875
-0.90631896	wool	-0.35902193
-1.0989254	alpaca	-0.12493875
-1.0989254	gives	-0.12493875

\2-grams:
-0.77454716	load </s>	0
-0.53305006	hums </s>	0
-0.23090659	wool </s>	0
-1.1269541	<s> the	-0.30103
-0.7334809	the llama	-0.30103
-0.7334809	llama carries	-0.30103
-0.74758524	<s> a	-0.30103
-0.46463555	carries a	-0.30103
-0.22377987	a load	-0.30103
-0.7334809	llama hums	-0.30103
-0.7334809	load of	-0.30103
-0.46463555	of wool	-0.30103
-0.46463555	gives wool	-0.30103
-0.7334809	the alpaca	-0.30103
-0.50902766	alpaca gives	-0.30103

\3-grams:
-0.47621745	a load </s>
-0.18941282	llama hums </s>
-0.100284606	of wool </s>
-0.100284606	gives wool </s>
-0.370902	<s> the llama
-0.4655156	the llama carries
-0.17293604	llama carries a
-0.09763318	<s> a load
-0.09763318	carries a load
-0.4655156	the llama hums
-0.4655156	a load of
-0.17293604	load of wool
-0.17293604	alpaca gives wool
-0.5866537	<s> the alpaca
-0.18385081	the alpaca gives

\end\
"""
KENLM = {
    "the llama gives wool": -3.5876706,
    "a camel carries the alpaca": -7.37194,
    "wool": -1.1652542,
    "the llama carries a load of wool": -2.972677,
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "tiny.arpa").write_text(ARPA)
    (tmp_path / "model").mkdir()
    convert(tmp_path / "tiny.arpa", tmp_path / "model", {})
    return tmp_path / "model"


def test_probabilities_are_those_of_kenlm(model: Path) -> None:
    for line, total in KENLM.items():
        score, tokens = NGramModel(model).tokens_log10([line.split()])
        assert score == pytest.approx(total, abs=1e-5)
        assert tokens == len(line.split()) + 1
    together, _ = NGramModel(model).tokens_log10([line.split() for line in KENLM])
    assert together == pytest.approx(sum(KENLM.values()), abs=1e-5)
    assert NGramModel(model).perplexity([["wool"]]) == pytest.approx(10 ** (1.1652542 / 2), rel=1e-5)


def test_perplexity_is_written_and_text_without_words_dropped(model: Path) -> None:
    tally = Tally("perplexity")
    pages = [document("The LLAMA\ngives wool"), document(" \n ")]
    (found,) = Perplexity(str(model))(pages, tally)
    expected = NGramModel(model).perplexity([["the", "llama"], ["gives", "wool"]])
    assert found.metadata["perplexity"] == pytest.approx(expected, abs=0.01)
    assert dict(tally.dropped) == {"no words": 1}


def test_text_is_normalised_before_it_is_scored() -> None:
    assert token_lines("Déjà 1984!\n\nÜber", None) == [["deja", "0000", "!"], ["uber"]]


def scored(values: list[float]) -> list[Document]:
    return [Document(str(i), "x", "t", "t", metadata={"perplexity": v}) for i, v in enumerate(values)]


@pytest.mark.parametrize("parts", [1, 3])
def test_percentiles_of_the_run_cut_it_in_thirds(parts: int, tmp_path: Path) -> None:
    values = np.random.default_rng(0).lognormal(6, 1, 3000).tolist()
    documents = scored(values)
    split = [documents[i::parts] for i in range(parts)]
    for keep in ("head", "middle", "tail"):
        found, _ = run(Percentiles(keep=(keep,)), split, tmp_path)
        assert len(found) == pytest.approx(1000, abs=15)
    head, _ = run(Percentiles(keep=("head",)), split, tmp_path)
    assert max(values[int(i)] for i in head) < np.percentile(values, 34)


def test_given_cutoffs_are_used_as_they_are(tmp_path: Path) -> None:
    step = Percentiles(keep=("head", "tail"), cutoffs=(100.0, 200.0))
    found, tally = run(step, [scored([50, 100, 199.9, 200, 1e9])], tmp_path)
    assert list(found) == ["0", "3", "4"]
    assert dict(tally.dropped) == {"middle of perplexity": 2}


REFERENCE = "Journal article history museum archive research university published study professor national survey "
OTHER = "Buy cheap click here discount casino sale shipping cart login free bonus offer order now best price "


def corpora(folder: Path, count: int = 60) -> tuple[Path, Path]:
    rng = np.random.default_rng(1)
    for name, words in (("cited", REFERENCE.split()), ("random", OTHER.split())):
        with DocumentWriter(folder / name) as writer:
            for i in range(count):
                text = " ".join([*rng.choice(words, 30), *rng.choice(["the", "a", "of", "and"], 30)])
                writer.write(Document(str(i), text, name, name))
    return folder / "cited", folder / "random"


def job(**values) -> None:
    quality.run(settings.build(quality.QualityJob, values))


def test_the_classifier_learns_and_the_same_input_gives_the_same_bytes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cited, others = corpora(tmp_path)
    for name in ("a", "b"):
        job(train="classifier", input=str(cited), others=str(others), output=str(tmp_path / f"{name}.safetensors"))
    assert "100.0% of 12 others right" in capsys.readouterr().out
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    step, tally = References(str(tmp_path / "a.safetensors")), Tally("references")
    kept = list(
        step(
            [document("A research survey of the national museum", "1"), document("click here, cheap sale", "2")], tally
        )
    )
    assert [d.id for d in kept] == ["1"] and kept[0].metadata["reference_probability"] > 0.5
    assert dict(tally.dropped) == {"unlike a reference": 1}
    assert Classifier(tmp_path / "a.safetensors").probability("") < 0.01
    assert not len(features(""))


def kenlm(program: str) -> str:
    """KenLM's own program; `make lmplz` builds it, and .ci/run does."""
    return lmplz.installed(program) or pytest.skip(f"no {program} of KenLM: make lmplz")


def test_the_language_model_is_trained_by_lmplz_and_keeps_pages_like_its_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kenlm("lmplz")
    cited, others = corpora(tmp_path)
    model = tmp_path / "model"
    job(train="lm", input=str(cited), output=str(model), lm={"memory": "100M", "order": 3})
    assert "3-gram model of 60 documents, 3,600 tokens" in capsys.readouterr().out
    assert not list(model.glob("*.arpa")) and not list(model.glob("text"))
    pages = [*read_documents(cited), *read_documents(others)]
    with DocumentWriter(tmp_path / "in") as writer:
        for page in pages:
            writer.write(page)
    values = {
        "name": "common_crawl", "repeated_lines": {"min_characters": 0}, "language": {"keep": [], "minimum": 0.0},
        "quality": {"model": str(model), "percentiles": {"keep": ["head"], "percentiles": [50, 75]}},
    }  # fmt: skip
    made = prepare(values, tmp_path / "in", tmp_path / "out", 0.2, options=PrepareOptions(processes=0))
    assert made["kept"] == 60
    assert all("bucket" in d.metadata for d in read_documents(tmp_path / "out"))
    texts = {d.text.split(" ")[0] for d in read_documents(tmp_path / "out")}
    assert texts <= set(REFERENCE.split()) | {"the", "a", "of", "and"}


def stand_in(folder: Path) -> Path:
    """A program in place of lmplz: writes the ARPA file above, and beside it what it was given."""
    (folder / "given.arpa").write_text(ARPA)
    program = folder / "stand-in"
    lines = ["#!/bin/sh", f'echo "$@" > {folder}/arguments', "while [ $# -gt 1 ]; do case $1 in",
             f'--text) cp "$2" {folder}/text;; --arpa) cp {folder}/given.arpa "$2";; esac; shift; done']  # fmt: skip
    program.write_text("\n".join(lines) + "\n")
    program.chmod(0o755)
    return program


def test_lmplz_gets_normalised_text_and_both_models_serve_the_domain(tmp_path: Path) -> None:
    with DocumentWriter(tmp_path / "good") as writer:
        writer.write(Document("1", "The Llama carries\n\n12 <s> loads", "good", "good"))
    model = tmp_path / "model"
    options = {"lmplz": str(stand_in(tmp_path)), "order": 3, "memory": "1G", "prune": [0, 0, 1]}
    job(train="lm", input=str(tmp_path / "good"), output=str(model), lm=options)
    assert (tmp_path / "text").read_text() == "the llama carries\n00 < s > loads\n"
    assert (tmp_path / "arguments").read_text().startswith("-o 3 --discount_fallback -S 1G -T ")
    assert " --prune 0 0 1 --text " in (tmp_path / "arguments").read_text()
    assert json.loads((model / "model.json").read_text())["counts"] == [13, 15, 15]

    cited, others = corpora(tmp_path)
    references = tmp_path / "references.safetensors"
    job(train="classifier", input=str(cited), others=str(others), output=str(references))
    with DocumentWriter(tmp_path / "in") as writer:
        for name in (cited, others):
            for page in read_documents(name):
                writer.write(page)
    values = {
        "name": "common_crawl", "repeated_lines": {"min_characters": 0}, "language": {"keep": [], "minimum": 0.0},
        "quality": {"model": str(model), "percentiles": {"keep": ["head", "middle"], "percentiles": [25, 75]}},
        "references": {"model": str(references)},
    }  # fmt: skip
    made = prepare(values, tmp_path / "in", tmp_path / "out", 0.2, options=PrepareOptions(processes=0))
    assert [s["name"] for s in made["steps"]][-3:] == ["perplexity", "percentiles", "references"]
    assert made["dropped"]["tail of perplexity"] == pytest.approx(30, abs=2)
    kept = list(read_documents(tmp_path / "out"))
    assert len(kept) == made["kept"] > 30
    assert all(set(d.text.split()) & set(REFERENCE.split()) for d in kept)
    assert {d.metadata["bucket"] for d in kept} == {"head", "middle"}


def test_lmplz_that_fails_is_told_in_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    cited, _ = corpora(tmp_path)
    program = tmp_path / "lmplz"
    program.write_text("#!/bin/sh\necho 'out of disk' >&2\nexit 3\n")
    program.chmod(0o755)
    with pytest.raises(Exception, match="lmplz ended with 3: out of disk"):
        job(train="lm", input=str(cited), output=str(tmp_path / "model"), lm={"lmplz": str(program)})
    assert not (tmp_path / "model").exists() and not list(tmp_path.glob(".model*"))


def test_what_cannot_be_trained_is_one_line_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cited, others = corpora(tmp_path, 5)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    out = str(tmp_path / "out")
    for values, message in [
        ({"train": "lm"}, r"lmplz of KenLM is not on the PATH; build it with make lmplz"),
        (
            {"train": "lm", "lm": {"lmplz": "/no/lmplz"}},
            r"lm.lmplz=/no/lmplz: no such program; build it.*or give lm.lmplz=PATH",
        ),
        ({"train": "lm", "lm": {"order": 9}}, r"lm\.order=9: expected 2 to 6"),
        ({"train": "lm", "lm": {"memory": "much"}}, r"lm\.memory=much: expected a share or a size"),
        ({"train": "classifier"}, r"train=classifier needs others=DIR"),
        ({"train": "classifier", "others": str(others)}, r"5 references and 5 random pages are too few"),
        ({"train": "llm"}, r"train=llm; did you mean 'lm'"),
        ({"train": "lm", "output": str(cited)}, r"is there; give another output=PATH, or overwrite=true"),
    ]:
        with pytest.raises(UserError, match=message):
            job(**{"input": str(cited), "output": out, **values})
    assert not Path(out).exists()


def test_models_that_are_none_are_said_with_the_command_that_makes_one(tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"not a model")
    (tmp_path / "model.json").write_text(json.dumps({"order": 5, "format": 99}))
    with pytest.raises(UserError, match=r"no classifier of references.*packtrain quality train=classifier"):
        Classifier(tmp_path / "bad")
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(UserError, match=r"no language model.*packtrain quality train=lm"):
            NGramModel(path)
    for text in ("", "no arpa", ARPA[:300], ARPA.replace("-1.2410321", "x", 1)):
        (tmp_path / "bad.arpa").write_text(text)
        with pytest.raises(UserError, match="no ARPA file"):
            convert(tmp_path / "bad.arpa", tmp_path, {})
    for values, message in [
        ({"keep": ["best"]}, "expected some of head, middle, tail"),
        ({"percentiles": [60, 40]}, "expected two numbers, the lower one first"),
        ({"percentiles": [60, 140]}, "expected at most 100"),
    ]:
        with pytest.raises(UserError, match=message):
            settings.build(Percentiles, values)


def test_kenlm_itself_agrees_on_a_model_of_order_five(tmp_path: Path) -> None:
    query = kenlm("query")
    lines = [" ".join(np.random.default_rng(i).choice(REFERENCE.split(), 12)) for i in range(200)]
    (tmp_path / "text").write_text("\n".join(lines) + "\n")
    command = [kenlm("lmplz"), "-o", "5", "--discount_fallback", "-S", "100M", "--text", tmp_path / "text"]
    subprocess.run([*command, "--arpa", tmp_path / "a.arpa"], check=True, capture_output=True)
    convert(tmp_path / "a.arpa", tmp_path, {})
    test = [*lines[:20], "an unknown word of the journal", "museum"]
    asked = {"input": "\n".join(test) + "\n", "text": True, "capture_output": True, "check": True}
    answer = subprocess.run([query, "-v", "sentence", str(tmp_path / "a.arpa")], **asked).stdout
    theirs = [float(line.split()[1]) for line in answer.splitlines() if line.startswith("Total:")]
    model = NGramModel(tmp_path)
    assert [model.tokens_log10([line.split()])[0] for line in test] == pytest.approx(theirs, rel=1e-5, abs=1e-4)
