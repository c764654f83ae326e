import json
import logging
import re
from importlib import resources

import pandas as pd
import pytest

from trl_ext.arena import RatingTable, charm_ratings, read_leaderboard, write_ratings
from trl_ext.arena.leaderboards.layouts import CATALOGUE_FILES
from trl_ext.arena.ratings.model_names import known_aliases


HEADER = "rank,rank_stylectrl,model,arena_score,95_pct_ci,votes,organization"
ROWS = ("1,2,Strong-70B,1250,+4/-3,5000,X", "2,1,weak-8b,1100,+10/-12,300,Y")
CATALOGUE = {
    "full": {
        "strong": {"rating": 1250.5, "rating_q975": 1255.0, "rating_q025": 1246.0},
        "weak": {"rating": 1100.0, "rating_q975": 1110.0, "rating_q025": 1090.0},
    },
    "coding": {"strong": {"rating": 1300.0, "rating_q975": 1310.0, "rating_q025": 1290.0}},
}


def save(folder, text, name="board.csv"):
    path = folder / name
    path.write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")
    return path


def board(folder, *rows, header=HEADER, name="board_2024-12-31.csv"):
    return save(folder, "\n".join((header, *rows)) + "\n", name)


@pytest.fixture
def arena_dir(shared_dir):
    path = shared_dir / "data" / "arena"
    if not path.is_dir():
        pytest.skip(f"no leaderboards in {path}")
    return path


class TestLeaderboardCsv:
    def test_reads_ratings_and_intervals(self, tmp_path):
        ratings = read_leaderboard(board(tmp_path, *ROWS))
        first, second = ratings.table.to_dict("records")
        assert (first["model"], first["rating"], first["rating_low"], first["rating_high"]) == (
            "Strong-70B",
            1250,
            1247,
            1254,
        )
        assert (second["rating_low"], second["rating_high"], second["votes"]) == (1088, 1110, 300)
        assert (first["snapshot"], first["source"], first["category"]) == (
            "2024-12-31",
            "board_2024-12-31.csv",
            "full",
        )
        assert first["style_control"] is False
        assert (first["rank_stylectrl"], second["organization"]) == ("2", "Y")  # nothing is lost
        # (1254 - 1247)/2 / 1.959964 = 1.7858
        assert ratings.standard_errors(["strong-70b"])[0] == pytest.approx(1.7858, abs=1e-4)

    @pytest.mark.parametrize("score", ["arena_score", "arena_elo"])
    def test_both_names_of_the_rating(self, tmp_path, score):
        path = board(tmp_path, "1,a,1200,+1/-1", header=f"rank,model,{score},95_pct_ci", name="b.csv")
        ratings = read_leaderboard(path)
        assert ratings.of(["a"]) == [1200]
        assert pd.isna(ratings.table["votes"][0]) and pd.isna(ratings.table["snapshot"][0])

    def test_a_repeated_row_is_read_once_and_reported(self, tmp_path, caplog):
        repeat = "3" + ROWS[1][1:]
        with caplog.at_level(logging.WARNING):
            assert len(read_leaderboard(board(tmp_path, *ROWS, repeat))) == 2
        assert "row 2 ('weak-8b')" in caplog.text

    def test_has_no_style_controlled_ratings(self, tmp_path):
        with pytest.raises(
            ValueError, match=r"no style-controlled ratings; its column `rank_stylectrl` is a rank.*style-control.json"
        ):
            read_leaderboard(board(tmp_path, *ROWS), style_control=True)


class TestCatalogue:
    def test_categories(self, tmp_path):
        path = save(tmp_path, CATALOGUE, "leaderboard-text.json")
        assert read_leaderboard(path).of(["STRONG", "weak"]).tolist() == [1250.5, 1100]
        coding = read_leaderboard(path, category="coding", snapshot="2025-12-01")
        assert (len(coding), coding.table["category"][0], coding.table["snapshot"][0]) == (1, "coding", "2025-12-01")

    def test_folder_picks_the_file(self, tmp_path):
        for controlled, name in CATALOGUE_FILES.items():
            save(
                tmp_path, {"full": {"m": {"rating": 1000 + controlled, "rating_q025": 900, "rating_q975": 1100}}}, name
            )
            table = read_leaderboard(tmp_path, style_control=controlled).table
            assert (table["rating"][0], table["style_control"][0], table["source"][0]) == (
                1000 + controlled,
                controlled,
                name,
            )
            with pytest.raises(ValueError, match=f"style_control={controlled}"):
                read_leaderboard(tmp_path / name, style_control=not controlled)

    def test_other_file_names_are_taken_at_their_word(self, tmp_path):
        assert (
            read_leaderboard(save(tmp_path, CATALOGUE, "mine.json"), style_control=True).table["style_control"].all()
        )


