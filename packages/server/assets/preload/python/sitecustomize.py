"""Loaded into every Python process of an agent by PYTHONPATH.

A stream socket bound to the port the agent was configured with is bound to the port this instance was given, and one
bound to all addresses to loopback alone. Nothing else changes: the sitecustomize this one hides is run as well, and
whatever goes wrong in here is left to the program's own bind to report.

`socket` is patched when the program imports it, since importing it here would cost every start several milliseconds;
so is gevent's, which has a socket class of its own.

Where RUNSTEAD_RECORD_IMPORTS names a file, what the program looks for is appended to it for as long as it is there: the
driver imports that ahead for later instances of the version. The variable itself is taken away.
"""


def recorder(os, sys):
    """What hears of each module that is looked for, or None. The lines that it writes:

    NAME or NAME TAB FILE    a module is looked for; of one that is in no package, what is found on the path
    =NAME                    the program changes a variable
    !hooks TYPE...           it has added ways of its own to import, or taken some away
    !chdir                   it goes to another folder
    """
    path = os.environ.pop("RUNSTEAD_RECORD_IMPORTS", None)
    if path is None:
        return None
    from _frozen_importlib_external import PathFinder

    state = {"left": 20000, "hooks": None}

    def write(line):
        # Opened anew each time: the program is to find no descriptor that a plain start does not have.
        if state["left"] <= 0:
            return
        state["left"] -= 1
        try:
            file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        except OSError:
            state["left"] = 0
            return
        os.write(file, (line + "\n").encode("utf-8", "surrogateescape"))
        os.close(file)

    def found(name):
        spec = PathFinder.find_spec(name)
        if spec is None:
            return ""
        return spec.origin or "|".join(spec.submodule_search_locations or ())

    def hooks():
        return " ".join(getattr(it, "__name__", type(it).__name__) for it in sys.meta_path)

    def record(name, path):
        if state["left"] <= 0:
            return
        now = hooks()
        if state["hooks"] not in (None, now):
            write("!hooks " + now)
        state["hooks"] = now
        write(name if path is not None else name + "\t" + found(name))

    def on_event(event, args):
        if event == "os.putenv" or event == "os.unsetenv":
            write("=" + os.fsdecode(args[0]))
        elif event == "os.chdir":
            write("!chdir")

    sys.addaudithook(on_event)
    return record


def _install():
    import os
    import sys

    record = recorder(os, sys)
    wanted, _, given = os.environ.get("RUNSTEAD_PORT_MAP", "").partition(":")
    mapped = {int(wanted): int(given)} if wanted and given else {}

    def patch(socket, socket_class):
        plain_bind = socket_class.bind
        plain_listen = socket_class.listen
        everywhere = ("", "0.0.0.0", "0", "::", "::0", "::ffff:0.0.0.0", "0:0:0:0:0:0:0:0", b"", b"0.0.0.0", b"::")

        def is_tcp(sock):
            return sock.family in (socket.AF_INET, socket.AF_INET6) and sock.type == socket.SOCK_STREAM

        def narrowed(sock, address):
            # Port 0 stays as it is: that is also how a client chooses its own address. See `listen`.
            if not is_tcp(sock) or not isinstance(address, tuple) or len(address) < 2 or not address[1]:
                return address
            host, port = address[0], mapped.get(address[1], address[1])
            if host in everywhere:
                if sock.family == socket.AF_INET:
                    host = "127.0.0.1"
                elif sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
                    host = "::1"
                else:
                    # One socket for both families can have but one address: that of IPv4, which callers try first.
                    host = "::ffff:127.0.0.1"
            return (host, port) + tuple(address[2:])

        def bind(self, address):
            try:
                address = narrowed(self, address)
            except Exception:
                pass
            return plain_bind(self, address)

        def listen(self, *backlog):
            try:
                if is_tcp(self) and self.getsockname()[0] in everywhere:
                    # Bound to all addresses and a port of the kernel's choice. Too late to bind again; but the socket
                    # can be told to hear the loopback interface alone (Linux).
                    self.setsockopt(socket.SOL_SOCKET, 25, b"lo\0")  # 25: SO_BINDTODEVICE
            except Exception:
                pass
            return plain_listen(self, *backlog)

        bind.__doc__, listen.__doc__ = plain_bind.__doc__, plain_listen.__doc__
        socket_class.bind = bind
        socket_class.listen = listen

    def patch_gevent(module):
        import socket

        patch(socket, module.SocketMixin)

    patches = {"socket": lambda module: patch(module, module.socket), "gevent._socketcommon": patch_gevent}

    def patch_safely(name, module):
        try:
            patches[name](module)
        except Exception:
            pass

    class OnImport:
        """Finds nothing itself; it only sees these modules coming. `socket` may come again: eventlet has a copy made."""

        # A fork is given its port late: see python-parent.py.
        runstead_ports = mapped

        @staticmethod
        def find_spec(name, path=None, target=None):
            if record is not None:
                try:
                    record(name, path)
                except Exception:
                    pass
            if name not in patches:
                return None
            for finder in sys.meta_path:
                if finder is OnImport or not hasattr(finder, "find_spec"):
                    continue
                spec = finder.find_spec(name, path, target)
                if spec is None or spec.loader is None:
                    continue
                loader = spec.loader
                plain_exec = loader.exec_module

                def exec_module(module):
                    try:
                        del loader.exec_module
                    finally:
                        plain_exec(module)
                    patch_safely(name, module)

                # On this loader alone: each module of the file system has one of its own.
                loader.exec_module = exec_module
                return spec
            return None

    if "socket" in sys.modules:
        patch_safely("socket", sys.modules["socket"])
    sys.meta_path.insert(0, OnImport)


def _run_the_hidden_one():
    import os
    import sys

    from _frozen_importlib import module_from_spec
    from _frozen_importlib_external import PathFinder

    # This folder has done its work; children find it by PYTHONPATH.
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != here]
    spec = PathFinder.find_spec("sitecustomize", sys.path)
    if spec is not None and spec.loader is not None:
        module = module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


import sys

# An agent may call a Python 2 for something; it has none of this.
if sys.version_info[0] >= 3:
    try:
        _install()
    except Exception:
        pass
    _run_the_hidden_one()
