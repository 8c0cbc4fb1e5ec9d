"""One function from each advisory that deny lists have had: called in a bare pickle and in
a torch archive, `weights-only` and `checkpoint` reject it, and under no policy does it run."""

from __future__ import annotations

import pytest

from . import watched
from .hostile import Refusal, archive, stream

ADVISORIES = {  # advisory or report -> module and name that its file called, as the advisory or the test of its fix has them
    "CVE-2025-1716": ("pip", "main"),
    "GHSA-f7qq-56ww-84cr, CVE-2025-10157": ("asyncio.unix_events", "_UnixSubprocessTransport._start"),
    "GHSA-5j3x-jp52-966f": ("pathlib", "os.system"),
    "GHSA-vvpj-8cmc-gx39": ("pkgutil", "resolve_name"),
    "GHSA-r7v6-mfhq-g3m2, CVE-2025-67748": ("pty", "spawn"),
    "GHSA-565g-hwwr-4pp3, CVE-2025-67747": ("marshal", "loads"),
    "GHSA-wfq2-52f7-7qvj, CVE-2026-22606": ("runpy", "run_path"),
    "GHSA-q5qq-mvfm-j35x, CVE-2026-22609": ("multiprocessing.util", "spawnv_passfds"),
    "GHSA-p523-jq9w-64x9, CVE-2026-22607": ("cProfile", "run"),
    "GHSA-5hvc-6wx8-mvv4, CVE-2026-22608": ("pydoc", "locate"),
    "GHSA-h4rm-mm56-xf63, CVE-2026-22612": ("builtins", "__import__"),
    "GHSA-m6fh-58r7-x697, CVE-2026-14534": ("_posixsubprocess", "fork_exec"),
    "GHSA-5hwf-rc88-82xm": ("uuid", "_get_command_stdout"),
    "GHSA-mhc9-48gj-9gp3": ("socketserver", "TCPServer"),
    "GHSA-r48f-3986-4f9c": ("linecache", "getline"),
    "GHSA-5cxw-w2xg-2m8h": ("platform", "_syscmd_file"),
    "GHSA-955r-x9j8-7rhh": ("_operator", "methodcaller"),
    "GHSA-46h3-79wf-xr6c": ("_operator", "attrgetter"),
    "GHSA-f54q-57x4-jg88": ("lib2to3.pgen2.grammar", "Grammar.loads"),
    "GHSA-3vg9-h568-4w9m": ("idlelib.debugobj", "ObjectTreeItem.SetText"),
    "GHSA-3gf5-cxq9-w223, CVE-2025-71340": ("idlelib.pyshell", "ModifiedInterpreter.runcode"),
    "GHSA-cj3c-v495-4xqh": ("code", "InteractiveInterpreter.runcode"),
    "GHSA-fqq6-7vqf-w3fg": ("doctest", "debug_script"),
    "GHSA-xp4f-hrf8-rxw7": ("ensurepip", "_run_pip"),
    "GHSA-m273-6v24-x4m4": ("distutils.file_util", "write_file"),
    "GHSA-4675-36f9-wf6r": ("ctypes", "CDLL"),
    "GHSA-r8g5-cgf2-4m4m": ("numpy.f2py.crackfortran", "getlincoef"),
    "GHSA-9726-w42j-3qjr, CVE-2026-53872": ("_io", "FileIO"),
    "GHSA-9m3x-qqw2-h32h, CVE-2026-53874": ("builtins", "getattr"),
    "GHSA-m7j5-r2p5-c39r": ("logging", "FileHandler"),
    "GHSA-g38g-8gr9-h9xp, CVE-2026-56315": ("imaplib", "IMAP4_stream"),
    "GHSA-4r9r-ch6f-vxmx": ("torch.utils.bottleneck.__main__", "run_cprofile"),
    "GHSA-4whj-rm5r-c2v8": ("torch.utils.bottleneck.__main__", "run_autograd_prof"),
    "GHSA-86cj-95qr-2p4f": ("torch._dynamo.guards", "GuardBuilder.get"),
    "GHSA-vv6j-3g6g-2pvj": ("torch.utils._config_module", "ConfigModule.load_config"),
    "GHSA-wccx-j62j-r448": ("_pickle", "loads"),
    "GHSA-fphw-536r-4p88": ("pickle", "_Unpickler"),
    "fickling #249": ("fickling.hook", "remove_hook"),
    "fickling #60": ("torch", "os.system"),
    "modelscan #330": ("numpy", "__builtins__"),
    "modelscan #338": ("torch.library", "torch.utils.collect_env.run"),
    "code objects": ("types", "CodeType"),
    "exec": ("builtins", "exec"),
    "subinterpreters": ("_interpreters", "exec"),
    "a shell on the side": ("platform", "popen"),
    "a fold over calls": ("functools", "reduce"),
    "an unpickler in C": ("_pickle", "Unpickler"),
    "aliases": ("nt", "system"),
    "aliases of Python 2": ("__builtin__", "execfile"),
    "thread": ("_thread", "start_new_thread"),
    "a substring in the name": ("unknown.torch.numpy", "str"),
    "a comment in the name": ("os", "system # collections.OrderedDict"),
    "dill": ("dill._dill", "_load_type"),
    "cloudpickle": ("cloudpickle.cloudpickle", "subimport"),
}


@pytest.mark.parametrize("advisory", ADVISORIES)
def test_a_function_of_an_advisory_is_refused(refused: Refusal, advisory: str) -> None:
    module, name = ADVISORIES[advisory]
    listing = f"BINUNICODE '{module}'\nBINUNICODE '{name}'\nSTACK_GLOBAL\nBINUNICODE '{refused.trace}'\nTUPLE1\nREDUCE\n"
    for data in (stream(listing, 4), archive(listing)):
        report = refused(data, "rejected", "SL301")
        assert all(finding.capability for finding in report.errors if finding.rule == "SL301")
        assert watched.scan(data, policy="weights-only").verdict == "rejected"