class TestConfig:
    def test_seven_models(self, tmp_path):
        charm = charm_ratings()
        config = [
            {"model_name": model, "model_path": "", "arena_score": int(rating)}
            for model, rating in zip(charm.models, charm.of(charm.models), strict=True)
        ]
        ratings = read_leaderboard(save(tmp_path, config, "pm_config.json"))
        assert ratings.models == charm.models
        assert (ratings.of(charm.models) == charm.of(charm.models)).all()
        with pytest.raises(ValueError, match="no style-controlled ratings"):
            read_leaderboard(tmp_path / "pm_config.json", style_control=True)

    def test_win_probabilities_are_golden(self, shared_dir):
        golden = json.loads((shared_dir / "golden" / "charm.json").read_text())["elo_expected"]
        matrix = charm_ratings().win_probabilities(golden["models"])
        for i, row in enumerate(golden["matrix"]):
            for j, value in enumerate(row):
                assert matrix[i, j] == (0.5 if value is None else pytest.approx(value, abs=1e-12))


class TestRealFiles:
    def test_seven_models_wherever_they_occur(self, arena_dir):
        charm = charm_ratings()
        december = read_leaderboard(arena_dir / "lmsys_2024-12-31.csv")
        assert (december.of(charm.models) == charm.of(charm.models)).all()
        assert len(december) == 182 and december.table["snapshot"].unique() == ["2024-12-31"]
        august = read_leaderboard(arena_dir / "lmarena_text_2025-08-04.csv")
        assert august.of(charm.models).tolist() == [1288, 1272, 1264, 1235, 1232, 1212, 1193]
        june = read_leaderboard(arena_dir / "lmsys_2024-06-19.csv")  # before any of the seven
        assert len(june) == 109
        for model in charm.models:
            with pytest.raises(ValueError, match=f"no rating of model '{model}'"):
                june.resolve(model)

    def test_style_control_moves_the_expected_win_rate(self, arena_dir):
        pair = ("gemma-2-9b-it-SimPO", "GPT-4o-mini-2024-07-18")
        found = {}
        for controlled in (False, True):
            for category in ("full", "coding", "hard_6"):
                ratings = read_leaderboard(arena_dir, style_control=controlled, category=category)
                assert len(ratings.index(charm_ratings().models)) == 7
                found[category, controlled] = ratings.win_probability(*pair)
        assert found["full", False] == pytest.approx(0.4159, abs=5e-5)
        assert found["full", True] == pytest.approx(0.4468, abs=5e-5)

    def test_shipped_names_join_the_boards(self, arena_dir):
        catalogue = read_leaderboard(arena_dir)
        for name, alias in {
            "Claude 3.5 Sonnet (20241022)": "claude-3-5-sonnet-20241022",
            "Command R+ (04-2024)": "command-r-plus",
            "meta-llama/Meta-Llama-3-8B-Instruct": "llama-3-8b-instruct",
        }.items():
            assert catalogue.resolve(name) == catalogue.resolve(alias)


class TestNames:
    def test_user_aliases_go_first_and_may_go_through_known_ones(self, tmp_path):
        path = board(tmp_path, "1,1,Meta-Llama-3.1-8B-Instruct,1176,+3/-3,1,Meta", "2,2,tuned,1100,+3/-3,1,Y")
        ratings = read_leaderboard(
            path, aliases={"mine": "llama-3.1-8b-instruct", "meta-llama/Llama-3.1-8B-Instruct": "tuned"}
        )
        assert ratings.of(["mine", "meta-llama/Llama-3.1-8B-Instruct", "Llama-3.1-8B-Instruct"]).tolist() == [
            1176,
            1100,
            1176,
        ]

    def test_a_shared_name_of_two_models_in_use_is_ambiguous(self):
        assert known_aliases(["gpt-4o-mini", "gpt-4o-mini-2024-07-18"]) == {}

    def test_shipped_names_are_each_of_one_model(self):
        groups = json.loads(resources.files("trl_ext.arena.ratings").joinpath("data", "model_names.json").read_text())
        names = [name.lower() for group in groups for name in group]
        assert len(names) == len(set(names))
        assert all(len(group) > 1 for group in groups)


