#!/bin/sh
# The carbon table of the LLaMA paper (arXiv 2302.13971, table 15), recomputed by its own formula from its GPU-hours, and
# below it what your own runs drew: Wh = GPU-hours × watts × PUE, tCO2eq = MWh × the grid's intensity.
#   recipes/carbon_table.sh                             the quickstart's run
#   runs=ablations-toy,sizes-toy recipes/carbon_table.sh        any finished runs, a sweep's folder for all its members
#
# Needs:   finished runs in runs/; without runs= that of recipes/quickstart.sh.
# Costs:   1½ seconds of CPU time with 54 runs (measured), no training. No GPU, no network.
# You see: six rows of the paper, with a note where its printed MWh is not what the formula gives (BLOOM: 476.5, printed
#          475; LLaMA-65B: 449.8, printed 449); then one row for each run, with the word measured, rated or guessed.
set -eu

packtrain plan carbon
packtrain plan carbon runs="[${runs:-quickstart}]"
