"""The loaders and Inspect Model on every kind of file that people have: right numbers or right reason, from both."""

from pathlib import Path

import file_matrix as matrix
import pytest
import tiny_files as files
import torch
from kontinuity.common import InputError
from kontinuity.kontext import identify
from kontinuity.kontext.layers.dequantise import BLOCKS
from kontinuity.kontext.names import parts as layouts
from kontinuity.kontext.recognise import tables
from kontinuity.kontext.recognise.flavours import KONTEXT
from test_layouts import assert_means

PAGE = Path(__file__).resolve().parents[2] / "docs" / "checkpoints.md"
PARTS = ("transformer", "clip", "t5", "vae")


@pytest.fixture(scope="module")
def states(tiny) -> matrix.Parts:
    return {part: files.module_state(module) for part, module in tiny.items()}


@pytest.fixture(scope="module")
def kontext(states, tmp_path_factory) -> Path:
    """A transformer that takes the other parts."""
    path = tmp_path_factory.mktemp("kontext") / "kontext.safetensors"
    files.save(path, files.plain(torch.bfloat16)(files.to_bfl(states["transformer"])))
    return path


@pytest.fixture
def load(load_files, kontext):
    """load(path, part): the part as the loader reads it from the file, or its error."""
    def run(path: Path, part: str) -> torch.nn.Module | InputError:
        try:
            model = load_files(path) if part == "transformer" else load_files(kontext, **{part: path})
        except InputError as error:
            return error
        parts = model.components
        return parts[part] if part in parts else parts["text_encoders"][part]
    return run


@pytest.fixture
def inspect(tiny_model_folder):
    tokenizers = tiny_model_folder / "tokenizer", tiny_model_folder / "tokenizer_2"
    return lambda path: identify(path, tokenizers)


def agree(load, inspect, path: Path) -> dict[str, torch.nn.Module]:
    """What the file loads as; Inspect Model must say the same of every part, and of the others the same reason."""
    found = inspect(path)
    outcomes = {part: load(path, part) for part in PARTS}
    read = {part: outcome for part, outcome in outcomes.items() if not isinstance(outcome, InputError)}
    assert found.loads_as == tuple(read), found.report
    assert ("choose it in Load Kontext Files" in found.advice) == bool(read), found.advice
    reasons = [str(outcome) for outcome in outcomes.values() if isinstance(outcome, InputError)]
    assert found.refusal == "" if read else found.refusal in reasons
    if found.refusal:
        assert found.refusal.partition(": ")[2] in found.advice
    return read


@pytest.mark.parametrize("name", matrix.GOOD)
def test_files_that_load(load, inspect, states, tmp_path, name):
    path = matrix.path_of(tmp_path, name)
    meant = matrix.GOOD[name](path, states)
    read = agree(load, inspect, path)
    assert list(read) == [part for part in PARTS if part in meant]
    for part, exact in meant.items():
        assert_means(read[part], exact)
    found = inspect(path)
    assert found.kind != "unknown" and "unknown" not in found.flavour
    if "transformer" in meant:
        assert found.flavour == KONTEXT


@pytest.mark.parametrize(("layout", "precision"), files.TRANSFORMERS)
def test_transformers_in_every_precision(load, inspect, states, tmp_path, layout, precision):
    path = tmp_path / files.file_name(layout, precision)
    files.TRANSFORMERS[layout, precision](path, states["transformer"])
    assert list(agree(load, inspect, path)) == ["transformer"]


@pytest.mark.parametrize("name", matrix.BAD)
def test_files_that_are_refused(load, inspect, states, tmp_path, name):
    path = matrix.path_of(tmp_path, name)
    write, part, words = matrix.BAD[name]
    write(path, states)
    said = load(path, part)
    assert isinstance(said, InputError) and words in str(said), said
    assert "\n" not in str(said) and said.remedy
    if name in matrix.UNREADABLE:
        with pytest.raises(InputError) as caught:
            inspect(path)
        assert str(caught.value) == str(said)
    else:
        assert not agree(load, inspect, path)
        found = inspect(path)
        assert words in found.refusal or found.kind == "all-in-one checkpoint"  # of which the transformer is spoken of


@pytest.mark.parametrize("ending", [".part", ".crdownload", ".aria2"])
def test_downloads_that_have_not_finished(inspect, states, tmp_path, ending):
    path = tmp_path / f"kontext.safetensors{ending}"
    matrix.GOOD["clip, bare"](path, states)
    with pytest.raises(InputError, match="has not finished"):
        inspect(path)
    path.rename(tmp_path / "kontext.safetensors")
    (tmp_path / "kontext.safetensors.aria2").touch()  # aria2 makes the whole file first and fills it then
    with pytest.raises(InputError, match="has not finished"):
        inspect(tmp_path / "kontext.safetensors")


@pytest.mark.parametrize(("part", "name"), [("transformer", "diffusion_pytorch_model"), ("t5", "model")])
@pytest.mark.parametrize("number", [1, 2])
def test_one_file_of_several(load, inspect, states, tmp_path, part, name, number):
    path = tmp_path / f"{name}-0000{number}-of-00002.safetensors"
    tensors = list(states[part].items())
    matrix.save(path, dict(tensors[number - 1 :: 2]))
    assert "is one of 2 files that make a model together" in str(load(path, part))
    assert not agree(load, inspect, path)
    path = path.rename(tmp_path / f"kontext {name}-00001-of-00001.safetensors")
    matrix.save(path, states[part])
    assert list(agree(load, inspect, path)) == [part]


def test_a_link_to_a_hash(load_files, states, tmp_path):
    matrix.GOOD["transformer, ComfyUI 0.14's names"](tmp_path / ("1f" * 32), states)
    (tmp_path / "my-kontext.safetensors").symlink_to(tmp_path / ("1f" * 32))
    assert load_files(tmp_path / "my-kontext.safetensors").name == "my-kontext"


def test_one_part_of_an_all_in_one(load, states, tmp_path):
    """The others may come from elsewhere, and are not looked at."""
    path = tmp_path / "kontext.safetensors"
    meant = matrix.save_checkpoint(path, {**states, "t5": {}})
    for part in ("transformer", "clip", "vae"):
        assert_means(load(path, part), meant[part])
    assert "is not a T5-XXL file but all-in-one checkpoint" in str(load(path, "t5"))


def test_the_page_has_the_readers_own_tables():
    text = PAGE.read_text("utf-8")
    assert tables.page(text) == text, "run python -m kontinuity.kontext.recognise.tables docs/checkpoints.md"
    for names in (*layouts.PREFIXES.values(), *layouts.TELL_TALES.values(), BLOCKS):
        assert all(f"`{name}`" in text or name in BLOCKS and name in text for name in names if name)
    with pytest.raises(ValueError, match="needs the lines"):
        tables.page("# no tables")
