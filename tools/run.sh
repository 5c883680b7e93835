#!/bin/bash
#
# run.sh PROGRAM ARGUMENT...: runs one of the programs here with node, and gets
# node and the packages that they need first (package-lock.json says which).

set -euo pipefail
from=$PWD
cd "$(dirname "$(readlink -f "$0")")/.."
top=$PWD
. test/harness/clients.sh

mkdir -p tmp
npm_ci tools || {
	echo "$0: $CLIENTS_WHY" >&2
	exit 1
}
cd "$from"
program=$1
shift
exec node "$top/tools/$program" "$@"
