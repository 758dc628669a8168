#!/bin/sh
# Two sizes on the same text and the same number of tokens: does the larger model reach the lower loss?
#
# Needs:   data/python/shards, made by recipes/quickstart.sh.
# Costs:   about half an hour on two CPU cores; each size trains with the peak learning rate of its own YAML.
# You see: runs/sizes/model=1m and runs/sizes/model=5m, then one page that compares them, by tokens and by FLOPs, with the
#          energy of both and its sum: runs/sizes/report.html; its pictures in runs/sizes/figures/.
# Again:   a member that is finished says so; one that was stopped goes on.
set -eu

packtrain plan model=5m data=python data.tokens=5e6

packtrain train -m name=sizes model=1m,5m data=python data.tokens=5e6 data.batch_tokens=8192

packtrain evaluate checkpoint="'runs/sizes/model=1m'"
packtrain evaluate checkpoint="'runs/sizes/model=5m'"
packtrain report runs=sizes
