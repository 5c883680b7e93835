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
program=tools/$1
shift
for dir in tools $(dirname "$program"); do
	npm_ci "$dir" || {
		echo "$0: $CLIENTS_WHY" >&2
		exit 1
	}
done
cd "$from"
exec node "$top/$program" "$@"
