#!/usr/bin/env python3
"""Puts what a key takes, and its default, into the manual page of the ini file.

    cratos help ini | ini.py PAGE

They come from the tables that the file is checked by. A key that one of the two
has and the other has not is an error.
"""

import re
import sys


def read_reference(file):
    """What each key of each section takes, in words."""
    keys, section, key = {}, None, None
    for line in file:
        line = line.rstrip("\n")
        if line.startswith("["):
            section = line
        elif re.match(r" {4}\S+ = ", line):
            key, words = line.strip().split(" = ", 1)
            keys[section, key] = words
        elif line.startswith("        default: "):
            keys[section, key] += "; by default " + line.split(": ", 1)[1]
    return keys


def keys_of(item):
    """Those of an .It line: "log", "env.NAME"."""
    text = re.sub(r" Ns Ar ", "", item[len(".It "):])
    return [word for word in re.findall(r"Cm (\S+)", text)]


def escape(text):
    return text.replace("\\", "\\e").replace("-", "\\-").replace('"', '""')


def main():
    path = sys.argv[1]
    keys = read_reference(sys.stdin)
    told, wrong, section = set(), [], None
    out = []
    with open(path, encoding="utf-8") as page:
        for line in page:
            line = line.rstrip("\n")
            out.append(line)
            if line.startswith((".Sh", ".Ss")):
                section = line.split(" ", 1)[1]
            if not line.startswith(".It Cm ") or \
                    not (section or "").startswith("["):
                continue
            for key in keys_of(line):
                told.add((section, key))
                if (section, key) not in keys:
                    wrong.append(f"{section} has no key {key}")
            words = keys.get((section, keys_of(line)[0]))
            if words:
                out += ['.Em "%s"' % escape(words), ".Pp"]
    wrong += [f"nothing about {section} {key}"
              for section, key in keys if (section, key) not in told]
    if wrong:
        sys.exit("\n".join(f"{path}: {one}" for one in wrong))
    print("\n".join(out))


if __name__ == "__main__":
    main()
