"""The command line `trl-ext`: what it says, and what it makes of its words."""

import dataclasses
import importlib
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.processes import ROOT, environment
from tests.tiny import tiny_reward_model, tiny_tokenizer
from trl_ext import __version__
from trl_ext.cli import command_line, main
from trl_ext.cli.arguments import with_updates
from trl_ext.cli.commands import ARGPARSE, COMMANDS
from trl_ext.cli.help import command_help, overview, program_help
from trl_ext.cli.launch import launch_command, split_launch_options
from trl_ext.cli.programs import accelerate_config
from trl_ext.cli.usage import UsageError
from trl_ext.reporting.__main__ import main as report


PROGRAMS = [(name, word) for name, command in COMMANDS.items() for word in command.programs]
TRAIN = [sys.executable, str(ROOT / "tasks" / "train.py")]


def trl_ext(*words: str, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "trl_ext", *words],
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=600,
    )


class TestHelp:
    def test_it_answers_without_torch_and_at_once(self):
        code = "import sys; from trl_ext.cli import main; main(['--help']); print('torch' in sys.modules, len(sys.modules))"
        began = time.process_time()
        result = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True)
        assert result.returncode == 0 and time.process_time() - began < 1
        torch, modules = result.stdout.split()[-2:]
        assert torch == "False" and int(modules) < 300
        for name, command in COMMANDS.items():
            assert name in result.stdout and command.purpose.split()[0] in result.stdout

    @pytest.mark.parametrize("name", COMMANDS)
    def test_every_command_shows_purpose_example_output_and_keys(self, name, capsys):
        text = command_help(name)
        assert text.splitlines()[0].endswith((".", "?"))
        for word in ("example", "writes:", "all keys:"):
            assert word in text, word
        assert f"trl-ext {name}" in text and max(map(len, text.splitlines())) <= 140

    @pytest.mark.parametrize(
        ("name", "word"), [pair for pair in PROGRAMS if COMMANDS[pair[0]].programs[pair[1]].takes != ARGPARSE]
    )
    def test_it_is_shown_and_nothing_is_run(self, name, word, capsys):
        assert main([name, *([word] if word else []), "--help"]) == 0
        shown = capsys.readouterr().out
        assert COMMANDS[name].programs[word].example in shown
        assert shown.startswith(COMMANDS[name].purpose if not word else COMMANDS[name].programs[word].purpose)

    @pytest.mark.parametrize("name", ["score", "doctor"])
    def test_that_of_a_program_with_options_lists_them(self, name):
        result = trl_ext(name, "--help")
        assert f"usage: trl-ext {name} " in result.stdout
        assert result.returncode == 0 and "options:" in result.stdout
        assert result.stdout.startswith(COMMANDS[name].purpose)

    def test_that_of_the_report_has_its_name(self, capsys):
        with pytest.raises(SystemExit):
            report(["--help"])
        assert "usage: trl-ext report " in capsys.readouterr().out

    def test_no_words(self, capsys):
        assert main([]) == 2 and main(["--help"]) == 0 and main(["help"]) == 0
        assert capsys.readouterr().out == f"{overview()}\n" * 3

    def test_version(self, capsys):
        assert main(["--version"]) == 0
        assert capsys.readouterr().out == f"trl-ext {__version__}\n"


