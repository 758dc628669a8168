#!/bin/sh
# Sizes and lengths of training: does the larger model reach the lower loss, and can that loss be foretold?
#   recipes/sweep_sizes.sh                             scale=toy, the embedded corpus
#   scale=small recipes/sweep_sizes.sh                 1m to 15m, and 60m foretold
#   scale=small cluster=slurm recipes/sweep_sizes.sh   each run a job of its own; once they ended, the same again
#
# Costs:   toy: 9 runs and a larger one, 5 M tokens: 4½ minutes of CPU time (measured, one thread), 0.001 kWh (guessed: 10 W);
#          one H200 by packtrain plan: under a second, which its kernels' launches alone exceed. small: 500 M tokens, by plan
#          some two minutes of an H200 (not run); the first command says what the largest run costs.
# You see: runs/sizes-SCALE/report.html: loss against tokens and against FLOPs of all sizes; then the law L(N, D) with
#          90 % intervals, and by how much it misses the larger run, which it did not see.
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
