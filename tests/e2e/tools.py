"""Clients, a terminal and free ports for the end-to-end tests.

Each command prints what it found, and waits for what is slow to come, with a
deadline. It fails with one line on standard error.
"""

import fcntl
import http.client
import json
import os
import pty
import random
import re
import select
import signal
import socket
import subprocess
import sys
import time
import tty

PATIENCE_S = float(os.environ.get("PATIENCE_S", "40"))


def connect_once(address):
    """A connection to HOST:PORT or unix:PATH."""
    if address.startswith("unix:"):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(PATIENCE_S)
        sock.connect(address[len("unix:"):])
        return sock
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host, int(port)), PATIENCE_S)


def connect(address):
    """The same, once there is somebody who listens."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return connect_once(address)
        except (ConnectionRefusedError, FileNotFoundError, BlockingIOError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def ports(count):
    """ports COUNT: numbers of TCP ports that are free on 127.0.0.1."""
    socks = [socket.socket() for _ in range(int(count))]
    for sock in socks:
        sock.bind(("127.0.0.1", 0))
    print(*(sock.getsockname()[1] for sock in socks))


def talk(address, text, until=""):
    """talk ADDRESS TEXT [UNTIL]: sends TEXT, prints the answer up to UNTIL,
    or else up to the end."""
    with connect(address) as sock:
        sock.settimeout(PATIENCE_S)
        sock.sendall(text.encode())
        if not until:
            sock.shutdown(socket.SHUT_WR)
        answer = b""
        while not until or until.encode() not in answer:
            data = sock.recv(65536)
            if not data:
                break
            answer += data
    sys.stdout.write(answer.decode())


def get(address, path, accept="*/*"):
    """get ADDRESS PATH [ACCEPT]: prints the status and the body of a web
    page."""
    request(address, "GET", path, accept)


def request(address, method, path, accept="*/*"):
    """request ADDRESS METHOD PATH [ACCEPT]: the same, with any method."""
    client = http.client.HTTPConnection("localhost", timeout=PATIENCE_S)
    client.sock = connect(address)
    client.request(method, path, headers={"Accept": accept})
    answer = client.getresponse()
    print(answer.status)
    sys.stdout.write(answer.read().decode(errors="replace"))


def refused(address):
    """refused ADDRESS: waits until nobody takes a connection."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            connect_once(address).close()
        except (ConnectionRefusedError, FileNotFoundError, BlockingIOError):
            print("refused")
            return
        except ConnectionResetError:
            pass
        time.sleep(0.05)
    sys.exit("connections are still taken")


def hold():
    """hold: listens on a TCP port of 127.0.0.1, prints it, stays."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    print(sock.getsockname()[1], flush=True)
    while True:
        signal.pause()


def stale(path):
    """stale PATH: leaves a socket file that nobody listens on."""
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(path)
    sock.listen()


def fork_on_terminal(command):
    """A child on a terminal of its own, and the other end of that."""
    child, fd = pty.fork()
    if child == 0:
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        os.execvp(command[0], command)
    return child, fd


def print_status(child):
    """Its exit status as a shell has it."""
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(code if code >= 0 else 128 - code)


def on_terminal(log, until, keys, *command):
    """on_terminal LOG UNTIL KEYS COMMAND...: runs COMMAND on a terminal of its
    own, types KEYS when the output matches UNTIL, writes what it says to LOG,
    and prints its exit status as a shell does."""
    child, fd = fork_on_terminal(command)
    output = b""
    typed = False
    deadline = time.monotonic() + PATIENCE_S
    with open(log, "wb", buffering=0) as file:
        while time.monotonic() < deadline:
            if not select.select([fd], [], [], 0.1)[0]:
                continue
            try:
                data = os.read(fd, 65536)
            except OSError:  # all who had the terminal have ended
                break
            if not data:
                break
            file.write(data)
            output += data
            if not typed and re.search(until.encode(), output):
                typed = True
                os.write(fd, keys.encode().decode("unicode_escape").encode())
        else:
            os.kill(child, signal.SIGKILL)
            print("too late: ", end="")
    print_status(child)


def hang_up(log, until, *command):
    """hang_up LOG UNTIL COMMAND...: runs COMMAND on a terminal of its own,
    takes the terminal away when LOG, which COMMAND writes, matches UNTIL, and
    prints its exit status as a shell does."""
    child, fd = fork_on_terminal(command)
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with open(log, "rb") as file:
            if re.search(until.encode(), file.read()):
                break
        time.sleep(0.05)
    os.close(fd)
    while time.monotonic() < deadline:
        if os.waitid(os.P_PID, child,
                     os.WEXITED | os.WNOHANG | os.WNOWAIT):
            break
        time.sleep(0.05)
    else:
        os.kill(child, signal.SIGKILL)
        print("too late: ", end="")
    print_status(child)


def small_stream(kind):
    """Both ends of a pipe, a socket or a terminal that hold little."""
    if kind == "terminal":
        source, sink = pty.openpty()
        tty.setraw(sink)
        return source, sink
    if kind == "socket":
        pair = socket.socketpair()
        pair[1].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        return pair[0].detach(), pair[1].detach()
    source, sink = os.pipe()
    fcntl.fcntl(sink, fcntl.F_SETPIPE_SZ, 4096)
    return source, sink


def read_if_any(source):
    """Nothing at the end; of a terminal, that is an error."""
    try:
        return os.read(source, 65536)
    except OSError:
        return b""


def stall(kind, steps, *command):
    """stall pipe|socket|terminal STEPS COMMAND...: runs COMMAND with its
    standard error on such a stream, which nobody reads until STEPS.read is
    there, or COMMAND has ended; writes what then comes to STEPS.err, and exits
    with its status as a shell does. COMMAND's process is in STEPS.pid."""
    source, sink = small_stream(kind)
    child = subprocess.Popen(command, stderr=sink)
    os.close(sink)
    with open(steps + ".pid", "w", encoding="ascii") as file:
        print(child.pid, file=file)
    while not os.path.exists(steps + ".read") and child.poll() is None:
        time.sleep(0.01)
    with open(steps + ".err", "wb", buffering=0) as file:
        while data := read_if_any(source):
            file.write(data)
    code = child.wait()
    sys.exit(code if code >= 0 else 128 - code)


