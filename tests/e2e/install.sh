#!/bin/bash
# What "make install" installs, and programs that are built with nothing else.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

cc=${CC:-cc}
root=$tmp/root
usr=$root/usr

make_in() { # TARGET
	make -s "$1" "BUILD=$build" "DESTDIR=$root" PREFIX=/usr WERROR= \
		>>"$work/make.out" 2>&1 || problem "make $1 failed"
}

# As one who builds for that root would ask.
pkg_config() {
	PKG_CONFIG_SYSROOT_DIR=$root PKG_CONFIG_LIBDIR=$usr/lib/pkgconfig \
		pkg-config "$@"
}

compile() { # COMMAND...
	"$@" >>"$work/compile.out" 2>&1 || problem "does not build: $*"
}

headers() {
	(cd "$usr/include" && printf '%s\n' cratos/*.h)
}

exports() {
	sed -n 's/^[[:space:]]*\([a-z_0-9]*\);$/\1/p' app/libcratos.map | sort
}

all_files_are_there() {
	local file
	make_in install
	for file in bin/cratos lib/libcratos.a lib/libcratos.so.0 \
		lib/libcratos.so lib/pkgconfig/cratos.pc \
		share/man/man1/cratos.1 share/man/man5/cratos.ini.5 \
		share/man/man3/{cratos,cratos_app,app_run,context_err}.3 \
		share/bash-completion/completions/cratos \
		share/zsh/vendor-completions/_cratos \
		share/fish/vendor_completions.d/cratos.fish \
		include/cratos/{admin,app,config,context,errgroup,error,exec,server,tcp}.h; do
		[ -s "$usr/$file" ] || problem "no $file"
	done
	is 'the link' "$(readlink "$usr/lib/libcratos.so")" libcratos.so.0
	run "$usr/bin/cratos" version
	is 'exit status of cratos' "$status" 0
	is 'the version' "$(cat "$work/out")" \
		"cratos $(pkg_config --modversion cratos)"
	! grep -rqF "$root" "$usr" || problem 'DESTDIR got into a file'
}

write_program() {
	cat >"$work/daemon.c" <<-'END'
		#include <stdio.h>

		#include <cratos/app.h>

		static int serve(struct context *ctx, void *arg)
		{
			printf("%s starts\n", (const char *)arg);
			while (!context_wait(ctx, -1))
				continue;
			printf("%s ends\n", (const char *)arg);
			return 0;
		}

		static int set_up(struct context *ctx, void *arg)
		{
			(void)ctx, (void)arg;
			return 0;
		}

		static int tell(struct context *ctx, void *arg)
		{
			printf("%s: %s\n", app_name(app_from_context(ctx)),
			    (const char *)arg);
			return fflush(stdout);
		}

		int main(void)
		{
			struct app *app =
			    app_new(&(struct app_options){.name = "two"});
			struct server first = {.name = "first", .start = serve,
			    .arg = (void *)"first"};
			struct server second = {.name = "second",
			    .start = set_up};
			struct error err;

			setvbuf(stdout, NULL, _IOLBF, 0);
			app_add_server(app, &first);
			app_add_server(app, &second);
			app_add_hook(app, APP_BEFORE_START, tell,
			    (void *)"before start");
			app_add_hook(app, APP_AFTER_START, tell,
			    (void *)"after start");
			app_add_hook(app, APP_BEFORE_STOP, tell,
			    (void *)"before stop");
			app_add_hook(app, APP_AFTER_STOP, tell,
			    (void *)"after stop");
			if (app_run(app, &err))
				fprintf(stderr, "%s: %s\n", err.origin,
				    err.text);
			app_free(&app);
			return err.code != 0;
		}
	END
}

runs_and_stops() { # PROGRAM
	start program env "LD_LIBRARY_PATH=$usr/lib" "$1"
	wait_for_line "$work/program.out" '^two: after start$'
	wait_for_line "$work/program.out" '^first starts$'
	stop_app TERM
	is "exit status of $1" "$status" 0
	has_in_order "$work/program.out" '^two: before start$' \
		'^two: after start$' '^two: before stop$' '^first ends$' \
		'^two: after stop$'
	is 'standard error' "$(cat "$work/program.err")" ''
}

a_program_builds_with_what_pkg_config_says() {
	local flags
	write_program
	read -ra flags < <(pkg_config --cflags --libs cratos)
	compile "$cc" -Wall -Wextra -Werror "$work/daemon.c" \
		-o "$work/daemon" "${flags[@]}"
	runs_and_stops "$work/daemon"
	readelf -d "$work/daemon" >"$work/needed"
	has "$work/needed" 'NEEDED.*\[libcratos\.so\.0\]'
}

a_program_links_with_the_static_library() {
	local cflags
	write_program
	read -ra cflags < <(pkg_config --cflags cratos)
	compile "$cc" "${cflags[@]}" "$work/daemon.c" -o "$work/daemon" \
		-L"$usr/lib" -l:libcratos.a -linih -pthread
	runs_and_stops "$work/daemon"
	is 'what pkg-config says of static linking' \
		"$(pkg_config --static --libs-only-l cratos | xargs)" \
		'-lcratos -linih'
}

each_header_compiles_alone_as_c() {
	local header
	for header in $(headers); do
		echo "#include <$header>" >"$work/alone.c"
		compile "$cc" -std=c11 -Wall -Wextra -Werror -pedantic \
			-Wstrict-prototypes -I"$usr/include" \
			-c "$work/alone.c" -o "$work/alone.o"
	done
}

cxx=
for one in "${CXX:-}" g++ clang++; do
	if [ -z "$cxx" ] && [ -n "$one" ] && have "$one"; then
		cxx=$one
	fi
done

each_header_compiles_alone_as_cxx() {
	local header
	for header in $(headers); do
		printf '#include <%s>\n' "$header" >"$work/alone.cc"
		compile "$cxx" -std=c++11 -Wall -Wextra -Werror -pedantic \
			-I"$usr/include" -c "$work/alone.cc" -o "$work/alone.o"
	done
}

# A call of each function, so that the headers have them as C's.
a_cxx_program_links_with_all_that_is_exported() {
	{
		for header in $(headers); do
			echo "#include <$header>"
		done
		echo 'typedef void (*function)();'
		echo 'extern function table[]; function table[] = {'
		exports | sed 's/.*/(function)&,/'
		echo '}; int main() { return !table[0]; }'
	} >"$work/all.cc"
	compile "$cxx" -std=c++11 -I"$usr/include" "$work/all.cc" \
		-o "$work/all" -L"$usr/lib" -lcratos
	run env "LD_LIBRARY_PATH=$usr/lib" "$work/all"
	is 'exit status' "$status" 0
}

