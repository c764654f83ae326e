"""Leaderboards of results on disk."""

import json
import logging
import shutil

import numpy as np
import pandas as pd
import pytest

from tests.evaluation.doc_examples import failed_examples
from tests.synthetic_results import NoisyScorer, evaluate, pairs
from trl_ext.evaluation.leaderboards import leaderboard as module
from trl_ext.evaluation.leaderboards.leaderboard import (
    ModelResult,
    collect_results,
    compare_models,
    display_table,
    leaderboard,
    tie_groups,
    to_latex,
    to_markdown,
)
from trl_ext.evaluation.leaderboards.shared_rows import common_rows
from trl_ext.evaluation.leaderboards.tables import accuracies_by_length, margin_correlations, rewards_of_responses
from trl_ext.evaluation.results.card import results_card
from trl_ext.evaluation.results.shown_names import shown_names
from trl_ext.evaluation.rewardbench_layout import write_rewardbench_results
from trl_ext.evaluation.statistics import wilson_interval
from trl_ext.privacy import without_folders


MODELS = {"org/good": 2.0, "org/fair": 1.0, "org/guess": 0.0}


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """Three models on RewardBench, in our layout and in RewardBench's."""
    folder = tmp_path_factory.mktemp("results")
    data = pairs(4)
    for name, skill in MODELS.items():
        rows, result, rewards = evaluate(folder, NoisyScorer(name, skill), data)
        write_rewardbench_results(folder, result, rows, rewards, model=name)
    return folder


@pytest.fixture(scope="module")
def results(evaluated):
    return collect_results([evaluated])


@pytest.fixture(scope="module")
def comparisons(results):
    return compare_models(results)


class TestCollect:
    def test_our_folders_and_the_layout_beside_them_count_once(self, results):
        assert sorted(result.model for result in results) == sorted(MODELS)
        assert all(result.source.endswith("results.json") for result in results)

    def test_the_layout_alone_gives_the_same_figures_and_rows(self, results, evaluated, tmp_path):
        for name in ("eval-set", "eval-set-scores"):
            shutil.copytree(evaluated / name, tmp_path / name)
        for mine, theirs in zip(
            sorted(results, key=lambda result: result.model), collect_results([tmp_path]), strict=True
        ):
            assert mine.model == theirs.model
            assert mine.overall.value == pytest.approx(theirs.overall.value, abs=1e-12)
            assert {k: v.value for k, v in mine.sections.items()} == pytest.approx(
                {k: v.value for k, v in theirs.sections.items()}
            )
            assert mine.rows["score"].tolist() == theirs.rows["score"].tolist()
            np.testing.assert_allclose(mine.rows["margin"], theirs.rows["margin"], rtol=1e-6)

    def test_golden_sections_of_accuracies(self, shared_dir, tmp_path):
        cases = json.loads((shared_dir / "golden" / "rewardbench.json").read_text())["section_scores"]["cases"]
        for case in (case for case in cases if case["name"] in ("all", "readme_beaver_cost")):
            path = tmp_path / f"{case['name']}.json"
            path.write_text(json.dumps({"model": "m"} | case["metrics"]))
            [result] = collect_results([path])
            sections = {name: figure.value for name, figure in result.sections.items()}
            assert sections == pytest.approx(case["expected"], abs=1e-9)
            assert result.overall.value == pytest.approx(np.mean(list(case["expected"].values())), abs=1e-9)

    def test_published_row_counts_give_intervals_where_the_accuracies_fit_them(self, tmp_path):
        (tmp_path / "fits.json").write_text('{"model": "fits", "donotanswer": 0.75, "math-prm": 0.0}')
        (tmp_path / "other.json").write_text('{"model": "other", "donotanswer": 0.7512, "math-prm": 0.0}')
        fits, other = collect_results([tmp_path / "fits.json", tmp_path / "other.json"])
        assert fits.subsets["donotanswer"].ci_low == pytest.approx(wilson_interval(102, 136).ci_low)
        assert fits.subsets["math-prm"].n == 447
        assert np.isnan(other.subsets["donotanswer"].ci_low) and other.subsets["donotanswer"].n == 0

    def test_prior_sets_count_half(self, tmp_path):
        for name, content in (
            ("eval-set", {"donotanswer": 0.5, "mt-bench-easy": 1.0, "mt-bench-hard": 0.0, "hep-go": 0.5}),
            ("pref-sets", {"shp": 0.6, "summarize": 0.4, "pku_safer": 0.0}),
        ):
            (tmp_path / name).mkdir()
            (tmp_path / name / "m.json").write_text(json.dumps({"model": "m"} | content))
        result = next(result for result in collect_results([tmp_path]) if result.benchmark == "rewardbench")
        assert result.sections["Prior Sets"].value == pytest.approx(0.5)
        assert result.overall.value == pytest.approx((2 * (0.5 + 1.0 + 0.0 + 0.5) + 1 * 0.5) / 9)

    def test_genuine_scores_of_version_2(self, shared_dir):
        path = shared_dir / "golden" / "rewardbench_cli" / "expected" / "v2__scores.json"
        [result] = collect_results([path])
        assert result.benchmark == "rewardbench2"
        assert result.subsets["Ties"].value == pytest.approx(-0.009781300114562083, abs=1e-12)
        assert result.overall.value == pytest.approx((0 + 0.25 + 0.75 + 0 + 0 - 0.009781300114562083) / 6)

    def test_two_results_of_one_model_are_refused(self, evaluated, tmp_path):
        shutil.copytree(evaluated / "rewardbench" / "org__good", tmp_path / "again")
        with pytest.raises(ValueError, match="two results.*again"):
            collect_results([evaluated, tmp_path])

    @pytest.mark.parametrize(
        ("name", "text", "message"),
        [
            ("results.json", '{"benchmark": "b", "model": "m", "figures": {"overall": null}}', "figures are not as"),
            ("results.json", "{", "not JSON"),
            ("other.txt", "", "has no results"),
        ],
    )
    def test_bad_folders(self, tmp_path, name, text, message):
        (tmp_path / name).write_text(text)
        with pytest.raises(ValueError, match=message) as error:
            collect_results([tmp_path])
        assert str(tmp_path) in str(error.value)

    def test_rows_with_a_bad_score(self, evaluated, tmp_path):
        shutil.copytree(evaluated / "rewardbench" / "org__good", tmp_path / "m")
        rows = pd.read_csv(tmp_path / "m" / "per_row.csv").astype({"score": object})
        rows.loc[3, "score"] = "high"
        rows.to_csv(tmp_path / "m" / "per_row.csv", index=False)
        with pytest.raises(ValueError, match="row 3 .*score 'high' is not a number"):
            collect_results([tmp_path])


