#!/bin/sh
# The paper's thesis at a size that anyone can afford: where many tokens are to be served, is a smaller model that is
# trained for longer the better use of the same FLOPs?
#   recipes/overtrain.sh         scale=toy, the embedded corpus
#   scale=small shards=DIR recipes/overtrain.sh     your own pack
#
# Costs:   toy: 9 runs, 9 M tokens, beside sweep_sizes.sh: 4 min 52 s of CPU time (measured, one thread, on two cores of an AMD EPYC
#          that others used: 20 minutes by the clock), 0.003 kWh (guessed: 10 W); one H200 by packtrain plan in bf16: 0.1 s,
#          2e-5 kWh, which its kernels' launches alone exceed. small: 259 M tokens, not run: by plan 39 s, 0.008 kWh.
# You see: runs/overtrain-SCALE/report.html, whose first sentence names the best of the sizes that cost the same; then, by the
#          law of recipes/sweep_sizes.sh, which this one runs first, what was foretold for each and by how much it was missed.
# Again:   members that are finished say so; the numbers are the same.
set -eu
trap 'exit 130' INT # Ctrl-C ends the recipe, a failed member does not
sh "${0%/*}/sweep_sizes.sh" || failed=$?

scale=${scale:-toy} shards=${shards:-data/science/shards}
case $scale in # tokens D, so that 6 N D + 2 N S is the same for each N: toy S = 1 M, small S = 80 M with 512 pieces
  toy) members="60k:2_263_000 170k:564_000 320k:150_000" seeds=1,2,3 ;;
  small) members="5m:218_600_000 15m:40_000_000" seeds=1 ;;
esac

runs=
for member in $members; do
  packtrain train -m name="overtrain-$scale-${member%:*}" experiment=study data.path="$shards" cluster="${cluster:-local}" model="${member%:*}" data.tokens="${member#*:}" seed=$seeds || failed=$?
  runs=$runs,overtrain-$scale-${member%:*}
done
packtrain report runs="[${runs#,}]" output="runs/overtrain-$scale/report.html" question="Which size makes the best use of the same FLOPs for training and serving?" compare=model.name measure=val/loss
packtrain plan fit runs="[sizes-$scale]" predict="[${runs#,}]"
exit ${failed:-0} # of a member: the page shows what it said
