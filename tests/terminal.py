"""Runs a command in a terminal of a given width, and prints what a person would have seen.

    terminal.py COLUMNS COMMAND...

Prints one JSON object: the exit code, every distinct screen in order, each as its lines without those
that are empty, and the last screen. pyte plays the terminal.
"""

import fcntl
import json
import os
import pty
import struct
import sys
import termios

import pyte

LINES = 200

columns = int(sys.argv[1])
child, terminal = pty.fork()
if child == 0:
    # the size is set before the command starts
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, columns, 0, 0))
    os.execv(sys.argv[2], sys.argv[2:])
screen = pyte.Screen(columns, LINES)
stream = pyte.ByteStream(screen)


def lines():
    return [line.rstrip() for line in screen.display if line.strip()]


screens = []
while True:
    try:
        read = os.read(terminal, 1 << 16)
    except OSError:  # how Linux reports that the command has closed the terminal
        break
    if not read:
        break
    stream.feed(read)
    if not screens or screens[-1] != lines():
        screens.append(lines())
_, status = os.waitpid(child, 0)
print(json.dumps({"code": os.waitstatus_to_exitcode(status), "screens": screens, "last": lines()}))
