"""One function from each advisory that deny lists have had: called in a bare pickle and in
a torch archive, `weights-only` and `checkpoint` reject it, and under no policy does it run."""

from __future__ import annotations

import pytest

from . import watched
from .hostile import Refusal, archive, stream

ADVISORIES = {  # advisory or report -> a name that its file called
    "CVE-2025-1716": "pip.main",
    "GHSA-f7qq-56ww-84cr, CVE-2025-10157": "asyncio.unix_events._UnixSubprocessTransport._start",
    "GHSA-5j3x-jp52-966f": "pathlib.os.system",
    "GHSA-vvpj-8cmc-gx39": "pkgutil.resolve_name",
    "GHSA-r7v6": "pty.spawn",
    "GHSA-565g": "marshal.loads",
    "GHSA-wfq2": "runpy.run_path",
    "GHSA-q5qq": "multiprocessing.util.spawnv_passfds",
    "GHSA-p523": "cProfile.run",
    "GHSA-5hvc, CVE-2026-22608": "pydoc.locate",
    "GHSA-h4rm, CVE-2026-22612": "builtins.exec",
    "GHSA-5hwf": "uuid._get_command_stdout",
    "GHSA-mhc9": "socketserver.TCPServer",
    "GHSA-r48f": "linecache.getline",
    "GHSA-5cxw": "platform.popen",
    "GHSA-6ggj": "_interpreters.exec",
    "GHSA-955r": "operator.attrgetter",
    "GHSA-46h3": "functools.reduce",
    "GHSA-f54q": "lib2to3.pgen2.grammar.Grammar.loads",
    "GHSA-3vg9-h568-4w9m": "idlelib.debugobj.ObjectTreeItem.SetText",
    "GHSA-3gf5-cxq9-w223": "idlelib.pyshell.ModifiedInterpreter.runcode",
    "GHSA-cj3c": "code.InteractiveInterpreter.runcode",
    "GHSA-fqq6": "doctest.debug_script",
    "GHSA-xp4f": "ensurepip._run_pip",
    "GHSA-m273": "distutils.file_util.write_file",
    "GHSA-4675-36f9-wf6r": "ctypes.CDLL",
    "GHSA-r8g5": "numpy.f2py.crackfortran.getlincoef",
    "GHSA-9726": "_io.FileIO",
    "GHSA-9m3x": "types.CodeType",
    "GHSA-m7j5": "logging.FileHandler",
    "GHSA-g38g-8gr9-h9xp, CVE-2026-56315": "imaplib.IMAP4_stream",
    "GHSA-4r9r-ch6f-vxmx": "torch.utils.bottleneck.__main__.run_autograd_prof",
    "GHSA-86cj-95qr-2p4f": "torch.utils._config_module.ConfigModule.load_config",
    "GHSA-wccx-j62j-r448, GHSA-fphw-536r-4p88": "_pickle.Unpickler",
    "fickling #249": "fickling.hook.remove_hook",
    "fickling #60": "torch.os.system",
    "fickling #183": "numpy.__builtins__",
    "modelscan #338": "torch.library.collect_env.run",
    "aliases": "nt.system",
    "aliases of Python 2": "__builtin__.execfile",
    "thread": "_thread.start_new_thread",
    "a substring in the name": "unknown.torch.numpy.str",
    "a comment in the name": "os.system # collections.OrderedDict",
    "dill": "dill._dill._load_type",
    "cloudpickle": "cloudpickle.cloudpickle.subimport",
}


@pytest.mark.parametrize("advisory", ADVISORIES)
def test_a_function_of_an_advisory_is_refused(refused: Refusal, advisory: str) -> None:
    module, _, name = ADVISORIES[advisory].partition(".") if "#" in ADVISORIES[advisory] else ADVISORIES[advisory].rpartition(".")
    listing = f"BINUNICODE '{module}'\nBINUNICODE '{name}'\nSTACK_GLOBAL\nBINUNICODE '{refused.trace}'\nTUPLE1\nREDUCE\n"
    for data in (stream(listing, 4), archive(listing)):
        report = refused(data, "rejected", "SL301")
        assert all(finding.capability for finding in report.errors if finding.rule == "SL301")
        assert watched.scan(data, policy="weights-only").verdict == "rejected"
