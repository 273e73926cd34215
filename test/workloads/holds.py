"""Holds one kind of thing, uses it again and again, and counts in a file how often it worked.

usage: holds.py KIND FILE [ARGUMENT]

The file holds the number of times so far, or what went wrong.
"""

import fcntl
import hashlib
import os
import resource
import socket
import sys
import threading
import time
import traceback

kind, report = sys.argv[1:3]


def say(text):
    # Over what was there, at one length: the file is never another one, nor empty, whenever it is dumped.
    file = os.open(report, os.O_WRONLY | os.O_CREAT, 0o644)
    os.write(file, f"{text:<20}\n".encode())
    os.close(file)


def memory():
    data = os.urandom(1 << 20) * int(sys.argv[3])
    digest = hashlib.md5(data).digest()
    yield
    while True:
        assert hashlib.md5(data).digest() == digest
        yield


def rewritten():
    """Writes its pages in turn, all the time: a copy that mixes two moments has a page of the wrong turn."""
    page = 4096
    pages = int(sys.argv[3]) * 256
    data = bytearray(pages * page)
    turn = 0
    while True:
        turn = (turn + 1) % 256
        for at in range(0, pages * page, page):
            assert data[at] == (turn - 1) % 256, f"page {at // page} is of another moment"
            data[at] = turn
        yield


def threads():
    counts = [0, 0, 0]

    def count(index):
        while True:
            counts[index] += 1
            time.sleep(0.01)

    for index in range(len(counts)):
        threading.Thread(target=count, args=(index,), daemon=True).start()
    while True:
        before = list(counts)
        yield
        deadline = time.time() + 20
        while any(now <= was for now, was in zip(counts, before)):
            assert time.time() < deadline, "a thread stands still"
            time.sleep(0.01)


def echo_child(there, back):
    if os.fork() == 0:
        while data := os.read(there, 100):
            os.write(back, data)
        os._exit(0)


def pipes():
    there, back = os.pipe(), os.pipe()
    echo_child(there[0], back[1])
    while True:
        os.write(there[1], b"hello")
        assert os.read(back[0], 100) == b"hello"
        yield


def unix():
    ours, theirs = socket.socketpair()
    echo_child(theirs.fileno(), theirs.fileno())
    while True:
        ours.send(b"hello")
        assert ours.recv(100) == b"hello"
        yield


def listen():
    """Never connected to: a dump that met a connection would refuse it. EAGAIN says that it listens, EINVAL that not."""
    server = socket.create_server(("127.0.0.1", 0))
    server.setblocking(False)
    while True:
        try:
            server.accept()
        except BlockingIOError:
            yield


def tcp():
    server = socket.create_server(("127.0.0.1", 0))
    ours = socket.create_connection(server.getsockname())
    theirs = server.accept()[0]
    while True:
        ours.sendall(b"hello")
        assert theirs.recv(5) == b"hello"
        yield


def peer():
    """Talks to an echo server outside the tree; counts the end of that connection as well as an answer."""
    ours = socket.create_connection(("127.0.0.1", int(sys.argv[3])))
    while True:
        try:
            ours.sendall(b"hello")
            assert ours.recv(5) in (b"hello", b"")
        except OSError:
            pass
        yield


def lock():
    path = report + ".lock"
    with open(path, "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
        while True:
            with open(path) as other:
                try:
                    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    raise AssertionError("the lock is gone")
                except BlockingIOError:
                    pass
            yield


def ghost():
    """A file without a name, still open."""
    with open(report + ".ghost", "w+") as held:
        os.unlink(held.name)
        while True:
            held.seek(0)
            held.write("hello")
            held.flush()
            held.seek(0)
            assert held.read() == "hello"
            yield


def ghosts():
    """Many of them, and some memory."""
    count = int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100, count + 100))
    data = os.urandom(1 << 20) * 70
    held = []
    for number in range(count):
        held.append(os.open(report + ".ghost", os.O_RDWR | os.O_CREAT))
        os.unlink(report + ".ghost")
        os.write(held[number], str(number).encode())
    while True:
        for number, fd in enumerate(held):
            assert os.pread(fd, 10, 0) == str(number).encode()
        assert len(data) == 70 << 20
        yield


def link():
    """A file whose own name is gone while it has another."""
    path = report + ".first"
    with open(path, "w+") as held:
        os.link(path, report + ".second")
        os.unlink(path)
        while True:
            held.seek(0)
            held.write("hello")
            held.flush()
            with open(report + ".second") as other:
                assert other.read() == "hello"
            yield


try:
    for done, _ in enumerate(globals()[kind](), 1):
        say(done)
        time.sleep(0.02)
except BaseException:
    say(traceback.format_exc())
    raise
