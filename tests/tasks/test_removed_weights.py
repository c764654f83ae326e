from tasks.finished_runs import remove_weights


def test_the_checkpoints_of_a_run_that_was_killed_when_it_had_finished_go_too(tmp_path):
    (tmp_path / "checkpoint-3").mkdir()
    for name in ("model.safetensors", "results.json", "checkpoint-3/model.safetensors"):
        (tmp_path / name).write_text("x")
    remove_weights(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-3", "results.json"]
    remove_weights(tmp_path, checkpoints=True)
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]
