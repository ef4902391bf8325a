#!/bin/sh
# Installs what is missing on this machine of what its arguments name: postgres, pgbench, pgbouncer,
# prometheus, compiler, chromium.
#
# What is there is taken as it is. PostgreSQL above all: an upgrade under a running server breaks plpgsql in it.
set -eu

has_postgres() ( # 14 or later, where repo/embedded/find.go looks for it
	IFS=:
	for dir in $PATH /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/libexec/postgresql* \
		/opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin \
		/Applications/Postgres.app/Contents/Versions/*/bin; do
		if ! [ -x "$dir/initdb" ] || ! [ -x "$dir/pg_ctl" ] || ! [ -x "$dir/postgres" ]; then continue; fi
		major=$("$dir/postgres" --version | sed -n 's/.*(PostgreSQL) \([0-9]*\).*/\1/p')
		if [ "${major:-0}" -ge 14 ]; then exit 0; fi
	done
	exit 1
)

has_pgbench() {
	command -v pgbench || ls /usr/lib/postgresql/*/bin/pgbench /usr/pgsql-*/bin/pgbench /usr/libexec/postgresql*/pgbench \
		/opt/homebrew/opt/postgresql*/bin/pgbench /usr/local/opt/postgresql*/bin/pgbench | grep .
} >/dev/null 2>&1

has_pgbouncer() { command -v pgbouncer || ls /usr/sbin/pgbouncer; } >/dev/null 2>&1

has_prometheus() { command -v prometheus && command -v promtool; } >/dev/null

has_compiler() { command -v cc || command -v gcc || command -v clang; } >/dev/null

has_chromium() { command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null

as_root() {
	if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

for found in brew apt-get dnf apk none; do
	if command -v "$found" >/dev/null; then break; fi
done
manager=$found

packages=
for need in "$@"; do
	if "has_$need"; then continue; fi
	case $manager:$need in
	apt-get:postgres) packages="$packages postgresql" ;;
	apt-get:pgbench | dnf:pgbench | apk:pgbench) packages="$packages postgresql-contrib" ;;
	apt-get:compiler) packages="$packages gcc libc6-dev" ;;
	dnf:postgres) packages="$packages postgresql-server postgresql-contrib" ;;
	dnf:compiler) packages="$packages gcc" ;;
	apk:postgres) packages="$packages postgresql postgresql-contrib" ;;
	apk:compiler) packages="$packages gcc musl-dev" ;;
	apt-get:chromium | dnf:chromium | apk:chromium) packages="$packages chromium" ;;
	apt-get:pgbouncer | dnf:pgbouncer | apk:pgbouncer | brew:pgbouncer) packages="$packages pgbouncer" ;;
	apt-get:prometheus | apk:prometheus | brew:prometheus) packages="$packages prometheus" ;;
	brew:postgres | brew:pgbench) packages="$packages postgresql@18" ;;
	*)
		echo "$need is missing, and there is no way here to install it: please do" >&2
		exit 1
		;;
	esac
done
if [ -z "$packages" ]; then exit 0; fi

echo "Installing with $manager:$packages"
# shellcheck disable=SC2086 # a list of names
case $manager in
apt-get)
	# Akin and its tests start what they need themselves: nothing of the packages' need run beside it.
	policy=/usr/sbin/policy-rc.d
	no_cluster=/etc/postgresql-common/createcluster.d/akin.conf
	made=$no_cluster
	trap 'as_root rm -f $made' EXIT
	trap 'exit 1' HUP INT TERM # by which dash would not come to the trap above
	if ! [ -e "$policy" ]; then
		made="$made $policy"
		printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
		as_root chmod +x "$policy"
	fi
	as_root mkdir -p "${no_cluster%/*}"
	echo "create_main_cluster = false" | as_root tee "$no_cluster" >/dev/null
	as_root apt-get update -qq
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends $packages </dev/null >/dev/null
	;;
dnf) as_root dnf install -q -y $packages ;;
apk) as_root apk add -q $packages ;;
brew) brew install -q $packages ;;
esac

for need in "$@"; do
	if "has_$need"; then continue; fi
	echo "$manager installed$packages, but that is not the $need Akin needs (PostgreSQL: 14 or later): please install it" >&2
	exit 1
done
