"""Touches as many MiB of memory as it is told, and gives them back."""
import mmap
import sys

size = int(sys.argv[1]) << 20
memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for page in range(0, size, mmap.PAGESIZE):
    memory[page] = 1
