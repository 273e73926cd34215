"""Holds what has images of its own kind, in two processes, and counts in a file while all of it is as it was.

usage: streamed.py FILE [MIB]

MIB: of the memory that each of them has.
"""

import hashlib
import mmap
import os
import sys
import time
import traceback

report = sys.argv[1]
MIB = 1 << 20


def say(text):
    # Over what was there, at one length: the file is never another one, nor empty, whenever it is dumped.
    file = os.open(report, os.O_WRONLY | os.O_CREAT, 0o644)
    os.write(file, f"{text:<20}\n".encode())
    os.close(file)


def digest(data):
    return hashlib.md5(data).digest()


def ghost_of(content):
    held = open(report + ".ghost", "w+b", buffering=0)
    os.unlink(held.name)
    held.write(content)
    # A hole, and an end.
    held.seek(700000)
    held.write(content)
    return held


def content_of(held):
    held.seek(0)
    return held.read()


private = os.urandom(MIB) * int((sys.argv[2:] or [5])[0])
shared = mmap.mmap(-1, 3 * MIB)
shared.write(os.urandom(3 * MIB))
ghost = ghost_of(b"ghost" * 20000)
there, back = os.pipe()
unread = os.urandom(50000)
os.write(back, unread)
asks, asked = os.pipe()
answers, answered = os.pipe()
expected = [digest(private), digest(shared), digest(content_of(ghost))]

if os.fork() == 0:
    own = private + os.urandom(2 * MIB)
    mine = digest(own)
    while os.read(asks, 1):
        same = digest(own) == mine and digest(shared) == expected[1]
        os.write(answered, b"y" if same else b"n")
    os._exit(0)

count = 0
while True:
    try:
        assert [digest(private), digest(shared), digest(content_of(ghost))] == expected
        assert os.read(there, len(unread)) == unread
        os.write(back, unread)
        os.write(asked, b"?")
        assert os.read(answers, 1) == b"y"
        count += 1
        say(count)
        time.sleep(0.02)
    except BaseException:
        say(traceback.format_exc())
        raise
