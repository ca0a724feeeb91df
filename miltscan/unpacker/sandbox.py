"""Starts a program that reads hostile bytes, after this process has given up all that the program does not need.

    python -I -S sandbox.py FILE SECONDS BYTES PROGRAM ARGUMENT...   # FILE: a read-only descriptor, 3 for the program
    python -I -S sandbox.py                                          # print which layers this host has

It is a program of its own, and imports nothing of miltscan: each archive costs one start of it.

| layer | what it takes away |
| --- | --- |
| user | root becomes nobody |
| limits | CPU time, memory, files written, open files, core dumps |
| no_new_privs | setuid programs (prctl(2)) |
| landlock | all files but programs, libraries and descriptor 3; TCP; signals to others (landlock(7)) |
| seccomp | all system calls but those of a reader: no socket, no process, no file opened for writing (libseccomp) |

A layer that the kernel or the host does not have is left out, and `miltscan check` names it. One that fails although
they have it ends this process with the status `FAILED`.
"""

import ctypes
import errno
import os
import resource
import signal
import sys
from stat import S_ISDIR

ARCHIVE = 3
"""The descriptor of the file to be read."""
FAILED = 120
"""Exit status of a sandbox that could not be built; 7-Zip has none above 8 but 255."""
_NOBODY = 65534
_OPEN_FILES = 32
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38  # linux/prctl.h

# linux/landlock.h; the numbers of the calls are the same on all architectures
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG, _PATH_BENEATH = 1, 1
_EXECUTE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 2, 1 << 3
_FILE_RIGHTS = ((1, (1 << 13) - 1), (2, 1 << 13), (3, 1 << 14), (5, 1 << 15))
"""Rights that a version of Landlock knows first: all are taken away, and those above given for `_READABLE`."""
_TCP, _TCP_SINCE, _SCOPED, _SCOPED_SINCE = 0b11, 4, 0b11, 6
_READABLE = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache")

