"""Become a server that does not outlive the process that wanted it. Run as a script: `python -I -S launch.py JSON`.

Python may not run code between fork and exec in a process with threads, so what has to happen there happens here: a
small process of its own prepares itself and then becomes the server by exec, under the process id its parent knows.

The argument is one JSON object:

- `command`: the program and its arguments; empty to try out `user` and exit with 0;
- `parent`: the process id whose death ends the server;
- `death_signal`: the number of the signal that ends it;
- `user`: "same", "namespace" (uid 1000 of a new user namespace, which is the caller's own uid outside), or [uid, gid];
- `watch`: null on Linux, where the kernel delivers the death signal; elsewhere [pipe, lock, lock file], the first two
  being descriptors: a watchdog sends the signal when the pipe, which the parent holds open, ends while the server still
  holds the lock.

Only the standard library is used, and little of it: this adds some 20 ms to every start.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import sys

PR_SET_PDEATHSIG = 1  # <sys/prctl.h>
CLONE_NEWUSER = 0x10000000  # <sched.h>
INSIDE_ID = 1000  # any id but 0: PostgreSQL refuses to run as uid 0, and nothing else looks at it


def enter_namespace() -> None:
    """Enter a user namespace in which the caller's uid and gid are called 1000.

    For the file system nothing changes, so a folder that only root may enter stays reachable.
    """
    uid, gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot create a user namespace: {os.strerror(number)}")
    # The kernel accepts a gid map only from a process that has given up setgroups (user_namespaces(7)).
    for name, content in (
        ("setgroups", "deny"),
        ("uid_map", f"{INSIDE_ID} {uid} 1"),
        ("gid_map", f"{INSIDE_ID} {gid} 1"),
    ):
        descriptor = os.open(f"/proc/self/{name}", os.O_WRONLY)
        os.write(descriptor, content.encode())
        os.close(descriptor)


def become(user: str | list[int]) -> None:
    """Change to the user the server runs as."""
    if user == "namespace":
        enter_namespace()
    elif isinstance(user, list):
        uid, gid = user
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)


def die_with(parent: int, death_signal: int) -> None:
    """Have the kernel send `death_signal` when the parent's thread that started this process ends (prctl(2)).

    Must come after `become`: a change of user clears it. exec keeps it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot set the parent death signal: {os.strerror(number)}")
    if os.getppid() != parent:
        raise SystemExit("the parent ended before the server started")


def watch(pipe: int, lock_file: str, server: int, death_signal: int) -> None:
    """Wait for the end of the parent's pipe, then signal the server if it is still there.

    The server's process id is trusted only while its lock is held, since ids are given out again.
    """
    while os.read(pipe, 1):
        pass
    lock = os.open(lock_file, os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        os.kill(server, death_signal)


def start_watchdog(pipe: int, lock: int, lock_file: str, *, death_signal: int) -> None:
    """Fork twice, so that the watchdog is nobody's child: PostgreSQL would wonder at a child it did not start."""
    server = os.getpid()
    middle = os.fork()
    if middle == 0:
        os.setsid()
        if os.fork() == 0:
            # The watchdog must not hold what it looks at.
            os.close(lock)
            watch(pipe, lock_file, server, death_signal)
        os._exit(0)
    os.waitpid(middle, 0)
    os.close(pipe)


def main(argument: str) -> None:
    """Prepare this process as the JSON object says and become the server."""
    order = json.loads(argument)
    if order["watch"] is not None:
        start_watchdog(*order["watch"], death_signal=order["death_signal"])
    become(order["user"])
    if order["watch"] is None:
        die_with(order["parent"], order["death_signal"])
    if order["command"]:
        os.execv(order["command"][0], order["command"])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except OSError as error:
        # Standard error is the server's log, from which the parent quotes.
        raise SystemExit(f"launch: {error}") from error
