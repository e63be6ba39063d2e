# cratos: a C library and a command that run a daemon's servers as one app.
# "make help" tells every target. Set CC, CFLAGS, LDFLAGS, PREFIX, DESTDIR as
# usual; BUILD is the folder for all that is made.

VERSION := 0.1.0
SOVERSION := 0
BUILD ?= build
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
BINDIR ?= $(PREFIX)/bin
MANDIR ?= $(PREFIX)/share/man
BASH_DIR ?= $(PREFIX)/share/bash-completion/completions
ZSH_DIR ?= $(PREFIX)/share/zsh/vendor-completions
FISH_DIR ?= $(PREFIX)/share/fish/vendor_completions.d
INSTALL ?= install
OBJCOPY ?= objcopy
CFLAGS ?= -O2 -g

# ---- what there is ---------------------------------------------------------

ROOMS := errgroup server app config
LIB_SRC := $(foreach r,$(ROOMS),$(sort $(wildcard $(r)/*.c)))
# Installed headers, in the order in which they build on one another.
HEADERS := errgroup/error.h errgroup/context.h errgroup/errgroup.h \
	server/server.h server/tcp.h server/exec.h app/app.h app/admin.h \
	config/config.h
CRATOS_SRC := $(sort $(wildcard cmd/cratos/*.c))
ECHOD_SRC := $(sort $(wildcard cmd/echod/*.c))
CHECK_SRC := $(sort $(wildcard tests/check_*.c))
TEST_LIB_SRC := $(filter-out $(CHECK_SRC),$(sort $(wildcard tests/*.c)))
# The page of the ini file is completed from the tables that it is checked by.
MAN := $(subst cmd/cratos/cratos.ini.5,$(BUILD)/man/cratos.ini.5,$(sort $(wildcard \
	$(foreach r,$(ROOMS) cmd/cratos cmd/echod,$(r)/*.[1-8]))))
# Of the public headers, whose comments are the reference.
MAN3 := $(patsubst %.h,$(BUILD)/man/cratos_%.3,$(notdir $(HEADERS)))
C_FILES = $(shell git ls-files -co --exclude-standard '*.[ch]')

obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
LIB_OBJ := $(call obj,$(LIB_SRC))
# With readers of files that the library has as well, but does not export.
CRATOS_OBJ := $(call obj,$(CRATOS_SRC) config/source.c server/envfile.c app/json.c server/lazy.c)
CHECKS := $(patsubst tests/%.c,$(BUILD)/tests/%,$(CHECK_SRC))
.SECONDARY: $(call obj,$(CHECK_SRC) $(TEST_LIB_SRC))
INCLUDES := $(addprefix $(BUILD)/include/cratos/,$(notdir $(HEADERS)))
SYSCALLS := $(BUILD)/gen/app/syscalls.h

STATIC := $(BUILD)/libcratos.a
SECTIONS := text rodata data bss tdata tbss
SHARED := $(BUILD)/libcratos.so.$(SOVERSION)
PROGRAMS := $(BUILD)/cratos $(BUILD)/echod

# ---- how it is compiled ----------------------------------------------------

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wpointer-arith -Wwrite-strings -Wvla -Wundef -Wformat=2
CPPFLAGS_ALL = -D_GNU_SOURCE -DCRATOS_VERSION='"$(VERSION)"' \
	-I$(BUILD)/include -I$(BUILD)/gen -I. $(CPPFLAGS)
CFLAGS_ALL = -std=c11 -fPIC -pthread -ffunction-sections -fdata-sections $(WARNINGS) \
	$(if $(WERROR),-Werror) $(SANITIZERS) $(CFLAGS)
LDFLAGS_ALL = -pthread $(SANITIZERS) $(LDFLAGS)
# The static library is one object: what a program does not use stays out.
LDFLAGS_PROGRAM = -Wl,--gc-sections $(LDFLAGS_ALL)
# Asked when a recipe runs, so that "make deps test" finds what deps brought.
CHECK_CFLAGS = $(shell pkg-config --cflags check)
CHECK_LIBS = $(shell pkg-config --libs check)
LIBS := -linih

all: $(PROGRAMS) $(STATIC) $(SHARED)

$(BUILD)/obj/%.o: %.c | $(INCLUDES)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

$(BUILD)/obj/tests/%.o: tests/%.c | $(INCLUDES)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(CHECK_CFLAGS) -MMD -MP -c -o $@ $<

# Every program here sees the public headers as an installed one would.
define include_rule
$$(BUILD)/include/cratos/$$(notdir $(1)): $(1)
	@mkdir -p $$(@D)
	@ln -sf $$(CURDIR)/$(1) $$@
endef
$(foreach h,$(HEADERS),$(eval $(call include_rule,$(h))))

# A manual page for each, and a page that leads to it for each function.
define man_rule
$$(BUILD)/man/cratos_$$(basename $$(notdir $(1))).3: $(1) cmd/man/headers.py
	@mkdir -p $$(@D)
	python3 cmd/man/headers.py $(1) $$(filter-out $(1),$$(HEADERS)) >$$@
endef
$(foreach h,$(HEADERS),$(eval $(call man_rule,$(h))))
$(BUILD)/man/cratos.ini.5: cmd/cratos/cratos.ini.5 cmd/man/ini.py $(BUILD)/cratos
	@mkdir -p $(@D)
	$(BUILD)/cratos help ini | python3 cmd/man/ini.py $< >$@
names_in = $(shell python3 cmd/man/headers.py --names $(1))

# The names of the system calls, as the compiler's headers have them: a line
# SYSCALL(name) for each.
$(SYSCALLS): Makefile
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -include sys/syscall.h -E -dM \
	    -x c -o $@.all /dev/null
	@sed -n 's/^#define SYS_\([a-zA-Z0-9_]*\) .*/SYSCALL(\1)/p' $@.all | \
	    LC_ALL=C sort >$@
	@grep -q 'SYSCALL(read)' $@ && rm $@.all

$(call obj,app/where.c): $(SYSCALLS)

# One object in which only the exported names are global, as in the shared one.
# Sections of one name, those of static functions in two files, stay apart: else
# a program that uses one of them would get both, and all that they use.
$(STATIC): $(LIB_OBJ) app/libcratos.map
	@sed -n 's/^\t\([a-z_]*\);$$/\1/p' app/libcratos.map >$(BUILD)/exports
	$(LD) -r $(SECTIONS:%='--unique=.%.*') -o $(BUILD)/libcratos.o $(LIB_OBJ)
	$(OBJCOPY) --keep-global-symbols=$(BUILD)/exports $(BUILD)/libcratos.o
	@rm -f $@
	$(AR) rcs $@ $(BUILD)/libcratos.o

$(SHARED): $(LIB_OBJ) app/libcratos.map
	$(CC) -shared -Wl,-soname,$(@F) -Wl,--version-script=app/libcratos.map \
	    $(if $(SANITIZERS),,-Wl,-z,defs) $(LDFLAGS_ALL) -o $@ $(LIB_OBJ) $(LIBS)
	@ln -sf $(@F) $(BUILD)/libcratos.so

$(BUILD)/cratos: $(CRATOS_OBJ) $(STATIC)
	$(CC) $(LDFLAGS_PROGRAM) -o $@ $^ $(LIBS)

$(BUILD)/echod: $(call obj,$(ECHOD_SRC)) $(STATIC)
	$(CC) $(LDFLAGS_PROGRAM) -o $@ $^ $(LIBS)

# Tests see the internals. In their copy of the library, the calls that may fail
# go through tests/fault.c, which fails them to order.
FAULTS := malloc calloc realloc strdup free pthread_create \
	pthread_attr_setsigmask_np

$(BUILD)/tests/libcratos.o: $(LIB_OBJ)
	@mkdir -p $(@D)
	$(LD) -r -o $@ $(LIB_OBJ)
	$(OBJCOPY) $(foreach f,$(FAULTS),--redefine-sym $(f)=fault_$(f)) $@

$(BUILD)/tests/%: $(BUILD)/obj/tests/%.o $(call obj,$(TEST_LIB_SRC)) \
		$(BUILD)/tests/libcratos.o
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(CHECK_LIBS) $(LIBS)

-include $(shell find $(BUILD)/obj $(BUILD)/bench -name '*.d' 2>/dev/null)

# ---- benchmark -------------------------------------------------------------

# The same workloads with the library, in Go, and with bare threads. They see
# no more of the library than a user does.
BENCH := $(BUILD)/bench
BENCH_CRATOS := $(addprefix $(BENCH)/,errgroup context app app_shared)
BENCH_BARE := $(addprefix $(BENCH)/,errgroup_floor app_floor app_floor_shared \
	drive)
BENCH_GO := $(addprefix $(BENCH)/go/,errgroup context app)
GOPATH := /usr/share/gocode

$(BENCH)/%.o: tests/bench/%.c | $(INCLUDES)
	@mkdir -p $(@D)
	$(CC) -D_GNU_SOURCE -I$(BUILD)/include $(CPPFLAGS) $(CFLAGS_ALL) \
	    -MMD -MP -c -o $@ $<

# An app's start counts from its exec, so app and app_floor are linked as Go
# links: statically. They use no config, hence no libinih. What is measured of
# memory is *_shared, linked as programs in C are: a page of libc that others
# have, too, is not this program's alone. (Of getaddrinfo, which is not in the
# app, ld warns before it finds that out.)
$(BENCH)/errgroup $(BENCH)/context $(BENCH)/errgroup_floor: $(BENCH)/round.o
$(BENCH)/app $(BENCH)/app_floor: LINK := -static
$(BENCH)/errgroup $(BENCH)/context $(BENCH)/app $(BENCH)/app_shared: $(STATIC)
$(BENCH)/app_shared $(BENCH)/app_floor_shared: $(BENCH)/%_shared: $(BENCH)/%.o
	$(CC) $(LDFLAGS_PROGRAM) -o $@ $^
$(BENCH)/errgroup $(BENCH)/context $(BENCH)/app $(BENCH)/errgroup_floor \
		$(BENCH)/app_floor $(BENCH)/drive: $(BENCH)/%: $(BENCH)/%.o
	$(CC) $(LINK) $(LDFLAGS_PROGRAM) -o $@ $^

# What runs children, and the child, which is to cost as little as can be.
BENCH_RUN := $(addprefix $(BENCH)/,runner_drive runner_floor runner_child)
$(BENCH)/runner_child: LINK := -static
$(BENCH_RUN): $(BENCH)/%: $(BENCH)/%.o
	$(CC) $(LINK) $(LDFLAGS_PROGRAM) -o $@ $^

$(BENCH)/go/errgroup $(BENCH)/go/context: tests/bench/round.go
$(BENCH_GO): $(BENCH)/go/%: tests/bench/%.go
	@command -v go >/dev/null || { echo 'no go here: make deps-bench'; exit 1; }
	env GO111MODULE=off GOFLAGS= GOPATH=$(GOPATH) CGO_ENABLED=0 \
	    GOCACHE=$(abspath $(BENCH)/go/cache) go build -o $@ $^

# ---- dependencies ----------------------------------------------------------

# "make deps" takes what it needs to build, run and test from Debian; the
# programs that the linters and the end-to-end tests need more are in
# "make deps-ci", what the benchmark compares with in "make deps-bench". Nothing
# is asked of apt when all is there; with make -j one waits for the other.
DEPS := pkg-config libinih-dev libmicrohttpd-dev libjansson-dev check python3
DEPS_CI := clang clang-format clang-tidy cppcheck valgrind g++ git shellcheck \
	mandoc nginx-light redis-server postgresql prometheus \
	zsh fish
DEPS_BENCH := golang-go golang-golang-x-sync-dev
DEPS_BENCH_RUN := s6 runit supervisor tini dumb-init catatonit
DEPS_MODEL := spin

ROOT = $(if $(filter 0,$(shell id -u)),,sudo)
missing = $(shell for p in $(1); do dpkg-query -W -f '$${Status}' $$p \
	2>/dev/null | grep -q 'ok installed' || echo $$p; done)
define install_packages
	@missing="$(call missing,$(1))"; test -z "$$missing" || \
	    flock Makefile sh -c "$(ROOT) apt-get update -qq && \
	    $(ROOT) env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
	        apt-get install -y -qq --no-install-recommends $$missing"
endef

deps:
	$(call install_packages,$(DEPS))

deps-ci: deps
	$(call install_packages,$(DEPS_CI))

deps-bench: deps
	$(call install_packages,$(DEPS_BENCH) $(foreach p,$(DEPS_BENCH_RUN),$(if \
	    $(shell apt-cache policy $(p) 2>/dev/null | grep 'Candidate: [0-9]'),$(p))))

deps-model:
	$(call install_packages,$(DEPS_MODEL))

# With deps among the goals, all else waits for it, with make -j as well.
ifneq ($(filter deps,$(MAKECMDGOALS)),)
$(INCLUDES) $(SYSCALLS): | deps
endif
ifneq ($(filter deps-bench,$(MAKECMDGOALS)),)
$(INCLUDES) $(SYSCALLS) $(BENCH_GO): | deps-bench
endif

# ---- run, test, check ------------------------------------------------------

run: $(PROGRAMS)
	@exec env BUILD=$(BUILD) $(BUILD)/cratos run cmd/cratos/example.ini

checks: all $(CHECKS)

test: checks
	WRAP=$(WRAP) tests/run $(BUILD)

# The same suites, in a build of their own with a sanitizer.
test-asan:
	$(MAKE) BUILD=$(BUILD)/asan WRAP=asan SANITIZERS="-fsanitize=address,undefined \
	    -fno-sanitize-recover=all -fno-omit-frame-pointer" test

test-tsan:
	$(MAKE) BUILD=$(BUILD)/tsan WRAP=tsan SANITIZERS="-fsanitize=thread \
	    -fno-omit-frame-pointer" test

test-valgrind: checks
	WRAP=valgrind tests/run $(BUILD)

# One table, also in $(BUILD)/bench.md; BENCH_FLAGS="--only app --rounds 3".
bench: $(BENCH_CRATOS) $(BENCH_BARE) $(BENCH_GO)
	python3 tests/bench/run.py --programs $(BENCH) --markdown $(BUILD)/bench.md \
	    --cc "$(CC)" --version $(VERSION) $(BENCH_FLAGS)

# The same for "cratos run", the bare loop under it, and other runners.
bench-run: $(BUILD)/cratos $(BENCH_RUN)
	python3 tests/bench/runner.py --programs $(BENCH) --cratos $(BUILD)/cratos \
	    $(BENCH_RUN_FLAGS)

# The models of what threads do to each other, and what breaks them.
model:
	CC=$(CC) tests/model/run $(BUILD)

lint:
	clang-format --dry-run --Werror $(C_FILES)
	cppcheck --quiet --error-exitcode=1 --std=c11 --inline-suppr \
	    --enable=warning,performance,portability \
	    --include=$(wildcard /usr/include/*-linux-gnu/sys/queue.h) \
	    -D_GNU_SOURCE -DCRATOS_VERSION='""' -I$(BUILD)/include \
	    -I$(BUILD)/gen -I. \
	    $(ROOMS) cmd
	printf '%s\n' $(LIB_SRC) $(CRATOS_SRC) $(ECHOD_SRC) | \
	    xargs -P "$$(nproc)" -I FILE clang-tidy --quiet FILE -- \
	    $(CPPFLAGS_ALL) -std=c11 2>/dev/null
	shellcheck tests/run tests/model/run $(wildcard tests/e2e/*.sh) .ci/run \
	    cmd/cratos/completion/cratos.bash
	mandoc -T lint -W warning $(MAN) $(MAN3)

lint: $(INCLUDES) $(SYSCALLS) $(MAN3) $(MAN)

format:
	clang-format -i $(C_FILES)

# ---- install ---------------------------------------------------------------

$(BUILD)/cratos.pc: Makefile
	@mkdir -p $(@D)
	@printf '%s\n' >$@ \
	    'prefix=$(PREFIX)' 'libdir=$(LIBDIR)' 'includedir=$(INCLUDEDIR)' '' \
	    'Name: cratos' \
	    'Description: Runs the servers of a daemon as one app' \
	    'Version: $(VERSION)' \
	    'Cflags: -I$${includedir}' \
	    'Libs: -L$${libdir} -lcratos' \
	    'Libs.private: $(LIBS) -pthread'

install: all $(MAN3) $(MAN)
	rm -f $(BUILD)/cratos.pc
	$(MAKE) $(BUILD)/cratos.pc
	$(INSTALL) -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(LIBDIR)/pkgconfig \
	    $(DESTDIR)$(INCLUDEDIR)/cratos
	$(INSTALL) -m 755 $(BUILD)/cratos $(DESTDIR)$(BINDIR)
	$(INSTALL) -m 644 $(STATIC) $(SHARED) $(DESTDIR)$(LIBDIR)
	ln -sf $(notdir $(SHARED)) $(DESTDIR)$(LIBDIR)/libcratos.so
	$(INSTALL) -m 644 $(BUILD)/cratos.pc $(DESTDIR)$(LIBDIR)/pkgconfig
	$(INSTALL) -m 644 $(HEADERS) $(DESTDIR)$(INCLUDEDIR)/cratos
	$(foreach m,$(MAN),$(INSTALL) -D -m 644 $(m) \
	    $(DESTDIR)$(MANDIR)/man$(subst .,,$(suffix $(m)))/$(notdir $(m));)
	$(INSTALL) -d $(DESTDIR)$(MANDIR)/man3
	$(INSTALL) -m 644 $(MAN3) $(DESTDIR)$(MANDIR)/man3
	$(foreach h,$(HEADERS),$(foreach n,$(call names_in,$(h)),echo \
	    '.so man3/cratos_$(basename $(notdir $(h))).3' \
	    >$(DESTDIR)$(MANDIR)/man3/$(n).3;))
	$(INSTALL) -D -m 644 cmd/cratos/completion/cratos.bash $(DESTDIR)$(BASH_DIR)/cratos
	$(INSTALL) -D -m 644 cmd/cratos/completion/_cratos $(DESTDIR)$(ZSH_DIR)/_cratos
	$(INSTALL) -D -m 644 cmd/cratos/completion/cratos.fish $(DESTDIR)$(FISH_DIR)/cratos.fish

uninstall:
	rm -f $(DESTDIR)$(BASH_DIR)/cratos $(DESTDIR)$(ZSH_DIR)/_cratos \
	    $(DESTDIR)$(FISH_DIR)/cratos.fish
	rm -f $(DESTDIR)$(BINDIR)/cratos $(DESTDIR)$(LIBDIR)/libcratos.a \
	    $(DESTDIR)$(LIBDIR)/libcratos.so* \
	    $(DESTDIR)$(LIBDIR)/pkgconfig/cratos.pc \
	    $(foreach m,$(MAN),$(DESTDIR)$(MANDIR)/man$(subst .,,$(suffix $(m)))/$(notdir $(m))) \
	    $(addprefix $(DESTDIR)$(MANDIR)/man3/,$(notdir $(MAN3)) \
	        $(foreach h,$(HEADERS),$(addsuffix .3,$(call names_in,$(h)))))
	rm -rf $(DESTDIR)$(INCLUDEDIR)/cratos

clean:
	rm -rf $(BUILD)

help:
	@echo 'make deps           install what is needed to build, run and test (apt)'
	@echo 'make                the library, build/cratos and build/echod'
	@echo 'make run            run the example app; Ctrl-C stops it'
	@echo 'make test           all tests'
	@echo 'make test-asan      the same under AddressSanitizer and UBSan'
	@echo 'make test-tsan      the same under ThreadSanitizer'
	@echo 'make test-valgrind  the same under valgrind'
	@echo 'make deps-bench     install what bench and bench-run compare with'
	@echo 'make bench          cratos against Go and bare threads: one table'
	@echo 'make bench-run      cratos run against a bare loop and other runners'
	@echo 'make deps-ci        install what lint and all end-to-end tests need more'
	@echo 'make model          check the models with spin; first make deps-model'
	@echo 'make lint           formatting, static analysis, manual pages'
	@echo 'make format         format the C files'
	@echo 'make install        to PREFIX (/usr/local), under DESTDIR'
	@echo 'make uninstall      the reverse'
	@echo 'make clean          remove what was built'
	@echo
	@echo 'CC, CFLAGS, LDFLAGS, WERROR=1 (warnings are errors), BUILD=folder'

.PHONY: all deps deps-ci deps-bench deps-model bench bench-run model run checks test test-asan \
	test-tsan test-valgrind lint format install uninstall clean help
.DELETE_ON_ERROR:
