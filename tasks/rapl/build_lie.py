"""Writes the LIE preference folds as files that `prompt + chosen` trainers read.

Example:
    python tasks/rapl/build_lie.py --lie_data_dir ../reliability-aware-preference-learning --output_dir lie --grouped
"""

import argparse
import json
import logging
import sys
from pathlib import Path

import pandas as pd
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm


sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run as a script from a checkout
from tasks.atomic_files import WRITERS, atomic_path
from tasks.rapl import lie_data


MANIFEST = "build_lie.json"


def build_fold(lie_data_dir: Path, fold: int, grouped: bool, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training and validation pairs of a fold, with reliability columns made from the raw ones."""
    files = lie_data.find_lie_files(lie_data_dir, fold)
    if files.calibration is None:
        raise FileNotFoundError(
            f"no TRUE/no_repeats/cal_single_{fold}.csv beside '{files.test.parent}'; the calibrated columns are made "
            "from it. Give the clone of the original, not a folder that this command wrote."
        )
    if grouped:
        full = lie_data.read_full_train(lie_data_dir)
        train_rows, val_rows = list(lie_data.grouped_folds(full, seed=seed))[fold]
        train, val = full.iloc[train_rows].reset_index(drop=True), full.iloc[val_rows].reset_index(drop=True)
    else:
        train, val = lie_data.read_lie_pairs(files.train), lie_data.read_lie_pairs(files.val)
    return lie_data.add_normalized_columns(train, val, files.calibration)


def check_output_dir(output_dir: Path, source: Path, settings: dict) -> dict:
    """Refuses to overwrite the original or to mix kinds of folds; returns what an earlier run recorded of its files."""
    if output_dir.resolve() == source.resolve():
        raise ValueError(f"output_dir '{output_dir}' is the original LIE folder; choose another")
    manifest = output_dir / MANIFEST
    if not manifest.is_file():
        return {}
    earlier = json.loads(manifest.read_text())
    files = earlier.pop("files")
    if earlier != settings:
        raise ValueError(f"output_dir '{output_dir}' holds folds built with {earlier}, not {settings}; choose another")
    return files


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--lie_data_dir", type=Path, required=True, help="clone of the RAPL repository, or its LIE folder"
    )
    parser.add_argument(
        "--output_dir", type=Path, required=True, help="where the files go; files of an earlier run are replaced"
    )
    parser.add_argument("--fold", type=int, choices=range(lie_data.N_FOLDS), help="one fold (default: all)")
    parser.add_argument("--grouped", action="store_true", help="new folds that keep a question on one side")
    parser.add_argument("--seed", type=int, default=42, help="seed of --grouped (default: %(default)s)")
    parser.add_argument("--format", choices=sorted(WRITERS), default="csv", help="file format (default: %(default)s)")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")

    folds = range(lie_data.N_FOLDS) if args.fold is None else [args.fold]
    settings = {"grouped": args.grouped, "seed": args.seed if args.grouped else None}
    try:
        test_path = lie_data.find_lie_files(args.lie_data_dir, folds[0]).test
        lie_data.load_lie_test(test_path)
        summary = check_output_dir(args.output_dir, test_path.parent, settings)
        with atomic_path(args.output_dir / lie_data.TEST_FILE) as temporary:
            temporary.write_bytes(test_path.read_bytes())
        with logging_redirect_tqdm():
            for fold in tqdm(folds, desc="folds"):
                frames = build_fold(args.lie_data_dir, fold, args.grouped, args.seed)
                for split, frame in zip(("train", "val"), frames, strict=True):
                    dataset = lie_data.to_preferences(frame)
                    path = args.output_dir / "folds" / f"LIE_{split}_{fold}.{args.format}"
                    with atomic_path(path) as temporary:
                        WRITERS[args.format](dataset, temporary)
                    summary[path.name] = {"pairs": len(dataset), "questions": len(set(dataset["question_id"]))}
                # after every fold, so that an interrupted run is recognised by the next
                with atomic_path(args.output_dir / MANIFEST) as temporary:
                    temporary.write_text(json.dumps({**settings, "files": summary}, indent=2) + "\n")
    except (ValueError, OSError) as error:
        parser.exit(2, f"{parser.prog}: error: {error}\n")
    for name, counts in summary.items():
        print(f"{name}: {counts['pairs']} pairs, {counts['questions']} questions")
    print(f"written to {args.output_dir}")


if __name__ == "__main__":
    main()
