"""What is known of danger is whole, current, and decides nothing."""

from __future__ import annotations

import pytest

import safeload
from policy import danger_source
from safeload.opcodes.assemble import assemble
from safeload.policy.danger import COULD, danger
from safeload.policy.danger_table import EXACT, FAMILIES, MODULES, PREFIXES
from safeload.policy.fields import HARMFUL
from safeload.policy.resolve import load_policy, policy_from_dict

# Names that the published lists and advisories of other scanners hold, and what each could do.
GADGETS = {
    "process.exec": """
        os.system posix.system nt.system os.popen os.spawnv os.execve os.posix_spawn subprocess.Popen subprocess.run subprocess.check_output
        _posixsubprocess.fork_exec pty.spawn commands.getoutput popen2.popen2 asyncio.unix_events._UnixSubprocessTransport._start
        asyncio.create_subprocess_shell multiprocessing.Process imaplib.IMAP4_stream uuid._get_command_stdout uuid._popen _osx_support._read_output
        _aix_support._read_cmd_output platform.popen webbrowser.open torch._inductor.codecache.compile_file torch.utils.collect_env.run
        numpy.f2py.crackfortran.getlincoef antigravity.geohash torch.os.system
    """,
    "code.exec": """
        builtins.eval builtins.exec builtins.compile __builtin__.execfile __builtin__.apply builtins.breakpoint types.CodeType types.FunctionType
        code.InteractiveInterpreter.runcode codeop.compile_command runpy.run_path runpy._run_code timeit.timeit bdb.Bdb.run pdb.run cProfile.run
        cProfile.runctx profile.run profile.Profile.runctx trace.Trace.run doctest.debug_script idlelib.pyshell.ModifiedInterpreter.runcode
        idlelib.run.Executive.runcode idlelib.calltip.get_entity idlelib.debugobj.ObjectTreeItem.SetText lib2to3.pgen2.grammar.Grammar.loads
        lib2to3.pgen2.pgen.ParserGenerator.make_label numpy.testing._private.utils.runstring torch._dynamo.guards.GuardBuilder.get
        torch.fx.experimental.symbolic_shapes.ShapeEnv.evaluate_guards_expression torch.jit.unsupported_tensor_ops.execWrapper
        torch.utils.bottleneck.__main__.run_cprofile torch.utils._config_module.ConfigModule.load_config
        torch.utils.data.datapipes.utils.decoder.basichandlers cloudpickle.cloudpickle._make_function functools.partial cloudpickle.cloudpickle._builtin_type
        dill._dill._create_function torch.fx.graph_module.reduce_graph_module pydoc.pipepager torch.hub.load threading.Thread test.support.os
    """,
    "code.import": """
        importlib.import_module builtins.__import__ pkgutil.resolve_name ensurepip._run_pip pip.main venv.create setuptools.setup zipimport.zipimporter
        site.main distutils.file_util.write_file imp.load_source logging.config.dictConfig
    """,
    "code.deserialize": """
        pickle.loads _pickle.loads cPickle.loads marshal.loads shelve.open torch.load torch.serialization.load joblib.load numpy.load pandas.read_pickle
        dill.loads yaml.load torch.utils.model_zoo.load_url
    """,
    "code.attribute": """
        operator.attrgetter _operator.attrgetter operator.methodcaller operator.itemgetter builtins.getattr builtins.setattr functools.reduce sys.setprofile
        gc.get_objects builtins.vars builtins.globals numpy.__builtins__ torch.sys.modules
    """,
    "fs.write": """
        builtins.open io.open _io.FileIO io.FileIO shutil.rmtree tempfile.mktemp pathlib.Path.write_text logging.FileHandler tarfile.open zipfile.ZipFile
    """,
    "fs.read": """
        linecache.getline glob.glob numpy.fromfile
    """,
    "net": """
        socket.socket ssl.get_server_certificate urllib.request.urlopen httplib.HTTPSConnection http.client.HTTPSConnection requests.api.get
        aiohttp.ClientSession smtplib.SMTP ftplib.FTP telnetlib.Telnet xmlrpc.client.ServerProxy urllib2.urlopen
    """,
    "native": """
        ctypes.CDLL ctypes.WinDLL _ctypes.dlopen mmap.mmap cupy.RawKernel torch.ops.load_library
    """,
}
CASES = [(name, capability) for capability, names in GADGETS.items() for name in names.split()]