# seccomp.h
_ALLOW, _REFUSE, _MASKED_EQUAL = 0x7FFF0000, 0x00050000, 7
_CLONE_THREAD = 0x00010000
_CALLS = (
    # memory and files that are open
    *("brk", "mmap", "munmap", "mprotect", "mremap", "madvise", "read", "readv", "pread64", "write", "writev"),
    *("lseek", "close", "fstat", "newfstatat", "statx", "stat", "lstat", "access", "faccessat", "faccessat2"),
    *("readlink", "readlinkat", "getcwd", "getdents64", "ioctl", "fcntl", "dup"),
    # threads, and the process itself
    *("futex", "set_tid_address", "set_robust_list", "rseq", "sched_yield", "sched_getaffinity", "exit"),
    *("exit_group", "execve", "arch_prctl", "prctl", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn"),
    *("sigaltstack", "restart_syscall", "gettid", "getpid", "getuid", "geteuid", "getgid", "getegid"),
    # what the host is, and the time
    *("uname", "sysinfo", "getrlimit", "prlimit64", "getrandom", "clock_gettime", "clock_nanosleep", "nanosleep"),
    *("gettimeofday", "times", "getrusage", "umask"),
)

_libc = ctypes.CDLL(None, use_errno=True)


class _Comparison(ctypes.Structure):
    """`struct scmp_arg_cmp`."""

    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("mask", ctypes.c_uint64), ("value", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    """`struct landlock_path_beneath_attr`."""

    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def main(arguments: list[str]) -> None:
    """Become the program, or print the layers that this host has."""
    if not arguments:
        layers = (("landlock", _landlock_version()), ("seccomp", _seccomp()))
        sys.stdout.write(" ".join(name for name, found in layers if found))
        return
    file, seconds, memory, *command = arguments
    try:
        os.dup2(int(file), ARCHIVE)
        os.closerange(ARCHIVE + 1, int(file) + 1)
        enclose(command[0], int(seconds), int(memory))
        os.execve(command[0], command, {"LC_ALL": os.environ["LC_ALL"]})  # noqa: S606 - no shell
    except Exception as error:  # noqa: BLE001 - the status of any other end would be one of 7-Zip's
        sys.stderr.write(f"the sandbox could not be built: {error}\n")
        sys.exit(FAILED)


def enclose(program: str, seconds: int, memory: int) -> None:
    """Give up all but what the program needs; `seconds` of CPU time and `memory` in bytes are left. Raises OSError."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # with the thread that waits for the result
    if os.geteuid() == 0:
        os.fchmod(ARCHIVE, 0o444)  # an unnamed file, or one in memory: nobody else can open it
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # a change of the user has cleared it
    os.chdir("/")
    for limit, value in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):  # not NPROC, which counts all processes of the user; seccomp refuses new ones
        resource.setrlimit(limit, (value, value))
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    if version := _landlock_version():
        _apply_landlock(version, program)
    if library := _seccomp():
        _apply_seccomp(library)


def _prctl(option: int, value: int) -> None:
    _checked(_libc.prctl(option, ctypes.c_ulong(value), *map(ctypes.c_ulong, (0, 0, 0))))


def _landlock_version() -> int:
    """The version of Landlock in this kernel; 0 without it."""
    return max(0, _call(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(_VERSION_FLAG)))


def _apply_landlock(version: int, program: str) -> None:
    handled = 0
    for since, rights in _FILE_RIGHTS:
        handled |= rights if version >= since else 0
    tcp, scoped = (_TCP if version >= _TCP_SINCE else 0), (_SCOPED if version >= _SCOPED_SINCE else 0)
    size = 8 * (1 + (version >= _TCP_SINCE) + (version >= _SCOPED_SINCE))
    attributes = (ctypes.c_uint64 * 3)(handled, tcp, scoped)
    ruleset = _checked(_call(_CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(size), ctypes.c_uint(0)))
    try:
        _readable(ruleset, ARCHIVE, _READ_FILE)
    except OSError as error:
        if error.errno != errno.EBADFD:  # a file in memory, for which Landlock has no rules
            raise
    for path in (*_READABLE, program):
        try:
            opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        is_folder = S_ISDIR(os.fstat(opened).st_mode)
        _readable(ruleset, opened, _READ_FILE | _EXECUTE | (_READ_DIR if is_folder else 0))
        os.close(opened)
    _checked(_call(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint(0)))
    os.close(ruleset)


def _readable(ruleset: int, opened: int, rights: int) -> None:
    rule = _PathBeneath(rights, opened)
    _checked(_call(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), ctypes.byref(rule), ctypes.c_uint(0)))


def _seccomp() -> ctypes.CDLL | None:
    """The library that knows the numbers of system calls on each architecture; None if the host does not have it."""
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return None
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = (ctypes.c_uint32,)
    library.seccomp_load.argtypes = (ctypes.c_void_p,)
    library.seccomp_rule_add_array.argtypes = (
        *(ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p),
    )
    return library


def _apply_seccomp(library: ctypes.CDLL) -> None:
    """Refuse with EPERM all that is not named: a program of another version misses something then, and does not die."""
    rules = library.seccomp_init(_REFUSE | errno.EPERM)
    if not rules:
        raise OSError(errno.EPERM, "seccomp_init")

    def add(action: int, name: str, *comparisons: _Comparison) -> None:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:  # not all architectures have all
            array = (_Comparison * len(comparisons))(*comparisons)
            _zero(library.seccomp_rule_add_array(rules, action, number, len(comparisons), array), name)

    for name in _CALLS:
        add(_ALLOW, name)
    for name, argument in (("open", 1), ("openat", 2)):
        writing = os.O_ACCMODE | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        add(_ALLOW, name, _Comparison(argument, _MASKED_EQUAL, writing, os.O_RDONLY))
    add(_ALLOW, "clone", _Comparison(0, _MASKED_EQUAL, _CLONE_THREAD, _CLONE_THREAD))
    add(_REFUSE | errno.ENOSYS, "clone3")  # its flags cannot be seen here; the C library uses clone then
    _zero(library.seccomp_load(rules), "seccomp_load")


def _call(number: int, *arguments: object) -> int:
    return int(_libc.syscall(ctypes.c_long(number), *arguments))


def _checked(result: int) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def _zero(result: int, what: str) -> None:
    if result:
        raise OSError(-result, f"{what}: {os.strerror(-result)}")


if __name__ == "__main__":
    main(sys.argv[1:])
