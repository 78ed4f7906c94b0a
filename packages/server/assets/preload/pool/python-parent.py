"""A Python that has imported what a version imports from its dependencies, and forks its instances.

Descriptor 3 is a socket that leads to the server and to nobody else; orders come over it alone. When it ends, this
process ends. Orders are eight hexadecimal digits, the length, and as many bytes: fields between NULs.

    prepare, dependency folders, PYTHONPATH, command, record     once, first; these four are lists: a number, then as many;
                                                                 the record is of lines that sitecustomize.py writes
    fork, id, folder, log, record, environment                   `environment` is the rest: NAME=VALUE each
    go, id                                                       lets that instance run

Or, where nothing is forked:

    prepare-alone, as prepare                                    once, first: in the sandbox
    become, environment                                          once, last: this process is the agent

Or, of no version yet, with what most servers import of Python itself:

    stand-by                                                     once, first
    fit, folder, virtual environment, PYTHONPATH, command        once: `fits`, or `refused`; the last two are lists
    become, environment

Answers are lines of fields between TABs: `ready` with the variables the imports have read, `refused` with a reason;
`forked` with id, pid and the time the kernel started it; `failed` with id and a reason; `ended` with id.

Started with a fixed environment, in the package's folder, with the interpreter that would run the agent. Variables of
the agent come into a fork only. What an instance consists of is what the wrapper of other instances makes
(instance-wrapper.sh): a leader of a session of its own, which writes identity.json and in the end `exit`, and the agent,
its child, which begins as `python FILE` and `python -m NAME` begin. In the sandbox there is a wrapper (waiting-wrapper.sh).

None but built-in modules and those of every start are used here: what this file imported would be there in the agents,
before a module of theirs of the same name.
"""

import gc
import os
import sys

import _imp
import _signal
from _frozen_importlib_external import PathFinder, SourceFileLoader

CONTROL = 3
# They change other modules in place, and what was imported before that would keep what they replace.
PATCHING = ("gevent.monkey", "eventlet")
BOOT = frozenset(sys.modules)
# What servers import of Python itself, and what that imports: none of it looks at anything that is an agent's own.
STANDARD = (
    "asyncio concurrent.futures contextvars dataclasses datetime decimal email.message enum functools hashlib http.client "
    "http.server inspect json logging pathlib re socketserver ssl string subprocess tempfile threading traceback types "
    "typing urllib.parse urllib.request uuid"
).split()
HANDLED = [
    getattr(_signal, name)
    for name in ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGPIPE")
]


class Refused(Exception):
    """Why instances of this version are not to be forked."""


def tell(*fields):
    line = "\t".join(str(field).replace("\t", " ").replace("\n", " ") for field in fields) + "\n"
    os.write(CONTROL, line.encode("utf-8", "surrogateescape"))


def read_exactly(count):
    pieces = []
    while count > 0:
        piece = os.read(CONTROL, count)
        if not piece:
            # The server is gone, or wants no more.
            os._exit(0)
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def next_order():
    payload = read_exactly(int(read_exactly(8), 16))
    return [os.fsdecode(field) for field in payload.split(b"\0")]


def take_list(fields):
    count = int(fields.pop(0))
    taken = fields[:count]
    del fields[:count]
    return taken


# What imports must not depend on: it differs between this process and an agent.


class WatchedEnvironment(os._Environ):
    """`os.environ` while modules are imported: tells which variables they read."""

    read = set()
    written = set()

    def __getitem__(self, key):
        if not is_user_base():
            WatchedEnvironment.read.add(os.fsdecode(key) if isinstance(key, bytes) else key)
        return super().__getitem__(key)

    def __iter__(self):
        # Whoever looks at all depends on all.
        WatchedEnvironment.read.add("*")
        return super().__iter__()

    def __setitem__(self, key, value):
        WatchedEnvironment.written.add(key)
        super().__setitem__(key, value)

    def __delitem__(self, key):
        WatchedEnvironment.written.add(key)
        super().__delitem__(key)


def is_user_base():
    """Whether it is Python itself that looks where the user's packages lie: a fork does that anew (become_agent)."""
    frame = sys._getframe(2)
    for _ in range(6):
        if frame is None:
            return False
        if frame.f_code.co_name == "_getuserbase" and frame.f_globals.get("__name__") in ("sysconfig", "site"):
            return True
        frame = frame.f_back
    return False


