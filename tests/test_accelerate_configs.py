"""Every file of accelerate_configs is one that accelerate reads, and means what its name says."""

import importlib.util
import re
from pathlib import Path

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import DeepSpeedPlugin, FullyShardedDataParallelPlugin
from accelerate.utils.launch import prepare_deepspeed_cmd_env, prepare_multi_gpu_env, prepare_simple_launcher_cmd_env
from torch.distributed.fsdp import CPUOffloadPolicy


ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "accelerate_configs").glob("*.yaml"))

# Stage, device of the optimizer, device of the weights
ZERO = {
    "zero1": (1, "none", "none"),
    "zero2": (2, "none", "none"),
    "zero2_cpu_2proc": (2, "none", "none"),
    "zero3": (3, "none", "none"),
    "zero3_cpu_2proc": (3, "none", "none"),
    "zero3_offload": (3, "cpu", "cpu"),
}
# Whether only the first process of a machine reads the checkpoint
FSDP = {"fsdp2": True, "fsdp2_cpu_2proc": False, "multi_node": True}
DDP = {"multi_gpu", "cpu_2proc"}
ONE_PROCESS = {"cpu", "single_gpu"}

named = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def launch_arguments(file: Path, *options: str):
    """The arguments of `accelerate launch` as it uses them: of the command line, completed from the file."""
    parser = launch_command_parser()
    arguments = parser.parse_args(["--config_file", str(file), "--main_process_port", "0", *options, "train.py"])
    return _validate_launch_command(arguments)[0]


def launch_environment(file: Path) -> dict[str, str]:
    """The environment that `accelerate launch` gives to the processes."""
    arguments = launch_arguments(file, "--main_process_ip", "127.0.0.1")
    if arguments.use_deepspeed:
        arguments.deepspeed_fields_from_accelerate_config = ",".join(
            yaml.safe_load(file.read_text())["deepspeed_config"]
        )
        return prepare_deepspeed_cmd_env(arguments)[1]
    if arguments.use_fsdp or arguments.multi_gpu:
        return prepare_multi_gpu_env(arguments)
    return prepare_simple_launcher_cmd_env(arguments)[1]


@pytest.fixture
def as_launched(monkeypatch):
    """Set the environment that a file leads to."""

    def set_environment(name: str) -> None:
        for key, value in launch_environment(ROOT / "accelerate_configs" / f"{name}.yaml").items():
            monkeypatch.setenv(key, value)

    return set_environment


def test_every_file_is_of_a_known_kind():
    assert {file.stem for file in FILES} == {*ZERO, *FSDP, *DDP, *ONE_PROCESS}


@named
def test_accelerate_knows_every_key(file):
    load_config_from_file(str(file))  # an unknown key at the top is an error
    known = vars(launch_command_parser().parse_args(["train.py"]))
    for section in ("deepspeed_config", "fsdp_config"):
        # accelerate takes any key below a section, and ignores those that are no option of its command line
        unknown = set(yaml.safe_load(file.read_text()).get(section, {})) - set(known)
        assert not unknown, f"{file.name}: {section} has keys without effect: {sorted(unknown)}"


@named
def test_number_of_processes(file):
    arguments = launch_arguments(file)
    wanted = 2 if file.stem.endswith("_2proc") else {"cpu": 1, "single_gpu": 1, "multi_node": 16}.get(file.stem, 8)
    assert arguments.num_processes == wanted
    assert arguments.num_machines == (2 if file.stem == "multi_node" else 1)
    assert arguments.use_cpu == ("cpu" in file.stem.split("_"))


@named
def test_the_trainer_decides_the_precision(file):
    assert launch_environment(file)["ACCELERATE_MIXED_PRECISION"] == "no"


@named
def test_kind_of_parallelism(file):
    arguments = launch_arguments(file)
    kinds = {"multi_gpu": DDP, "use_deepspeed": ZERO, "use_fsdp": FSDP}
    assert {kind for kind in kinds if getattr(arguments, kind)} == {
        k for k, names in kinds.items() if file.stem in names
    }


@pytest.mark.parametrize("name", ZERO)
def test_zero(name, as_launched):
    if importlib.util.find_spec("deepspeed") is None:
        pytest.skip("deepspeed is not installed")
    as_launched(name)
    plugin = DeepSpeedPlugin()
    zero = plugin.deepspeed_config["zero_optimization"]
    devices = zero["offload_optimizer"]["device"], zero["offload_param"]["device"]
    assert (plugin.zero_stage, *devices) == ZERO[name]
    # Without gathering, the saved model would have no weights
    assert zero["stage3_gather_16bit_weights_on_model_save"] == (plugin.zero_stage == 3)
    assert plugin.zero3_init_flag == (plugin.zero_stage == 3)
    plugin.set_mixed_precision("bf16")  # what the trainer does with bf16=True
    assert plugin.deepspeed_config["bf16"]["enabled"] is True


@pytest.mark.parametrize("name", FSDP)
def test_fsdp(name, as_launched):
    as_launched(name)
    plugin = FullyShardedDataParallelPlugin()
    assert plugin.fsdp_version == 2
    assert plugin.reshard_after_forward is True
    assert plugin.auto_wrap_policy.__name__ == "transformer_auto_wrap_policy"
    assert plugin.state_dict_type.name == "FULL_STATE_DICT"
    assert plugin.cpu_ram_efficient_loading == FSDP[name]
    assert not isinstance(plugin.cpu_offload, CPUOffloadPolicy)
    assert not plugin.activation_checkpointing


def test_machines_meet_at_one_address():
    file = ROOT / "accelerate_configs" / "multi_node.yaml"
    where = "--main_process_ip", "10.0.0.1", "--main_process_port", "29500"
    arguments = launch_arguments(file, "--machine_rank", "1", *where)
    prepare_multi_gpu_env(arguments)
    found = arguments.nnodes, arguments.nproc_per_node, arguments.node_rank, arguments.rdzv_endpoint
    assert found == ("2", "8", 1, "10.0.0.1:29500")
    assert arguments.rdzv_backend == "static"


@named
def test_the_first_line_says_what_for(file):
    assert re.match(r"# .{20}", file.read_text())


def test_the_guide_names_every_file_and_no_other():
    guide = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(\w+)\.yaml`", guide)) == {file.stem for file in FILES}
