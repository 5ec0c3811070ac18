#!/bin/sh
# progress.sh STEP NAME ABOUT COMMAND...
#
# Runs a `go build -v` and shows its progress: the program, the step of how many, and
# about how long the build takes with an empty cache. On a terminal it updates one
# line; otherwise it prints a line for each hundred packages.
set -eu
step=$1 name=$2 about=$3
shift 3

terminal=
if [ -t 1 ]; then terminal=1; fi
show() {
	if [ -n "$terminal" ]; then printf '\r\033[K%s' "$1"; else printf '%s\n' "$1"; fi
}

start=$(date +%s)
show "[$step] building $name; $about from an empty cache"
# The loop receives go's exit code as its last line, and exits with it.
{
	code=0
	"$@" 2>&1 || code=$?
	echo "exit $code"
} | {
	modules=0 packages=0 code=1
	while IFS= read -r line; do
		case $line in
		"exit "*) code=${line#exit } ;;
		"go: downloading "*) modules=$((modules + 1)) ;;
		*[!A-Za-z0-9._/~-]* | "") # not a package's path: a message of go
			if [ -n "$terminal" ]; then printf '\r\033[K'; fi
			printf '%s\n' "$line" >&2
			continue
			;;
		*) packages=$((packages + 1)) ;;
		esac
		if [ -n "$terminal" ] || { [ $(((modules + packages) % 100)) -eq 0 ] && [ $((modules + packages)) -gt 0 ]; }; then
			show "[$step] building $name: $modules modules downloaded, $packages packages compiled, $(($(date +%s) - start)) s"
		fi
	done
	if [ "$code" -eq 0 ]; then
		show "[$step] built $name in $(($(date +%s) - start)) s, $packages packages compiled"
		if [ -n "$terminal" ]; then echo; fi
	fi
	exit "$code"
}
