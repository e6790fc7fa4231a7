#!/bin/sh
# Set up a virtual environment with difrob in it, and the system libraries that Qt needs.
# Usage: setup.sh VENV [extra system packages ...]   (run from the project's root; "make" does)
# Installs system packages only as root on a Debian family system; elsewhere it says what to type.
set -eu
venv=$1
shift

python=""
for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11; do
    if [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 &&
        "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "difrob: no Python 3.11, 3.12 or 3.13 here; install one, or name it: make PYTHON=/path/to/python3.12" >&2
    exit 1
fi

wanted="$*"
if [ "$(uname -s)" = Linux ]; then
    libraries=$(ldconfig -p 2>/dev/null || /sbin/ldconfig -p)
    wanted="$wanted $(grep -v '^#' resources/system-libraries.txt | while read -r file package need; do
        case "$libraries" in *"$file"*) ;; *) echo "$package" ;; esac
    done)"
    fc-list 2>/dev/null | grep -q . || ls /usr/share/fonts/truetype/*/*.ttf >/dev/null 2>&1 || wanted="$wanted fonts-dejavu-core"
    "$python" -c 'import ensurepip, venv' 2>/dev/null || wanted="$wanted python3-venv"
fi
missing=""
for package in $wanted; do
    dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"
done
if [ -n "$missing" ] && command -v apt-get >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ]; then
        echo "installing system packages:$missing"
        # shellcheck disable=SC2086
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } >/dev/null
    else
        echo "difrob: system packages are missing; the window and some tests need them:"
        echo "    sudo apt-get install -y$missing"
    fi
elif [ -n "$missing" ]; then
    echo "difrob: the window may need libraries that Debian packages as:$missing; install what your system calls them"
fi

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -c resources/constraints.txt torch
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -c resources/constraints.txt -e '.[gui,test]'
