#!/bin/sh
# Freezes a version: writes its scripts to sql/released/, where they are
# installed from then on, and the checksums of all that has been released.
#
#   release.sh VERSION [again]
#
# "again" freezes a version anew that nobody has used yet.
set -eu
export LC_ALL=C

version=${1:-}
again=${2:-}
cd "$(dirname "$0")/.."
released=sql/released

case $version in
	[0-9]*.[0-9]*) ;;
	*)
		echo "usage: make release VERSION=1.1 [AGAIN=again]" >&2
		exit 1 ;;
esac
said=$(sed -n "s/^default_version *= *'\(.*\)'.*/\1/p" appdb.control)
if [ -z "$again" ] && { [ "$said" != "$version" ] || [ -f $released/appdb--"$version".sql ]; }; then
	echo "release.sh: version $version has been released, or is not what appdb.control says ($said)" >&2
	exit 1
fi

mkdir -p $released
write() {
	sh sql/script.sh "$@" >$released/tmp
	if [ $# = 1 ]; then
		mv $released/tmp $released/appdb--"$1".sql
	else
		mv $released/tmp $released/appdb--"$2"--"$1".sql
	fi
}
write "$version"
for f in $released/appdb--*.sql; do
	old=${f##*/appdb--}
	old=${old%.sql}
	case $old in
		*--*) continue ;;
	esac
	if [ "$old" != "$version" ] && [ "$(printf '%s\n' "$old" "$version" | sort -V | head -n 1)" = "$old" ]; then
		write "$version" "$old"
	fi
done

# what must not change any more: the scripts, and what the tables' migrations of released versions are
for f in $released/appdb--*.sql sql/migrations/*--*.sql; do
	[ -f "$f" ] || continue
	to=${f##*--}
	to=${to%.sql}
	if [ -f $released/appdb--"${to%.engine}".sql ]; then
		sha256sum "$f"
	fi
done >$released/tmp
mv $released/tmp $released/SHA256SUMS