class TestLeaderboard:
    def test_ranks_groups_and_figures(self, results, comparisons):
        table = leaderboard(results, comparisons=comparisons)
        assert table["model"].tolist() == list(MODELS) and table["rank"].tolist() == [1, 2, 3]
        assert (table["ci_low"] < table["value"]).all() and (table["value"] < table["ci_high"]).all()
        assert table["tie_group"].tolist()[0] == "a" and table["tie_group"].tolist()[-1] != "a"
        assert list(table.columns[7:11]) == ["Chat", "Chat Hard", "Safety", "Reasoning"]

    def test_compared_figures_are_the_overall_ones(self, results, comparisons):
        overall = {result.model: result.overall.value for result in results}
        for row in comparisons.itertuples():
            assert row.figure_a == pytest.approx(overall[row.model_a], abs=1e-9)
            assert row.difference == pytest.approx(overall[row.model_a] - overall[row.model_b], abs=1e-9)

    def test_equal_figures_share_a_rank(self):
        figures = {"a": 60, "b": 80, "c": 80}
        made = [
            ModelResult(
                name, "rm_bench", wilson_interval(hits, 100), {}, {"chat": wilson_interval(hits, 100)}, None, ""
            )
            for name, hits in figures.items()
        ]
        assert leaderboard(made)["rank"].tolist() == [1, 1, 3]

    def test_without_an_overall_figure_common_subsets_count(self, caplog):
        made = [
            ModelResult(name, "preferences", None, {}, {key: wilson_interval(hits, 10) for key, hits in subsets.items()}, None, "")
            for name, subsets in {"a": {"x": 5, "y": 7}, "b": {"x": 6, "y": 8, "z": 0}}.items()
        ]  # fmt: skip
        table = leaderboard(made)
        assert table["value"].tolist() == pytest.approx([0.7, 0.6]) and table.attrs["figure"] == "mean of 2 subsets"
        assert "no model has an overall figure" in caplog.text

    def test_an_incomplete_model_is_last_and_named(self, results, caplog):
        partial = ModelResult("partial", "rewardbench", None, {}, {"hep-go": wilson_interval(9, 10)}, None, "p.json")
        table = leaderboard([partial, *results])
        assert table["model"].iloc[-1] == "partial" and pd.isna(table["rank"].iloc[-1])
        assert "no overall figure of partial" in caplog.text

    def test_several_benchmarks_must_be_named(self, results):
        other = ModelResult("m", "rm_bench", wilson_interval(1, 2), {}, {}, None, "m.json")
        with pytest.raises(ValueError, match="name one of the benchmarks"):
            leaderboard([*results, other])
        with pytest.raises(ValueError, match="no results on 'rewardbench2'"):
            leaderboard(results, "rewardbench2")


