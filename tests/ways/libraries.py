"""Libraries that open files through Python, where they are installed."""

from __future__ import annotations

import io
from typing import Any

from tests.ways.way import Place, way


@way("numpy", "fromfile and tofile", needs="numpy")
def _(at: Place) -> object:
    import numpy

    numpy.arange(100, dtype="u1").tofile(at("new.bin"))
    with open(at("data.bin"), "rb") as file:
        file.seek(10)
        part = numpy.fromfile(file, dtype="u1", count=5).tolist()
        return numpy.fromfile(at("data.bin"), dtype="u1").sum(), part, file.tell()


@way("numpy", "tofile of an open file, between other writes", needs="numpy")
def _(at: Place) -> object:
    import numpy

    with open(at("new.bin"), "wb") as file:
        file.write(b"header")
        numpy.arange(100, dtype="u1").tofile(file)
        return file.tell(), file.write(b"trailer")


@way("numpy", "save, load and load with mmap_mode", needs="numpy")
def _(at: Place) -> object:
    import numpy

    numpy.save(at("a.npy"), numpy.arange(1000))
    mapped = numpy.load(at("a.npy"), mmap_mode="r")
    return numpy.load(at("a.npy")).sum(), mapped[10], type(mapped).__name__


@way("numpy", "savez, savez_compressed and load", needs="numpy", same_bytes=False)
def _(at: Place) -> object:
    import numpy

    found = []
    for name, save in (("a.npz", numpy.savez), ("b.npz", numpy.savez_compressed)):
        save(at(name), a=numpy.arange(1000), b=numpy.ones(3))
        with numpy.load(at(name)) as loaded:
            found.append((sorted(loaded), loaded["a"].sum(), loaded["b"].tolist()))
    return found


@way("numpy", "savetxt, loadtxt, genfromtxt", needs="numpy")
def _(at: Place) -> object:
    import numpy

    numpy.savetxt(at("a.txt"), numpy.eye(2), fmt="%d")
    numpy.savetxt(at("a.txt.gz"), numpy.eye(2), fmt="%d")
    found = (
        numpy.loadtxt(at("a.txt")).tolist(),
        numpy.genfromtxt(at("a.txt")).tolist(),
        numpy.loadtxt(at("a.txt.gz")).tolist(),
    )
    with open(at("a.txt.gz"), "wb"):  # it holds the time
        pass
    return found


@way("numpy", "memmap, to read", needs="numpy")
def _(at: Place) -> object:
    import numpy

    mapped: Any = numpy.memmap(at("data.bin"), mode="r", dtype="u1", offset=256)
    return mapped[:4].tolist(), len(mapped)


@way("numpy", "memmap, to write", needs="numpy", mode="staged")
def _(at: Place) -> object:
    import numpy

    made: Any = numpy.memmap(at("m.bin"), mode="w+", dtype="u1", shape=(1000,))
    made[:] = 7
    made.flush()
    del made
    changed: Any = numpy.memmap(at("data.bin"), mode="r+", dtype="u1")
    changed[5] = 99
    del changed


@way("pandas", "csv, json and pickle", needs="pandas")
def _(at: Place) -> object:
    import pandas

    frame = pandas.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    frame.to_csv(at("a.csv"), index=False)
    frame.to_json(at("a.json"))
    frame.to_pickle(at("a.pickle"))
    return [
        found.to_dict()
        for found in (
            pandas.read_csv(at("a.csv")),
            pandas.read_csv(at("a.csv"), memory_map=True),
            pandas.read_json(at("a.json")),
            pandas.read_pickle(at("a.pickle")),
        )
    ]


@way("pandas", "to_excel and read_excel", needs="pandas openpyxl", same_bytes=False)
def _(at: Place) -> object:
    import pandas

    frame = pandas.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    frame.to_excel(at("a.xlsx"), index=False)
    with pandas.ExcelWriter(at("b.xlsx")) as writer:
        frame.to_excel(writer, sheet_name="one")
        frame.to_excel(writer, sheet_name="two")
    return pandas.read_excel(at("a.xlsx")).to_dict(), sorted(pandas.read_excel(at("b.xlsx"), sheet_name=None))


@way("pandas", "read_sql of sqlite3", needs="pandas")
def _(at: Place) -> object:
    import sqlite3

    import pandas

    connection = sqlite3.connect(at("some.db"))
    try:
        return pandas.read_sql("select n from t where n < 3", connection).to_dict()
    finally:
        connection.close()


@way("openpyxl", "save and load_workbook", needs="openpyxl", same_bytes=False)
def _(at: Place) -> object:
    import openpyxl

    book = openpyxl.Workbook()
    sheet: Any = book.active
    sheet["A1"] = 42
    book.save(at("a.xlsx"))
    return openpyxl.load_workbook(at("a.xlsx")).active["A1"].value  # type: ignore[index]


@way("Pillow", "save and open", needs="PIL")
def _(at: Place) -> object:
    from PIL import Image

    image = Image.new("RGB", (20, 10), "red")
    for name in ("a.png", "a.jpg", "a.bmp", "a.gif"):
        image.save(at(name))
    with Image.open(at("a.png")) as found:
        return found.size, found.getpixel((3, 3))


@way("Pillow", "save a TIFF", needs="PIL", mode="staged")
def _(at: Place) -> object:
    from PIL import Image

    Image.new("L", (20, 10), 7).save(at("a.tiff"))
    with Image.open(at("a.tiff")) as found:
        return found.getpixel((3, 3))


@way("joblib", "dump, load and load with mmap_mode", needs="joblib numpy")
def _(at: Place) -> object:
    import joblib
    import numpy

    joblib.dump({"a": numpy.arange(100)}, at("a.joblib"))
    return joblib.load(at("a.joblib"))["a"].sum(), joblib.load(at("a.joblib"), mmap_mode="r")["a"][5]


@way("IPython", "open in a cell, %run, %%writefile and shell commands", needs="IPython")
def _(at: Place) -> object:
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell()
    try:
        for cell in (
            f"with open({at('text.txt')!r}) as file: text = file.read()",
            f"%run {at('code/way_module.py')}",
            f"%%writefile {at('cell.txt')}\nwritten by a cell",
            f"listed = !ls {at('dir')}",
        ):
            with _silent():
                result = shell.run_cell(cell, silent=True)
            result.raise_error()
        with _silent() as printed:
            shell.run_cell(f"!cat {at('text.txt')} {at('none')} 2>/dev/null", silent=True).raise_error()
        space = shell.user_ns
        lines = printed.getvalue().splitlines()
        return space["text"], space["VALUE"], list(space["listed"]), lines, space["_exit_code"]
    finally:
        shell.history_manager.end_session()
        InteractiveShell.clear_instance()


def _silent() -> Any:
    import contextlib

    return contextlib.redirect_stdout(io.StringIO())
