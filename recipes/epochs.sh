#!/bin/sh
# Repeated data: a small corpus read 1, 2, 4, 16 and 64 times against fresh text of the same number of tokens.
#   recipes/epochs.sh            scale=toy, the embedded corpus
#   scale=small recipes/epochs.sh
#
# Costs:   toy: 30 runs, 8.5 M tokens: 6 min 39 s of CPU time (measured, one thread, on two cores of an AMD EPYC that others used:
#          28 minutes by the clock), 0.004 kWh (guessed: 10 W); one H200 by packtrain plan in bf16: 0.1 s, 3e-5 kWh, which
#          its kernels' launches alone exceed. small: 53 M tokens, not run: by plan 1 s.
# You see: runs/epochs-SCALE/report.html, whose first sentence says at how many tokens the repeated corpus
#          (data.unique_tokens=…) is worse held out than fresh text of the same length (null), and by how much; below it
#          both of them against tokens: held out, in training, and by domain.
# Again:   members that are finished say so; the numbers are the same.
set -eu
trap 'exit 130' INT # Ctrl-C ends the recipe, a failed member does not
scale=${scale:-toy} shards=${shards:-data/science/shards}
[ "$shards" != data/science/shards ] || sh "${0%/*}/data_science.sh"

case $scale in
  toy) size=170k corpus=16384 rate="optim.learning_rate=4e-3" ;;
  small) size=1m corpus=102400 rate= ;;
esac

runs=
for epochs in 1 2 4 16 64; do
  packtrain train -m name="epochs-$scale-$epochs" experiment=study data.path="$shards" cluster="${cluster:-local}" model=$size optim.warmup_steps=2 $rate data.tokens=$((epochs * corpus)) data.unique_tokens=$corpus,null seed=1,2,3 || failed=$?
  runs=$runs,epochs-$scale-$epochs
done
packtrain report runs="[${runs#,}]" output="runs/epochs-$scale/report.html" question="'$corpus tokens read 1, 2, 4, 16 and 64 times: where does repetition begin to hurt?'" compare=data.unique_tokens reference="'data.unique_tokens=null'" along=data.tokens measure="[val/loss,train/loss,val/loss/python_code,val/loss/python_prose,val/loss/unicode]"
exit ${failed:-0} # of a member: the page shows what it said
