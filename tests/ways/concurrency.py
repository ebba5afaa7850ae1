"""Threads, coroutines, forks and child programs."""

from __future__ import annotations

import asyncio
import concurrent.futures
import multiprocessing
import os
import shlex
import socket
import subprocess
import sys
import threading
from typing import Any

from tests.ways.way import Place, way

GROUP = "threads and coroutines"


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


@way(GROUP, "threads that read and write")
def _(at: Place) -> object:
    found: dict[int, bytes] = {}

    def work(number: int) -> None:
        with open(at(f"thread{number}"), "wb") as file:
            file.write(b"%d" % number)
        found[number] = _read(at("data.bin"))[number : number + 2]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(found.items())


@way(GROUP, "a thread pool")
def _(at: Place) -> object:
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        return list(pool.map(_read, [at("text.txt"), at("dir/one.txt")] * 4))


@way(GROUP, "one descriptor read by several threads with pread")
def _(at: Place) -> object:
    number = os.open(at("data.bin"), os.O_RDONLY)
    try:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            return list(pool.map(lambda at: os.pread(number, 4, at), range(0, 4000, 100)))
    finally:
        os.close(number)


@way(GROUP, "asyncio.to_thread and run_in_executor")
def _(at: Place) -> object:
    async def main() -> object:
        loop = asyncio.get_running_loop()
        return await asyncio.to_thread(_read, at("text.txt")), await loop.run_in_executor(None, _read, at("text.txt"))

    return asyncio.run(main())


@way(GROUP, "asyncio loop.sendfile")
def _(at: Place) -> object:
    async def main() -> object:
        here, there = socket.socketpair()
        reader, other = await asyncio.open_connection(sock=there)
        _, writer = await asyncio.open_connection(sock=here)
        with open(at("data.bin"), "rb") as file:
            sent = await asyncio.get_running_loop().sendfile(writer.transport, file, 100, 3000)
        writer.close()
        data = await reader.read()
        other.close()
        await writer.wait_closed()
        await other.wait_closed()
        return sent, data

    return asyncio.run(main())


@way(GROUP, "aiofiles", needs="aiofiles")
def _(at: Place) -> object:
    import aiofiles
    import aiofiles.os

    async def main() -> object:
        async with aiofiles.open(at("text.txt")) as file:
            text = await file.read()
        async with aiofiles.open(at("new.bin"), "wb") as file:
            await file.write(b"from a coroutine")
        found = await aiofiles.os.stat(at("data.bin"))
        await aiofiles.os.remove(at("dir/one.txt"))
        return text, found.st_size, await aiofiles.os.listdir(at("dir"))

    return asyncio.run(main())


@way("processes", "os.fork", shared=True)
def _(at: Place) -> object:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with open(at("of_the_child"), "wb") as file:
                file.write(_read(at("text.txt"))[:5])
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1], at.bytes_of("of_the_child")


@way("processes", "a file that was opened before os.fork")
def _(at: Place) -> object:
    with open(at("data.bin"), "rb") as file:
        file.seek(100)
        child = os.fork()
        if child == 0:
            os._exit(0 if file.read(3) == bytes((100, 101, 102)) else 1)
        return os.waitpid(child, 0)[1]


@way("processes", "multiprocessing with fork")
def _(at: Place) -> object:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map(_read, [at("text.txt"), at("dir/one.txt")])


@way("child programs", "a path among the arguments")
def _(at: Place) -> object:
    return subprocess.run(["cat", at("text.txt"), at("dir/one.txt")], stdout=subprocess.PIPE, check=True).stdout


@way("child programs", "a shell command")
def _(at: Place) -> object:
    return subprocess.check_output(f"grep -c a {shlex.quote(at('text.txt'))}", shell=True)


@way("child programs", "os.system and os.popen")
def _(at: Place) -> object:
    quoted = shlex.quote(at("text.txt"))
    with os.popen(f"wc -l < {quoted}") as pipe:
        return os.system(f"test -s {quoted}"), pipe.read().strip()


@way("child programs", "a working directory")
def _(at: Place) -> object:
    return subprocess.run(["ls"], cwd=at("dir"), stdout=subprocess.PIPE, check=True).stdout


@way("child programs", "stdin")
def _(at: Place) -> object:
    with open(at("text.txt")) as file:
        file.readline()
        return subprocess.run(["cat"], stdin=file, stdout=subprocess.PIPE, check=True).stdout != b""


@way("child programs", "stdin that is a descriptor")
def _(at: Place) -> object:
    number = os.open(at("data.bin"), os.O_RDONLY)
    try:
        os.lseek(number, 100, os.SEEK_SET)
        return subprocess.run(["head", "-c", "10"], stdin=number, stdout=subprocess.PIPE, check=True).stdout
    finally:
        os.close(number)


@way("child programs", "stdout and stderr")
def _(at: Place) -> object:
    with open(at("out.txt"), "w") as out:
        out.write("header\n")
        out.flush()
        subprocess.run(["sh", "-c", "echo out; echo err >&2"], stdout=out, stderr=subprocess.STDOUT, check=True)
        return out.write("trailer\n")


@way("child programs", "stdout of a child that outlives the with block")
def _(at: Place) -> object:
    with open(at("out.txt"), "wb") as out:
        child: Any = subprocess.Popen(["sh", "-c", "read x; echo $x"], stdin=subprocess.PIPE, stdout=out)
    child.communicate(b"late\n")
    return child.returncode, at.bytes_of("out.txt")


@way("child programs", "pass_fds")
def _(at: Place) -> object:
    number = os.open(at("text.txt"), os.O_RDONLY)
    try:
        code = f"import os; print(os.read({number}, 5))"
        return subprocess.check_output([sys.executable, "-S", "-c", code], pass_fds=[number])
    finally:
        os.close(number)


@way("child programs", "/dev/fd/N of a descriptor that it inherits")
def _(at: Place) -> object:
    number = os.open(at("text.txt"), os.O_RDONLY)
    try:
        return subprocess.check_output(["cat", f"/dev/fd/{number}"], pass_fds=[number])
    finally:
        os.close(number)


@way("child programs", "posix_spawn with a descriptor as its stdin")
def _(at: Place) -> object:
    number, target = os.open(at("text.txt"), os.O_RDONLY), os.open(at("out.txt"), os.O_WRONLY | os.O_CREAT, 0o644)
    actions = [(os.POSIX_SPAWN_DUP2, number, 0), (os.POSIX_SPAWN_DUP2, target, 1)]
    child = os.posix_spawnp("cat", ["cat"], os.environ, file_actions=actions)
    code = os.waitpid(child, 0)[1]
    os.close(number)
    os.close(target)
    return code


@way("child programs", "posix_spawn with POSIX_SPAWN_OPEN")
def _(at: Place) -> object:
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, at("text.txt"), os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, at("out.txt"), os.O_WRONLY | os.O_CREAT, 0o644),
    ]
    return os.waitpid(os.posix_spawnp("cat", ["cat"], os.environ, file_actions=actions), 0)[1]


@way("child programs", "asyncio subprocess")
def _(at: Place) -> object:
    async def main() -> object:
        with open(at("out.txt"), "wb") as out:
            child = await asyncio.create_subprocess_exec("cat", at("text.txt"), stdout=out)
            return await child.wait()

    return asyncio.run(main())