class TestComparisons:
    def test_different_rows_are_left_out_and_counted(self, evaluated, tmp_path, caplog):
        data = pairs(4)
        fewer = data.select(range(len(data) - 10))
        changed = fewer.map(lambda row, i: {"rejected": row["rejected"] + "!"} if i < 5 else {}, with_indices=True)
        evaluate(tmp_path, NoisyScorer("org/fewer", 1.0), changed)
        both = collect_results([evaluated / "rewardbench" / "org__good", tmp_path])
        rows = common_rows(both)
        assert rows.n == len(data) - 15 and rows.left_out == {"org/good": 15, "org/fewer": 5}
        assert "hashes of their data differ" in caplog.text and "org/good 15, org/fewer 5" in caplog.text

    def test_no_common_row_is_an_error(self, results):
        renamed = ModelResult(
            **{**vars(results[0]), "model": "x", "rows": results[0].rows.assign(id=lambda t: "x" + t["id"])}
        )
        with pytest.raises(ValueError, match="no row in common"):
            compare_models([renamed, results[1]])

    def test_models_without_rows_are_named(self, results, caplog):
        bare = ModelResult("bare", "rewardbench", results[0].overall, {}, {}, None, "bare.json")
        assert compare_models([bare, results[0]]).empty
        assert "not compared, as they have no rows: bare" in caplog.text

    def test_baseline(self, results, comparisons):
        table = compare_models(results, baseline="org/fair", correction="fdr_bh")
        assert len(table) == 2 and set(table["model_b"]) == {"org/fair"} and len(comparisons) == 3
        with pytest.raises(ValueError, match="baseline 'org/none'"):
            compare_models(results, baseline="org/none")

    def test_a_figure_that_is_no_mean_of_rows_is_said(self, shared_dir, caplog):
        path = shared_dir / "golden" / "rewardbench_cli" / "expected" / "v2__scores.json"
        [result] = collect_results([path])
        other = ModelResult(**{**vars(result), "model": "other"})
        with caplog.at_level(logging.WARNING):
            table = compare_models([result, other])
        assert "no weighted mean of what rows are worth" in caplog.text
        assert table["difference"].item() == pytest.approx(0, abs=1e-12) and not table["significant"].item()

    def test_groups_begin_at_the_best_ungrouped_model(self):
        pairs = pd.DataFrame(
            [("w", "x", 0.5), ("w", "y", 0.001), ("w", "z", 0.001), ("x", "y", 0.2), ("x", "z", 0.001), ("y", "z", 0.9)],
            columns=["model_a", "model_b", "adjusted_p_value"],
        )  # fmt: skip
        # x and y are not told apart, but x is in the group of w
        assert tie_groups(["w", "x", "y", "z", "bare"], pairs) == {"w": "a", "x": "a", "y": "b", "z": "b"}


