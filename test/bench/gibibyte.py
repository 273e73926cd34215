"""Touches 1 GiB of memory, half of it random, says so by creating the file it is given, and waits."""
import mmap
import os
import signal
import sys

MIB = 1 << 20
memory = mmap.mmap(-1, 1024 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
random = os.urandom(64 * MIB)
plain = b"some words that repeat, ".ljust(4096, b".") * (64 * MIB // 4096)
for block in range(16):
    memory.write(random if block % 2 == 0 else plain)
del random, plain
open(sys.argv[1], "w").close()
while True:
    signal.pause()
