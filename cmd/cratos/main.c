/* cratos: runs the app that an ini file, or a Procfile, describes. */
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cratos/app.h>

#include "cmd/cratos/keys.h"
#include "cmd/cratos/main.h"
#include "cmd/cratos/operate.h"
#include "cmd/cratos/procfile.h"

static const char general_help[] =
    "usage: cratos COMMAND\n"
    "\n"
    "Runs programs and servers as one app: starts them in order, stops them in\n"
    "reverse, and when one fails restarts it or stops them all.\n"
    "\n"
    "commands:\n"
    "  run FILE      run the app that FILE describes, until a signal stops it\n"
    "  check FILE    check FILE, and show what would run; starts nothing\n"
    "  exec COMMAND  run one command, and pass on signals and its exit status, as\n"
    "                the first process of a container should\n"
    "  status        what runs, and why not; also start, stop, restart, signal, wait,\n"
    "                logs, events, reload, report, stop-app, graph, plot: for an app\n"
    "                with a control socket\n"
    "  help [TOPIC]  this text, or the one of a command; \"ini\" for all keys of\n"
    "                a file, \"sample\" for a file to begin with\n"
    "  version       the version\n"
    "\n"
    "A file to begin with:\n"
    "\n"
    "  [server:web]\n"
    "  exec = python3 -m http.server 8080 --bind 127.0.0.1\n"
    "\n"
    "  [server:echo]\n"
    "  tcp-echo = 127.0.0.1:7007\n"
    "\n"
    "\"cratos COMMAND --help\" tells the options of a command.\n";

static const char run_help[] =
    "usage: cratos run [--quiet] [--json] [-c] FILE\n"
    "\n"
    "Runs the servers of FILE, an ini file or a Procfile, as one app. One line an\n"
    "event goes to standard error, and so does each line that the servers print,\n"
    "unless their log key says otherwise.\n"
    "\n"
    "signals:\n"
    "  SIGTERM, SIGINT (Ctrl-C), SIGQUIT\n"
    "           stop the app in order; a second one ends it at once\n"
    "  SIGHUP   reads FILE again: what is new in it is started, what is gone is\n"
    "           stopped, what has changed is stopped and started again; with any\n"
    "           error in it all stays as it is. If the terminal has gone that\n"
    "           the app was started on, it stops instead\n"
    "  SIGUSR1  prints a report: what each server does, or waits for\n"
    "  SIGUSR2  opens the files of log = file:PATH anew\n"
    "\n"
    "options:\n"
    "  -c, --config FILE  the file, as an option\n"
    "  -q, --quiet        only what goes wrong\n"
    "      --json         events as JSON, an object a line\n"
    "  -h, --help         this text\n"
    "\n"
    "exit status:\n"
    "  0    stopped when told, in order\n"
    "  1    a server failed, or did not stop in time\n"
    "  2    wrong usage\n"
    "  78   something is wrong with FILE\n"
    "  124  something did not stop even after its deadline: the app was ended\n"
    "  128+n  forced by a second signal, n\n";

static const char check_help[] =
    "usage: cratos check [--ini] [-c] FILE\n"
    "\n"
    "Checks FILE as a whole, programs and folders included, and shows what would\n"
    "run, in the order of the start. Starts nothing. Exit status 0 if all is\n"
    "well, 78 if something is wrong: then each error is a line on standard error,\n"
    "with file and line.\n"
    "\n"
    "options:\n"
    "  -c, --config FILE  the file, as an option\n"
    "      --ini          prints the ini file that says what a Procfile says\n"
    "  -h, --help         this text\n";

static const char version_help[] = "usage: cratos version\n"
				   "\n"
				   "Prints the version.\n";

static const char help_help[] =
    "usage: cratos help [COMMAND|ini|sample]\n"
    "\n"
    "Explains a command; \"ini\" lists all keys of a file, \"sample\" prints a file\n"
    "with all of them, to begin with.\n";

static int usage(const char *command, const char *text, const char *word)
{
	fprintf(stderr, "cratos: %s%s; see \"cratos %s--help\"\n", text,
	    word ? word : "", command);
	return APP_EXIT_USAGE;
}

/* What is printed and asked for is lost if it cannot be written. */
int print_help(const char *text)
{
	if (fputs(text, stdout) < 0 || fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "cratos: cannot write: %m\n");
		return APP_EXIT_FAILED;
	}
	return APP_EXIT_CLEAN;
}