class TestExamples:
    @pytest.mark.parametrize(("name", "word"), PROGRAMS)
    def test_the_command_line_makes_a_command(self, name, word):
        program = COMMANDS[name].programs[word]
        words = shlex.split(program.example)
        assert words[:2] == ["trl-ext", name] and (not word or words[2] == word)
        command, _ = command_line(words[1:])
        assert command[0] == sys.executable

    @pytest.mark.parametrize(
        ("name", "word", "module"),
        [
            ("train", "", "tasks.train"),
            ("evaluate", "", "tasks.rewardbench.run_rm"),
            ("evaluate", "rewardbench2", "tasks.rewardbench.run_v2"),
            ("evaluate", "rm-bench", "tasks.rewardbench.run_rm_bench"),
            ("evaluate", "best-of-n", "tasks.rewardbench.run_bon"),
            ("evaluate", "dpo", "tasks.rewardbench.run_dpo"),
            ("evaluate", "judge", "tasks.rewardbench.run_generative"),
            ("evaluate", "lie", "tasks.rapl.evaluate_reward_model"),
            ("evaluate", "true", "tasks.rapl.evaluate_reward_model"),
            ("evaluate", "attributes", "tasks.rapl.evaluate_reward_model"),
            ("evaluate", "compare", "tasks.rewardbench.compare"),
            ("audit", "labels", "tasks.find_mislabels"),
            ("audit", "attribute", "tasks.rate.run_all"),
            ("audit", "models", "tasks.charm.mismatch"),
            ("calibrate", "", "tasks.calibrate"),
            ("monitor", "", "tasks.annotators.monitor"),
            ("contract", "", "tasks.annotators.contract_gaps"),
        ],
    )
    def test_their_keys_are_keys_of_the_program(self, name, word, module):
        """What the script itself makes of the example: keys that it has, so that Sacred takes them."""
        ex = __import__(module, fromlist=["ex"]).ex
        command, _ = command_line(shlex.split(COMMANDS[name].programs[word].example)[1:])
        given = command[2:]
        keys = set(ex.configurations[0]())
        if "with" in given:
            used = {update.partition("=")[0].partition(".")[0] for update in given[given.index("with") + 1 :]}
        else:
            used = {option.removeprefix("--") for option in given if option.startswith("--")}
        assert used and used <= keys

    @pytest.mark.parametrize(("name", "module"), [("score", "trl_ext.scoring"), ("doctor", "trl_ext.doctor")])
    def test_options_are_those_of_the_program(self, name, module):
        words = shlex.split(COMMANDS[name].programs[""].example)[2:]
        assert importlib.import_module(f"{module}.__main__").parse_arguments(words)

    def test_options_of_the_report(self):
        path = ROOT / "trl_ext" / "reporting" / "__main__.py"
        options = [word for word in shlex.split(COMMANDS["report"].programs[""].example) if word.startswith("--")]
        assert options and all(f'"{option}"' in path.read_text(encoding="utf-8") for option in options)


