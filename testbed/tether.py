"""The tether: runs a command that the kernel ends together with whoever started it.

Used as `python tether.py PARENT SIGNAL UID GID COMMAND...`, and becomes COMMAND itself, so that
its process id stays the one the parent knows. UID and GID of -1 mean: as who started it.

Parameters are given by position, because this file is run by itself, with the interpreter's
start-up cut to the least, and must import nothing but the standard library.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def become(parent: int, signal: int, account: tuple[int, int], command: list[str]) -> None:
    """Change to `account`, ask for `signal` on the death of `parent`, and become `command`."""
    user, group = account
    if user >= 0:
        os.setgroups([])
        os.setgid(group)
        os.setuid(user)
    # After the change of user, which would have cleared it.
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl refused the parent-death signal")
    if os.getppid() != parent:
        # It died before the kernel was asked to tell us.
        sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    PARENT, SIGNAL, USER, GROUP = (int(word) for word in sys.argv[1:5])
    become(PARENT, SIGNAL, (USER, GROUP), sys.argv[5:])