class AskedFor:
    """Finds nothing itself: sees which modules are looked for."""

    names = set()

    @staticmethod
    def find_spec(name, path=None, target=None):
        if path is None:
            AskedFor.names.add(name)
        return None


def found_at(name, path):
    """Where a top-level module comes from; "" where there is none. As the record says it."""
    spec = PathFinder.find_spec(name, path)
    if spec is None:
        return ""
    return spec.origin or "|".join(spec.submodule_search_locations or ())


def is_below(path, folders):
    return any(path == folder or path.startswith(folder.rstrip("/") + "/") for folder in folders)


def open_descriptors():
    names = os.listdir("/proc/self/fd")
    return {fd for fd in map(int, names) if os.path.lexists("/proc/self/fd/%d" % fd)}


def hooks():
    return " ".join(getattr(it, "__name__", type(it).__name__) for it in sys.meta_path)


def read_record(lines):
    """Modules in their order, where those are found that are in no package, variables that are changed, import hooks."""
    names, places, changed, added = [], {}, set(), None
    for line in lines:
        if line.startswith("="):
            changed.add(line[1:])
        elif line.startswith("!hooks "):
            added = line[len("!hooks ") :]
        elif line == "!chdir":
            raise Refused("the agent changes its working directory")
        else:
            name, tab, place = line.partition("\t")
            if name in PATCHING:
                raise Refused("%s changes modules that are imported before it" % name)
            names.append(name)
            if tab:
                places[name] = place
    return names, places, changed, added


def import_all(lines, own_path, agent_path):
    """Imports those of the modules that are not the package's own; refuses what would come out otherwise."""
    names, places, changed, added = read_record(lines)
    folders = [os.path.abspath(entry) for entry in own_path]
    # What lies in the package, beside its dependencies, is its own.
    allowed = {}

    def is_built_in(top):
        return top in sys.builtin_module_names or _imp.is_frozen(top)

    def is_allowed(top):
        if top not in allowed:
            place = places.get(top, "")
            allowed[top] = is_built_in(top) or (
                place != "" and all(is_below(it, folders) for it in place.split("|"))
            )
        return allowed[top]

    sys.meta_path.insert(0, AskedFor)
    before = (list(sys.path), os.getcwd(), open_descriptors())
    unseeded = []
    uses_chance = "random" in sys.modules or ("random" in names and is_allowed("random"))
    restore = watch_seeds(unseeded) if uses_chance else None
    os.environ.__class__ = os.environb.__class__ = WatchedEnvironment
    try:
        for name in names:
            if name in sys.modules or name == "__main__" or not is_allowed(name.partition(".")[0]):
                continue
            try:
                __import__(name)
            except Exception:
                # As in a plain start: many modules are tried in vain. What might differ there is looked at below.
                continue
    except BaseException as error:
        raise Refused("%s ends the program that imports it: %s" % (name, type(error).__name__)) from None
    finally:
        os.environ.__class__ = os.environb.__class__ = os._Environ
        if restore:
            restore()
        sys.meta_path.remove(AskedFor)

    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    if os.fstat(1).st_size > 0:
        raise Refused("imports print something")
    if WatchedEnvironment.written:
        raise Refused("imports change the variable %s" % sorted(map(str, WatchedEnvironment.written))[0])
    for name in sorted(WatchedEnvironment.read & changed):
        raise Refused("the agent changes the variable %s, which its imports read" % name)
    if changed and "*" in WatchedEnvironment.read:
        raise Refused("the agent changes variables, and its imports read all")
    if added is not None and added != hooks():
        raise Refused("the agent has import hooks of its own")
    if len(os.listdir("/proc/self/task")) > 1:
        raise Refused("imports start threads")
    if open_descriptors() != before[2]:
        raise Refused("imports open files or sockets")
    if (list(sys.path), os.getcwd()) != before[:2]:
        raise Refused("imports change sys.path or the working directory")
    try:
        os.waitpid(-1, os.WNOHANG)
        raise Refused("imports start processes")
    except ChildProcessError:
        pass
    AskedFor.names.difference_update(BOOT)
    for top in AskedFor.names | {"sitecustomize", "usercustomize"}:
        if not is_built_in(top) and not found_at(top, own_path) == found_at(top, agent_path) == places.get(
            top, found_at(top, own_path)
        ):
            raise Refused("the package has a module of its own called %s" % top)
    return unseeded


