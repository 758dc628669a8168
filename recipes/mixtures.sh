#!/bin/sh
# The mixture: the paper's weights against no Wikipedia and Books, no C4, and every domain by its size.
#   recipes/mixtures.sh EVAL     scale=toy
#
# Needs:   data/llama/shards, made by recipes/data_llama.sh CORPORA; EVAL, the folder of the tasks' files (docs/tasks.md).
# Costs:   toy: 12 runs of 200 000 tokens: 7 min 56 s of CPU time (measured, one thread, on two cores of an AMD EPYC that others
#          used: 27 minutes by the clock), half of it for the held-out text of seven domains and the tasks, 0.0045 kWh
#          (guessed: 10 W); one H200 by packtrain plan in bf16: 0.2 s, 4e-5 kWh, which its kernels' launches alone exceed.
#          small: 12 runs of 100 M tokens, not run: by plan 9 minutes, 0.11 kWh.
# You see: three pages runs/mixtures-SCALE/{wikipedia_books,c4,by_size}/report.html, each mixture against the paper's: its first
#          sentence says what is worse, better and within noise of the held-out loss of all seven domains, those left out,
#          too, and of three tasks: recall of facts (nq_open), school questions (arc_easy), everyday physics (piqa).
# Again:   members that are finished say so; the numbers are the same.
set -eu
trap 'exit 130' INT # Ctrl-C ends the recipe, a failed member does not

scale=${scale:-toy}
case $scale in
  toy) size=170k tokens=200_000 rate="optim.learning_rate=4e-3" limit=100 ;;
  small) size=15m tokens=100_000_000 rate= limit=500 ;;
esac

for mixture in paper no_wikipedia_books no_c4 by_size; do
  packtrain train -m name="mixtures-$scale-$mixture" experiment="mixture_$mixture" seed=1,2,3 cluster="${cluster:-local}" model=$size data.path=data/llama/shards data.tokens=$tokens $rate callbacks.downstream.data_dir="$1" callbacks.downstream.limit=$limit callbacks.downstream.interval_tokens=$tokens || failed=$?
done

measures="[val/loss/common_crawl,val/loss/c4,val/loss/github,val/loss/wikipedia,val/loss/books,val/loss/arxiv,val/loss/stack_exchange,tasks/nq_open/exact_match,tasks/arc_easy/acc_char,tasks/piqa/acc_char]"
paper=mixtures-$scale-paper
packtrain report runs="[$paper,mixtures-$scale-no_wikipedia_books]" output="runs/mixtures-$scale/wikipedia_books/report.html" question="'Without Wikipedia and Books, is more lost than recall of facts?'" compare=name reference="$paper" along=measure measure="$measures"
packtrain report runs="[$paper,mixtures-$scale-no_c4]" output="runs/mixtures-$scale/c4/report.html" question="'Without C4 beside CommonCrawl, is anything lost?'" compare=name reference="$paper" along=measure measure="$measures"
packtrain report runs="[$paper,mixtures-$scale-by_size]" output="runs/mixtures-$scale/by_size/report.html" question="'With every domain by its size, what is lost, and what is won?'" compare=name reference="$paper" along=measure measure="$measures"
exit ${failed:-0} # of a member: the page shows what it said
