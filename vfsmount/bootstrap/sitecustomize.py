"""Runs at the start of a Python program whose parent has mounts: sets a trap that mounts the same when a path needs it.

Loading vfsmount takes longer than many programs run, so nothing of it is imported until a mounted path shows: the
functions that take paths are replaced by ones that only look for a mount point in their arguments. The first hit puts
the originals back, activates, and calls what stands there then. Written for any Python 3, because the program's may
be older than vfsmount's; imports nothing that an interpreter has not loaded by itself.
"""

import io
import os
import sys

_FILE = "VFSMOUNT_CHILD"
_CWD = "VFSMOUNT_CWD"
_SERVED = "VFSMOUNT_SERVED"
_HERE = os.path.dirname(os.path.abspath(__file__))
_ROOT = os.path.dirname(os.path.dirname(_HERE))

_PATHS = (
    "stat lstat access listdir scandir mkdir rmdir unlink remove rename replace readlink chmod lchmod chown lchown "
    "utime truncate statvfs pathconf chdir open link symlink mkfifo mknod getxattr setxattr listxattr removexattr"
).split()
_STARTS = "execv execve posix_spawn posix_spawnp spawnv spawnve spawnvp spawnvpe system".split()
_LISTINGS = ("listdir", "scandir")
_WALKS = ("os", "glob", "shutil", "pathlib", "pathlib._abc", "pathlib._local")
"""Modules that take an error of an entry of ``scandir`` for "no directory" (vfsmount.shim.links tells more)."""


def _say(text):
    sys.stderr.write(f"vfsmount: {text}\n")


class _Call:
    """Stands for one function; a bound method does not become a method of the class that captures it."""

    def __init__(self, trap, module, name, original, always):
        self.trap, self.module, self.name, self.original, self.always = trap, module, name, original, always

    def call(self, *args, **more):
        trap = self.trap
        if trap.set and (self.always or trap.concerns(self.name, args, more)):
            trap.spring()
        if trap.set:
            try:
                found = self.original(*args, **more)
            except OSError as error:
                if not trap.may_lead_in(error, args):
                    raise
            else:
                if self.name != "scandir" or sys._getframe(1).f_globals.get("__name__") not in _WALKS:
                    return found
                entries = _Entries(found)
                if not any(entry.is_symlink() and trap.leads_in(entry.path) for entry in entries.all):
                    return entries
            trap.spring()
        now = getattr(self.module, self.name)
        return self.original(*args, **more) if now == self.call else now(*args, **more)


class _Entries:
    """What ``scandir`` found, after all of it has been looked at."""

    def __init__(self, found):
        with found:
            self.all = list(found)
        self._left = iter(self.all)

    def __iter__(self):
        return self._left

    def __next__(self):
        return next(self._left)

    def close(self):
        self._left = iter(())

    def __enter__(self):
        return self

    def __exit__(self, kind, error, where):
        self.close()


