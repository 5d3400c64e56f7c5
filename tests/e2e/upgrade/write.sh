#!/usr/bin/env bash
# Writes 0.1.0.tar.gz with jobtui 0.1.0: the home of a user with jobs of every status, databases, a config file and a
# dashboard that was used; and what 0.1.0 itself said of them. It was run once, and is here to show what it did.
#
#   write.sh JOBTUI    the command of version 0.1.0 (commit e46d3b1), installed in an environment of its own
set -euo pipefail
old=$1
here=$(cd "$(dirname "$0")" && pwd)
home=$(mktemp -d)
cd "$home"
mkdir disk0 disk1 said
cat >config.toml <<'EOF'
profile = "prod"
data_dir = "data"

[profiles.prod]
hosts = { first = "disk0", second = "disk1" }
compact_rate = "1 MiB"
max_running_jobs = 1

[dashboard]
confirm = "bulk"
keymap = { stop = "s,delete" }
EOF
jobtui() { HOME=$home TZ=UTC "$old" --config config.toml "$@"; }
numbers() { seq "$1" "$2" | sed "s/.*/key-&,value $3 &/"; }

jobtui -e 'CREATE SPACE nba; CREATE SPACE `图 谱`'
numbers 1000 3999 old | jobtui load nba - --format csv
jobtui -e 'ADMIN FLUSH nba'
numbers 2000 2999 new | jobtui load nba - --format csv
seq 3000 3499 | sed 's/.*/key-&,\\N/' | jobtui load nba - --format csv
printf '{"key_base64": "AP8=", "value_base64": "/wA="}\n{"key": "é", "value": ""}\n' |
    jobtui load '图 谱' - --format jsonl
jobtui -e 'ADMIN COMPACT nba; SUBMIT JOB FLUSH `图 谱`'
jobtui --detach -e 'ADMIN COMPACT `图 谱`' -q
jobtui --detach -e 'STOP JOB 4; RECOVER JOB 4'
jobtui -e 'BACKUP JOB 1 1'
# a dashboard that ran a statement, and ended
python3 - "$old" <<'EOF'
import os, pty, select, sys, time
pid, terminal = pty.fork()
if pid == 0:
    os.environ.update(TERM="xterm-256color", COLUMNS="100", LINES="30", HOME=os.getcwd())
    os.execvp(sys.argv[1], [sys.argv[1], "--config", "config.toml"])
shown = b""
for wanted, keys in ((b"compact nba", b":"), (b"", b"SHOW SPACES\r"), (b"", b"\x1b"), (b"", b"\x1b"), (b"", b"q"), (b"", b"\r")):
    end = time.monotonic() + 3
    while time.monotonic() < end:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                shown += os.read(terminal, 65536)
            except OSError:
                break
    assert wanted in shown, shown
    try:
        os.write(terminal, keys)
    except OSError:
        break
os.waitpid(pid, 0)
EOF
# killed while a job runs and another one waits
numbers 4000 5999 "$(head -c 400 /dev/zero | tr '\0' x)" | jobtui load nba - --format csv
HOME=$home TZ=UTC "$old" --config config.toml -e 'ADMIN COMPACT nba; ADMIN FLUSH nba' >/dev/null &
until grep -qs '"set":6,.*"status":"running"' data/prod/history/journal-*; do sleep 0.01; done
kill -9 "$!"
wait "$!" || true
sleep 1 # its workers end by themselves

cp -r . "$home.copy"
cd "$home.copy"
jobtui history export --format jsonl >said/jobs.jsonl
jobtui dump nba >said/nba.jsonl
jobtui dump '图 谱' >said/graph.jsonl
cp -r said "$home/"
cd "$home"
find . -name 'LOG.old.*' -delete
find . -type f | sort
tar --sort=name --owner=0 --group=0 --numeric-owner -czf "$here/0.1.0.tar.gz" .
ls -l "$here/0.1.0.tar.gz"
rm -rf "$home" "$home.copy"
