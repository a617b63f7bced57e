#!/bin/sh
# Installs, upgrades, removes and purges the package in a throwaway root of Debian's: test.sh FILE.deb [ROOT]
# ROOT is the folder of a root that `debootstrap --variant=minbase bookworm` made, and is copied; without it one is made
# (debootstrap, network). Needs to be root. In the place of systemd is a script that writes down what it is asked for.
set -eu

deb=$(realpath "$1")
work=$(mktemp -d)
trap 'umount "$work/tree/proc" 2>/dev/null || true; rm -rf "$work"' EXIT
if [ -n "${2-}" ]; then
	cp -a "$2" "$work/tree"
else
	debootstrap --variant=minbase bookworm "$work/tree" >/dev/null
fi
root=$work/tree
mount -t proc proc "$root/proc"

fail() { echo "test.sh: $*" >&2; exit 1; }
inside() { chroot "$root" env DEBIAN_FRONTEND=noninteractive LC_ALL=C "$@"; }
has() { [ -e "$root$1" ] || [ -L "$root$1" ] || fail "$1 is missing after $step"; }
hasnot() { [ ! -e "$root$1" ] && [ ! -L "$root$1" ] || fail "$1 is left after $step"; }
asked() { grep -q -- "$1" "$root/systemctl.log" || fail "systemd was not asked to $1 at $step: $(cat "$root/systemctl.log")"; }
notasked() { ! grep -q -- "$1" "$root/systemctl.log" || fail "systemd was asked to $1 at $step"; }
begin() { step=$1; : >"$root/systemctl.log"; }

# The same package, as a later version.
dpkg-deb -R "$deb" "$work/later"
sed -i 's/^Version: .*/&.later/' "$work/later/DEBIAN/control"
echo "# of the later version" >>"$work/later/etc/nano/nano.toml"
dpkg-deb --root-owner-group -b "$work/later" "$root/later.deb" >/dev/null
cp "$deb" "$root/first.deb"

for systemd in absent present; do
	begin "the installation, systemd $systemd"
	if [ $systemd = present ]; then
		cat >"$root/usr/bin/systemctl" <<'END'
#!/bin/sh
echo "$*" >>/systemctl.log
case " $* " in
*" is-active "*) test -e /active ;;
*" is-enabled "*) echo enabled ;;
*" start "*) touch /active ;;
*" stop "*) rm -f /active ;;
esac
END
		chmod 755 "$root/usr/bin/systemctl"
		mkdir -p "$root/run/systemd/system"
	fi
	# libstdc++6 is not in a minimal root.
	inside dpkg -i /first.deb >/dev/null 2>&1 || inside apt-get install -qq -y --no-install-recommends -f >/dev/null 2>&1 || fail "cannot be installed"
	inside dpkg -s nano-runtime | grep -q '^Status: install ok installed' || fail "is not installed"
	for file in /usr/bin/nano /lib/systemd/system/nano.service /lib/systemd/system/nano.socket /etc/nano/nano.toml /usr/share/man/man1/nano.1.gz \
		/usr/share/bash-completion/completions/nano; do
		has "$file"
	done
	inside nano version | grep -q '^NANO' || fail "nano does not run"
	inside nano check -c /etc/nano/nano.toml >"$work/check" 2>&1 || fail "its configuration: $(cat "$work/check")"
	inside runuser -u nobody -- test -r /etc/nano/nano.toml || fail "a user of systemd's cannot read the configuration"
	case $systemd in
	absent) has /etc/systemd/system/multi-user.target.wants/nano.service ;;
	present) asked "preset.*nano.service"; asked daemon-reload; asked "start nano.service" ;;
	esac

	begin "the upgrade, systemd $systemd"
	mkdir -p "$root/var/lib/private/nano" && touch "$root/var/lib/private/nano/state" && ln -sfn private/nano "$root/var/lib/nano"
	echo "# changed here" >>"$root/etc/nano/nano.toml"
	inside dpkg --force-confold -i /later.deb >/dev/null 2>&1 || fail "cannot be upgraded"
	grep -q "changed here" "$root/etc/nano/nano.toml" || fail "the upgrade has taken the configuration away"
	has /var/lib/private/nano/state
	[ $systemd = absent ] || { asked "restart nano.service"; notasked "stop nano"; }

	begin "the removal, systemd $systemd"
	inside dpkg -r nano-runtime >/dev/null 2>&1 || fail "cannot be removed"
	has /etc/nano/nano.toml
	has /var/lib/private/nano/state
	hasnot /usr/bin/nano
	hasnot /lib/systemd/system/nano.service
	[ $systemd = absent ] || asked "stop nano.socket"

	begin "the purge, systemd $systemd"
	inside dpkg -P nano-runtime >/dev/null 2>&1 || fail "cannot be purged"
	for file in /etc/nano /var/lib/nano /var/lib/private/nano /usr/share/nano /usr/share/doc/nano-runtime \
		/etc/systemd/system/nano.service /etc/systemd/system/multi-user.target.wants/nano.service; do
		hasnot "$file"
	done
done
echo "installed, upgraded, removed and purged, without systemd and with it"
