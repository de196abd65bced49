#!/usr/bin/env bash
# Builds the sdist, a wheel from the sdist alone, installs the wheel in a fresh environment far from the source tree, and
# uses it there: kernels, a bundle, a stream, the command line. Usage: tools/try_wheel.sh PYTHON
set -euo pipefail
python=$(realpath -s "${1:-python3}")
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cd "$root"
"$python" -m build --sdist --outdir "$work" . > "$work/sdist.log" 2>&1 || { tail -40 "$work/sdist.log"; exit 1; }
cd "$work"
"$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$work" "$work"/*.tar.gz
size=$(stat --format=%s "$work"/*.whl)
echo "wheel: $(basename "$work"/*.whl), $size bytes"
[ "$size" -lt 5000000 ] || { echo "the wheel is larger than 5 MB"; exit 1; }
"$python" -m venv fresh
fresh/bin/python -m pip install --quiet --disable-pip-version-check "$work"/*.whl
fresh/bin/python -I "$root/tools/use_wheel.py"
fresh/bin/hiddenstate --version
