#!/bin/sh
# LLaMA-7B with the paper's recipe: 1.0 T tokens in batches of 4 194 304, peak learning rate 3.0e-4, 2 000 warm-up steps,
# all of them from conf/model/7b.yaml.
#
# Needs:   data/llama/shards, packed with a tokenizer of 32 000 pieces from seven domains named as in conf/data/llama.yaml.
# Costs:   the paper took 82 432 hours of A100-80GB; the first command says what that is in days, kWh and tCO2eq.
#          Today's packtrain trains on one device: weights, gradients and optimiser of the 7B take 101 GiB in fp32, so it
#          wants one GPU of 141 GB or more, and years. The recipe is honest about that: plan, try five steps, then start.
# You see: a plan; `smoke: … this configuration runs`; then the run in runs/llama-7b, which the same command continues.
set -eu

packtrain plan model=7b data=llama cluster=llama_paper
packtrain plan model=7b data=llama cluster.gpu=h200

packtrain train name=llama-7b model=7b data=llama optim=llama precision=bf16 data.micro_batch=1 smoke=true
packtrain train name=llama-7b model=7b data=llama optim=llama precision=bf16 data.micro_batch=1

packtrain evaluate checkpoint=runs/llama-7b precision=bf16
packtrain report runs=llama-7b
