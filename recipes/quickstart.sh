#!/bin/sh
# The whole journey on real text that needs no download: the source, the documentation and the Unicode tables of the
# running Python → tokenizer → shards → a LLaMA of one million parameters → held-out figures → a sample → one page.
#
# Costs:   3 min 15 s on two idle CPU cores of an AMD EPYC (five minutes on busy ones), 1 GB of memory, 60 MB of disk. No GPU, no network.
# You see: progress bars; at the end a table with the model's bits per byte on held-out text of each domain, beside the
#          unigram entropy (the model about 40 % under it) and xz -9; tokens/s, energy, a sample of generated text, and
#          runs/quickstart/report.html.
# Again:   each command finds what is done and says so; a training that was stopped goes on where it stood.
set -eu

packtrain prepare domain=python_code output=data/python/documents/python_code
packtrain prepare domain=python_prose output=data/python/documents/python_prose
packtrain prepare domain=unicode output=data/python/documents/unicode

packtrain tokenizer input=data/python/documents output=data/python/tokenizer.model vocab_size=4096
packtrain pack input=data/python/documents tokenizer=data/python/tokenizer.model output=data/python/shards

packtrain train experiment=quickstart name=quickstart
packtrain evaluate checkpoint=runs/quickstart
packtrain generate checkpoint=runs/quickstart prompt="'def read('" temperature=0.6 max_new_tokens=120 output=runs/quickstart/sample.txt
packtrain report runs=quickstart