def watch_seeds(unseeded):
    """Collects the random generators that modules make for themselves without a seed: forks must not share those."""
    import random

    plain = random.Random.seed

    def seed(self, a=None, version=2):
        plain(self, a, version)
        if a is None:
            unseeded.append(self)

    random.Random.seed = seed

    def restore():
        random.Random.seed = plain

    return restore


def without_repeats(entries):
    """As Python's `site` does it to PYTHONPATH and what follows: absolute, each once."""
    kept = []
    for entry in entries:
        entry = os.path.abspath(entry)
        if entry not in kept:
            kept.append(entry)
    return kept


def parse_command(words):
    """The script or the module of a command such as `python -u main.py …`; the server sends no others."""
    rest = list(words[1:])
    while rest and rest[0] == "-u":
        rest.pop(0)
    return ("module", rest[1], rest[2:]) if rest[0] == "-m" else ("script", rest[0], rest[1:])


def prepare(fields):
    dependencies = take_list(fields)
    python_path = take_list(fields)
    command = take_list(fields)
    record = take_list(fields)

    # The folder of this file, which Python has put in front.
    base = sys.path[1:]
    own_path = without_repeats([it for it in python_path if it in dependencies] + base)
    agent_path = path_of(command, python_path, base)
    main = make_main(command)
    sys.path[:] = own_path
    unseeded = import_all(record, own_path, agent_path)
    return ready_to_run(command, main, agent_path, unseeded)


def path_of(command, python_path, base):
    """What `sys.path` is at the start of a command, given what is on it in any case."""
    kind, what, _ = parse_command(command)
    first = os.getcwd() if kind == "module" else os.path.dirname(os.path.realpath(what))
    return [first] + without_repeats(python_path + base)


def make_main(command):
    """The module that the command will run in, and what it finds in `sys`."""
    kind, what, arguments = parse_command(command)
    sys.argv = ["-m" if kind == "module" else what] + arguments
    if hasattr(sys, "orig_argv"):
        sys.orig_argv = list(command)
    # One of its own, as empty as at the start: this file's stays what it runs in.
    main = type(sys)("__main__")
    main.__dict__.update(__annotations__={}, __builtins__=sys.modules["builtins"])
    if sys.version_info >= (3, 14):
        del main.__dict__["__annotations__"]
    if kind == "script":
        path = os.path.abspath(what)
        main.__loader__ = SourceFileLoader("__main__", path)
        main.__dict__.update(__file__=path, __cached__=None)
    sys.modules["__main__"] = main
    return main


def ready_to_run(command, main, agent_path, unseeded):
    kind, what, _ = parse_command(command)
    if kind == "module":
        # Python itself imports it for `-m`.
        import runpy  # noqa: F401
    sys.path[:] = agent_path
    return {"kind": kind, "what": what, "main": main, "unseeded": unseeded}


# A fork