def events(path):
    """events FILE: prints a word for each line of --json."""
    with open(path, "rb") as file:
        lines = file.read().decode("utf-8").splitlines()
    for line in lines:
        event = json.loads(line)
        for key in ("time", "level", "event"):
            if not isinstance(event.get(key), str):
                sys.exit(f"no {key}: {line}")
        if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
                            event["time"]):
            sys.exit(f"no time: {line}")
        words = [event["event"]]
        if event["event"] == "state":
            words = ["state", event["state"].replace(" ", "_")]
        for key in ("server", "signal", "endpoint", "ok"):
            if key in event:
                words.append(str(event[key]))
        print(*words)


def printed(server, path):
    """printed SERVER FILE: what SERVER has printed, by the lines of --json,
    parts put together."""
    text = ""
    with open(path, "rb") as file:
        for line in file.read().decode("utf-8").splitlines():
            event = json.loads(line)
            if event["event"] != "output" or event["server"] != server:
                continue
            if text and not event.get("goes_on"):
                text += "\n"
            text += event["text"]
    sys.stdout.write(text + "\n")


def load(address, count, finishing, steps):
    """load ADDRESS COUNT FINISHING STEPS: COUNT connections that are all being
    served. Writes STEPS.open then, and waits for STEPS.go; then as many as
    FINISHING ask once more, and close. Prints how many of them were answered
    to the end, and how many of the others were cut off, and when, counted from
    the writing of STEPS.go."""
    socks = [connect(address) for _ in range(int(count))]
    for number, sock in enumerate(socks):
        sock.settimeout(PATIENCE_S)
        ask(sock, b"hello %d\n" % number)
    open(steps + ".open", "w", encoding="ascii").close()
    deadline = time.monotonic() + PATIENCE_S
    while not os.path.exists(steps + ".go"):
        if time.monotonic() > deadline:
            sys.exit("nobody said go")
        time.sleep(0.01)
    served = 0
    for number, sock in enumerate(socks[:int(finishing)]):
        ask(sock, b"bye %d\n" % number)
        sock.shutdown(socket.SHUT_WR)
        served += sock.recv(1) == b""
    cut = sum(is_cut(sock) for sock in socks[int(finishing):])
    after_s = time.time() - os.stat(steps + ".go").st_mtime
    print(f"{served} served, {cut} cut off")
    with open(steps + ".after", "w", encoding="ascii") as file:
        print(int(after_s * 1000), file=file)


def ask(sock, text):
    sock.sendall(text)
    answer = b""
    while len(answer) < len(text):
        data = sock.recv(4096)
        if not data:
            sys.exit(f"cut off before {text}")
        answer += data
    if answer != text:
        sys.exit(f"{answer} for {text}")


def is_cut(sock):
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def children(pid):
    """The children of all threads of PID, each with its state and program."""
    found = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/children",
                      encoding="ascii") as file:
                for child in file.read().split():
                    found[int(child)] = status_of(child)
        except (FileNotFoundError, ProcessLookupError):
            pass  # it has ended meanwhile
    return found


def status_of(pid):
    """The first lines of its status: (program, state), or what is none."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return ("", "")
    return (re.search(r"^Name:\t(.*)$", text, re.M)[1],
            re.search(r"^State:\t(.)", text, re.M)[1])


def all_run(pid, program, count, killed):
    """COUNT children of PID, all of PROGRAM and alive, none of them KILLED."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = children(pid)
        if len(found) == count and not killed & set(found) and all(
                status[0] == program and status[1] not in "ZX"
                for status in found.values()):
            return list(found)
        if time.monotonic() > deadline:
            odd = {child: status for child, status in found.items()
                   if status[0] != program or status[1] in "ZX"}
            sys.exit(f"{len(found)} children instead of {count}, of these "
                     f"not running: {odd}, killed and there: "
                     f"{killed & set(found)}")
        time.sleep(0.01)


