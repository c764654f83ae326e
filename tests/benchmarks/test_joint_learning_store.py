"""Kept results of the simulation are those of the same settings."""

from benchmarks import joint_learning


def test_results_of_other_settings_are_computed_again(tmp_path, monkeypatch):
    monkeypatch.setattr(joint_learning, "PAIRS", 48)
    monkeypatch.setattr(joint_learning, "TEST_PAIRS", 20)
    monkeypatch.setattr(joint_learning, "SETTINGS", joint_learning.SETTINGS | {"num_train_epochs": 1})
    first = joint_learning.run("standard", "honest", 1, 3.0, tmp_path)
    assert joint_learning.run("standard", "honest", 1, 3.0, tmp_path) == first  # the seconds too: it was kept
    monkeypatch.setattr(joint_learning, "SETTINGS", joint_learning.SETTINGS | {"learning_rate": 0.1})
    other = joint_learning.run("standard", "honest", 1, 3.0, tmp_path)
    assert other["settings"]["learning_rate"] == 0.1
    assert other["seconds"] != first["seconds"]