static int help_command(int argc, char **argv)
{
	const char *topic = argc > 1 ? argv[1] : "";

	if (argc > 2)
		return usage("help ", "one topic at a time, not also ",
		    argv[2]);
	if (!*topic)
		return print_help(general_help);
	if (!strcmp(topic, "run"))
		return print_help(run_help);
	if (!strcmp(topic, "check"))
		return print_help(check_help);
	if (!strcmp(topic, "exec"))
		return print_help(exec_help);
	if (!strcmp(topic, "version"))
		return print_help(version_help);
	if (!strcmp(topic, "help") || !strcmp(topic, "--help") ||
	    !strcmp(topic, "-h"))
		return print_help(help_help);
	if (operate_help(topic))
		return print_help(operate_help(topic));
	if (!strcmp(topic, "ini"))
		config_reference(file_sections, stdout);
	else if (!strcmp(topic, "sample"))
		config_sample(file_sections, stdout);
	else
		return usage("help ", "no help about ", topic);
	return print_help("");
}

/* The option that getopt_long has just refused, which may be one of several in
 * a word. */
static const char *refused_option(int c, char **argv)
{
	static char letter[3] = "-";
	const char *word = argv[optind - 1];

	if (c != '?' || !optopt || (word[0] == '-' && strchr(word, '=')))
		return word;
	letter[1] = (char)optopt;
	return letter;
}

/*
 * The options of run and check. Returns -1 to go on, else the exit status.
 * There is one file, with or without -c.
 */
static int parse(int argc, char **argv, struct run_options *options,
    const char *help)
{
	static const struct option longs[] = {{"config", required_argument,
						  NULL, 'c'},
	    {"help", no_argument, NULL, 'h'}, {"quiet", no_argument, NULL, 'q'},
	    {"json", no_argument, NULL, 'j'}, {"ini", no_argument, NULL, 'i'},
	    {0}};
	bool run = !strcmp(argv[0], "run");
	const char *command = run ? "run " : "check ";
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, run ? ":c:hq" : ":c:h", longs,
		    NULL)) != -1) {
		if (c == 'h')
			return print_help(help);
		if (c == ':')
			return usage(command, "a file is missing after ",
			    argv[optind - 1]);
		if (c == 'c' && !options->path)
			options->path = optarg;
		else if (c == 'c')
			return usage(command, "one file, not also ", optarg);
		else if (c == 'q' && run)
			options->quiet = true;
		else if (c == 'j' && run)
			options->output = OUTPUT_JSON;
		else if (c == 'i' && !run)
			options->ini = true;
		else
			return usage(command, "unknown option ",
			    refused_option(c, argv));
	}
	if (optind < argc && !options->path)
		options->path = argv[optind++];
	if (optind < argc)
		return usage(command, "one file, not also ", argv[optind]);
	if (!options->path)
		return usage(command, "no file", NULL);
	if (options->ini && !procfile_is(options->path))
		return usage(command,
		    "--ini is for a Procfile, which is called so, not for ",
		    options->path);
	return -1;
}

static int version_command(int argc, char **argv)
{
	if (argc > 1 && (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help")))
		return print_help(version_help);
	if (argc > 1)
		return usage("version ",
		    "no argument goes with version: ", argv[1]);
	return print_help("cratos " CRATOS_VERSION "\n");
}

/*
 * A standard stream that is closed would become a descriptor of our own, and
 * what is printed would go there. Writing to it stays an error.
 */
static void fill_standard_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDONLY);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	struct run_options options = {0};
	const char *command = argc > 1 ? argv[1] : "";
	int status;

	/* Threads are many, allocations few: an arena each is memory lost. */
	mallopt(M_ARENA_MAX, 1);
	fill_standard_streams();
	argc -= argc > 1;
	argv += argc > 0 && *command;
	if (!strcmp(command, "run")) {
		status = parse(argc, argv, &options, run_help);
		return status < 0 ? run_command(&options) : status;
	}
	if (!strcmp(command, "check")) {
		status = parse(argc, argv, &options, check_help);
		return status < 0 ? check_command(&options) : status;
	}
	if (!strcmp(command, "exec"))
		return exec_command(argc, argv);
	if (operate(command, argc, argv, &status))
		return status;
	if (!strcmp(command, "version") || !strcmp(command, "--version"))
		return version_command(argc, argv);
	if (!strcmp(command, "help") || !strcmp(command, "--help") ||
	    !strcmp(command, "-h"))
		return help_command(argc, argv);
	if (!*command)
		return usage("", "no command", NULL);
	return usage("", "unknown command ", command);
}
