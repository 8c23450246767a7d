#!/usr/bin/env bash
# What a GPU is used for, in about eight minutes on a single large one: writes gpu.md, a table for benchmarks/README.md.
#
#     benchmarks/gpu.sh                           # after pip install -e '.[dev]'; TINY=1 to see that it works elsewhere;
#     TIMM=<train.py> benchmarks/gpu.sh           # and against timm's script, of its repository
set -euo pipefail
cd "$(dirname "$0")/.."
tiny=${TINY:+--tiny}
out=${OUT:-.}/gpu.md
measure() { echo "| \`$*\` | $(timeout 110 python -m "$@" 2>/dev/null | tail -n 1 || echo "no result within 110 s") |" | tee -a "$out"; }

{
  echo "$(python -c 'import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu", torch.__version__)'), commit $(git rev-parse --short HEAD), $(date +%F)"
  echo
  echo "| command | result |"
  echo "|---|---|"
} | tee "$out"
measure benchmarks.gpu_training $tiny
measure benchmarks.gpu_training $tiny compile=true
measure benchmarks.gpu_generation $tiny
if [ -n "${TIMM:-}" ]; then
  few=${TINY:+--images 32 --size 32 --epochs 1}
  measure benchmarks.alternatives --timm "$TIMM" --against timm --rounds 1 ${few:---images 2000 --size 224 --epochs 3}
fi