def fitted_like():
    table = pd.DataFrame(
        {
            "model": ["a b", 'q"uote,', "nan"],
            "rating": [1000.1, 1 / 3, -5.0],
            "votes": [3, 4, 5],
            "snapshot": "2025-01-31",
        }
    ).assign(rating_low=lambda t: t["rating"] - 0.1, rating_high=lambda t: t["rating"] + 1 / 7, judge="human")
    covariance = [[1 / 3, 0.1, 0], [0.1, 2, 0], [0, 0, 1e-17]]
    return RatingTable(table, covariance, 0.9, {"Ä": "nan", "other": "a b"}, "Bradley–Terry, mine")


class TestPlainTable:
    @pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
    @pytest.mark.parametrize("make", [fitted_like, charm_ratings])
    def test_round_trip_keeps_everything(self, tmp_path, suffix, make):
        ratings, path = make(), tmp_path / f"r.{suffix}"
        write_ratings(ratings, path)
        again = read_leaderboard(path)
        plain = [r.table.astype(object).where(r.table.notna(), None) for r in (again, ratings)]
        pd.testing.assert_frame_equal(*plain)
        assert (again.level, again.method, dict(again.aliases)) == (
            ratings.level,
            ratings.method,
            dict(ratings.aliases),
        )
        if ratings.covariance is None:
            assert again.covariance is None
        else:
            assert (again.covariance == ratings.covariance).all()

    def test_rows_are_chosen_by_category_style_and_snapshot(self, tmp_path):
        rows = [
            {"model": "m", "rating": i, "category": c, "style_control": s, "snapshot": d}
            for i, (c, s, d) in enumerate(
                (c, s, d) for c in ("full", "coding") for s in (False, True) for d in ("2024-12-31", "2025-08-04")
            )
        ]
        path = tmp_path / "all.parquet"
        pd.DataFrame(rows).to_parquet(path)
        chosen = read_leaderboard(path, category="coding", style_control=True, snapshot="2024-12-31")
        assert chosen.table["rating"].tolist() == [6]
        with pytest.raises(ValueError, match="several snapshots; choose one: '2024-12-31', '2025-08-04'"):
            read_leaderboard(path)
        with pytest.raises(ValueError, match="no category 'maths'; it has 'full', 'coding'"):
            read_leaderboard(path, category="maths")
        with pytest.raises(ValueError, match="no snapshot '2020-01-01'"):
            read_leaderboard(path, snapshot="2020-01-01")

    def test_style_controlled_ratings_are_not_read_as_others(self, tmp_path):
        write_ratings(RatingTable.from_ratings({"m": 1.0}, style_control=True), tmp_path / "r.csv")
        with pytest.raises(ValueError, match="with style control only; use style_control=True"):
            read_leaderboard(tmp_path / "r.csv")
        assert len(read_leaderboard(tmp_path / "r.csv", style_control=True)) == 1