class TestTables:
    NASTY = pd.DataFrame({"model": [r"a_b|c & 50% {x} \y #1 ~$^", "plain"], "value": [0.5, np.nan]})

    def test_markdown_escapes_and_aligns(self):
        lines = to_markdown(self.NASTY).splitlines()
        assert lines[1] == "|:---|---:|" and r"a_b\|c" in lines[2] and lines[3] == "| plain |  |"

    def test_latex_escapes_everything(self):
        text = to_latex(self.NASTY, caption="50 % & more")
        row = next(line for line in text.splitlines() if line.startswith("a"))
        assert row == (
            r"a\_b\textbar{}c \& 50\% \{x\} \textbackslash{}y \#1 \textasciitilde{}\$\textasciicircum{} & 0.5000 \\"
        )
        assert r"\caption{50 \% \& more}" in text and text.count("{") - text.count(r"\{") == text.count(
            "}"
        ) - text.count(r"\}")

    def test_display(self, results, comparisons):
        shown = display_table(leaderboard(results, comparisons=comparisons))
        assert list(shown.columns) == [
            "rank",
            "model",
            "overall",
            "interval",
            "group",
            "Chat",
            "Chat Hard",
            "Safety",
            "Reasoning",
        ]
        assert shown["rank"].tolist() == ["1", "2", "3"]

    def test_tables_of_plots(self, results):
        rewards = rewards_of_responses(results)
        assert len(rewards) == 3 * 2 * 92 and rewards.groupby("response").size().tolist() == [276, 276]
        correlations = margin_correlations(results)
        assert np.allclose(np.diag(correlations), 1) and list(correlations.index) == list(correlations.columns)
        lengths = accuracies_by_length(results)
        assert lengths.groupby("model")["n"].sum().tolist() == [92] * 3


def layout_scores(folder, model, rows, wins, *, ids=True, texts=None):
    """A file of scores as RewardBench's scripts write it, and its accuracies."""
    subsets = [row["subset"] for row in rows]
    content = {
        **{"model": model, "model_type": "x", "chat_template": "t", "subset": subsets},
        **{"results": [int(win) for win in wins], "scores_chosen": [float(win) for win in wins]},
        **{"scores_rejected": [0.5] * len(rows), "text_chosen": texts or [row["chosen"] for row in rows]},
        "text_rejected": [row["rejected"] for row in rows],
    }
    content |= {"id": [row["id"] for row in rows]} if ids else {"prompt": [row["prompt"] for row in rows]}
    path = folder / "eval-set-scores" / f"{model}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


CORE = ("mt-bench-easy", "mt-bench-hard", "donotanswer", "hep-go")


class TestRowsWithoutIds:
    """A classifier whose ids are no numbers of rows, and a DPO model whose file has none."""

    def files(self, folder, texts=None):
        rows = pairs(6, CORE).to_list()
        for row in rows:
            row["id"] = 100 - row["id"]
        wins = np.random.default_rng(0).random((2, len(rows))) < 0.6
        layout_scores(folder, "rm", rows, wins[0])
        shuffled = np.random.default_rng(1).permutation(len(rows)) if texts is None else np.arange(len(rows))
        layout_scores(folder, "dpo", [rows[i] for i in shuffled], wins[1][shuffled], ids=False, texts=texts)
        return rows, wins

    def test_matched_by_text(self, tmp_path):
        _, wins = self.files(tmp_path)
        rows = common_rows(collect_results([tmp_path]))
        both = rows.scores["rm"] * rows.scores["dpo"]
        assert rows.n == wins.shape[1] and rows.left_out == {"dpo": 0, "rm": 0}
        assert both.sum() == (wins[0] & wins[1]).sum()

    def test_matched_by_position_where_texts_differ(self, tmp_path, caplog):
        _, wins = self.files(tmp_path, texts=[f"other template {i}" for i in range(24)])
        results = collect_results([tmp_path])
        rows = common_rows(results)
        assert (rows.scores["rm"] * rows.scores["dpo"]).sum() == (wins[0] & wins[1]).sum()
        assert "matched by position" in caplog.text
        correlation = margin_correlations(results).loc["rm", "dpo"]
        assert correlation == pytest.approx(np.corrcoef(wins)[0, 1])

    def test_refused_where_neither_tells(self, tmp_path):
        rows, wins = self.files(tmp_path)
        layout_scores(tmp_path, "dpo", rows[::-1], wins[1], ids=False, texts=[f"other {i}" for i in range(24)])
        with pytest.raises(ValueError, match="dpo.json has no ids.*can't be told"):
            common_rows(collect_results([tmp_path]))

    def test_the_same_id_in_another_subset_is_another_row(self, tmp_path, caplog):
        rows, wins = self.files(tmp_path)
        layout_scores(tmp_path, "dpo", [{**rows[0], "subset": "hep-go"}, *rows[1:]], wins[1])
        common = common_rows(collect_results([tmp_path]))
        assert common.n == 23 and common.left_out == {"dpo": 1, "rm": 1}
        assert "1 ids are of another subset" in caplog.text


