#!/bin/sh
# Sizes and lengths of training: does the larger model reach the lower loss, and can that loss be foretold?
#   recipes/sweep_sizes.sh                             scale=toy, the embedded corpus
#   scale=small recipes/sweep_sizes.sh                 1m to 15m, and 60m foretold
#   scale=small cluster=slurm recipes/sweep_sizes.sh   each run a job of its own; once they ended, the same again
#
# Costs:   toy: 18 runs and a larger one, 9 M tokens: about 7 minutes of CPU time (measured in parts, one thread, on two cores of an
#          AMD EPYC that others used), 0.006 kWh (guessed: 10 W); one H200 by packtrain plan in bf16: 0.2 s, 3e-5 kWh, which
#          its kernels' launches alone exceed. small: 500 M tokens, not run: by plan two minutes, 0.025 kWh; the first
#          command says what the largest run costs.
# You see: runs/sizes-SCALE/report.html, whose first sentence names the best size at each number of tokens; loss against tokens and
#          against FLOPs of all sizes; then the law L(N, D) with 90 % intervals, and by how much it misses the larger run,
#          which it did not see.
# Again:   members that are finished say so; one that was stopped goes on; the numbers are the same.
set -eu
trap 'exit 130' INT # Ctrl-C ends the recipe, a failed member does not
scale=${scale:-toy} shards=${shards:-data/science/shards}
[ "$shards" != data/science/shards ] || sh "${0%/*}/data_science.sh"

case $scale in
  toy) sizes=60k,170k,320k lengths=200_000,400_000,800_000 larger=730k longest=800_000 seeds=1,2 ;;
  small) sizes=1m,5m,15m lengths=20_000_000,40_000_000,80_000_000 larger=60m longest=80_000_000 seeds=1 ;;
esac

packtrain plan model=$larger data=packed data.path="$shards" data.vocab_size=512 data.tokens=$longest precision=fp32

packtrain train -m name="sizes-$scale" experiment=study data.path="$shards" cluster="${cluster:-local}" model=$sizes data.tokens=$lengths seed=$seeds || failed=$?
packtrain train name="sizes-$scale-larger" experiment=study data.path="$shards" cluster="${cluster:-local}" model=$larger data.tokens=$longest

packtrain report runs="[sizes-$scale,sizes-$scale-larger]" output="runs/sizes-$scale/report.html" question="Does the larger model reach the lower loss?" compare=model.name along=data.tokens measure=val/loss
packtrain plan fit runs="[sizes-$scale]" predict="[sizes-$scale-larger]"
exit ${failed:-0} # of a member: the page shows what it said