@pytest.mark.parametrize(("name", "capability"), CASES)
def test_a_call_of_a_gadget_is_refused_for_what_it_could_do(name: str, capability: str) -> None:
    module, _, attribute = name.rpartition(".")
    report = safeload.scan(assemble(f"PROTO 4\nBINUNICODE {module!a}\nBINUNICODE {attribute!a}\nSTACK_GLOBAL\nBINUNICODE 'x'\nTUPLE1\nREDUCE\nSTOP"))
    assert report.verdict == "rejected"
    assert {(use.decision, use.capability) for use in report.globals} == {("denied", capability)}
    assert {finding.capability for finding in report.errors if finding.rule == "SL301"} == {capability}


@pytest.mark.parametrize(
    ("name", "reaches"),
    [
        ("torch.os.system", "os.system"), ("numpy.core.multiarray.os.system", "os.system"), ("torch.serialization.pickle.loads", "pickle.loads"),
        ("pathlib.os", "os"), ("numpy.__builtins__", "__builtins__"), ("acme.Thing.__init__.__globals__", "__init__.__globals__"),
        ("x.y.builtins.eval", "builtins.eval"),
    ],
)  # fmt: skip
def test_a_name_that_goes_through_a_module_is_known_by_what_it_reaches(name: str, reaches: str) -> None:
    found = danger(name)
    assert found.reaches == reaches
    assert found.capability in HARMFUL
    assert found.capability != "unknown"
    assert f"it reaches {reaches}" in safeload.scan(assemble(f"PROTO 2\nGLOBAL {name.replace('.', ' ', 1)}\nEMPTY_TUPLE\nREDUCE\nSTOP")).errors[0].message


def test_other_names_are_not_taken_for_dangers() -> None:
    for name in ("acme.Config", "acme.platform.Config", "models.yolo.Model", "acme.queue.Item", "acme.os_utils.f"):
        assert danger(name).capability == "unknown", name
    assert danger("math.log").capability == "data.value"
    assert danger("builtins.ValueError").words == ""


def test_every_module_of_this_interpreter_is_classified() -> None:
    assert danger_source.missing() == []


def test_no_module_that_makes_a_risky_call_is_called_harmless() -> None:
    assert danger_source.risks() == {}


def test_the_check_on_the_classification_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(danger_source, "modules", lambda: {"webbrowser": "data.value", "collections": "data.value", "colorsys": "data.value"})
    assert set(danger_source.risks()) == {"webbrowser", "collections"}


def test_the_table_is_what_its_source_says() -> None:
    assert danger_source.TABLE.read_text(encoding="utf-8") == danger_source.render(), "run `python -m policy.danger_source --write`"


def test_capabilities_are_those_of_the_format() -> None:
    given = {*EXACT.values(), *PREFIXES.values(), *FAMILIES.values(), *MODULES.values()}
    assert given - set(HARMFUL) == {"data.value"}
    assert COULD.keys() == set(HARMFUL) - {"unknown"}


def test_it_agrees_with_known_danger() -> None:
    policy = load_policy("known-danger")
    for name, entry in policy.deny_exact.items():
        assert danger(name).capability == entry.capability, name
    for prefix, entry in policy.deny_prefix.items():
        assert danger(f"{prefix}anything").capability == entry.capability, prefix


def test_it_never_decides() -> None:
    """With no policy of ours around, a name that is known for the worst is let through by an entry, and one that is known for nothing is refused without."""
    head = {"schema": 1, "name": "p", "version": "1", "summary": "s", "owner": "o", "mode": "enforce", "default": "deny"}
    entry = {"id": "e", "globals": ["timeit.Timer"], "capability": "code.exec", "reason": "r"}
    policy = policy_from_dict({**head, "opaque": [entry]})
    stream = "PROTO 2\nGLOBAL {}\nEMPTY_TUPLE\nNEWOBJ\nSTOP"
    assert safeload.scan(assemble(stream.format("timeit Timer")), policy=policy).verdict == "accepted"
    assert safeload.scan(assemble(stream.format("math log")), policy=policy).verdict == "rejected"