def test_ids_that_repeat_over_subsets_are_the_originals(tmp_path):
    data = pairs(3, CORE).map(lambda row, i: {"id": i % 3}, with_indices=True)
    rows, result, rewards = evaluate(tmp_path, NoisyScorer("org/mine", 1.0), data)
    paths = write_rewardbench_results(tmp_path, result, rows, rewards, model="org/mine")
    assert rows["id"][0] == "mt-bench-easy/0"
    assert json.loads(paths["scores"].read_text())["id"] == [0, 1, 2] * 4
    layout_scores(tmp_path / "genuine", "theirs", data.to_list(), [True] * 12)
    assert common_rows(collect_results([tmp_path, tmp_path / "genuine"])).n == 12
    sets = pairs(3, ("shp", "summarize"))
    rows, result, rewards = evaluate(tmp_path, NoisyScorer("org/mine", 1.0), sets, "preference_test_sets")
    paths = write_rewardbench_results(tmp_path, result, rows, rewards, model="org/mine")
    assert json.loads(paths["scores"].read_text())["id"] == list(range(6))


class TestPriorSets:
    @pytest.fixture(scope="class")
    def both(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("both")
        for name, skill in (("org/a", 1.0), ("org/b", 0.5)):
            for benchmark, subsets in (("rewardbench", CORE), ("preference_test_sets", ("shp", "summarize"))):
                rows, result, rewards = evaluate(folder, NoisyScorer(name, skill), pairs(5, subsets), benchmark)
                write_rewardbench_results(folder, result, rows, rewards, model=name)
        return folder

    def test_own_results_and_their_layout_have_the_same_overall(self, both, tmp_path, caplog):
        for name in ("eval-set", "eval-set-scores", "pref-sets", "pref-sets-scores"):
            shutil.copytree(both / name, tmp_path / name)
        own, copied = (
            {result.model: result for result in collect_results([folder]) if result.benchmark == "rewardbench"}
            for folder in (both, tmp_path)
        )
        for model, result in own.items():
            assert result.source.endswith("results.json") and result.sections["Prior Sets"].n == 10
            core = np.mean([result.sections[name].value for name in ("Chat", "Chat Hard", "Safety", "Reasoning")])
            assert result.overall.value == pytest.approx((8 * core + result.sections["Prior Sets"].value) / 9)
            assert copied[model].overall.value == pytest.approx(result.overall.value)
            assert result.overall.ci_low < result.overall.value < result.overall.ci_high

    def test_rows_keep_their_weights_in_the_core(self, both, caplog):
        results = [result for result in collect_results([both]) if result.benchmark == "rewardbench"]
        table = compare_models(results)
        core = {
            result.model: np.mean([figure.value for name, figure in result.sections.items() if name != "Prior Sets"])
            for result in results
        }
        assert table["figure_a"].item() == pytest.approx(core["org/a"], abs=1e-9)
        assert "no weighted mean" not in caplog.text and "counts Prior Sets" in caplog.text

    def test_accuracies_have_intervals_by_the_published_counts(self, tmp_path):
        (tmp_path / "pref-sets").mkdir()
        content = {"model": "m", "shp": 0.0, "summarize": 0.5, "anthropic_hhh": 1.0, "anthropic_helpful": 0.25}
        (tmp_path / "pref-sets" / "m.json").write_text(json.dumps(content))
        [result] = collect_results([tmp_path])
        assert result.subsets["summarize"].n == 9000 and result.overall.ci_low < 0.4375 < result.overall.ci_high


PAIR = {
    **{"model": "m", "scores_chosen": [1.0], "scores_rejected": [0.0], "text_chosen": ["a"], "text_rejected": ["b"]},
    **{"results": [1], "subset": ["hep-go"], "id": [1]},
}
GROUP = {
    **{"model": "m", "scores": [[1.0, 0.0]] * 2, "text": [["a", "b"]] * 2, "results": [1, 1]},
    **{"subset": ["Math", "Math"], "id": ["1", "2"], "num_correct": [1, 1]},
}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": "m", "hep-go": 81.2}, r"'hep-go' must be a number in \[0, 1\], got 81.2 \(per cent"),
        (
            {"model": "m", "hep-goo": 0.5, "hep-js": 0.5, "math-prm": 0.5},
            "'hep-goo' is not a subset.*did you mean 'hep-go'",
        ),
        ({"model": "m", "hep-go": -0.2}, "got -0.2"),
        ({"model": "m", "Ties": -0.02}, r"'Ties' .*\[-0.01, 1.01\]"),
        (PAIR | {"results": [7]}, "results, row 0.*got 7"),
        (GROUP | {"subset": ["Math", "Mathh"]}, "row 1: 'Mathh' is not a subset.*'Math'"),
        (GROUP | {"id": ["1", "1"]}, "rows 0 and 1 have the same id '1'"),
        (GROUP | {"num_correct": [1, 3]}, "num_correct, row 1.*got 3"),
        (GROUP | {"text": [["a", "b"], ["a"]]}, r"row 1: scores and text.*\[2, 1\]"),
    ],
)
def test_impossible_layout_files(tmp_path, content, message):
    path = tmp_path / "m.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"m.json: .*{message}"):
        collect_results([path])


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("per_row.csv", "", "per_row.csv: not a table"),
        (
            "per_row.csv",
            "id,subset,score\n1,hep-go,3\n",
            r"per_row.csv, row 0 \(subset 'hep-go'\): score 3 .*per cent",
        ),
        ("input.jsonl", '{"id": "1"}\n', "input.jsonl, line 1: expected an object with prompt"),
        ("rewards.jsonl", '{"prompt_id": "1"}\n', "rewards.jsonl, line 1: expected an object with reward"),
        (
            "results.json",
            '{"benchmark": "b", "model": "m", "figures": {"overall": {"value": "x"}, "sections": {}, "subsets": {}}}',
            "results.json: its figures are not as",
        ),
    ],
)
def test_malformed_own_results(evaluated, tmp_path, file, text, message):
    shutil.copytree(evaluated / "rewardbench" / "org__good", tmp_path / "m")
    (tmp_path / "m" / file).write_text(text)
    with pytest.raises(ValueError, match=message):
        collect_results([tmp_path])