BAD_FILES = {
    "torn row": (
        "b.csv",
        f"{HEADER}\n{ROWS[0]}\n2,1,weak-8b,1100",
        r"row 1 of b.csv is torn: it has 4 fields, the header has 7",
    ),
    "no rows": ("b.csv", HEADER, "has no rows"),
    "unknown columns": ("b.csv", "a,b\n1,2\n", "layout of b.csv is not known: its columns are a, b"),
    "no interval": ("b.csv", "model,arena_score\nx,1\n", "no column 95_pct_ci"),
    "column twice": ("b.csv", "model,model,arena_score,95_pct_ci\nx,x,1,+1/-1\n", "column 'model' twice"),
    "rating nan": (
        "b.csv",
        f"{HEADER}\n1,1,x,nan,+1/-1,5,Y\n",
        "column 'arena_score' has 1 bad values; first: row 0 .model 'x'., value 'nan'",
    ),
    "rating text": ("b.csv", f"{HEADER}\n1,1,x,n/a,+1/-1,5,Y\n", "'arena_score'.*'n/a'.*a finite number"),
    "interval": ("b.csv", f"{HEADER}\n1,1,x,1200,-3/+4,5,Y\n", r"'95_pct_ci'.*'-3/\+4'.*\"\+4/-3\""),
    "negative votes": ("b.csv", f"{HEADER}\n1,1,x,1200,+1/-1,-5,Y\n", "'votes'.*'-5'.*0 or more"),
    "empty name": ("b.csv", f"{HEADER}\n1,1, ,1200,+1/-1,5,Y\n", "'model'.*row 0, value ' '"),
    "model twice": (
        "b.csv",
        f"{HEADER}\n{ROWS[0]}\n{ROWS[0].replace('1250', '1240')}\n",
        "model 'Strong-70B' occurs more than once",
    ),
    "not json": ("b.json", "{", "b.json is not JSON"),
    "key twice": ("b.json", '{"full": {"m": {"rating": 1}, "m": {"rating": 2}}}', "'m' twice in one object"),
    "entry": ("b.json", {"full": {"m": {"rating": 1.0, "rating_q025": 0.0}}}, "'rating_q975'.*model 'm'.*value None"),
    "entry nan": ("b.json", '{"full": {"m": {"rating": NaN, "rating_q025": 0, "rating_q975": 1}}}', "'rating'.*nan"),
    "interval apart": (
        "b.json",
        {"full": {"m": {"rating": 5.0, "rating_q025": 6.0, "rating_q975": 7.0}}},
        "outside their intervals.*'m'",
    ),
    "category": ("b.json", {"coding": {}}, "no category 'full'; it has 'coding'"),
    "number": ("b.json", "3", "neither an object of categories nor a list"),
    "config": ("b.json", [{"model_name": "m"}], "row 0 of b.json has no 'arena_score'"),
    "torn line": ("b.jsonl", '{"model": "m", "rating": 1}\n{"model": "n", "ra', "line 2 of b.jsonl is torn"),
    "no rating": ("b.jsonl", '{"model": "m"}', "no column 'rating'"),
    "half interval": ("b.csv", "model,rating,rating_low,rating_high\nm,1,0,\n", "one end only.*row 0"),
    "style flag": ("b.csv", "model,rating,style_control\nm,1,maybe\n", "'style_control'.*'maybe'.*true, false"),
    "some categories": (
        "b.csv",
        "model,rating,category\nm,1,full\nn,2,\n",
        "'category' has 1 empty values beside others; first: row 1",
    ),
    "covariance": ("b.csv", "model,rating,covariance[m]\nm,1,1\nn,2,0\n", r"no column 'covariance\[n\]'"),
    "date": ("b.csv", "model,rating,snapshot\nm,1,yesterday\n", "'snapshot'.*'yesterday'.*YYYY-MM-DD"),
    "kind": ("b.txt", "x", "a .csv, .json, .jsonl or .parquet file"),
}


class TestBadInput:
    @pytest.mark.parametrize("name, text, message", BAD_FILES.values(), ids=BAD_FILES)
    def test_bad_files(self, tmp_path, name, text, message):
        with pytest.raises(ValueError, match=message):
            read_leaderboard(save(tmp_path, text, name))

    @pytest.mark.parametrize(
        "options, message",
        [
            ({"layout": "excel"}, "layout must be one of 'leaderboard_csv', 'catalogue', 'config', 'table'"),
            ({"layout": "table"}, "no column 'rating'"),
            ({"category": "coding"}, "no category 'coding'; it has 'full'"),
            ({"snapshot": "31.12.2024"}, "date as YYYY-MM-DD, got '31.12.2024'"),
            ({"snapshot": "2025-01-01"}, "snapshot is '2025-01-01', but the name .* says '2024-12-31'"),
            (
                {"aliases": {"x": "nobody"}},
                "alias 'x' stands for an unknown model: there is no rating of model 'nobody'",
            ),
            ({"aliases": {"weak-8b": "Strong-70B"}}, "alias 'weak-8b' of 'Strong-70B' is itself the name"),
        ],
    )
    def test_bad_arguments(self, tmp_path, options, message):
        with pytest.raises(ValueError, match=re.compile(message, re.DOTALL)):
            read_leaderboard(board(tmp_path, *ROWS), **options)

    def test_missing_files(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="there is no leaderboard"):
            read_leaderboard(tmp_path / "none.csv")
        with pytest.raises(FileNotFoundError, match="no file leaderboard-text.json"):
            read_leaderboard(tmp_path)
        with pytest.raises(ValueError, match=".csv, .parquet, .jsonl file, got 'r.txt'"):
            write_ratings(charm_ratings(), tmp_path / "r.txt")

    def test_an_unknown_model_lists_similar_ones(self, tmp_path):
        with pytest.raises(ValueError, match="no rating of model 'Strong-7B'. Similar: 'Strong-70B'"):
            read_leaderboard(board(tmp_path, *ROWS)).of(["Strong-7B"])
