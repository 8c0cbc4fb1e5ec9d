"""Spellings: every name a file or a policy writes becomes the one spelling that decisions are made by.

Turns `(module, name)` into `module.name` as Python 3 and today's numpy and torch write it. Two tables do it, and nothing else:

* what unpicklers themselves rename when they read Python 2 (CPython `_compat_pickle`, applied below protocol 3; torch's weights-only
  unpickler applies its copy at any protocol, and so do we), exact pairs before whole modules;
* packages that moved and left forwarders behind (NEP 52: `numpy.core` -> `numpy._core`), so that one entry covers both homes.

Nothing is resolved (law 1). An alias only ever picks which entry is asked: both spellings name one thing for every real unpickler, so it cannot let
through what the entry's own spelling would not. Other doors to the same thing (`posix` for `os`, `_io` for `io`, `_operator` for `operator`) are not
aliases: no unpickler renames them. Deny entries spell them out, and a test holds the pairs together.
"""

from __future__ import annotations

# _compat_pickle.IMPORT_MAPPING, less tkinter, whose modules no policy names.
RENAMED_MODULES: dict[str, str] = {
    "__builtin__": "builtins",
    "copy_reg": "copyreg",
    "Queue": "queue",
    "SocketServer": "socketserver",
    "ConfigParser": "configparser",
    "repr": "reprlib",
    "markupbase": "_markupbase",
    "_winreg": "winreg",
    "thread": "_thread",
    "dummy_thread": "_dummy_thread",
    "dbhash": "dbm.bsd",
    "dumbdbm": "dbm.dumb",
    "dbm": "dbm.ndbm",
    "gdbm": "dbm.gnu",
    "anydbm": "dbm",
    "whichdb": "dbm",
    "xmlrpclib": "xmlrpc.client",
    "SimpleXMLRPCServer": "xmlrpc.server",
    "DocXMLRPCServer": "xmlrpc.server",
    "httplib": "http.client",
    "Cookie": "http.cookies",
    "cookielib": "http.cookiejar",
    "BaseHTTPServer": "http.server",
    "SimpleHTTPServer": "http.server",
    "CGIHTTPServer": "http.server",
    "htmlentitydefs": "html.entities",
    "HTMLParser": "html.parser",
    "test.test_support": "test.support",
    "commands": "subprocess",
    "urlparse": "urllib.parse",
    "robotparser": "urllib.robotparser",
    "urllib2": "urllib.request",
    "_abcoll": "collections.abc",
    "cPickle": "pickle",
    "_elementtree": "xml.etree.ElementTree",
    "UserDict": "collections",
    "UserList": "collections",
    "UserString": "collections",
    "StringIO": "io",
    "cStringIO": "io",
}

# _compat_pickle.NAME_MAPPING; the exceptions follow below.
RENAMED: dict[tuple[str, str], str] = {
    ("__builtin__", "xrange"): "builtins.range",
    ("__builtin__", "reduce"): "functools.reduce",
    ("__builtin__", "intern"): "sys.intern",
    ("__builtin__", "unichr"): "builtins.chr",
    ("__builtin__", "unicode"): "builtins.str",
    ("__builtin__", "basestring"): "builtins.str",
    ("__builtin__", "long"): "builtins.int",
    ("itertools", "izip"): "builtins.zip",
    ("itertools", "imap"): "builtins.map",
    ("itertools", "ifilter"): "builtins.filter",
    ("itertools", "ifilterfalse"): "itertools.filterfalse",
    ("itertools", "izip_longest"): "itertools.zip_longest",
    ("UserDict", "UserDict"): "collections.UserDict",
    ("UserDict", "IterableUserDict"): "collections.UserDict",
    ("UserList", "UserList"): "collections.UserList",
    ("UserString", "UserString"): "collections.UserString",
    ("whichdb", "whichdb"): "dbm.whichdb",
    ("_socket", "fromfd"): "socket.fromfd",
    ("socket", "_socketobject"): "socket.SocketType",
    ("_multiprocessing", "Connection"): "multiprocessing.connection.Connection",
    ("multiprocessing.process", "Process"): "multiprocessing.context.Process",
    ("multiprocessing.forking", "Popen"): "multiprocessing.popen_fork.Popen",
    ("multiprocessing", "AuthenticationError"): "multiprocessing.context.AuthenticationError",
    ("multiprocessing", "BufferTooShort"): "multiprocessing.context.BufferTooShort",
    ("multiprocessing", "ProcessError"): "multiprocessing.context.ProcessError",
    ("multiprocessing", "TimeoutError"): "multiprocessing.context.TimeoutError",
    ("urllib", "ContentTooShortError"): "urllib.error.ContentTooShortError",
    ("urllib", "getproxies"): "urllib.request.getproxies",
    ("urllib", "pathname2url"): "urllib.request.pathname2url",
    ("urllib", "quote_plus"): "urllib.parse.quote_plus",
    ("urllib", "quote"): "urllib.parse.quote",
    ("urllib", "unquote_plus"): "urllib.parse.unquote_plus",
    ("urllib", "unquote"): "urllib.parse.unquote",
    ("urllib", "url2pathname"): "urllib.request.url2pathname",
    ("urllib", "urlcleanup"): "urllib.request.urlcleanup",
    ("urllib", "urlencode"): "urllib.parse.urlencode",
    ("urllib", "urlopen"): "urllib.request.urlopen",
    ("urllib", "urlretrieve"): "urllib.request.urlretrieve",
    ("urllib2", "HTTPError"): "urllib.error.HTTPError",
    ("urllib2", "URLError"): "urllib.error.URLError",
    ("exceptions", "StandardError"): "builtins.Exception",
}

