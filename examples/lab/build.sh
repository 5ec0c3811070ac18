#!/bin/sh
# Builds the programs that the lab needs and this machine lacks, once, into
# examples/lab/bin. `make lab` calls it.
#
# Vault, Pebble and consul-template are Go programs, pinned by the module in tools/
# and checked against its go.sum like any other dependency. BIND, OpenSSH, nginx, HAProxy
# and Git come from the system; only tests that say so need all but the last.
set -eu

cd "$(dirname "$0")/tools"
bin=../bin
mkdir -p "$bin"

# What a built program depends on; another pin or toolchain builds it anew.
stamp="$(go env GOVERSION) $(git hash-object go.mod go.sum | tr '\n' ' ')"

# build NAME PACKAGE HINT
build() {
	if [ -n "${CERTROLL_LAB_BIN:-}" ] && [ -x "$CERTROLL_LAB_BIN/$1" ]; then
		echo "lab: $1 is in $CERTROLL_LAB_BIN"
		return
	fi
	if [ -x "$bin/$1" ] && [ "$(cat "$bin/.$1.stamp" 2>/dev/null)" = "$stamp" ]; then
		echo "lab: $1 is built"
		return
	fi
	echo "lab: building $1 from source, once; $3"
	start=$(date +%s)
	# Built aside and moved, so that an interrupted build leaves no half program.
	CGO_ENABLED=0 go build -ldflags '-s -w' -o "$bin/$1.new" "$2"
	mv "$bin/$1.new" "$bin/$1"
	echo "$stamp" >"$bin/.$1.stamp"
	echo "lab: built $1 in $(($(date +%s) - start)) s"
}

build pebble github.com/letsencrypt/pebble/v2/cmd/pebble "this takes about half a minute"
if [ ! -x "$bin/vault" ] && command -v vault >/dev/null; then
	echo "lab: vault is $(command -v vault)"
else
	build vault github.com/hashicorp/vault "this downloads about 1 GB of modules and takes 10 to 20 minutes on two cores"
fi
# Parts of it are Vault Agent's, so this is quick.
build consul-template github.com/hashicorp/consul-template "this takes a few seconds"
