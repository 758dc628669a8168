#!/bin/sh
# The learning rate of each size: a sweep over peaks a factor of two apart, at a fixed number of tokens.
#   recipes/sweep_lr.sh          scale=toy, the embedded corpus
#   scale=small recipes/sweep_lr.sh
#
# Costs:   toy: 60 runs, 12 M tokens: 13 min 2 s of CPU time (measured, one thread, on two cores of an AMD EPYC that others used:
#          28 minutes by the clock), 0.0045 kWh (guessed: 10 W); one H200 by packtrain plan in bf16: 0.3 s, 6e-5 kWh, which
#          its kernels' launches alone exceed. small: 45 runs of 20 M tokens, not run: by plan 2½ minutes, 0.03 kWh.
# You see: runs/lr-SCALE/report.html, whose first sentence names each size's best peak, its loss with the spread over seeds, and
#          by how much it is before the next best; a curve for each size. What was found stands in conf/model/.
# Again:   members that are finished say so; the numbers are the same.
set -eu
trap 'exit 130' INT # Ctrl-C ends the recipe, a failed member does not
scale=${scale:-toy} shards=${shards:-data/science/shards}
[ "$shards" != data/science/shards ] || sh "${0%/*}/data_science.sh"

case $scale in
  toy) sizes="60k 170k 320k 730k" tokens=200_000 seeds=1,2,3 ;;
  small) sizes="1m 5m 15m" tokens=20_000_000 seeds=1,2,3 ;;
esac

runs=
for size in $sizes; do
  packtrain train -m name="lr-$scale-$size" experiment=study data.path="$shards" cluster="${cluster:-local}" model="$size" data.tokens=$tokens optim.learning_rate=2e-3,4e-3,8e-3,1.6e-2,3.2e-2 seed=$seeds || failed=$?
  runs=$runs,lr-$scale-$size
done
packtrain report runs="[${runs#,}]" output="runs/lr-$scale/report.html" question="Which peak learning rate is best for each size?" compare=optim.learning_rate along=model.name measure=val/loss
exit ${failed:-0} # of a member: the page shows what it said