class _Trap:
    """Replaces what takes paths until one of them is on a mount."""

    def __init__(self, points, libraries, activate):
        self.points = points
        self.set = False
        self._names = tuple({point.rpartition("/")[2] for point in points})
        self._starts = tuple(point + "/" for point in points)
        self._above = set()
        for point in points:
            while point != "/":
                point = os.path.dirname(point)
                self._above.add(point)
        self._libraries = frozenset(libraries)
        self._activate = activate
        self._undo = []
        self._loading = False
        self._springing = False
        self._class = None
        self._lock = None
        self._readlink = os.readlink

    def arm(self):
        import _thread
        import builtins

        self._lock = _thread.RLock()
        for name in _PATHS + _STARTS:
            if hasattr(os, name):
                self._replace((os, sys.modules["posix"]), name, name in _STARTS)
        self._replace((builtins, io, sys.modules["_io"]), "open", False)
        self._replace((io, sys.modules["_io"]), "open_code", False)
        self._replace_class()
        posix_subprocess = sys.modules.get("_posixsubprocess")
        if posix_subprocess is None:
            import _posixsubprocess as posix_subprocess
        self._replace((posix_subprocess,), "fork_exec", True)
        self._reach_captured()
        sys.meta_path.insert(0, self)
        self.set = True

    def _replace(self, modules, name, always):
        original = getattr(modules[0], name)
        stand_in = _Call(self, modules[0], name, original, always).call
        for module in modules:
            if getattr(module, name, None) is original:
                self._put(module, name, stand_in, original)
        for capability in ("supports_fd", "supports_dir_fd", "supports_follow_symlinks", "supports_effective_ids"):
            if original in getattr(os, capability):
                getattr(os, capability).add(stand_in)

    def _reach_captured(self):
        """Modules that .pth files loaded before this one have originals of their own: 3.10's pathlib and 3.13's glob in
        classes.

        What is put there stays, and calls what stands under the name then.
        """
        stand_ins = {id(original): value for _, _, value, original in self._undo if value is not self._class}
        patched = {id(namespace) for namespace, _, _, _ in self._undo}
        for module in list(sys.modules.values()):
            if type(module) is not type(os) or id(module) in patched:
                continue
            for holder in (module, vars(module).get("_NormalAccessor"), vars(module).get("_StringGlobber")):
                for name, value in list(vars(holder).items()) if holder is not None else ():
                    if type(value) is staticmethod:
                        value = value.__func__
                    if id(value) in stand_ins:
                        setattr(holder, name, stand_ins[id(value)])

    def _replace_class(self):
        original, trap = io.FileIO, self

        class Meta(type(original)):
            def __call__(cls, *args, **more):
                if trap.set and trap.concerns("FileIO", args, more):
                    trap.spring()
                if cls is not FileIO:
                    return type.__call__(cls, *args, **more)
                return original(*args, **more) if io.FileIO is FileIO else io.FileIO(*args, **more)

            def __instancecheck__(cls, instance):
                return isinstance(instance, original) if cls is FileIO else type.__instancecheck__(cls, instance)

            def __subclasscheck__(cls, subclass):
                return issubclass(subclass, original) if cls is FileIO else type.__subclasscheck__(cls, subclass)

        FileIO = Meta("FileIO", (original,), {"__doc__": original.__doc__, "__module__": original.__module__})
        self._class = FileIO
        for module in (io, sys.modules["_io"]):
            self._put(module, "FileIO", FileIO, original)

    def _put(self, namespace, name, value, original):
        setattr(namespace, name, value)
        self._undo.append((namespace, name, value, original))

    def concerns(self, name, args, more):
        """Whether one of the arguments is a mounted path, or a directory that a mount point is to be listed in."""
        for value in args[:2]:
            if self._is_mounted(name, value, more):
                return True
        for value in more.values():
            if not isinstance(value, int) and self._is_mounted(name, value, more):
                return True
        if name in _LISTINGS and not args:
            return os.getcwd() in self._above
        return False

    def _is_mounted(self, name, value, more):
        if type(value) is not str:
            if isinstance(value, int) or value is None:
                return False
            try:
                value = os.fsdecode(value)
            except (TypeError, ValueError):
                return False
        if not value:
            return False
        if name in _LISTINGS and os.path.abspath(value) in self._above:
            return True
        for piece in self._names:
            if piece in value and "/" + piece + "/" in "/" + value + "/":
                break
        else:
            return False
        if value[0] != "/":
            if more.get("dir_fd") is not None or more.get("src_dir_fd") is not None:
                return True
            value = os.path.join(os.getcwd(), value)
        value = os.path.normpath("/" + value.lstrip("/"))
        return value in self.points or value.startswith(self._starts)

    def may_lead_in(self, error, args):
        """After a failure: whether a symbolic link leads to a mount, or a mount point makes the directory exist."""
        if error.errno not in (2, 20, 40) or not args:
            return False
        if sys._getframe(2).f_code.co_filename.startswith("<frozen importlib"):
            return False  # the import system asks for many files that are not there
        try:
            path = os.path.abspath(os.fsdecode(args[0]))
        except (TypeError, ValueError):
            return False
        if path in self._above:
            return True
        return self.leads_in(path)

    def leads_in(self, path):
        """Follow the symbolic links of ``path`` on the disk until one leads to a mount."""
        path = os.path.abspath(os.fsdecode(path))
        left = 40
        pieces, at = [piece for piece in path.split("/") if piece], ""
        while pieces and left:
            at = at + "/" + pieces.pop(0)
            try:
                target = self._readlink(at)
            except OSError as error:
                if error.errno != 22:  # EINVAL: no link
                    return False
                continue
            left -= 1
            path = os.path.normpath(os.path.join(os.path.dirname(at), target, *pieces))
            if path in self.points or path.startswith(self._starts) or path in self._above:
                return True
            pieces, at = [piece for piece in path.split("/") if piece], ""
        return False

    def find_spec(self, name, path=None, target=None):
        if not self.set or self._springing:
            return None
        if name in self._libraries or name == "vfsmount":
            self.spring()
            for finder in sys.meta_path:
                spec = finder.find_spec(name, path, target)
                if spec is not None:
                    return spec
        elif name == "subprocess" and not self._loading:
            self._loading = True
            try:
                for finder in sys.meta_path:
                    spec = None if finder is self else finder.find_spec(name, path, target)
                    if spec is not None:
                        spec.loader = _Loader(self, spec.loader)
                        return spec
            finally:
                self._loading = False
        return None

    def guard_popen(self, module):
        cls, start = module.Popen, module.Popen.__init__

        def __init__(popen, *args, **more):
            if trap.set:
                trap.spring()
            if cls.__init__ is __init__:
                start(popen, *args, **more)
            else:
                cls.__init__(popen, *args, **more)

        trap = self
        if getattr(sys.flags, "warn_default_encoding", 0):  # Popen warns of the first line outside of its own file
            __init__.__code__ = __init__.__code__.replace(co_filename=start.__code__.co_filename)
        __init__.__wrapped__ = start
        self._put(cls, "__init__", __init__, start)

    def spring(self):
        """Activate. Another thread that needs a mount meanwhile waits for that, a minute at most."""
        got = self._lock.acquire(True, 60)
        try:
            if self.set and not self._springing:
                self._springing = True
                interval = sys.getswitchinterval()
                try:
                    self._activate(self)
                finally:
                    self.put_back()
                    sys.setswitchinterval(interval)
                    self.set = False
        finally:
            if got:
                self._lock.release()

    def put_back(self):
        """Put the originals where they were; hardly another thread runs until all names lead to the mounts."""
        sys.setswitchinterval(1)
        while self._undo:
            namespace, name, value, original = self._undo.pop()
            if getattr(namespace, name) == value:
                setattr(namespace, name, original)
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def release(self, module):
        """Give ``module`` the originals of what it captured."""
        for name, value in list(vars(module).items()):
            stand_in = getattr(value, "__self__", None)
            if isinstance(stand_in, _Call):
                setattr(module, name, stand_in.original)
            elif value is self._class:
                setattr(module, name, value.__base__)


