/* What the variants of configurations are made from. */
#ifndef CRATOS_TESTS_FUZZ_CONFIG_SEEDS_H
#define CRATOS_TESTS_FUZZ_CONFIG_SEEDS_H

#include <stddef.h>

/* Valid files for the sections in check_config_fuzz.c. None reads another. */
static const char *const config_seeds[] = {
    "",
    "[app]\n"
    "name = one\n"
    "port = 80\n",
    "# all there is\n"
    "[app]\n"
    "name = \"two ; three\" ; a comment\n"
    "port = 65535\n"
    "include = no-such-*.ini\n"
    "\n"
    "[server:web]\n"
    "exec = sh -c \"echo 'a ; b'; exit\" ; c\n"
    "workers = 64\n"
    "timeout = 1h2m3s4ms\n"
    "buffer = 64KiB\n"
    "verbose = yes\n"
    "color = blue\n"
    "after = db 'a b' \"c \\\" d\"\n"
    "env.PATH = ${PATH:/bin}:/sbin\n"
    "env.PRICE = 5$$\n"
    "\n"
    "[server:db]\n"
    "exec = sleep 10\n"
    "timeout = 0\n",
    "\xef\xbb\xbf[server:a]\r\n"
    "exec=x\r\n"
    "\r\n"
    "  [ server:b ]  # end\r\n"
    "\texec : y\r\n"
    "\tcolor : red\r\n",
    "[server:utf-8]\n"
    "exec = \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80 \xc2\xa0\n"
    "after = ${NO_SUCH_VARIABLE:a ${NO_SUCH_VARIABLE:b}} $${x} $ $y\n"
    "env.a = \n"
    "env.b=;\n"
    "env.c = ; d\n"
    "env.d = don't ; it's\n"
    "env.e = 'open\n"
    "env.f = \"open\n"
    "env.g = a\\ \\\"b ; c\n"
    "env.h = a#b # c\n"
    "env.i = = : =\n",
    "[server:long]\n"
    "exec = 0123456789012345678901234567890123456789012345678901234567890123"
    "4567890123456789012345678901234567890123456789012345678901234567890123"
    "45678901234567890123456789012345678901234567890123456789 \"a ; b\" ; c\n"
    "env.A_NAME_THAT_IS_LONGER_THAN_FIFTY_BYTES_IN_ALL_AND_ON = 1\n"
    "env.A_NAME_THAT_IS_LONGER_THAN_FIFTY_BYTES_IN_ALL_AND_OFF = 2\n",
};

/* Pieces that make a difference somewhere. */
static const char *const config_tokens[] = {
    "[",
    "]",
    "=",
    ":",
    ";",
    " ;",
    "#",
    "\n",
    "\r\n",
    "\r",
    "\t",
    " ",
    "\"",
    "'",
    "\\",
    "$",
    "$$",
    "${",
    "}",
    "${A}",
    "${A:",
    "${HOME}",
    "[app]\n",
    "[server:x]\n",
    "[server:",
    "[]",
    "exec",
    "exec = ",
    "env.",
    "env.A=1\n",
    "include = a.ini\n",
    "name",
    "-1",
    "0",
    "1ms",
    "9223372036854775808",
    "99999999999999d",
    "KiB",
    "true",
    "red",
    "\x01",
    "\x1b[31m",
    "\x7f",
    "\xff",
    "\xc3",
    "\xc2\x9b",
    "\xe2\x80\xae",
    "\xef\xbb\xbf",
    "%s%n",
    "../",
    "*",
    "----------------------------------------------------------------",
};

/* Lines that are wrong in any place of any file, with words of the error. */
static const struct config_bad_line {
	const char *line, *words;
} config_bad_lines[] = {
    {"junk", "no '=' in the line"},
    {"  more of it", "no '=' in the line"},
    {"= x", "no key"},
    {"[app", "without ']'"},
    {"[]", "without a name"},
    {"[aap]", "did you mean [app]?"},
    {"[zzz]", "unknown section"},
    {"[server:]", "cannot be the NAME"},
    {"[server:a/b]", "cannot be the NAME"},
    {"[server]", "did you mean"},
    {"[server:new] exec = x", "text after"},
    {"[server:new]", "'exec' is missing"},
    {"\x01 = x", "control character 0x01"},
    {"[server:new]\nwrkers = 1", "did you mean 'workers'?"},
    {"[server:new]\ncolor = green", "'green' is not red or blue"},
    {"[server:new]\nworkers = 65", "from 1 to 64"},
    {"[server:new]\nworkers = many", "is not a whole number"},
    {"[server:new]\nworkers = 9\nworkers = 9", "twice"},
    {"[server:new]\ntimeout = 5", "5 has no unit"},
    {"[server:new]\ntimeout = 2h", "from 0 to 1h2m3s4ms"},
    {"[server:new]\nbuffer = 1XB", "is not a size"},
    {"[server:new]\nverbose = perhaps", "is not true or false"},
    {"[server:new]\nafter = 'a", "a quote is not closed"},
    {"[server:new]\nexec = ${NO_SUCH_VARIABLE}", "is not set"},
    {"[server:new]\nexec = ${", "without '}'"},
    {"[server:new]\nexec = ${-}", "needs the name"},
    {"[server:new]\nexec =", "is empty"},
    {"[server:new]\nexec = a\x1b[31m", "control character 0x1b"},
    {"[server:new]\nenv = a", "write env.NAME"},
    {"[server:twice]\nexec=x\n[server:twice]", "twice"},
};

#define CONFIG_COUNT(array) (sizeof(array) / sizeof(*(array)))

#endif
