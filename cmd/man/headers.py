#!/usr/bin/env python3
"""Makes a manual page of a public header: its comments are the reference.

    headers.py HEADER [HEADER...]  >PAGE     the page of the first
    headers.py --names HEADER                the functions that it declares

The other headers are what the page refers to. A comment stands right before
what it explains; a block that is indented by a tab is shown as it is.
"""

import os
import re
import sys


def page_name(path):
    return "cratos_" + os.path.basename(path)[:-len(".h")]


def read_groups(path):
    """The first comment, and (comment, code) of what follows; either may be
    empty."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    first = re.match(r"/\*(.*?)\*/", text, re.S)
    body = text[first.end():]
    body = re.sub(r"#ifdef __cplusplus.*?#endif", "", body, flags=re.S)
    body = re.sub(r"^#(ifndef|include|endif).*\n", "", body, flags=re.M)
    body = re.sub(r"^#define CRATOS_\w+_H\n", "", body, flags=re.M)
    groups = []
    for block in split_blocks(body):
        comment = re.match(r"/\*(.*?)\*/\s*", block, re.S)
        if comment:
            groups.append((comment.group(1), block[comment.end():].strip("\n")))
        else:
            groups.append(("", block))
    return first.group(1), groups


def split_blocks(body):
    """What stands between empty lines, braces and comments kept whole."""
    block, depth, inside = [], 0, False
    for line in body.split("\n"):
        if not line.strip() and not depth and not inside:
            if block:
                yield "\n".join(block)
            block = []
            continue
        block.append(line)
        code = re.sub(r"/\*.*?\*/", "", line)
        if "/*" in code:
            inside = True
            code = code[:code.index("/*")]
        elif "*/" in code and inside:
            inside = False
            code = code[code.index("*/") + 2:]
        elif inside:
            code = ""
        depth += code.count("{") - code.count("}")
    if block:
        yield "\n".join(block)


def escape(line):
    line = line.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + line if line[:1] in (".", "'") else line


def literal(lines, offset=True):
    first = ".Bd -literal -offset indent" if offset else ".Bd -literal"
    return [first] + [escape(line.expandtabs(8)) for line in lines] + [".Ed"]


def text_of(comment):
    """A comment's lines as mdoc: paragraphs, and blocks shown as they are."""
    lines = [re.sub(r"^\s*\* ?", "", line).rstrip()
             for line in comment.strip().split("\n")]
    out, i, paragraph = [], 0, False
    while i < len(lines):
        line = lines[i]
        if line.startswith("\t") or line.startswith("   "):
            end = i
            while end < len(lines) and (not lines[end] or
                                        lines[end][:1] in "\t "):
                end += 1
            shown = lines[i:end]
            while shown and not shown[-1]:
                shown.pop()
            out += literal(shown)
            paragraph = True
            i = end
            continue
        if not line:
            paragraph = True
        else:
            if paragraph:
                out.append(".Pp")
                paragraph = False
            # A sentence begins on a line of its own.
            out += [escape(one) for one in
                    re.split(r"(?<=[.!?]) +|(?<=[.!?][\")]) +", line)]
        i += 1
    while out and out[0] == ".Pp":
        out.pop(0)
    return out


def functions_in(code):
    """The names of the functions that are declared in it."""
    bare = re.sub(r"/\*.*?\*/", "", code, flags=re.S)
    bare = re.sub(r"\{.*?\}", "{}", bare, flags=re.S)
    bare = re.sub(r"__attribute__\(\(.*?\)\)\)?", "", bare, flags=re.S)
    return [match.group(1) for match in
            re.finditer(r"^(?!typedef|#|\s)[\w \*]*?\b(\w+)\((?!\()",
                        bare, re.M)]


def names_of(path):
    names = []
    for _, code in read_groups(path)[1]:
        for name in functions_in(code):
            if name not in names:
                names.append(name)
    return names


def title_of(first):
    """What it is, in few words, and the rest of the text."""
    lines = [re.sub(r"^\s*\* ?", "", line).rstrip()
             for line in first.strip().split("\n")]
    words = " ".join(lines).strip()
    title = re.split(r"[.;:](?=\s|$)", words, maxsplit=2)
    name = title[1].strip() if len(title[0].split()) < 3 and len(title) > 1 \
        and title[1].strip() else title[0]
    return name[:1].lower() + name[1:]


def stands(out, i):
    """Whether a paragraph's macro is of use there."""
    after = out[i + 1] if i + 1 < len(out) else ".Sh"
    return not (out[i - 1].startswith((".Sh", ".Ss", ".Pp")) or
                after.startswith((".Sh", ".Ss", ".Pp", ".Bd")))


def print_page(path, others):
    first, groups = read_groups(path)
    name = page_name(path)
    out = [".\\\" Made from the header.", ".Dd $Mdocdate$",
           ".Dt %s 3" % name.upper(), ".Os", ".Sh NAME", ".Nm %s" % name,
           ".Nd %s" % escape(title_of(first)), ".Sh LIBRARY",
           "libcratos (pkg\\-config cratos)", ".Sh SYNOPSIS",
           ".In cratos/%s" % os.path.basename(path), ".Sh DESCRIPTION"]
    out += text_of(first)
    for comment, code in groups:
        names = functions_in(code)
        out.append(".Pp" if not names else ".Ss " + ", ".join(names))
        if code:
            out += literal(code.split("\n"), offset=False)
        if comment:
            out += ([".Pp"] if code else []) + text_of(comment)
    out += [".Sh SEE ALSO"]
    refs = [".Xr cratos 3"] + [".Xr %s 3" % page_name(other)
                               for other in sorted(others)]
    out += [ref + " ," for ref in refs[:-1]] + refs[-1:]
    print("\n".join(line for i, line in enumerate(out)
                    if line != ".Pp" or stands(out, i)))


def main():
    arguments = sys.argv[1:]
    if arguments and arguments[0] == "--names":
        print("\n".join(names_of(arguments[1])))
    elif arguments:
        print_page(arguments[0], arguments[1:])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