class _Loader:
    """Guards ``Popen`` when ``subprocess`` has been loaded."""

    def __init__(self, trap, loader):
        self._trap, self._loader = trap, loader

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        if self._trap.set:
            self._trap.guard_popen(module)

    def __getattr__(self, name):
        return getattr(self._loader, name)


def _forget():
    """Take our own variables out of ``os.environ``; programs started below Python still inherit them."""
    path = os.environ.get("PYTHONPATH", "")
    rest = [entry for entry in path.split(os.pathsep) if entry and os.path.abspath(entry) != _HERE]
    inherited = {name: os.environ.pop(name) for name in (_FILE, _CWD, _SERVED) if name in os.environ}
    os.environ.pop("PYTHONPATH", None)
    if rest:
        os.environ["PYTHONPATH"] = os.pathsep.join(rest)
    os.putenv("PYTHONPATH", path)
    for name in (_FILE, _SERVED):
        if name in inherited:
            os.putenv(name, inherited[name])
    return inherited


def _import_vfsmount(places):
    """vfsmount of the parent where the program's own environment has none, and nothing else of where that is."""
    if sys.version_info < (3, 10):  # noqa: UP036 - the program's Python, not ours
        raise ImportError("vfsmount needs Python 3.10 or later, this is {}.{}".format(*sys.version_info[:2]))
    import importlib.util

    if "vfsmount" not in sys.modules and importlib.util.find_spec("vfsmount") is None:
        place = os.path.join(_ROOT, "vfsmount")
        spec = importlib.util.spec_from_file_location(
            "vfsmount", os.path.join(place, "__init__.py"), submodule_search_locations=[place]
        )
        module = importlib.util.module_from_spec(spec)
        sys.modules["vfsmount"] = module
        spec.loader.exec_module(module)
    if any(importlib.util.find_spec(name) is None for name in ("obstore", "fsspec", "cachetools")):
        from vfsmount.bootstrap import borrow

        borrow.allow(places)
    from vfsmount import real

    return real


def _mount(handover, content, cwd, places, served, trap=None):
    try:
        real = _import_vfsmount(places)
        if trap is not None:
            trap.release(real)
        from vfsmount.bootstrap import inherit

        inherit.activate(handover, content, cwd, served, trap.put_back if trap is not None else None)
    except Exception as error:  # noqa: BLE001 - the program is to run all the same
        _say(f"this program does not see the mounts of its parent: {type(error).__name__}: {error}")


def _texts(line):
    return [bytes.fromhex(part.decode()).decode("utf-8", "surrogateescape") for part in line.split()]


def _main():
    inherited = _forget()
    handover = inherited.get(_FILE)
    if not handover:
        return
    try:
        with open(handover, "rb") as file:
            lines = file.read().split(b"\n")
    except OSError:
        _say("the session that this program was to have its mounts from has ended; it sees none of them")
        return
    points, refused, places = _texts(lines[0]), _texts(lines[1]), _texts(lines[2])
    libraries = lines[3].decode().split()
    content = b"\n".join(lines[4:])
    served = _SERVED in inherited
    if served:
        points = [point for point in points if point not in refused]
    if not points:
        return
    cwd, _, kernel = inherited.get(_CWD, "").partition("\n")
    if cwd and kernel != os.getcwd():
        cwd = ""
    if cwd or any(os.path.isdir(point) for point in points):
        _mount(handover, content, cwd, places, served)
        return
    _Trap(frozenset(points), libraries, lambda trap: _mount(handover, content, "", places, served, trap)).arm()


def _chain():
    """Run the ``sitecustomize`` that this one shadows."""
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != _HERE]
    own = sys.modules.pop("sitecustomize", None)
    try:
        import sitecustomize  # noqa: F401
    except ImportError as error:
        if getattr(error, "name", None) != "sitecustomize":
            raise
    finally:
        sys.modules.setdefault("sitecustomize", own)


if __name__ == "sitecustomize":
    _main()
    _chain()
