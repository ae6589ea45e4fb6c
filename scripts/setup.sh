#!/usr/bin/env bash
# Set up everything that `make test` and `make demo` need, in .venv; quick when nothing has changed.
#
#   scripts/setup.sh            check the prerequisites, then bring every step up to date
#   scripts/setup.sh --check    only check the prerequisites
#
# Environment: PYTHON, JAVA_HOME and CXX choose other programs than those on the PATH; TORCH_INDEX_URL takes torch from
# another package index (CPU only, another CUDA); HOROVOD_GPU_OPERATIONS=NCCL builds Horovod for GPUs (needs nvcc).
# IPDSF_LOCK=oldest.txt IPDSF_VENV=.venv-oldest sets up the oldest versions beside the newest, with Python 3.11: see
# docs/versions.md.
set -euo pipefail

case "${1:-}" in
    "" | --check) ;;
    -h | --help)
        sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "$0"
        exit 0
        ;;
    *)
        echo "unknown option $1; see $0 --help" >&2
        exit 2
        ;;
esac

cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv="${IPDSF_VENV:-.venv}"
# pyarrow 14 and numpy 1.26 have no builds for newer ones.
newest_minor=13
[[ "${IPDSF_LOCK:-}" == oldest.txt ]] && newest_minor=11
versions="3.11"
((newest_minor > 11)) && versions="3.11 to 3.$newest_minor"

missing=()  # what a person reads
packages=() # keys into the tables of package names below

is_right_python() {
    "$1" -c "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, $newest_minor))" 2>/dev/null
}

find_python() {
    local candidate
    for candidate in "$venv/bin/python" "${PYTHON:-}" python3.11 python3 python; do
        if [[ -n $candidate ]] && is_right_python "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    return 1
}

# Horovod is compiled once per torch and Python; a machine that has the wheel needs no compiler.
has_horovod_wheel() {
    [[ -e $venv/setup/horovod.stamp ]] || compgen -G "${XDG_CACHE_HOME:-$HOME/.cache}/ipdsf/horovod/*/horovod-*.whl" >/dev/null
}

check_python() {
    if ! python=$(find_python); then
        missing+=("Python $versions (the packages of the lock have no builds for others); PYTHON=/path/to/python3.11 names one")
        packages+=(python)
        return
    fi
    if [[ $python != "$venv/bin/python" ]] && ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
        missing+=("the venv module of $python")
        packages+=(python)
    fi
    if ! has_horovod_wheel && ! "$python" -c \
        'import pathlib, sysconfig, sys; sys.exit(not (pathlib.Path(sysconfig.get_path("include")) / "Python.h").is_file())'; then
        missing+=("the C headers of $python (Python.h), to build Horovod")
        packages+=(python)
    fi
}

check_java() {
    local java=java version major
    [[ -n ${JAVA_HOME:-} ]] && java=$JAVA_HOME/bin/java
    if ! version=$("$java" -version 2>&1); then
        missing+=("Java 17 or 21, for Spark and Kafka; JAVA_HOME names one that is not on the PATH")
        packages+=(java)
        return
    fi
    major=$(sed -n 's/.* version "\([0-9]*\).*/\1/p' <<<"$version" | head -n 1)
    if [[ -z $major ]] || ((major < 17 || major > 23)); then
        missing+=("Java 17 or 21, for Spark and Kafka; $java is version ${major:-unknown}")
        packages+=(java)
    fi
}

check_compiler() {
    has_horovod_wheel && return
    if ! "${CXX:-c++}" -std=c++20 -x c++ -fsyntax-only /dev/null 2>/dev/null; then
        missing+=("a C++ compiler that knows C++20, to build Horovod; CXX names one that is not c++")
        packages+=(compiler)
    fi
    if ! command -v cmake >/dev/null; then
        missing+=("cmake, to build Horovod")
        packages+=(cmake)
    fi
}

# install_command FAMILY: the line that installs every missing package on that family of systems.
install_command() {
    local key names="" after=""
    for key in $(printf '%s\n' "${packages[@]}" | sort -u); do
        case "$1/$key" in
            debian/python) names+=" python3.11 python3.11-venv python3.11-dev" ;;
            debian/java) names+=" openjdk-17-jre-headless" ;;
            debian/compiler) names+=" g++" ;;
            fedora/python) names+=" python3.11 python3.11-devel" ;;
            fedora/java) names+=" java-17-openjdk-headless" ;;
            fedora/compiler) names+=" gcc-c++" ;;
            macos/python) names+=" python@3.11" ;;
            macos/java) names+=" openjdk@17" ;;
            macos/compiler) after=" && xcode-select --install" ;;
            */cmake) names+=" cmake" ;;
        esac
    done
    case $1 in
        debian) echo "Debian, Ubuntu:  sudo apt-get install$names" ;;
        fedora) echo "Fedora:          sudo dnf install$names" ;;
        macos) echo "macOS:           brew install${names:- cmake}$after" ;;
    esac
}

report_missing() {
    local item family
    {
        echo "ipdsf set-up: this machine lacks"
        for item in "${missing[@]}"; do echo "  - $item"; done
        echo "To install:"
        for family in debian fedora macos; do echo "  $(install_command "$family")"; done
        if [[ " ${packages[*]} " == *" python "* ]]; then
            echo "  (where the system has no Python 3.11 package: pyenv install 3.11, then PYTHON=\$(pyenv prefix 3.11)/bin/python)"
        fi
        echo "then run the same command again."
    } >&2
    exit 1
}

check_python
check_java
check_compiler
((${#missing[@]})) && report_missing
[[ ${1:-} == --check ]] && { echo "All prerequisites are here."; exit 0; }
exec "$python" scripts/setup_environment.py
