#!/usr/bin/env bash
# litdata asks for torchvision, which it needs for images only. A torchvision built for another torch breaks
# `import lightning` ("operator torchvision::nms does not exist"), so one that does not work is removed.
# usage: scripts/fix_torchvision.sh [PYTHON]
set -euo pipefail
python="${1:-python}"

if ! "$python" -c 'import importlib.metadata as m; m.version("torchvision")' 2>/dev/null; then
    exit 0 # not installed: nothing to mend
fi
if ! "$python" -c '
import torch, torchvision
torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)' 2>/dev/null; then
    echo "removing torchvision: it does not fit this torch, and nothing here needs it"
    "$python" -m pip uninstall -q -y torchvision
fi
