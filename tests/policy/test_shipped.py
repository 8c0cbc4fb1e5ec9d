"""The shipped policies: they load, they let through what they say, and they name what they must refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import safeload.policy
from safeload.policy import shipped
from safeload.policy.aliases import canonical_name
from safeload.policy.contracts import CONTRACTS
from safeload.policy.fields import HARMFUL
from safeload.policy.model import Policy
from safeload.policy.resolve import load_policy
from safeload.policy.shipped import DEFAULT_POLICY, SHIPPED, shipped_path
from safeload.policy.toml import PolicyFile, read_policy

HERE = Path(__file__).parent
TORCH_NAMES: dict[str, Any] = json.loads((HERE / "torch_weights_only_names.json").read_text(encoding="utf-8"))
MANIFEST = HERE.parents[2] / "shared" / "corpus" / "MANIFEST.json"


def file_of(name: str) -> PolicyFile:
    return read_policy(shipped_path(name))


def kind(policy: str, name: str) -> str:
    return load_policy(policy).decide(canonical_name(name)).kind


# ---- where they are ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_policy_loads_and_is_called_what_its_file_is_called(name: str) -> None:
    policy = load_policy(name)
    assert policy.name == name == Path(shipped_path(name)).stem
    assert policy.formats == (("joblib", "npy", "npz", "pickle") if name in ("numpy", "sklearn") else ("*",))


def test_the_list_is_what_lies_in_the_folder() -> None:
    assert {path.stem for path in Path(shipped_path("checkpoint")).parent.glob("*.toml")} == set(SHIPPED)
    assert DEFAULT_POLICY in SHIPPED


@pytest.mark.parametrize("name", ["", "checkpoint.toml", "../policies/checkpoint", "CHECKPOINT", "lightning/../inspect"])
def test_no_other_name_is_a_path(name: str) -> None:
    with pytest.raises(KeyError):
        shipped_path(name)


def test_an_installed_package_carries_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "_PACKAGE", str(tmp_path / "site" / "safeload"))
    beside = tmp_path / "site" / "policies" / "inspect.toml"
    inside = tmp_path / "site" / "safeload" / "policies" / "inspect.toml"
    assert shipped_path("inspect") == str(beside)
    inside.parent.mkdir(parents=True)
    inside.touch()
    assert shipped_path("inspect") == str(inside)


def test_the_source_tree_is_found() -> None:
    root = Path(safeload.policy.__file__ or "").resolve().parents[2]
    assert Path(shipped_path("checkpoint")).resolve() in (root / "policies" / "checkpoint.toml", root / "safeload" / "policies" / "checkpoint.toml")


# ---- what every entry owes its reader ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_policy_extends_known_danger(name: str) -> None:
    danger = load_policy("known-danger")
    assert set(danger.deny_exact) <= set(load_policy(name).deny_exact)
    assert set(danger.deny_prefix) <= set(load_policy(name).deny_prefix)


@pytest.mark.parametrize("name", SHIPPED)
def test_allow_entries_give_evidence_and_a_sentence(name: str) -> None:
    for entry in file_of(name).allow:
        assert entry.evidence, entry.id
        assert entry.reason.endswith("."), entry.id
        assert entry.capability.startswith("data."), entry.id


def test_every_constructor_is_reached_by_some_entry() -> None:
    used = {entry.constructor for name in SHIPPED for entry in file_of(name).allow}
    assert used == set(CONTRACTS)


def test_known_danger_lets_nothing_through() -> None:
    policy = load_policy("known-danger")
    assert not policy.allow_exact
    assert not policy.has_opaque


def test_only_inspect_keeps_any_name() -> None:
    assert [name for name in SHIPPED if "" in load_policy(name).opaque_prefix] == ["inspect"]
    assert not any(load_policy(name).has_opaque for name in ("known-danger", "weights-only", "checkpoint", "omegaconf", "config-dicts", "audit"))


def test_what_inspect_denies_every_policy_denies() -> None:
    """Reports rely on it: where inspect does not help, no shipped policy does."""
    inspect = load_policy("inspect")
    for name in SHIPPED:
        policy = load_policy(name)
        assert {full for full in inspect.deny_exact if policy.decide(full).kind != "denied"} == set(), name
        assert {prefix for prefix in inspect.deny_prefix if policy.decide(f"{prefix}anything").kind != "denied"} == set(), name


def test_the_modes() -> None:
    assert {name: load_policy(name).mode for name in SHIPPED if load_policy(name).mode != "enforce"} == {"sklearn": "scan-only", "audit": "audit"}


# ---- what they let through --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*TORCH_NAMES["globals"], *TORCH_NAMES["added_in_2.15"]])
def test_weights_only_allows_what_torch_lists(name: str) -> None:
    assert kind("weights-only", name) == "allowed"


def test_the_list_is_torchs_own() -> None:
    unpickler = pytest.importorskip("torch._weights_only_unpickler", reason="torch is not installed: its list of names cannot be compared")
    listed = set(unpickler._get_allowed_globals())
    known = {*TORCH_NAMES["globals"], *TORCH_NAMES["added_in_2.15"]}
    missing = sorted(name for name in listed if kind("weights-only", name) != "allowed")
    assert missing == []
    assert len(listed & known) > 140  # another torch may list a few less


@pytest.mark.parametrize(
    ("policy", "name"),
    [
        ("weights-only", "torch.tensor._rebuild_from_type"), ("weights-only", "torch.hpu.FloatStorage"), ("weights-only", "torch.UntypedStorage"),
        ("weights-only", "torch._utils._rebuild_sparse_csr_tensor"), ("weights-only", "__builtin__.set"), ("weights-only", "builtins.bytes"),
        ("weights-only", "torch.nn.parameter.Buffer"), ("weights-only", "torch._utils._rebuild_xla_tensor"),
        ("checkpoint", "numpy.core.multiarray.scalar"), ("checkpoint", "numpy._core.numeric._frombuffer"), ("checkpoint", "numpy.dtypes.UInt32DType"),
        ("checkpoint", "argparse.Namespace"), ("checkpoint", "pathlib._local.PosixPath"), ("checkpoint", "pathlib.WindowsPath"),
        ("checkpoint", "torch.torch_version.TorchVersion"), ("checkpoint", "collections.defaultdict"), ("checkpoint", "__builtin__.xrange"),
        ("checkpoint", "__builtin__.long"), ("checkpoint", "__builtin__.unicode"), ("checkpoint", "datetime.timezone"), ("checkpoint", "uuid.UUID"),
        ("checkpoint", "copy_reg._reconstructor"), ("checkpoint", "lightning.fabric.utilities.data.AttributeDict"),
        ("inspect", "__builtin__.getattr"),
    ],
)  # fmt: skip
def test_beyond_torchs_list(policy: str, name: str) -> None:
    assert kind(policy, name) == "allowed"


@pytest.mark.parametrize("name", ["numpy.dtype", "argparse.Namespace", "collections.defaultdict", "builtins.getattr", "pathlib.PosixPath"])
def test_weights_only_is_smaller_than_checkpoint(name: str) -> None:
    assert kind("weights-only", name) == "denied"


@pytest.mark.parametrize(
    "name",
    ["builtins.getattr", "functools.partial", "numpy.dtypes.ObjectDType", "__main__.Net", "torch.nn.modules.linear.Linear", "evil.FloatStorage",
     "builtins.type", "box.box.Box", "signal.Signals", "dill._dill._create_function"],
)  # fmt: skip
def test_checkpoint_lists_none_of_these(name: str) -> None:
    assert load_policy("checkpoint").decide(name).entry is None


@pytest.mark.parametrize(
    "name",
    ["functools.partial", "copyreg.__newobj__", "dill._dill._create_function", "dill._dill._create_code", "cloudpickle.cloudpickle._make_function",
     "cloudpickle.cloudpickle.subimport", "torch.nn.modules.container.Sequential", "ultralytics.nn.tasks.DetectionModel", "__main__.Net",
     "torch.utils.data.dataloader.DataLoader", "inspect.Signature", "types.SimpleNamespace.x", "_io.BytesIO"],
)  # fmt: skip
def test_inspect_keeps_records_of_these(name: str) -> None:
    assert kind("inspect", name) == "opaque"


# ---- what they refuse -------------------------------------------------------------------------------------------------------------------

DANGERS: dict[str, str] = {
    "process.exec": """
        os.system posix.system nt.system os.popen os.execv posix.fork subprocess.Popen subprocess.check_output commands.getoutput popen2.popen3
        pty.spawn multiprocessing.Process asyncio.unix_events._UnixSubprocessTransport._start imaplib.IMAP4_stream uuid._get_command_stdout
        _osx_support._read_output webbrowser.open torch.utils.collect_env.run numpy.f2py.crackfortran.getlincoef distutils.spawn.spawn platform.popen
        torch._inductor.codecache.compile_file
    """,
    "code.exec": """
        builtins.eval __builtin__.eval builtins.exec __builtin__.execfile __builtin__.apply __builtin__.input builtins.compile types.CodeType
        types.FunctionType code.interact code.InteractiveInterpreter.runcode codeop.compile_command runpy.run_path timeit.timeit bdb.Bdb.run pdb.run
        cProfile.run profile.run trace.Trace.run doctest.debug_script idlelib.run.Executive.runcode lib2to3.pgen2.pgen.ParserGenerator.make_label
        pydoc.pipepager torch.hub.load torch.jit.unsupported_tensor_ops.execWrapper
        torch.fx.experimental.symbolic_shapes.ShapeEnv.evaluate_guards_expression torch.utils._config_module.ConfigModule.load_config
        torch.utils.bottleneck.__main__.run_cprofile torch._dynamo.guards.GuardBuilder.get torch.utils.data.datapipes.utils.decoder.basichandlers
        numpy.testing._private.utils.runstring IPython.embed atexit.register _interpreters.run_string new.function fickling.hook.remove_hook
        _pyrepl.pager.pipe_pager
    """,
    "code.import": """
        builtins.__import__ __builtin__.reload importlib.import_module imp.load_source pkgutil.resolve_name zipimport.zipimporter site.addsitedir
        ensurepip._run_pip pip.main pip._internal.main setuptools.setup pkg_resources.load_entry_point distutils.core.run_setup types.ModuleType
        venv.create
    """,
    "code.deserialize": """
        pickle.loads cPickle.loads _pickle.Unpickler pickle._loads dill.loads dill._dill.loads cloudpickle.loads joblib.load torch.load
        torch.serialization.load numpy.load pandas.read_pickle shelve.open marshal.loads yaml.unsafe_load
        jsonpickle.decode copy_reg.add_extension
    """,
    "code.attribute": """
        operator.attrgetter _operator.methodcaller operator.itemgetter builtins.setattr builtins.globals __builtin__.map itertools.imap
        __builtin__.reduce functools.reduce types.MethodType sys.modules gc.get_objects __builtin__.intern
    """,
    "fs.read": """
        glob.glob linecache.getlines fileinput.input os.environ posix.listdir numpy.fromfile posixpath.exists
    """,
    "fs.write": """
        builtins.open __builtin__.file io.open _io.FileIO shutil.rmtree tempfile.mktemp pathlib.Path.write_text os.remove pathlib.PosixPath.unlink
        logging.FileHandler sqlite3.connect zipfile.ZipFile torch.save codecs.open nt.unlink
    """,
    "net": """
        socket.socket _socket.socket ssl.wrap_socket http.client.HTTPConnection httplib.HTTPConnection urllib.request.urlopen urllib2.urlopen
        urllib.urlopen ftplib.FTP smtplib.SMTP poplib.POP3 imaplib.IMAP4 telnetlib.Telnet xmlrpclib.ServerProxy requests.get requests.api.get
        aiohttp.ClientSession httpx.get BaseHTTPServer.HTTPServer
    """,
    "native": """
        ctypes.CDLL _ctypes.dlopen mmap.mmap _cffi_backend.FFI numpy.ctypeslib.load_library cupy.RawKernel torch.ops.load_library
    """,
}


@pytest.mark.parametrize(("capability", "name"), [(capability, name) for capability, names in DANGERS.items() for name in names.split()])
def test_dangers_are_denied_by_every_policy_and_for_what_they_do(capability: str, name: str) -> None:
    for policy in SHIPPED:
        found = load_policy(policy).decide(canonical_name(name))
        assert (found.kind, found.capability) == ("denied", capability)
        assert found.entry is not None
        assert found.entry.policy == "known-danger"


def test_every_capability_that_can_be_denied_has_names() -> None:
    given = {entry.capability for entry in file_of("known-danger").deny}
    assert given == set(DANGERS) == set(HARMFUL) - {"unknown"}


# ---- real files -------------------------------------------------------------------------------------------------------------------------

# Real files with a denied name, by their kind, and why that is right.
EXPLAINED = {
    "torch.package": "a package carries its own source",
    "torchscript": "TorchScript is code",
    "dill": "a class pickled by value sets its attributes with setattr",
    "cloudpickle": "functions pickled by value",
}
TORCH_FORMATS = ("torch-zip", "torch-legacy", "torch-zip-early", "torch-package-zip", "torchscript-zip")


@pytest.fixture(scope="module")
def corpus() -> list[dict[str, Any]]:
    if not MANIFEST.exists():
        pytest.skip(f"no corpus at {MANIFEST}: names of real files cannot be checked")
    entries: list[dict[str, Any]] = json.loads(MANIFEST.read_text(encoding="utf-8"))["entries"]
    return entries


def denied(policy: Policy, entry: dict[str, Any]) -> list[str]:
    return [name for name in entry["globals"] if policy.decide(canonical_name(name)).kind == "denied"]


def test_inspect_denies_no_name_of_a_real_file_without_a_reason(corpus: list[dict[str, Any]]) -> None:
    inspect = load_policy("inspect")
    hits = [(entry["kind"], entry["file"], names) for entry in corpus if entry["format"] in (*TORCH_FORMATS, "pickle") and (names := denied(inspect, entry))]
    for hit in hits:
        print(*hit, EXPLAINED.get(hit[0], "UNEXPLAINED"))
    assert [hit for hit in hits if hit[0] not in EXPLAINED] == []
    assert any(kind == "dill" for kind, _, _ in hits)


def test_whole_modules_can_be_inspected(corpus: list[dict[str, Any]]) -> None:
    modules = [entry for entry in corpus if entry["kind"] == "module"]
    assert len(modules) > 20
    assert [(entry["file"], names) for entry in modules if (names := denied(load_policy("inspect"), entry))] == []


def test_state_dicts_need_no_more_than_weights_only(corpus: list[dict[str, Any]]) -> None:
    weights_only = load_policy("weights-only")
    dicts = [entry for entry in corpus if entry["kind"] == "state_dict" and entry["format"] in TORCH_FORMATS]
    assert len(dicts) > 100
    missing = {name for entry in dicts for name in denied(weights_only, entry)}
    assert missing == {"torch.nn.parameter.UninitializedParameter"}  # lazy modules: checkpoint has it