what_is_exported_is_what_the_list_says() {
	exports >"$work/list"
	[ -s "$work/list" ] || problem 'an empty list'
	nm -D --defined-only --format=posix "$usr/lib/libcratos.so.0" |
		awk '$2 != "A" { sub(/@.*/, "", $1); print $1 }' |
		sort >"$work/shared"
	diff "$work/list" "$work/shared" >"$work/shared.out" ||
		problem 'the shared library exports something else'
	nm -g --defined-only --format=posix "$usr/lib/libcratos.a" |
		awk 'NF > 1 { print $1 }' | sort >"$work/static"
	diff "$work/list" "$work/static" >"$work/static.out" ||
		problem 'the static library exports something else'
}

# What is declared can be linked, and what can be linked is declared.
what_is_exported_is_declared() {
	local name
	for name in $(exports); do
		grep -qE "[ *]$name\(" "$usr"/include/cratos/*.h ||
			problem "$name is in no header"
	done
}

the_soname_has_the_number_of_the_interface() {
	readelf -d "$usr/lib/libcratos.so.0" >"$work/dynamic"
	has "$work/dynamic" 'SONAME.*\[libcratos\.so\.0\]'
	has "$work/dynamic" 'NEEDED.*\[libinih\.so'
	lacks "$work/dynamic" 'RPATH|RUNPATH|TEXTREL'
}

an_installed_command_is_the_one_that_was_built() {
	cmp "$cratos" "$usr/bin/cratos" || problem 'another command'
	printf '[server:one]\ntcp-echo = 127.0.0.1:0\n' >"$work/app.ini"
	start app "$usr/bin/cratos" run "$work/app.ini"
	wait_for_line "$work/app.err" 'running, all ready'
	stop_app TERM
	is 'exit status' "$status" 0
}

uninstall_leaves_nothing() {
	make_in uninstall
	find "$root" ! -type d >"$work/left.out"
	[ ! -s "$work/left.out" ] || problem 'something is left'
	[ ! -e "$usr/include/cratos" ] || problem 'the headers are left'
}

for name in all_files_are_there a_program_builds_with_what_pkg_config_says \
	a_program_links_with_the_static_library each_header_compiles_alone_as_c \
	each_header_compiles_alone_as_cxx \
	a_cxx_program_links_with_all_that_is_exported \
	what_is_exported_is_what_the_list_says what_is_exported_is_declared \
	the_soname_has_the_number_of_the_interface \
	an_installed_command_is_the_one_that_was_built \
	uninstall_leaves_nothing; do
	if [ -n "${WRAP:-}" ]; then
		skip "$name" 'what is installed is the plain build'
	elif [[ $name = *_cxx* ]] && [ -z "$cxx" ]; then
		skip "$name" 'no C++ compiler'
	else
		test_that "$name"
	fi
done
all_passed
