#!/bin/bash
# A real systemd as the manager: one for a user, in a mount namespace of its own
# whose /run says that systemd runs here, and in a cgroup of its own.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

systemd=/lib/systemd/systemd
[ -x "$systemd" ] || systemd=/usr/lib/systemd/systemd

# A group of ours in each hierarchy, so that nobody else's processes are in what
# the manager takes for its own.
groups=()

make_groups() {
	local hierarchy group
	groups=()
	for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/*; do
		case $(stat -fc %T "$hierarchy" 2>/dev/null) in
		cgroupfs | cgroup2fs) ;;
		*) continue ;;
		esac
		group=$hierarchy/cratos-e2e-$$
		[ -f "$hierarchy/cgroup.procs" ] || continue
		mkdir "$group" 2>/dev/null || continue
		# One that needs to be set up first holds nobody.
		if bash -c "echo \$\$ >$group/cgroup.procs" 2>/dev/null; then
			groups+=("$group")
		else
			rmdir "$group"
		fi
	done
	[ ${#groups[@]} != 0 ]
}

leave_groups() {
	local group one
	for group in "${groups[@]}"; do
		find "$group" -name cgroup.procs -exec cat {} + 2>/dev/null |
			while read -r one; do
				echo "$one" >"${group%/*}/cgroup.procs"
			done 2>/dev/null
		find "$group" -depth -type d -exec rmdir {} \;
	done
}

# Runs what is on its standard input beside a manager.
with_systemd() {
	make_groups || return
	{
		cat <<-END
			for group in ${groups[*]}; do
				echo \$\$ >\$group/cgroup.procs || exit 9
			done
			mount -t tmpfs tmpfs /run || exit 9
			mkdir -p /run/systemd/system /run/user/0
			export XDG_RUNTIME_DIR=/run/user/0 HOME=$work
			unset DBUS_SESSION_BUS_ADDRESS
			$systemd --user --log-target=console >$work/systemd.log 2>&1 &
			manager=\$!
			for i in {1..100}; do
				systemctl --user list-units >/dev/null 2>&1 && break
				sleep 0.1
			done
		END
		cat
		cat <<-'END'
			kill $manager
			wait $manager
			true
		END
	} >"$work/script"
	run unshare -m bash "$work/script"
	leave_groups
}

may_run_systemd() { # NAME-OF-TEST
	local can=yes

	# A sanitizer's program takes its time before it says anything.
	[ -z "${WRAP:-}" ] || can=
	[ -x "$systemd" ] && have systemctl || can=
	[ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null || can=
	make_groups && leave_groups || can=
	[ -n "$can" ] || skip "$1" 'needs the plain build, root, systemd, namespaces and cgroups'
	[ -n "$can" ]
}

# TimeoutStartSec is less than what the start takes: it is asked for more.
a_service_starts_reloads_and_stops() {
	cat >"$work/app.ini" <<-INI
		[server:slow]
		shell = sleep 1; echo >&3; exec sleep 1000
		ready = fd:3

		[server:next]
		exec = sleep 1000
		after = slow
	INI
	mkdir -p "$work/.config/systemd/user"
	cat >"$work/.config/systemd/user/shop.service" <<-END
		[Service]
		Type=notify
		ExecStart=$(realpath "$cratos") run $work/app.ini
		ExecReload=kill -HUP \$MAINPID
		TimeoutStartSec=500ms
		WatchdogSec=1s
	END
	with_systemd <<-'END'
		systemctl --user start shop.service
		echo "start $?"
		systemctl --user show shop.service -p StatusText
		systemctl --user reload shop.service
		echo "reload $?"
		sleep 2
		systemctl --user is-active shop.service
		systemctl --user stop shop.service
		echo "stop $?"
		systemctl --user show shop.service -p Result -p ExecMainStatus
	END
	is 'exit status' "$status" 0
	has_in_order "$work/out" '^start 0$' \
		'^StatusText=Running: 2 of 2 ready$' '^reload 0$' '^active$' \
		'^stop 0$'
	has "$work/out" '^Result=success$'
	has "$work/out" '^ExecMainStatus=0$'
}

sockets_are_listened_on_for_it() {
	local port
	port=$(python3 "$tools" ports 1)
	printf '[server:echo]\ntcp-echo = fd:web\n' >"$work/app.ini"
	mkdir -p "$work/.config/systemd/user"
	cat >"$work/.config/systemd/user/shop.service" <<-END
		[Service]
		Type=notify
		ExecStart=$(realpath "$cratos") run $work/app.ini
	END
	cat >"$work/.config/systemd/user/shop.socket" <<-END
		[Socket]
		ListenStream=127.0.0.1:$port
		FileDescriptorName=web
	END
	with_systemd <<-END
		systemctl --user start shop.socket
		systemctl --user is-active shop.service
		echo "\$(python3 $PWD/$tools talk 127.0.0.1:$port hello hello)"
		systemctl --user is-active shop.service
		systemctl --user restart shop.service
		echo "\$(python3 $PWD/$tools talk 127.0.0.1:$port again again)"
		systemctl --user stop shop.socket shop.service
	END
	has_in_order "$work/out" '^inactive$' '^hello$' '^active$' '^again$'
}

for name in a_service_starts_reloads_and_stops sockets_are_listened_on_for_it; do
	! may_run_systemd "$name" || test_that "$name"
done
all_passed
