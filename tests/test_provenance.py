"""Digests and signatures that a policy requires: what does not hold is SL323, and nothing loads."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import safeload
from safeload.policy.model import Policy
from safeload.policy.resolve import policy_from_dict
from safeload.provenance import INSTALL, MAX_SIGNATURE_BYTES, _signed_digest
from tests.cli.inputs import EVIL, PLAIN
from tests.formats.test_shards import folder_of
from tests.policy.test_resolve import document


def required(**keys: Any) -> Policy:
    return policy_from_dict(document(extends=["checkpoint"], provenance=keys))


def reasons(path: Any, policy: Policy) -> list[tuple[str, str]]:
    """What stands against a file; `load` refuses where anything does."""
    report = safeload.scan(path, policy=policy)
    assert (report.verdict == "accepted") == (not report.errors)
    if report.errors:
        with pytest.raises(safeload.CheckpointError):
            safeload.load(path, policy=policy)
    return [(finding.rule, finding.message) for finding in report.errors]


# ---- digests --------------------------------------------------------------------------------------------------------------------------------


def test_a_listed_digest_passes_and_others_do_not(tmp_path: Path) -> None:
    digest = hashlib.sha256(PLAIN).hexdigest()
    policy = required(require="sha256", digests=[digest])
    assert reasons(PLAIN, policy) == []
    (tmp_path / "a.pkl").write_bytes(PLAIN)
    assert reasons(tmp_path / "a.pkl", policy) == []
    other = b"\x80\x02}."
    assert reasons(other, policy) == [("SL323", f"the sha256 {hashlib.sha256(other).hexdigest()} is none that policy acme lists")]
    listed_evil = required(require="sha256", digests=[hashlib.sha256(EVIL).hexdigest()])
    assert [rule for rule, _ in reasons(EVIL, listed_evil)] == ["SL301"], "a digest speaks for where a file comes from, not for what it does"


def test_shards_need_their_digests_too(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "m")
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())]
    assert reasons(folder, required(require="sha256", digests=digests)) == []
    ((rule, message),) = reasons(folder, required(require="sha256", digests=digests[1:]))
    assert rule == "SL323"
    assert message.startswith("model-1.safetensors beside it: the sha256 ")


# ---- signatures -----------------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def signed(tmp_path_factory: Any) -> Path:
    """A folder with a key pair, another public key, and a model with its signature."""
    pytest.importorskip("model_signing", reason="model-signing is not installed: no real signature is checked")
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec
    from model_signing import signing

    folder: Path = tmp_path_factory.mktemp("signed")
    for name in ("key", "other"):
        key = ec.generate_private_key(ec.SECP256R1())
        (folder / f"{name}.private").write_bytes(key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()))
        (folder / f"{name}.pem").write_bytes(key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo))
    (folder / "m.pkl").write_bytes(PLAIN)
    signing.Config().use_elliptic_key_signer(private_key=folder / "key.private").sign(folder / "m.pkl", folder / "m.pkl.sig")
    return folder


def by_key(folder: Path, name: str = "key") -> Policy:
    return required(require="signature", key=str(folder / f"{name}.pem"))


def copied(signed: Path, folder: Path) -> Path:
    for name in ("m.pkl", "m.pkl.sig"):
        (folder / name).write_bytes((signed / name).read_bytes())
    return folder / "m.pkl"


def test_a_signed_file_passes(signed: Path, tmp_path: Path) -> None:
    assert reasons(signed / "m.pkl", by_key(signed)) == []
    assert safeload.load(signed / "m.pkl", policy=by_key(signed)) == {"lr": 0.5}
    (tmp_path / "link.pkl").symlink_to(signed / "m.pkl")
    (tmp_path / "link.pkl.sig").symlink_to(signed / "m.pkl.sig")
    assert reasons(tmp_path / "link.pkl", by_key(signed)) == []


def test_another_key_has_not_signed_it(signed: Path) -> None:
    ((rule, message),) = reasons(signed / "m.pkl", by_key(signed, "other"))
    assert rule == "SL323"
    assert message.startswith("the signature does not hold: ")


def test_other_bytes_are_not_signed(signed: Path, tmp_path: Path) -> None:
    path = copied(signed, tmp_path)
    path.write_bytes(b"\x80\x02}.")
    ((rule, message),) = reasons(path, by_key(signed))
    assert rule == "SL323"
    assert message.startswith("m.pkl.sig is no signature of these bytes")


def test_a_digest_that_was_written_into_a_signature_is_not_believed(signed: Path, tmp_path: Path) -> None:
    path = copied(signed, tmp_path)
    path.write_bytes(b"\x80\x02}.")
    bundle = json.loads((tmp_path / "m.pkl.sig").read_text())
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    statement["predicate"]["resources"][0]["digest"] = hashlib.sha256(b"\x80\x02}.").hexdigest()
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    (tmp_path / "m.pkl.sig").write_text(json.dumps(bundle))
    ((rule, message),) = reasons(path, by_key(signed))
    assert rule == "SL323"
    assert message.startswith("the signature does not hold: ")


def test_a_file_that_changes_behind_the_back_of_the_library_is_not_signed(signed: Path, tmp_path: Path) -> None:
    """The bytes that are judged are another file's, under the name of one that is signed: as if the file had been replaced in between."""
    path = copied(signed, tmp_path)
    other = tmp_path / "other.pkl"
    other.write_bytes(b"\x80\x02}.")
    with open(other, "rb") as stream:

        class Named:
            name = str(path)

            def __getattr__(self, attribute: str) -> Any:
                return getattr(stream, attribute)

        report = safeload.scan(Named(), policy=by_key(signed))  # type: ignore[arg-type]
    assert [finding.rule for finding in report.errors] == ["SL323"]


