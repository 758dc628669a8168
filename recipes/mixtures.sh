#!/bin/sh
# The mixture: the paper's weights against no Wikipedia and Books, no C4, and every domain by its size.
#   recipes/mixtures.sh EVAL     scale=toy
#
# Needs:   data/llama/documents, made by recipes/data_llama.sh CORPORA; EVAL, the folder of the tasks' files (docs/tasks.md).
# Costs:   toy: 12 runs of 400 000 tokens: about 5 minutes of CPU time by this size's speed (not yet run to its end), 0.001 kWh
#          (guessed: 10 W); one H200 by packtrain plan: under a second. small: 12 runs of 100 M tokens (not run).
# You see: runs/mixtures-SCALE/report.html: held-out loss of all seven domains, those left out, too, and three tasks: does
#          what Wikipedia and Books lift go beyond the recall of facts (nq_open), and does C4 help beside CommonCrawl?
# Again:   members that are finished say so; the numbers are the same.
set -eu

scale=${scale:-toy}
case $scale in
  toy) size=170k tokens=400_000 vocabulary=512 limit=50 ;;
  small) size=15m tokens=100_000_000 vocabulary=8000 limit=500 ;;
esac

packtrain tokenizer input=data/llama/documents output="data/mixtures-$vocabulary/tokenizer.model" vocab_size=$vocabulary
packtrain pack input=data/llama/documents tokenizer="data/mixtures-$vocabulary/tokenizer.model" output="data/mixtures-$vocabulary/shards" weights=llama

packtrain train -m name="mixtures-$scale" experiment=mixture_paper,mixture_no_wikipedia_books,mixture_no_c4,mixture_by_size seed=1,2,3 cluster="${cluster:-local}" model=$size data.path="data/mixtures-$vocabulary/shards" data.tokens=$tokens callbacks.downstream.data_dir="$1" callbacks.downstream.limit=$limit callbacks.downstream.interval_tokens=$tokens
packtrain report runs="mixtures-$scale" question="Which mixture is best?" measure="[val/loss/common_crawl,val/loss/c4,val/loss/github,val/loss/wikipedia,val/loss/books,val/loss/arxiv,val/loss/stack_exchange,tasks/nq_open,tasks/arc_easy,tasks/piqa]"
