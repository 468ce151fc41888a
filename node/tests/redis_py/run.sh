#!/usr/bin/env bash
# Runs redis-py's own tests of commands, unchanged, against one node. See README.md beside this file.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
version=${REDIS_PY_VERSION:-8.1.0}
work=${REDIS_PY_WORK:-$here/../../../target/redis-py}
rumour=${RUMOUR:-$here/../../../target/debug/rumour}
port=${REDIS_PY_PORT:-7456}
mkdir -p "$work"
cd "$work"

[ -f "redis-$version.tar.gz" ] || pip download --quiet --no-deps --no-binary :all: "redis==$version"
[ -d "redis-$version" ] || tar xzf "redis-$version.tar.gz"
if [ ! -x venv/bin/pytest ]; then
    python3 -m venv venv
    venv/bin/pip install --quiet "redis==$version" pytest pytest-asyncio pytest-timeout numpy packaging
fi
# Beside the tests must lie no `redis` folder: the installed package is what is tested.
rm -rf suite
mkdir suite
cp -r "redis-$version/tests" "redis-$version/pyproject.toml" suite/

rm -f cluster.key
"$rumour" keygen --out cluster.key
"$rumour" run --name redis-py --key-file cluster.key --listen 127.0.0.1:0 --redis "127.0.0.1:$port" --admin off \
    >node.log 2>&1 &
node=$!
trap 'kill "$node" 2>/dev/null || true' EXIT
for _ in $(seq 100); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
    sleep 0.1
done

cd suite
../venv/bin/python -m pytest tests/test_commands.py --redis-url="redis://127.0.0.1:$port/0" \
    --quiet --timeout 30 --no-header --tb=line -p no:cacheprovider --junitxml=../report.xml "$@" >../pytest.log 2>&1 || true
kill -0 "$node"
python3 "$here/report.py" ../report.xml