def test_what_has_no_signature(signed: Path, tmp_path: Path) -> None:
    policy = by_key(signed)
    (tmp_path / "bare.pkl").write_bytes(PLAIN)
    assert "bare.pkl.sig cannot be read" in reasons(tmp_path / "bare.pkl", policy)[0][1]
    assert "only one whole file, given by its path" in reasons(PLAIN, policy)[0][1]
    assert "only one whole file, given by its path" in reasons(folder_of(tmp_path / "m"), policy)[0][1]
    (tmp_path / "bare.pkl.sig").write_bytes(b"{" + bytes(MAX_SIGNATURE_BYTES))
    assert "may have" in reasons(tmp_path / "bare.pkl", policy)[0][1]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_signature_is_none(signed: Path, tmp_path_factory: Any, data: Any) -> None:
    path = copied(signed, tmp_path_factory.mktemp("damaged"))
    bundle = bytearray(path.with_name("m.pkl.sig").read_bytes())
    at = data.draw(st.integers(0, len(bundle) - 1))
    bundle[at] ^= data.draw(st.integers(1, 255))
    path.with_name("m.pkl.sig").write_bytes(bytes(bundle))
    report = safeload.scan(path, policy=by_key(signed))
    assert {finding.rule for finding in report.errors} <= {"SL323"}
    if not report.errors:  # a blank or a key that nobody reads has changed
        assert _signed_digest(bytes(bundle)) == hashlib.sha256(PLAIN).hexdigest()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60) | st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=2)
       | st.dictionaries(st.sampled_from(["dsseEnvelope", "payload", "x"]), inner, max_size=2), max_leaves=6).map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_bundle_or_none(bundle: bytes) -> None:  # fmt: skip
    assert _signed_digest(bundle) is None
    assert _signed_digest(b'{"dsseEnvelope": {"payload": "' + base64.b64encode(bundle) + b'"}}') is None


def bundle_of(**resource: Any) -> bytes:
    statement = {"predicate": {"resources": [resource]}}
    return json.dumps({"dsseEnvelope": {"payload": base64.b64encode(json.dumps(statement).encode()).decode()}}).encode()


def test_only_a_sha256_of_one_file_is_compared() -> None:
    assert _signed_digest(bundle_of(algorithm="sha256", digest="ab")) == "ab"
    assert _signed_digest(bundle_of(algorithm="blake2", digest="ab")) is None
    assert _signed_digest(bundle_of(algorithm="sha256", digest=5)) is None
    assert _signed_digest(bundle_of(digest="ab")) is None


class Recorder:
    """In the place of the library: what it was asked, and nothing else, since an identity takes a network to check."""

    calls: ClassVar[list[tuple[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **keys: self.calls.append((name, keys or args))


def test_an_identity_is_held_against_its_issuer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.pkl"
    path.write_bytes(PLAIN)
    (tmp_path / "m.pkl.sig").write_bytes(bundle_of(algorithm="sha256", digest=hashlib.sha256(PLAIN).hexdigest()))
    monkeypatch.setitem(sys.modules, "model_signing", SimpleNamespace(verifying=SimpleNamespace(Config=Recorder)))
    assert reasons(path, required(require="signature", identity="someone", issuer="https://issuer.example")) == []
    (first, keys), (second, (checked, _)) = Recorder.calls[:2]
    assert (first, keys) == ("use_sigstore_verifier", {"identity": "someone", "oidc_issuer": "https://issuer.example"})
    assert (second, checked) == ("verify", str(path))


def test_deep_json_is_no_bundle() -> None:
    assert _signed_digest(b"[" * 500_000) is None


# ---- the library ----------------------------------------------------------------------------------------------------------------------------

WITHOUT = """
import sys
sys.modules["model_signing"] = None
import safeload
from safeload.policy.resolve import policy_from_dict
head = {"schema": 1, "name": "acme", "version": "1", "summary": "s", "owner": "o", "mode": "enforce", "default": "deny", "extends": ["checkpoint"]}
policy = policy_from_dict({**head, "provenance": {"require": "signature", "identity": "i", "issuer": "j"}})
print(safeload.scan(sys.argv[1], policy=policy).errors[0].message)
"""


def test_without_the_library_the_error_says_how_to_get_it(tmp_path: Path) -> None:
    path = tmp_path / "m.pkl"
    path.write_bytes(PLAIN)
    statement = {"predicate": {"resources": [{"algorithm": "sha256", "digest": hashlib.sha256(PLAIN).hexdigest()}]}}
    (tmp_path / "m.pkl.sig").write_text(json.dumps({"dsseEnvelope": {"payload": base64.b64encode(json.dumps(statement).encode()).decode()}}))
    done = subprocess.run([sys.executable, "-c", WITHOUT, str(path)], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    assert done.stdout.startswith(INSTALL)
    assert "pip install 'safeload[signing]'" in INSTALL


def test_the_library_is_imported_for_a_signature_alone() -> None:
    code = "import sys, safeload; safeload.scan(b'N.'); sys.exit(any(name.startswith(('model_signing', 'sigstore', 'cryptography')) for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[1]).returncode == 0
