"""A `copgen` for tests of scripts with dozens of commands: one process has imported everything, and forks for each.

Importing torch takes seconds, most commands of a toy pipeline a fraction of one. What runs is copgen's command line,
its `main`, in a process of its own. `python -m tests.pipelines.warm SOCKET` listens; the text `client(SOCKET)` is
a program `copgen`, which hands its words, folder, environment and channels to it.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import socket
import sys
from pathlib import Path

import copgen.stages
from copgen_cli.main import main

CLIENT = """\
#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as line:
    line.connect({address!r})
    words = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(line, [len(words).to_bytes(4, "big")], [0, 1, 2])
    line.sendall(words)
    code = line.recv(1)
sys.exit(code[0] if code else 1)
"""


def client(address: Path) -> str:
    """The program that runs a command line in the process that listens at `address`."""
    return CLIENT.format(python=sys.executable, address=str(address))


def serve(address: Path) -> None:
    """Run command lines until the process is ended."""
    for module in pkgutil.walk_packages(copgen.stages.__path__, "copgen.stages."):
        importlib.import_module(module.name)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(address))
        listening.listen()
        while True:
            line, _ = listening.accept()
            with line:
                if child := os.fork():
                    _, status = os.waitpid(child, 0)
                    line.sendall(bytes([os.waitstatus_to_exitcode(status) & 0xFF]))
                else:
                    listening.close()
                    os._exit(run(line))


def run(line: socket.socket) -> int:
    """The command line that a client sends, in this process; its exit code."""
    head, channels, _, _ = socket.recv_fds(line, 4, 3)
    size, words = int.from_bytes(head, "big"), b""
    while len(words) < size:
        words += line.recv(size - len(words))
    line.close()
    for number, channel in enumerate(channels):
        os.dup2(channel, number)
        os.close(channel)
    arguments, folder, environment = json.loads(words)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    code = main(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
