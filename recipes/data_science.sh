#!/bin/sh
# The embedded corpus in 512 pieces, for studies: with so small a vocabulary a model of 60 000 parameters is a model.
#
# Costs:   23 seconds of CPU time (measured on two cores of an AMD EPYC; 27 by the clock), 1 GB of memory, 80 MB of disk. Nothing
#          is trained: no GPU, 0.0001 kWh (10 W for so long, guessed), no network.
# You see: data/science/shards with 8.2 million tokens of Python's source, its documentation and the Unicode tables.
# Again:   each command finds what is done and says so. The recipes that need these shards call this one first.
set -eu

packtrain prepare domain=python_code output=data/python/documents/python_code
packtrain prepare domain=python_prose output=data/python/documents/python_prose
packtrain prepare domain=unicode output=data/python/documents/unicode

packtrain tokenizer input=data/python/documents output=data/science/tokenizer.model vocab_size=512
packtrain pack input=data/python/documents tokenizer=data/science/tokenizer.model output=data/science/shards