def kills(pid, program, count, total, seed):
    """kills PID PROGRAM COUNT TOTAL SEED: PID has COUNT children that run
    PROGRAM; kills TOTAL of them, some at a time, as chance picks, each time
    until all are back. Prints how often it has done so."""
    chance = random.Random(int(seed))
    left = int(total)
    rounds = 0
    alive = all_run(pid, program, int(count), set())
    while left:
        some = min(left, chance.randint(1, max(1, int(count) // 5)))
        victims = chance.sample(alive, some)
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        alive = all_run(pid, program, int(count), set(victims))
        left -= some
        rounds += 1
    print(f"{rounds} times")


def manager(path, log):
    """manager PATH LOG: a service manager that listens on PATH, abstract if
    it is @NAME, and writes each field that it is told to LOG as a line, with
    "--" after each message. Until it is ended."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(path.replace("@", "\0", 1) if path.startswith("@") else path)
    with open(log, "w", encoding="utf-8") as out:
        out.write("listening\n")
        while True:
            out.flush()
            out.write(sock.recv(65536).decode().rstrip("\n") + "\n--\n")


def activate(file, names, *command):
    """activate FILE NAME:NAME... COMMAND...: becomes COMMAND, with sockets of
    these names that listen on 127.0.0.1, as systemd passes them; their ports
    are in FILE, a line each."""
    socks = []
    for _ in names.split(":"):
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        socks.append(sock)
    lines = "".join(f"{sock.getsockname()[1]}\n" for sock in socks)
    with open(file, "w", encoding="utf-8") as out:
        out.write(lines)
    # Out of the way of the numbers that they get.
    copies = [fcntl.fcntl(sock, fcntl.F_DUPFD, 100) for sock in socks]
    for number, copy in enumerate(copies):
        os.dup2(copy, 3 + number)
        os.close(copy)
    os.environ.update(LISTEN_FDS=str(len(socks)), LISTEN_FDNAMES=names,
                      LISTEN_PID=str(os.getpid()))
    os.execvp(command[0], command)


def answer(sock):
    """The status line that comes, "cut off" if the connection ends before."""
    data = b""
    try:
        while b"\n" not in data:
            piece = sock.recv(4096)
            if not piece:
                return "cut off"
            data += piece
    except ConnectionError:
        return "cut off"
    return data.split(b"\n")[0].decode().strip()


def sent(address, data, half=False):
    """The answer to what may be no request."""
    with connect(address) as sock:
        sock.settimeout(PATIENCE_S)
        try:
            sock.sendall(data)
            if half:
                sock.shutdown(socket.SHUT_WR)
        except ConnectionError:
            pass
        return answer(sock)


def drip(address):
    """A byte a second, until it is cut off."""
    begin = time.monotonic()
    with connect(address) as sock:
        sock.settimeout(1)
        while time.monotonic() < begin + PATIENCE_S:
            try:
                sock.sendall(b"G")
                if not sock.recv(4096):
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        else:
            return "never cut off"
    took = time.monotonic() - begin
    return "cut off" if took > 5 else f"cut off after {took:.1f} s"


def never_reads(address, path):
    """Asks for much, reads nothing; whether the other side gives up."""
    with connect(address) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        poll = select.poll()
        poll.register(sock, 0)
        found = poll.poll(PATIENCE_S * 1000)
        return "cut off" if found else "never cut off"


def hostile(address, much):
    """hostile ADDRESS PATH: what becomes of bad clients of an HTTP server, a
    line each; PATH is of a page that fills the buffers of a socket."""
    line = b"POST /readyz HTTP/1.1\r\nHost: a\r\n"
    big = b"x" * (1 << 20)
    print("garbage:", sent(address, b"\x00\xff\x01 \r\n\r\n" * 100))
    print("a long path:", sent(
        address, b"GET /" + b"x" * 65536 + b" HTTP/1.1\r\nHost: a\r\n\r\n"))
    print("a large body:", sent(
        address, line + b"Content-Length: 99999999\r\n\r\n"))
    print("a large body in chunks:", sent(
        address, line + b"Transfer-Encoding: chunked\r\n\r\n100000\r\n" + big +
        b"\r\n0\r\n\r\n"))
    print("half closed:", sent(
        address, b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n", half=True))
    idle = [connect(address) for _ in range(500)]
    print("beside 500 idle ones:", sent(
        address, b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"))
    print("a byte a second:", drip(address))
    print("who never reads:", never_reads(address, much))
    poll = select.poll()
    for sock in idle:
        poll.register(sock, select.POLLIN)
    ended = sum(1 for _ in poll.poll(PATIENCE_S * 1000))
    print("idle:", "all cut off" if ended == 500 else f"{ended} cut off")
    print("after all of it:", sent(
        address, b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"))


COMMANDS = {function.__name__: function for function in
            (ports, talk, get, request, refused, hold, stale, on_terminal,
             hang_up, stall, events, printed, load, kills, manager, activate,
             hostile)}

if __name__ == "__main__":
    try:
        COMMANDS[sys.argv[1]](*sys.argv[2:])
    except (OSError, ValueError, http.client.HTTPException) as error:
        sys.exit(f"{sys.argv[1]}: {error}")
