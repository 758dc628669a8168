#!/bin/sh
# A pre-trained model learns to follow instructions: fine-tuned on questions and answers, evaluated before and after, asked.
#   recipes/instruct.sh                           scale=toy: the quickstart's model, questions about the running Python
#   recipes/instruct.sh FILE.jsonl                your own instructions: .jsonl, .json, .parquet, a set of the hub
#   recipes/instruct.sh FILE EVAL                 MMLU, too, before and after; EVAL is the folder of its files (docs/tasks.md)
#   scale=small base=FOLDER recipes/instruct.sh alpaca.json      LLaMA-7B by LoRA on one GPU; `plan finetune` says it fits
#
# Costs:   toy: 1 min 40 s by the clock, 2 minutes of CPU time (measured, on two nearly idle cores of an AMD EPYC), 0.00011
#          kWh (guessed: 10 W), and 3¼ minutes before for recipes/quickstart.sh where it was not run; one H200 by
#          packtrain plan in bf16: under a second, which its kernels' launches alone exceed. No GPU, no network. small: not
#          tried yet; its memory is planned by the first line.
# You see: the plan of a 7B; the loss on held-out responses of the model as it was (before.json) and as it is, by the Flan
#          protocol and with LoRA; answers in the template; runs/instruct-SCALE/report.html.
# Again:   each command finds what is done and says so; a run that was stopped goes on where it stood.
set -eu
scale=${scale:-toy} base=${base:-runs/quickstart} file=${1:-python}

packtrain plan finetune model=7b data=llama cluster.gpu=h100 sequences_per_gpu=1

case $scale in
  toy) sh "${0%/*}/quickstart.sh"; items=200 often="data.epochs=2 data.batch_tokens=4096 callbacks.domain_loss.interval_tokens=5e4" flan=1e-3 lora=1e-2 rank=8 ;;
  small) items=null often="data.epochs=2 precision=bf16 data.micro_batch=1" flan=2e-4 lora=2e-4 rank=16 ;;
esac

case $scale in
  toy) packtrain finetune name=instruct-toy init_from="$base" data.path="$file" protocol=flan optim.learning_rate=$flan $often ;;
  small) packtrain finetune name=instruct-small init_from="$base" data.path="$file" protocol=flan optim.learning_rate=$flan lora.rank=$rank $often ;;
esac
packtrain finetune name="instruct-$scale-lora" init_from="$base" data.path="$file" protocol=cosine optim.learning_rate=$lora lora.rank=$rank $often

packtrain evaluate checkpoint="$base" shards="runs/instruct-$scale" output="runs/instruct-$scale/before.json"
packtrain evaluate checkpoint="runs/instruct-$scale"
packtrain evaluate checkpoint="runs/instruct-$scale-lora"
for model in ${2:+"$base" "runs/instruct-$scale" "runs/instruct-$scale-lora"}; do
  packtrain evaluate checkpoint="$model" tasks=[mmlu] data_dir="$2" limit=$items output="runs/instruct-$scale/mmlu-${model##*/}.json"
done

packtrain generate checkpoint="runs/instruct-$scale" chat=true prompt="'What does the function os.path.join do?'" temperature=0 max_new_tokens=60
packtrain generate checkpoint="runs/instruct-$scale-lora" chat=true prompt="'What does the function os.path.join do?'" temperature=0 max_new_tokens=60
packtrain report runs="instruct-$scale"
