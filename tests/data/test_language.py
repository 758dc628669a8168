"""fastText's lid.176 as the package brings it: known languages, nothing to judge by, and what the step counts"""

import os
import zipfile
from pathlib import Path

import pytest

from packtrain.data.documents import Document
from packtrain.data.language import Language, LanguageIdentifier
from packtrain.data.step import Tally
from packtrain.errors import UserError

CORPORA = Path(os.environ.get("PACKTRAIN_TEST_DATA", Path(__file__).parents[3] / "shared/data")) / "corpora"
DECLARATION = {  # of human rights, where it is UTF-8; the Serbian one has Latin letters for Cyrillic ones
    "Bulgarian_Balgarski": "bg", "Czech": "cs", "Hungarian_Magyar": "hu", "Russian": "ru",
    "Ukrainian": "uk", "Turkish_Turkce": "tr", "Greek_Ellinika": "el", "Japanese_Nihongo": "ja", "Korean_Hankuko": "ko",
}  # fmt: skip


def document(text: str, identity: str = "1") -> Document:
    return Document(identity, text, "test", "test")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("The quick brown fox jumps over the lazy dog and runs away.", "en"),
        ("Der schnelle braune Fuchs springt\nüber den faulen Hund.", "de"),
        ("Le renard brun saute par-dessus le chien paresseux.", "fr"),
        ("Быстрая коричневая лиса прыгает через ленивую собаку.", "ru"),
    ],
)
def test_a_sentence_is_known_by_its_language(text: str, code: str) -> None:
    found, probability = LanguageIdentifier().identify(text)
    assert found == code
    assert 0.5 < probability <= 1


@pytest.mark.parametrize("text", ["", " \n\t", "12 345 --- 6", "\0\0", "\x85"])
def test_a_text_without_letters_has_no_language(text: str) -> None:
    assert LanguageIdentifier().identify(text) == ("und", 0.0)


def test_the_declaration_of_human_rights_in_nine_languages() -> None:
    path = CORPORA / "multilingual/udhr.zip"
    if not path.is_file():
        pytest.skip(f"{path} is not here; set PACKTRAIN_TEST_DATA")
    with zipfile.ZipFile(path) as archive:
        for name, code in DECLARATION.items():
            text = archive.read(f"udhr/{name}-UTF8").decode("utf-8", "replace")
            assert LanguageIdentifier().identify(text)[0] == code, name


def test_the_step_keeps_its_languages_and_says_why_others_went() -> None:
    english = document("This is a page in plain English about llamas and other pack animals.")
    german = document("Dies ist eine Seite über Lamas und andere Tragtiere.", "2")
    nothing = document("0 1 2 3", "3")
    tally = Tally("language")
    (kept,) = Language(keep=("en",), minimum=0.5)([english, german, nothing], tally)
    assert kept.language == "en"
    assert kept.metadata["language_probability"] > 0.5
    assert dict(tally.dropped) == {"other language": 2}
    assert len(list(Language(keep=("en", "de"))([english, german], Tally("language")))) == 2


def test_an_unsure_guess_is_dropped_and_counted() -> None:
    tally = Tally("language")
    assert not list(Language(keep=(), minimum=0.999)([document("Lama")], tally))
    assert dict(tally.dropped) == {"language not sure": 1}


def test_bad_settings_are_one_line_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"language\.minimum=2: expected a probability between 0 and 1"):
        Language(minimum=2)
    (tmp_path / "bad.ftz").write_bytes(b"no model")
    with pytest.raises(UserError, match="no fastText model"):
        LanguageIdentifier(tmp_path / "bad.ftz")
