"""What is hidden, and what is not."""

import copy
import pickle
from pathlib import Path

import pytest

from trl_ext import ReliabilityRewardConfig
from trl_ext.data import resolve_model
from trl_ext.data.bundled import DEFAULT_MODEL, portable_name
from trl_ext.privacy import hide_credentials, hide_home, hide_private, without_folder, without_folders


@pytest.fixture(autouse=True)
def home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")


HIDDEN = {
    "/home/ann": "~",
    "/home/ann/": "~/",
    "/home/ann/x y": "~/x y",
    "see /home/ann.": "see ~.",
    "file:///home/ann/x": "file://~/x",
    "{'a': '/home/ann/x', 'b': '/home/ann'}": "{'a': '~/x', 'b': '~'}",
    "../../home/ann/x": "~/x",
    "a=/home/ann/x:/home/ann/y": "a=~/x:~/y",
}
KEPT = ("/home/anne/x", "/home/ann-old", "/home/ann.old/x", "/mnt/home/ann/x", "home/ann/x", "/tmp/x", "", "~/x")


@pytest.mark.parametrize("text", HIDDEN)
def test_the_home_directory_is_hidden(text):
    assert hide_home(text) == HIDDEN[text]


@pytest.mark.parametrize("text", KEPT)
def test_other_paths_are_kept(text):
    assert hide_home(text) == text


def test_containers_and_paths():
    value = {"/home/ann/key": [Path("/home/ann/x"), ("/home/ann", 1.5)], "none": None}
    assert hide_home(value) == {"~/key": [Path("~/x"), ("~", 1.5)], "none": None}
    assert value["none"] is None and "/home/ann/key" in value


def test_a_link_to_the_home_directory_and_its_target(tmp_path, monkeypatch):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    monkeypatch.setenv("HOME", str(tmp_path / "link"))
    assert hide_home(f"{tmp_path}/link/x {tmp_path}/disk/x") == "~/x ~/x"


def test_no_home_directory_hides_nothing(monkeypatch):
    monkeypatch.setenv("HOME", "/")
    assert hide_home("/data/x") == "/data/x"


def test_credentials(monkeypatch):
    monkeypatch.setenv("CLUSTER_TOKEN", "a-long-secret")
    monkeypatch.setenv("USE_API_KEY", "true")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false-false-false")
    text = "a-long-secret true false-false-false sk-0123456789abcdefghij /home/ann/x"
    assert hide_credentials([text]) == ["<CLUSTER_TOKEN> true false-false-false <credential> /home/ann/x"]
    assert hide_private(text).endswith("<credential> ~/x")


def test_names_of_models_come_back(monkeypatch, tmp_path):
    monkeypatch.setenv("TRL_EXT_CACHE", str(tmp_path))
    bundled = tmp_path / "models" / "smollm2-135m-instruct-0.1.2"
    bundled.mkdir(parents=True)
    for path, name in (
        (str(bundled), DEFAULT_MODEL),
        ("/home/ann/m", "~/m"),
        ("org/m", "org/m"),
        ("/data/m", "/data/m"),
    ):
        assert portable_name(path) == name
        assert resolve_model(name) == path


def test_pickled_arguments_have_no_token_and_come_back():
    args = ReliabilityRewardConfig("/home/ann/out", hub_token="a-token", use_cpu=True, bf16=False)
    content = pickle.dumps(args)
    assert b"a-token" not in content and b"/home/ann" not in content
    loaded = pickle.loads(content)
    assert (loaded.output_dir, loaded.hub_token) == ("/home/ann/out", None)
    clone = copy.deepcopy(args)
    assert (clone.output_dir, clone.hub_token) == ("/home/ann/out", "a-token")
    assert args.to_dict()["output_dir"] == "~/out" and "a-token" not in args.to_json_string()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("train_data_path=/srv/Ann Smith/My Data/x.jsonl", "train_data_path=x.jsonl"),
        ("/srv/ann/rm/", "rm"),
        ("/data/a=b/x", "x"),
        ("/data/ann,bob/x", "x"),
        ("file:///srv/ann/x", "x"),
        ("ann@host:/srv/ann/x", "x"),
        ("../ann/x", "x"),
        ("~ann/secret/x", "x"),
        ("C:\\Users\\ann\\x", "x"),
        ("\\\\server\\ann\\x", "x"),
        ("https://ann:pw@host/x", "https://host/x"),
        ("['/srv/ann b/x', '/srv/bob/y']", "['x', 'y']"),
        ("[/srv/ann/x,/srv/bob/y]", "[x,y]"),
        ("test pairs of /srv/ann/x", "test pairs of x"),
    ],
)
def test_folders_are_left_out_of_values(text, shown):
    assert without_folder(text) == shown


@pytest.mark.parametrize(
    "text", ["org/model", "outputs/rm", "https://host/a/b", "bundled:a", "and/or", "1/2", "a = b", ""]
)
def test_what_is_no_path_of_the_machine_is_kept(text):
    assert without_folder(text) == without_folders(text) == text


def test_folders_are_left_out_of_a_command():
    command = "train.py with 'a=/srv/Ann Smith/x.jsonl' b=/srv/ann/y,c=/srv/bob/z d=../e/f"
    assert without_folders(command) == "train.py with 'a=x.jsonl' b=y,c=z d=f"