def test_paths_of_this_machine_are_not_shown(evaluated, tmp_path):
    for place, model in (("w", "/data/run/last"), ("x", "/data/run1/rm"), ("y", "/data/run2/rm"), ("z", "/data/rm_a")):
        shutil.copytree(evaluated / "rewardbench" / "org__good", tmp_path / place)
        path = tmp_path / place / "results.json"
        record = {"command": ["python", "run_rm.py", "with", f"model={model}"], "source": {"dataset": "/data/d.jsonl"}}
        path.write_text(json.dumps(json.loads(path.read_text()) | {"model": model} | record))
    found = collect_results([tmp_path])
    assert [result.model for result in found] == ["run__last", "run1/rm", "run2/rm", "rm_a"]
    card = results_card(found, "me/results")
    assert "/data" not in card and "model=rm_a" in card and '"d.jsonl"' in card
    assert without_folders("see https://host/a/b ~/x/y.json org/model") == "see https://host/a/b y.json org/model"


def test_pairs_with_an_empty_response_have_no_ratio_of_lengths(results, caplog):
    rows = results[0].rows.copy()
    rows.at[3, "lengths"] = [0, 5]
    table = accuracies_by_length([ModelResult(**vars(results[0]) | {"rows": rows})])
    assert table["n"].sum() == len(rows) - 1
    assert f"{results[0].model}: 1 of {len(rows)} pairs have an empty response" in caplog.text


@pytest.mark.parametrize("name", ["collect_results", "leaderboard", "tie_groups", "to_markdown", "to_latex"])
def test_examples(name, monkeypatch):
    function = getattr(module, name)
    assert failed_examples(function, vars(module) | {"pd": pd}) == 0


def test_example_of_names():
    assert failed_examples(shown_names, {"shown_names": shown_names}) == 0