class TestUpdates:
    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ([], []),
            (["a=1"], ["with", "a=1"]),
            (["with", "a=1"], ["with", "a=1"]),
            (["lie", "a=1", "-u"], ["-u", "with", "lie", "a=1"]),
            (["print_config", "a=1"], ["print_config", "with", "a=1"]),
            (["-F", "runs", "a=1"], ["-F", "runs", "with", "a=1"]),
            (["--name=x", "a=1"], ["--name=x", "with", "a=1"]),
            (["with", "a=1", "-l", "DEBUG", "b=2"], ["-l", "DEBUG", "with", "a=1", "b=2"]),
            (["text=two words; $HOME 'quoted'"], ["with", "text=two words; $HOME 'quoted'"]),
            (["help", "print_config"], ["help", "print_config"]),
        ],
    )
    def test_with_is_put_where_sacred_wants_it(self, given, expected):
        assert with_updates(given) == expected

    def test_what_the_user_says_comes_last_and_wins(self):
        assert with_updates(["a=2"], defaults=["a=1"], names={"a": "b"}) == ["with", "a=1", "b=2"]

    def test_sacred_takes_them_and_outputs_are_where_the_user_is(self, tmp_path):
        """The whole way, as a user types it: no `with`, blanks in a value, a named configuration."""
        words = ["lie", "experiment_tag=two words; $HOME", "trainer.max_steps=3"]
        result = trl_ext("train", "save_config", *words, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        config = json.loads((tmp_path / "config.json").read_text())
        assert config["experiment_tag"] == "two words; $HOME" and config["eval_on_lie_test"] is True
        assert config["trainer"] == {"max_steps": 3}

    def test_another_key_of_the_same_name(self):
        command, _ = command_line(["evaluate", "lie", "model=m", "data=folder"])
        assert command[1:] == [
            str(ROOT / "tasks/rapl/evaluate_reward_model.py"),
            "with",
            "model=m",
            "lie_data_dir=folder",
        ]

    def test_options_of_rewardbench_are_left_to_the_script(self):
        words = ["--model", "m", "--dataset", "a", "b", "--debug"]
        assert command_line(["evaluate", *words])[0][2:] == words
        assert command_line(["evaluate", "rewardbench2", "model=m"])[0][2:] == ["with", "model=m"]


class TestMistakes:
    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["trian"], "no command 'trian'. Did you mean 'train'?"),
            (["evaluate", "rewardbnch2"], "no 'rewardbnch2'. Did you mean 'rewardbench2'?"),
            (["audit"], "needs to know what: labels, attribute, models"),
            (["audit", "atribute", "--help"], "no 'atribute'. Did you mean 'attribute'?"),
            (["audit", "attribute"], "trl-ext audit attribute needs model=..."),
            (["evaluate", "lie", "model=m"], "trl-ext evaluate lie needs data=..."),
            (["evaluate", "attributes", "model=m"], "trl-ext evaluate attributes needs data=..."),
            (["evaluate", "lie", "--model", "m"], "trl-ext evaluate lie has no option --model: say model=..., as in:"),
            (["monitor", "--eta0=0.6"], "trl-ext monitor has no option --eta0: say eta0=..., as in:"),
            (["train", "--num_proceses", "2"], "no option --num_proceses. Did you mean '--num_processes'?"),
            (["train", "--num_processes", "two"], "--num_processes must be a positive whole number, got 'two'"),
            (["train", "--config_file"], "--config_file needs a value"),
            (["train", "--config_file", "zero9"], "no configuration of ours of that name"),
            (["--print-command"], "--print-command is followed by a command"),
        ],
    )
    def test_they_are_told_with_what_was_meant(self, words, message, capsys):
        assert main(words) == 2
        shown = capsys.readouterr().err
        assert message in shown and shown.startswith("trl-ext: error: ") and "Traceback" not in shown

    def test_a_script_that_is_not_there(self, monkeypatch):
        gone = dataclasses.replace(COMMANDS["monitor"].programs[""], path="tasks/gone.py")
        monkeypatch.setitem(COMMANDS["monitor"].programs, "", gone)
        with pytest.raises(UsageError, match=r"has no tasks/gone.py.*update it"):
            command_line(["monitor"])

    @pytest.mark.skipif(os.name != "posix", reason="processes are not replaced there")
    def test_packages_that_are_not_there(self, monkeypatch, capsys):
        monkeypatch.setattr("trl_ext.cli.dispatch._PACKAGES", ("sys", "no_such_package"))
        monkeypatch.setattr("trl_ext.cli.dispatch.become", lambda *command: 0)
        assert main(["monitor"]) == 2 and main(["doctor"]) == 0
        shown = capsys.readouterr().err
        assert "no_such_package not installed; `trl-ext doctor` tells" in shown and "sys" not in shown.split()

    def test_a_mistake_in_a_key_is_that_of_the_script(self, tmp_path):
        result = trl_ext("train", "rapl_methd=p", cwd=tmp_path)
        assert result.returncode == 1 and "Did you mean 'rapl_method'?" in result.stderr + result.stdout