def start_ticks():
    with open("/proc/self/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()[19].decode()


def replace_environment(pairs):
    """Replaces the environment, also where others see it: /proc/PID/environ shows the memory it was first in."""
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    start, end = int(fields[47]), int(fields[48])
    # The C library's pointers into that memory go first.
    os.environ.clear()
    encoded = [os.fsencode(pair) for pair in pairs]
    text = b"".join(pair + b"\0" for pair in encoded)
    if len(text) > end - start:
        # The marks, by which the server finds its instances, are short and go first then.
        encoded.sort(key=lambda pair: not pair.startswith(b"RUNSTEAD_"))
        text = b""
        for pair in encoded:
            if len(text) + len(pair) < end - start:
                text += pair + b"\0"
    text = text.ljust(end - start, b"\0")
    memory = os.open("/proc/self/mem", os.O_RDWR | os.O_CLOEXEC)
    try:
        if os.pwrite(memory, text, start) != len(text):
            raise OSError("the environment could not be written")
    finally:
        os.close(memory)
    with open("/proc/self/environ", "rb") as file:
        if file.read() != text:
            raise OSError("the environment was not taken over")
    for pair in pairs:
        name, _, value = pair.partition("=")
        os.environ[name] = value


def write_whole(folder, name, text):
    with open(os.path.join(folder, name + ".new"), "w") as file:
        file.write(text)
    os.rename(os.path.join(folder, name + ".new"), os.path.join(folder, name))


def lead(order, go, others, prepared):
    """Becomes the leader of an instance. Returns in the agent alone."""
    identity, folder, log, record, *environment = order
    try:
        os.setsid()
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        for fd in others:
            os.close(fd)
        replace_environment(environment)
        output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        pid, ticks = os.getpid(), start_ticks()
        with open("/proc/sys/kernel/random/boot_id") as file:
            boot = file.read().strip()
        text = '%s,"bootId":"%s","pid":%d,"startTicks":"%s"}\n' % (record, boot, pid, ticks)
        write_whole(folder, "identity", text)
        os.rename(os.path.join(folder, "identity"), os.path.join(folder, "identity.json"))
    except Exception as error:
        tell("failed", identity, error)
        os._exit(125)
    tell("forked", identity, pid, ticks)
    # Until then nothing of the agent runs. Its end without a word is that of the server, or of the wish.
    if os.read(go, 1) != b"g":
        os._exit(125)
    os.close(go)

    # A handler, not "ignore", as in the wrapper. Nothing is delivered until both know what they are.
    _signal.pthread_sigmask(_signal.SIG_BLOCK, HANDLED)
    plain = {number: _signal.getsignal(number) for number in HANDLED}
    for number in HANDLED:
        _signal.signal(number, lambda *_: None)
    agent = os.fork()
    if agent == 0:
        os.close(CONTROL)
        write_whole(folder, "agent.pid", "%d\n" % os.getpid())
        for number, handler in plain.items():
            _signal.signal(number, handler)
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, HANDLED)
        become_agent(prepared)
        return
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, HANDLED)
    _, status = os.waitpid(agent, 0)
    status = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
    try:
        write_whole(folder, "exit", "%d\n" % status)
        try:
            tell("ended", identity)
        except OSError:
            pass
        # What the agent leaves behind goes with it, this process included.
        os.killpg(0, _signal.SIGKILL)
    except OSError:
        pass
    os._exit(status)


def become_agent(prepared):
    """Makes up for what a start would have done anew for this process."""
    modules = sys.modules
    wanted, _, given = os.environ.get("RUNSTEAD_PORT_MAP", "").partition(":")
    for finder in sys.meta_path:
        ports = getattr(finder, "runstead_ports", None)
        if ports is not None and wanted and given:
            ports[int(wanted)] = int(given)
    site = modules.get("site")
    if site is not None and site.USER_BASE is not None:
        site.USER_BASE = site.USER_SITE = None
        site.getusersitepackages()
    variables = getattr(modules.get("sysconfig"), "_CONFIG_VARS", None)
    if variables and "userbase" in variables:
        variables["userbase"] = modules["sysconfig"]._getuserbase()
    for generator in prepared["unseeded"]:
        generator.seed()
    process = modules.get("multiprocessing.process")
    if process is not None:
        process.current_process().authkey = os.urandom(32)
    logging = modules.get("logging")
    if logging is not None and hasattr(logging, "_startTime"):
        import time

        logging._startTime = time.time_ns() if isinstance(logging._startTime, int) else time.time()
    gc.enable()


def forget_environment():
    """From then on nothing points to the memory that this environment is in: the server shows the agent's there."""
    os.environ.clear()


def take_turn():
    """Waits to be the agent itself, and takes its environment."""
    word, *pairs = next_order()
    os.close(CONTROL)
    for pair in pairs:
        name, _, value = pair.partition("=")
        os.environ[name] = value


def stand_by():
    """Imports what most servers do, then waits to be told for which, and to be it."""
    base = sys.path[1:]
    before = open_descriptors()
    os.environ.__class__ = os.environb.__class__ = WatchedEnvironment
    try:
        for name in STANDARD:
            try:
                __import__(name)
            except ImportError:
                # Of a Python that was built without it.
                continue
    finally:
        os.environ.__class__ = os.environb.__class__ = os._Environ
    if WatchedEnvironment.written or open_descriptors() != before or len(os.listdir("/proc/self/task")) > 1:
        raise Refused("importing %s does more than that" % ", ".join(STANDARD))
    tops = sorted({name.partition(".")[0] for name in frozenset(sys.modules) - BOOT})
    places = {top: found_at(top, base) for top in tops if not (top in sys.builtin_module_names or _imp.is_frozen(top))}
    forget_environment()
    tell("ready", *sorted(WatchedEnvironment.read))

    word, folder, venv, *lists = next_order()
    os.chdir(folder)
    python_path = take_list(lists)
    command = take_list(lists)
    agent_path = path_of(command, python_path, base)
    if venv and sys.version_info >= (3, 14):
        raise Refused("virtual environments of Python 3.14 and later begin in another way")
    further = venv_packages(venv) if venv else []
    for top in ("sitecustomize", "usercustomize"):
        places[top] = found_at(top, base)
    for top, place in places.items():
        if found_at(top, agent_path + further) != place:
            raise Refused("the package has a module of its own called %s" % top)
    for name in PATCHING:
        if found_at(name.partition(".")[0], agent_path + further):
            raise Refused("%s changes modules that are imported before it" % name)
    tell("fits")
    take_turn()
    if venv:
        agent_path = enter_venv(venv, command[0], agent_path)
    return ready_to_run(command, make_main(command), agent_path, [])


