#!/bin/sh
# All seven domains of the paper, from raw files to a mixture and a short training run on it:
#   recipes/data_llama.sh CORPORA
#
# Needs:   CORPORA with folders commoncrawl, c4, wikipedia, books, arxiv and stackexchange as their publishers give them
#          (WARC or WET, JSON lines or WARC, XML dumps, Gutenberg files, e-prints, Posts.xml or .7z); GitHub's part is the
#          source code of the Python packages that are installed here. pip install 'packtrain[data]'
# Costs:   6½ minutes of CPU time on two cores of an AMD EPYC (measured twice, 11 minutes by the clock where others used them;
#          prepare 2, tokenizer 1.5, pack 1.6, train 1.2), 0.0003 kWh of training (guessed: 10 W) for 27 MB of raw
#          text beside 348 MB of GitHub, which is most of it; its training on one H200 by packtrain plan 0.04 s; 4 GB of memory, which
#          the tokenizer takes. No GPU, no network.
# You see: for each domain what was kept and dropped and why; `the mixture of … tokens beside what is packed` with the paper's
#          proportions, and how often each domain is repeated; a run in runs/data-llama whose loss falls, and at its end
#          target and realised tokens, epochs and bytes of each domain, also in runs/data-llama/ledger.json.
# Again:   each command finds what is done and says so; overwrite=true makes it anew.
set -eu

packtrain prepare domain=common_crawl input="$1/commoncrawl" output=data/llama/documents/common_crawl
packtrain prepare domain=c4 input="$1/c4" output=data/llama/documents/c4
packtrain prepare domain=github output=data/llama/documents/github
packtrain prepare domain=wikipedia input="$1/wikipedia" output=data/llama/documents/wikipedia
packtrain prepare domain=books input="$1/books" output=data/llama/documents/books
packtrain prepare domain=arxiv input="$1/arxiv" output=data/llama/documents/arxiv
packtrain prepare domain=stack_exchange domain.sites=all input="$1/stackexchange" output=data/llama/documents/stack_exchange

packtrain tokenizer input=data/llama/documents output=data/llama/tokenizer.model vocab_size=8000
packtrain pack input=data/llama/documents tokenizer=data/llama/tokenizer.model output=data/llama/shards weights=llama

packtrain train name=data-llama model=1m data=llama data.vocab_size=8000 data.sequence_length=512 data.tokens=400_000 data.batch_tokens=8192 optim.warmup_steps=5