# _compat_pickle.PYTHON2_EXCEPTIONS: Python 2 kept these in the module `exceptions`.
_PYTHON2_EXCEPTIONS = """
    ArithmeticError AssertionError AttributeError BaseException BufferError BytesWarning DeprecationWarning EOFError EnvironmentError Exception
    FloatingPointError FutureWarning GeneratorExit IOError ImportError ImportWarning IndentationError IndexError KeyError KeyboardInterrupt LookupError
    MemoryError NameError NotImplementedError OSError OverflowError PendingDeprecationWarning ReferenceError RuntimeError RuntimeWarning StopIteration
    SyntaxError SyntaxWarning SystemError SystemExit TabError TypeError UnboundLocalError UnicodeDecodeError UnicodeEncodeError UnicodeError
    UnicodeTranslateError UnicodeWarning UserWarning ValueError Warning ZeroDivisionError
"""
RENAMED.update({("exceptions", name): f"builtins.{name}" for name in _PYTHON2_EXCEPTIONS.split()})

# Old home -> new home, each with everything below it.
MOVED_PACKAGES: dict[str, str] = {
    "numpy.core.": "numpy._core.",  # NEP 52: numpy 2 writes numpy._core; numpy 1.26 and 2 answer to both
    "torch.tensor.": "torch._tensor.",  # torch 1.9 renamed the module; torch.serialization.load maps it in its own find_class
    "pathlib._local.": "pathlib.",  # CPython 3.13 writes the former and keeps forwarding the latter
}


def canonical(module: str, name: str) -> str:
    """`module.name` in the spelling that policies decide by: `("__builtin__", "xrange")` is `builtins.range`. Unknown names come back joined, unchanged."""
    full = RENAMED.get((module, name))
    if full is None:
        full = f"{RENAMED_MODULES.get(module, module)}.{name}"
    return _moved(full)


def canonical_name(full: str) -> str:
    """The same for a name that a policy writes, `module.name`: the module ends at the last dot, so a nested name must be in today's spelling."""
    module, _, name = full.rpartition(".")
    return canonical(module, name)


def canonical_package(package: str) -> str | None:
    """What to write for the pattern `package.*` instead, where files never show that package after renaming; None where it is fine as it is.

    `commands.*` would match nothing, since every `commands.x` is decided as `subprocess.x`. Entries for exact names need no such care.
    """
    renamed = RENAMED_MODULES.get(package, package)
    if renamed.startswith(package + "."):  # dbm -> dbm.ndbm: the pattern covers both
        renamed = package
    renamed = _moved(renamed + ".").removesuffix(".")
    return renamed if renamed != package else None


_MOVED = tuple(MOVED_PACKAGES)


def _moved(full: str) -> str:
    if not full.startswith(_MOVED):
        return full
    for old, new in MOVED_PACKAGES.items():
        if full.startswith(old):
            full = new + full[len(old) :]
    return full
