#!/bin/sh
# The ablations that the paper lacks: LLaMA's choices one by one against others, three seeds each, ranked with intervals.
#   recipes/ablations.sh          scale=toy, the embedded corpus
#   scale=small recipes/ablations.sh
#
# Costs:   toy: 39 runs, 7.8 M tokens: 6 min 16 s of CPU time with the shards (measured on two cores of an AMD EPYC that others
#          used; 8 min 21 s by the clock), 0.0013 kWh (guessed: 10 W); one H200 by packtrain plan in bf16: 0.1 s, 3e-5 kWh,
#          which its kernels' launches alone exceed. small: 312 M tokens, not run: by plan 12 s, 0.003 kWh of an H200; on two
#          cores some hours. 100 MB of disk. No network.
# You see: runs/ablations-SCALE/report.html, whose first sentence names the best choice with its held-out bits a byte, its
#          spread over seeds and whether it is beyond noise; below it the ranking of all thirteen. Each is a file of
#          conf/ablation/.
# Again:   members that are finished say so; the numbers are the same. cluster=slurm submits all members as one array.
set -eu
trap 'exit 130' INT # Ctrl-C ends the recipe, a failed member does not
scale=${scale:-toy}
sh "${0%/*}/data_science.sh"
packtrain tokenizer input=data/python/documents output=data/science/joined/tokenizer.model vocab_size=512 split_digits=false
packtrain pack input=data/python/documents tokenizer=data/science/joined/tokenizer.model output=data/science/joined/shards

case $scale in
  toy) size=170k tokens=200_000 ;;
  small) size=730k tokens=8_000_000 ;;
esac

layers=baseline,post_norm,layer_norm,gelu,relu
positions=learned_positions,sinusoidal_positions,no_positions
rest=tied_embeddings,document_mask,clip_value,clip_off,joined_digits
packtrain train -m name="ablations-$scale" experiment=study cluster="${cluster:-local}" model=$size data.tokens=$tokens seed=1,2,3 +ablation=$layers,$positions,$rest || failed=$?
packtrain report runs="ablations-$scale" question="Which choice lowers the held-out bits a byte?"
exit ${failed:-0} # of a member: the page shows what it said
