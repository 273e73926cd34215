"""Holds one of every kind of thing that a checkpoint can hold, in the folder given, and waits.

Prints "ready" when all of it is there.
"""

import ctypes
import mmap
import os
import select
import socket
import sys
import threading
import time

os.chdir(sys.argv[1])
libc = ctypes.CDLL(None)
kept = []


def keep(thing):
    kept.append(thing)
    return thing


def listening(family, address):
    sock = keep(socket.socket(family))
    sock.bind(address)
    sock.listen(3)
    return sock


def connected(server):
    client = keep(socket.socket(server.family))
    client.connect(server.getsockname())
    keep(server.accept()[0])


os.pipe()
tcp = listening(socket.AF_INET, ("127.0.0.1", 0))
connected(tcp)
listening(socket.AF_INET6, ("::1", 0))
connected(listening(socket.AF_UNIX, os.path.join(os.getcwd(), "socket")))
listening(socket.AF_UNIX, "\0cedana-many-kinds-%d" % os.getpid())
keep(socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind(("127.0.0.1", 0))

os.eventfd(3)
keep(select.epoll()).register(tcp.fileno())
libc.timerfd_create(time.CLOCK_MONOTONIC, 0)
libc.inotify_init1(0)
libc.signalfd(-1, ctypes.byref((ctypes.c_ulonglong * 16)(1 << 9)), 0)

memfd = os.memfd_create("many-kinds")
os.ftruncate(memfd, 1 << 20)
keep(mmap.mmap(memfd, 1 << 20))[:5000] = b"m" * 5000
keep(mmap.mmap(-1, 1 << 20))[:9000] = b"s" * 9000
keep(mmap.mmap(-1, 40 << 12, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))[: 3 << 12] = b"p" * (3 << 12)

data = keep(open("data", "wb+"))
data.write(b"d" * 10000)
data.flush()
data.seek(1234)
keep(mmap.mmap(data.fileno(), 8192))
gone = keep(open("gone", "wb+"))
gone.write(b"content")
gone.flush()
os.unlink("gone")
os.mkfifo("fifo")
os.open("fifo", os.O_RDWR)
os.open(".", os.O_RDONLY)
os.openpty()

for _ in range(3):
    threading.Thread(target=time.sleep, args=(1e6,), daemon=True).start()

print("ready", flush=True)
os.close(1)
time.sleep(1e6)
