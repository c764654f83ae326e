"""Memory: parameters are counted, formulas agree with DeepSpeed, accelerate and with what a forward pass really keeps."""

import json

import pytest
from accelerate.commands.estimate import estimate_training_usage
from accelerate.utils import calculate_maximum_sizes
from transformers import LlamaConfig, Qwen3Config

from benchmarks import common, memory
from benchmarks.model_states import LORA_RANK, STRATEGIES, Parameters, count, empty_model, fsdp2, zero2, zero3


# Of the published language models. With tied embeddings the reward model has the same matrices; else the matrix of the
# vocabulary is missing here.
PUBLISHED = {
    "qwen05": (494_032_768, True),
    "qwen15": (1_543_714_304, True),
    "qwen3b": (3_085_938_688, True),
    "qwen8b": (8_190_735_360, False),
    "qwen14b": (14_768_307_200, False),
    "qwen32b": (32_762_123_264, False),
    "llama70b": (70_553_706_496, False),
}
LLAMA = Parameters(total=7_500_000_000, trained=7_500_000_000, largest_unit=620_000_000)


@pytest.mark.parametrize("name", PUBLISHED)
def test_shapes_have_the_published_number_of_parameters(name):
    published, tied = PUBLISHED[name]
    config = common.build_config(name)
    vocabulary = 0 if tied else config.vocab_size * config.hidden_size
    assert count(empty_model(name)).total == published - vocabulary + config.hidden_size  # the score head


def test_lora_trains_adapters_and_the_head():
    config = common.build_config("8m")  # h 256, i 1024, 4 heads and 2 key heads of 64, 8 layers
    shapes = [(256, 256), (256, 128), (256, 128), (256, 256), (256, 1024), (256, 1024), (1024, 256)]
    adapters = config.num_hidden_layers * LORA_RANK * sum(rows + columns for rows, columns in shapes)
    assert count(empty_model("8m", lora=True)).trained == adapters + 256


class TestStates:
    @pytest.mark.parametrize("machines, gpus", [(1, 1), (1, 8), (2, 8)])
    def test_zero_as_deepspeed_estimates_it(self, machines, gpus):
        pytest.importorskip("deepspeed", reason="deepspeed is not installed")
        from deepspeed.runtime.zero.stage3 import estimate_zero3_model_states_mem_needs
        from deepspeed.runtime.zero.stage_1_and_2 import estimate_zero2_model_states_mem_needs

        where = {"num_gpus_per_node": gpus, "num_nodes": machines, "cpu_offload": False}
        theirs = estimate_zero2_model_states_mem_needs(LLAMA.total, **where)[1]
        assert zero2(LLAMA, machines * gpus).gpu == pytest.approx(theirs)
        where["cpu_offload_params"] = False
        theirs = estimate_zero3_model_states_mem_needs(LLAMA.total, LLAMA.largest_unit, **where)[1]
        assert zero3(LLAMA, machines * gpus).gpu == pytest.approx(theirs)

        where |= {"cpu_offload": True, "cpu_offload_params": True}
        host, theirs, _ = estimate_zero3_model_states_mem_needs(LLAMA.total, LLAMA.largest_unit, **where)
        ours = STRATEGIES["ZeRO-3, offload"](LLAMA, machines * gpus)
        assert ours.gpu == pytest.approx(theirs)
        assert gpus * ours.host == pytest.approx(host)

    def test_one_process_as_accelerate_estimates_it(self):
        model = empty_model("qwen05")
        size, _ = calculate_maximum_sizes(model)  # buffers of the rotary embedding included
        ours = STRATEGIES["DDP"](count(model), 1)
        assert ours.weights == pytest.approx(size, rel=1e-5)
        theirs = estimate_training_usage(size, "float32")
        assert ours.gradients == pytest.approx(theirs["gradients"], rel=1e-5)
        assert ours.optimizer == pytest.approx(theirs["optimizer"], rel=1e-5)

    def test_bytes_per_parameter_by_hand(self):
        # 4 + 4 + 8 and copies of 2; buckets of 4 come with a second process
        p = Parameters(total=1000, trained=1000, largest_unit=10)
        assert [STRATEGIES["DDP"](p, gpus).gpu for gpus in (1, 2)] == [18_000, 22_000]
        assert STRATEGIES["ZeRO-1"](p, 4).gpu == 2000 + 2000 + 3000 + 1000
        assert fsdp2(p, 4).gpu == 4000 + 60
        # A frozen base of 900 in bfloat16: 1800, divided among four
        assert fsdp2(Parameters(total=1000, trained=100, largest_unit=10), 4).gpu == 450 + 400 + 60

    @pytest.mark.parametrize("label", STRATEGIES)
    def test_only_ddp_needs_more_with_more_processes(self, label):
        sizes = [STRATEGIES[label](LLAMA, gpus).gpu for gpus in (2, 4, 8)]
        assert sizes == sorted(sizes, reverse=True)
        assert (STRATEGIES[label](LLAMA, 1).gpu < sizes[0]) == (label == "DDP")


class TestActivations:
    @pytest.fixture(autouse=True)
    def small_models(self, monkeypatch):
        sizes = {"hidden_size": 64, "intermediate_size": 176, "num_hidden_layers": 6, "num_attention_heads": 4}
        sizes |= {"num_key_value_heads": 2, "head_dim": 16, "vocab_size": common.MIN_VOCABULARY}
        monkeypatch.setitem(common.MODELS, "llama", (LlamaConfig, sizes))
        monkeypatch.setitem(common.MODELS, "qwen3", (Qwen3Config, sizes))

    @pytest.mark.parametrize("name", ["llama", "qwen3"])
    def test_the_formula_is_what_a_forward_pass_keeps(self, name):
        rows = memory.check_formula(name, seed=0)
        assert len(rows) == 3 * 2 * 2
        for row in rows:
            # Packed rows: the last layer's attention, on one query per segment, is counted as a whole
            tolerance = 0.01 if row["layout"] == "padded" else 0.05
            assert row["predicted"] == pytest.approx(row["measured"], rel=tolerance), row

    def test_the_command(self, tmp_path, capsys, monkeypatch):
        monkeypatch.setattr(memory, "SHAPES", ("qwen05", "qwen8b"))
        file = tmp_path / "memory.json"
        arguments = ["--measure", "--model", "llama", "--lengths", "true", "--pairs", "8", "--batch-size", "4"]
        result = memory.main([*arguments, "--json", str(file)])
        assert json.loads(file.read_text()) == result
        (row,) = result["layouts"]
        assert row["padded"]["bytes"] / row["shared"]["bytes"] > 2  # as tokens: five times fewer on average
        fewest = result["computed"]["qwen8b"]["fewest_gpus"]["80"]["full"]
        # 18 bytes for each of 7.6 billion parameters are 127 GiB: no GPU of 80 GB holds them
        assert fewest["DDP"] is None and fewest["FSDP2"] in (2, 4)
        tables = capsys.readouterr().out
        assert tables.count("\n## ") + tables.startswith("## ") == 7
        assert "| qwen8b (7.57B) | ZeRO-3 |" in tables
