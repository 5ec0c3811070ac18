#!/bin/sh
# build.sh [NAME...]: builds programs of the lab into examples/lab/bin, once each.
#
# Without a name it builds what `make test` and `make demo` need: labvault, which
# serves Vault's KV engine, and the CA Pebble. The module in embedded/ pins both, with
# certroll's own versions of their modules, so that they build in seconds. The module
# in tools/ pins "vault" and "consul-template". Vault takes 10 to 20 minutes; a vault on
# PATH is used instead. The module in stepca/ pins "step-ca", a second CA, apart, so
# that its versions do not change Vault's.
#
# BIND, OpenSSH, GnuPG, nginx, HAProxy, Prometheus and Chromium come from the
# system; only the tests that name them need them.
set -eu

lab=$(cd "$(dirname "$0")" && pwd)
bin=$lab/bin
mkdir -p "$bin"
# Every build of the project uses the same flags and so shares one build cache.
CGO_ENABLED=0
export CGO_ENABLED

# build NAME MODULE PACKAGE ABOUT
build() {
	if [ -n "${CERTROLL_LAB_BIN:-}" ] && [ -x "$CERTROLL_LAB_BIN/$1" ]; then
		echo "lab: $1 is in $CERTROLL_LAB_BIN"
		return
	fi
	# The stamp covers all that a program depends on: another pin, source or toolchain builds it again.
	stamp="$(go env GOVERSION) $(cd "$lab/$2" && cat go.mod go.sum labvault/*.go 2>/dev/null | git hash-object --stdin)"
	if [ -x "$bin/$1" ] && [ "$(cat "$bin/.$1.stamp" 2>/dev/null)" = "$stamp" ]; then
		return
	fi
	# Build under another name, then move: an interrupted build leaves no partial program.
	"$lab/progress.sh" "${STEP:-lab}" "$1" "$4" go build -C "$lab/$2" -v -trimpath -ldflags '-s -w' -o "$bin/$1.new" "$3"
	mv "$bin/$1.new" "$bin/$1"
	echo "$stamp" >"$bin/.$1.stamp"
}

if [ $# -eq 0 ]; then set -- labvault pebble; fi
for name; do
	case $name in
	labvault) build labvault embedded ./labvault "about half a minute on two cores" ;;
	pebble) build pebble embedded github.com/letsencrypt/pebble/v2/cmd/pebble "about a quarter of a minute on two cores" ;;
	vault)
		if [ ! -x "$bin/vault" ] && command -v vault >/dev/null; then
			echo "lab: vault is $(command -v vault)"
		else
			build vault tools github.com/hashicorp/vault "1 GB of modules and 10 to 20 minutes on two cores"
		fi
		;;
	consul-template) build consul-template tools github.com/hashicorp/consul-template "seconds after Vault, half a minute before" ;;
	step-ca) build step-ca stepca github.com/smallstep/certificates/cmd/step-ca "about 2 minutes on two cores" ;;
	*)
		echo "build.sh: $name is no program of the lab; there are labvault, pebble, vault, consul-template and step-ca" >&2
		exit 2
		;;
	esac
done
