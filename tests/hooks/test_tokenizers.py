"""tokenizers on paths of a mount."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from tests.session.starting import interpreter

LATE = """
    import sys
    from vfsmount import CloudBucketMount
    from vfsmount.session import activate_stores
    from vfsmount.testing import MemoryStore

    point = sys.argv[1]
    session = activate_stores({point: (CloudBucketMount("memory"), MemoryStore())})
    from tokenizers import Tokenizer, models

    Tokenizer(models.BPE()).save(point + "/t.json")
    assert isinstance(Tokenizer.from_file(point + "/t.json"), Tokenizer)
    session.close()
    assert not hasattr(Tokenizer.save, "__wrapped__")
    print("done")
"""


@pytest.mark.slow
def test_imported_after_activation(tmp_path: object) -> None:
    ran = interpreter(LATE, f"{tmp_path}/bucket")
    assert (ran.stdout, ran.returncode) == ("done\n", 0), ran.stderr


def trained(point: str) -> Tokenizer:
    Path(point, "corpus.txt").write_text("hello world hello there\n" * 50)
    made = Tokenizer(models.BPE(unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(vocab_size=60, special_tokens=["[UNK]"], show_progress=False)
    made.train([f"{point}/corpus.txt"], trainer)
    return made


def test_train_save_and_load(point: str) -> None:
    trained(point).save(f"{point}/t.json")
    assert Tokenizer.from_file(f"{point}/t.json").encode("hello world").tokens == ["hello", "world"]


def test_a_model_alone(point: str) -> None:
    os.mkdir(f"{point}/model")
    saved = trained(point).model.save(f"{point}/model", "x")
    assert saved == [f"{point}/model/x-vocab.json", f"{point}/model/x-merges.txt"]
    model = models.BPE.from_file(*saved, unk_token="[UNK]")
    assert [token.value for token in model.tokenize("hello")] == ["hello"]


def test_refusals(point: str, read_only: str) -> None:
    with pytest.raises(FileNotFoundError):
        Tokenizer.from_file(f"{point}/none")
    with pytest.raises(OSError) as refused:
        trained(point).save(f"{read_only}/t.json")
    assert refused.value.errno == errno.EROFS
    with pytest.raises(Exception, match="expected value"):
        Tokenizer.from_file(f"{point}/corpus.txt")


def test_a_local_file_is_the_librarys_own_business(point: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    local = str(tmp_path_factory.mktemp("local") / "t.json")
    trained(point).save(local)
    assert Tokenizer.from_file(local).encode("hello").tokens == ["hello"]