class TestLaunch:
    def configured(self, launch: dict, gpus: int) -> tuple[str | None, list[str]]:
        command, _ = launch_command(TRAIN, launch, gpus, ["with", "a=1"])
        if command[:2] == TRAIN:
            return None, command[2:]
        assert command[:3] == [sys.executable, "-m", "accelerate.commands.launch"] and command[-2:] == ["with", "a=1"]
        place = command.index("--config_file") + 1
        return Path(command[place]).name, command[place + 1 : command.index(TRAIN[1])]

    @pytest.mark.parametrize(
        ("launch", "gpus", "config", "flags"),
        [
            ({}, 4, "multi_gpu.yaml", ["--num_processes", "4"]),
            ({"--num_processes": "2"}, 4, "multi_gpu.yaml", ["--num_processes", "2"]),
            ({"--num_processes": "2"}, 0, "cpu_2proc.yaml", ["--num_processes", "2"]),
            ({"--mixed_precision": "no"}, 0, "cpu.yaml", ["--num_processes", "1", "--mixed_precision", "no"]),
            ({"--gpu_ids": "0"}, 1, "single_gpu.yaml", ["--num_processes", "1", "--gpu_ids", "0"]),
            ({"--config_file": "zero2", "--num_processes": "4"}, 0, "zero2.yaml", ["--num_processes", "4"]),
            ({"--config_file": "zero3.yaml"}, 0, "zero3.yaml", []),
        ],
    )
    def test_the_configuration_fits_the_machine_unless_the_user_chose(self, launch, gpus, config, flags):
        assert self.configured(launch, gpus) == (config, flags)

    @pytest.mark.parametrize(
        ("gpus", "visible", "variables"),
        [
            (0, None, {"ACCELERATE_USE_CPU": "true"}),
            (1, None, {}),
            (2, None, {"CUDA_VISIBLE_DEVICES": "0"}),
            (2, "3,5", {"CUDA_VISIBLE_DEVICES": "3"}),
        ],
    )
    def test_one_process_needs_no_launcher(self, gpus, visible, variables, monkeypatch):
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert launch_command(TRAIN, {"--num_processes": "1"}, gpus, ["-u"]) == ([*TRAIN, "-u"], variables)

    def test_a_file_of_the_user_comes_before_ours(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        Path("zero2").write_text("num_processes: 1\n")
        assert accelerate_config("zero2") == "zero2"
        assert yaml.safe_load(Path(accelerate_config("zero2.yaml")).read_text())["distributed_type"] == "DEEPSPEED"

    def test_options_are_parted(self):
        words = ["--num-processes=2", "a=1", "-n", "--gpu_ids", "--config_file", "x"]
        assert split_launch_options(words) == (
            {"--num_processes": "2", "--config_file": "x"},
            ["a=1", "-n", "--gpu_ids"],
        )

    def test_nothing_is_launched_to_show_keys_or_twice(self, monkeypatch, capsys):
        assert command_line(["train", "print_config", "a=1"])[0] == [*TRAIN, "print_config", "with", "a=1"]
        monkeypatch.setenv("LOCAL_RANK", "1")
        assert command_line(["train", "--num_processes", "2", "a=1"]) == ([*TRAIN, "with", "a=1"], {})
        assert "--num_processes left out: this process has been launched already" in capsys.readouterr().err


class TestProcess:
    def test_the_printed_command_can_be_pasted(self, tmp_path):
        shown = trl_ext("--print-command", "monitor", "output_dir=my folder").stdout
        assert shlex.split(shown) == [
            sys.executable, str(ROOT / "tasks/annotators/monitor.py"), "with", "output_dir=my folder",
        ]  # fmt: skip

    @pytest.mark.skipif(os.name != "posix", reason="processes are not replaced there")
    def test_it_becomes_the_program_so_that_signals_and_status_are_its_own(self, tmp_path):
        code = (
            "import os, sys; from trl_ext.cli.dispatch import become; "
            "become([sys.executable, '-c', 'import os; print(os.getpid(), os.environ[\"MARK\"]); os._exit(7)'], {'MARK': 'x y'})"
        )
        process = subprocess.Popen([sys.executable, "-c", code], env=environment(), stdout=subprocess.PIPE, text=True)
        output = process.communicate(timeout=60)[0]
        assert output.split(maxsplit=1) == [str(process.pid), "x y\n"] and process.returncode == 7


def test_help_of_a_word_is_that_of_its_program():
    assert program_help("audit", "attribute").splitlines()[0] == COMMANDS["audit"].programs["attribute"].purpose


@pytest.mark.slow
def test_an_audit_of_an_attribute_is_one_command(tmp_path):
    tokenizer = tiny_tokenizer()
    for part in (tiny_reward_model(tokenizer), tokenizer):
        part.save_pretrained(tmp_path / "rm")
    result = trl_ext(
        "audit", "attribute", "model=rm", "attribute=length", "limit=12", "stop_after=effects", cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr[-2000:]
    (effects,) = (tmp_path / "outputs" / "rate" / "effects").glob("*.json")
    assert "rm" in effects.read_text()