def venv_packages(venv):
    name = "python%d.%d" % sys.version_info[:2]
    folders = [os.path.join(venv, lib, name, "site-packages") for lib in dict.fromkeys(["lib", sys.platlibdir])]
    return [folder for folder in folders if os.path.isdir(folder)]


def enter_venv(venv, program, agent_path):
    """As Python's `site` does when a program lies in a virtual environment; this process was begun in an empty one."""
    site = sys.modules["site"]
    # Until 3.10 it is the same.
    if getattr(sys, "_base_executable", None) == sys.executable:
        sys._base_executable = program
    sys.executable = program
    sys.prefix = sys.exec_prefix = venv
    site.PREFIXES = [venv]
    sys.path[:] = agent_path[1:]
    # With the files that add to the path, in their order.
    site.addsitepackages(set(map(os.path.normcase, sys.path)), [venv])
    # Ours has been there before those of the packages; in a start it comes after them, and in front.
    sys.meta_path.sort(key=lambda finder: not hasattr(finder, "runstead_ports"))
    return agent_path[:1] + sys.path


def serve():
    """Returns in an agent alone, with what it has to run."""
    waiting = {}
    # Nobody that imports start is to have it.
    os.set_inheritable(CONTROL, False)
    try:
        if sys.version_info < (3, 9):
            raise Refused("Python %d.%d is too old; it takes 3.9" % sys.version_info[:2])
        word, *first = next_order()
        if word == "stand-by":
            prepared = stand_by()
            become_agent(prepared)
            return prepared
        # Collections would touch, and so copy, what forks share.
        gc.disable()
        prepared = prepare(first)
    except Refused as reason:
        tell("refused", reason)
        os._exit(0)
    if word == "prepare-alone":
        forget_environment()
        tell("ready", *sorted(WatchedEnvironment.read))
        take_turn()
        become_agent(prepared)
        return prepared
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os.close(null)
    # Leaders are nobody's to wait for.
    _signal.signal(_signal.SIGCHLD, _signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    tell("ready", *sorted(WatchedEnvironment.read))
    while True:
        word, *fields = next_order()
        if word == "fork":
            go, let_go = os.pipe()
            if os.fork() == 0:
                lead(fields, go, [let_go, *waiting.values()], prepared)
                return prepared
            os.close(go)
            waiting[fields[0]] = let_go
        elif word in ("go", "drop") and fields[0] in waiting:
            let_go = waiting.pop(fields[0])
            try:
                if word == "go":
                    os.write(let_go, b"g")
            except OSError:
                pass
            os.close(let_go)


def interrupted_last(state):
    """Python ends by the signal itself after a KeyboardInterrupt that nobody took, when all else is done."""
    if state.get("interrupted"):
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
        os.kill(os.getpid(), _signal.SIGINT)


def load_script(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        print(
            "%s: can't open file %r: [Errno %d] %s" % (sys.executable, path, error.errno, error.strerror),
            file=sys.stderr,
        )
        sys.exit(2)


_state = {}
import atexit  # noqa: E402 - built in; what is registered first is called last

atexit.register(interrupted_last, _state)
_prepared = serve()
try:
    if _prepared["kind"] == "module":
        import runpy

        runpy._run_module_as_main(_prepared["what"])
    else:
        _main = _prepared["main"]
        exec(compile(load_script(_main.__file__), _main.__file__, "exec", dont_inherit=True), _main.__dict__)
except SystemExit:
    raise
except BaseException as _error:
    # Without the line of this file.
    _shown = _error.with_traceback(_error.__traceback__ and _error.__traceback__.tb_next)
    _state["interrupted"] = isinstance(_error, KeyboardInterrupt)
    sys.excepthook(type(_shown), _shown, _shown.__traceback__)
    sys.exit(1)
