/* The keys of the file of "cratos run". */
#ifndef CRATOS_CMD_KEYS_H
#define CRATOS_CMD_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include <cratos/config.h>
#include <cratos/server.h>

/* [app] */
struct app_keys {
	const char *name, *version;
	int64_t start_timeout_ms, stop_timeout_ms, drain_delay_ms,
	    reload_timeout_ms;
	const char *register_command, *deregister_command;
	int register_policy; /* enum registrar_policy */
	int64_t register_timeout_ms, register_delay_ms, register_max_delay_ms;
	int strays; /* enum strays */
	const char *log;
	int64_t log_size, log_keep;
	const char *admin, *control; /* NULL: none */
	const char *control_mode, *control_group, *control_writers;
	int orphans; /* enum orphans */
};

/* What becomes of processes that servers leave behind. */
enum strays { STRAYS_KILL, STRAYS_KEEP };

/* What becomes of the programs when cratos dies and cannot stop them. */
enum orphans { ORPHANS_KILL, ORPHANS_KEEP };

/* What an exit with status 0 means that nobody asked for. */
enum on_exit { ON_EXIT_FAIL, ON_EXIT_STAY, ON_EXIT_STOP };

/* [server:NAME] */
struct server_keys {
	const char *exec, *shell, *tcp_echo;
	int64_t instances; /* 0: itself alone */
	const char *dir, *endpoint;
	const char *const *env;
	const char *env_file, *user, *group, *input;
	const char *umask, *nice, *oom_score_adj; /* numbers; NULL: as ours */
	const char *const *limit, *const *listen;
	const char *const *after, *const *wants;
	const char *const *forward; /* see forward.h */
	bool oneshot, optional;
	int on_exit; /* enum on_exit */
	int restart; /* enum server_restart_when */
	int restart_scope; /* enum server_restart_scope */
	int64_t restart_delay_ms, restart_max_delay_ms, restart_stable_ms,
	    restart_limit, restart_window_ms; /* 0 is none */
	int stop_signal, kill_signal; /* see keys_stop_signal, ... */
	const char *stop_exec;
	const char *const *success_exit;
	const char *ready, *health; /* as in exec_options */
	int64_t ready_interval_ms, ready_timeout_ms, health_interval_ms,
	    health_timeout_ms, health_failures;
	int64_t start_timeout_ms, stop_timeout_ms, max_connections;
	const char *log; /* NULL: the app's */
	int64_t log_size,
	    log_keep; /* 0 if they are not there, also; see log.h */
};

extern const struct config_field app_fields[], server_fields[];
extern const struct config_section file_sections[];

/*
 * Whether all keys of two sections have the same values; fields are theirs.
 * How many instances there are is none of one instance's business.
 */
bool keys_same(const struct config_field *fields, const void *a, const void *b);

/* Whether both have the same words; an empty list is none. */
bool keys_same_list(const char *const *a, const char *const *b);

/* The same of one key. */
bool keys_same_value(const struct config_field *field, const void *a,
    const void *b);

/* The signal that stops the child, and the one that it gets when it is late. */
int keys_stop_signal(const struct server_keys *keys);
int keys_kill_signal(const struct server_keys *keys);

/*
 * The signal of a word in a list: "TERM", "SIGTERM", "RTMIN+1", maybe with a comma
 * behind it. 0 if there is none of that name.
 */
int keys_signal(const char *word);

#endif
