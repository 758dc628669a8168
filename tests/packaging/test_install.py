"""wheel, sdist and editable installs all find conf/ and answer from a foreign directory

Without a network: nothing is resolved, the libraries come from the environment that runs the tests.
"""

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*words: str | Path, cwd: Path, **environment: str) -> str:
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | environment
    done = subprocess.run([*map(str, words)], cwd=cwd, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist, built from a copy so that the checkout stays clean."""
    base = tmp_path_factory.mktemp("build")
    tracked = run("git", "ls-files", "-co", "--exclude-standard", cwd=ROOT) if (ROOT / ".git").exists() else ""
    names = tracked.split("\n") if tracked else [str(path.relative_to(ROOT)) for path in ROOT.rglob("*")]
    for name in names:
        source, target = ROOT / name, base / "copy" / name
        if name and source.is_file() and ".venv" not in target.parts:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    run(sys.executable, "-m", "build", "--no-isolation", "-o", base / "dist", cwd=base / "copy")
    return base / "dist"


def answers_from_elsewhere(folder: Path, **environment: str) -> None:
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    where = "import packtrain.conf as c, packtrain as p; print(c.__path__[0], p.__file__)"
    for path in run(sys.executable, "-c", where, cwd=elsewhere, **environment).split():
        assert Path(path).resolve().is_relative_to(folder.resolve()), f"{path} is another packtrain"
    run(sys.executable, "-c", "import hydra_plugins.packtrain_slurm.slurm_launcher", cwd=elsewhere, **environment)
    plan = run(sys.executable, "-m", "packtrain", "plan", "model=7b", "format=json", cwd=elsewhere, **environment)
    assert json.loads(plan)["parameters"] == 6_738_415_616
    assert "train" in run(sys.executable, "-m", "packtrain", "--help", cwd=elsewhere, **environment)


@pytest.mark.parametrize("kind", ["*.whl", "*.tar.gz"], ids=["wheel", "sdist"])
def test_an_installed_distribution_answers_from_a_foreign_directory(kind: str, built: Path, tmp_path: Path) -> None:
    (distribution,) = built.glob(kind)
    options = ("--no-deps", "--no-build-isolation", "--no-index", "-q", "--disable-pip-version-check")
    run(sys.executable, "-m", "pip", "install", *options, "--target", tmp_path / "site", distribution, cwd=tmp_path)
    answers_from_elsewhere(tmp_path, PYTHONPATH=str(tmp_path / "site"))
    assert (tmp_path / "site" / "bin" / "packtrain").is_file(), "the console script"


def test_an_editable_install_answers_from_a_foreign_directory(built: Path, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        archive.extractall(tmp_path, filter="data")
    next(tmp_path.glob("packtrain-*")).rename(checkout)
    options = ("--no-deps", "--no-build-isolation", "--no-index", "-q", "--disable-pip-version-check")
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python)
    # The libraries of this environment, by a .pth file: but not its own editable packtrain, whose finder would win.
    links = tmp_path / "libraries"
    links.mkdir()
    for item in Path(pytest.__file__).parents[1].iterdir():
        if "packtrain" not in item.name and item.suffix != ".pth":
            (links / item.name).symlink_to(item)
    site = next((tmp_path / "venv" / "lib").glob("python*")) / "site-packages"
    (site / "libraries.pth").write_text(f"{links}\n")
    run(*pip, "install", *options, "-e", checkout, cwd=tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    where = run(python, "-c", "import packtrain.conf as c; print(c.__path__[0])", cwd=elsewhere).strip()
    assert Path(where).resolve() == (checkout / "conf").resolve()
    run(python, "-c", "import hydra_plugins.packtrain_slurm.slurm_launcher", cwd=elsewhere)
    plan = run(tmp_path / "venv" / "bin" / "packtrain", "plan", "model=7b", "format=json", cwd=elsewhere)
    assert json.loads(plan)["parameters"] == 6_738_415_616


def test_the_wheel_holds_every_yaml_and_no_tests(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {f"packtrain/conf/{path.relative_to(ROOT / 'conf')}" for path in (ROOT / "conf").rglob("*.yaml")}
    assert expected <= names
    sources = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src").rglob("*.py")}
    assert sources <= names
    assert not [name for name in names if name.startswith(("tests", "conf/", "recipes"))]


def test_the_sdist_holds_what_is_needed_to_read_test_and_run(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.split("/", 1)[-1] for name in archive.getnames()}
    assert {"LICENSE", "Makefile", "constraints.txt", "README.md", "conf/train.yaml", "recipes/quickstart.sh"} <= names
    assert {"tests/packaging/test_install.py", "scripts/fix_torchvision.sh", "setup.py"} <= names


def test_the_licence_and_the_pins_are_there() -> None:
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert "torch==2.13.0" in pins
    assert not [pin for pin in pins if "packtrain" in pin or "@" in pin or "torchvision" in pin]
