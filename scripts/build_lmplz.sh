#!/bin/sh
# KenLM's `lmplz` and `query`, compiled from the source that PyPI has, into FOLDER (default .venv/bin): what
# `packtrain quality train=lm` calls. A minute on two cores; pip, cmake, g++ and Boost are needed, nothing is installed.
#   sh scripts/build_lmplz.sh [FOLDER]
set -eu
version=0.3.0 folder=${1:-.venv/bin}
python=python3
[ ! -x "$folder/python" ] || python=$folder/python
for program in cmake g++; do
  command -v $program > /dev/null || { echo "build_lmplz: no $program; on Debian: apt-get install cmake g++ zlib1g-dev libboost-program-options-dev libboost-system-dev libboost-thread-dev" >&2; exit 1; }
done

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$python" -m pip download -q --disable-pip-version-check --no-deps --no-binary kenlm -d "$scratch" "kenlm==$version"
tar -xzf "$scratch/kenlm-$version.tar.gz" -C "$scratch"
cmake -S "$scratch/kenlm-$version" -B "$scratch/build" > "$scratch/log" 2>&1 && cmake --build "$scratch/build" --parallel 2 --target lmplz query >> "$scratch/log" 2>&1 || {
  tail -n 20 "$scratch/log" >&2
  echo "build_lmplz: KenLM did not compile; on Debian: apt-get install cmake g++ zlib1g-dev libboost-program-options-dev libboost-system-dev libboost-thread-dev" >&2
  exit 1
}
mkdir -p "$folder"
cp "$scratch/build/bin/lmplz" "$scratch/build/bin/query" "$folder/"
echo "lmplz and query of KenLM $version are in $folder"
