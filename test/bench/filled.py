"""Touches as many MiB of memory as it is told, half of it random, says so by creating the file it is given, and waits."""
import mmap
import os
import signal
import sys

MIB = 1 << 20
BLOCK = 32 * MIB
size, ready = int(sys.argv[1]) * MIB, sys.argv[2]
memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
random = os.urandom(BLOCK)
plain = b"some words that repeat, ".ljust(4096, b".") * (BLOCK // 4096)
for block in range(size // BLOCK):
    memory.write(random if block % 2 == 0 else plain)
del random, plain
open(ready, "w").close()
while True:
    signal.pause()
