"""The page of supported architectures says what the scan finds."""

import re
from pathlib import Path

import pytest
import transformers

from trl_ext.shared_prefix.scan import format_page, scan


PAGE = Path(__file__).resolve().parents[2] / "docs" / "architectures.md"


@pytest.fixture(scope="module")
def verdicts():
    return list(scan())


def test_what_users_train_is_shared(verdicts):
    results = {verdict.model: verdict.result for verdict in verdicts}
    for model in ("Llama", "Qwen2", "Qwen3", "Qwen3Moe", "Mistral", "Gemma2", "Gemma3Text", "GPT2", "Phi3", "SmolLM3"):
        assert results[model] == "shared"


def test_what_must_not_be_shared_is_padded(verdicts):
    reasons = {verdict.model: verdict.detail for verdict in verdicts if verdict.result == "padded"}
    assert "AttentionInterface" in reasons["Bloom"]
    assert "linear_attention" in reasons["Qwen3Next"]
    assert "score" in reasons["Bert"]


def test_the_page_is_up_to_date(verdicts):
    page = PAGE.read_text()
    version = re.search(r"with transformers (\S+):", page).group(1)
    if version != transformers.__version__:
        pytest.skip(f"the page was written with transformers {version}")

    def without_rounding(text):
        return re.sub(r"\| \de[+-]\d+ \|", "|", text.strip())

    assert without_rounding(page) == without_rounding(format_page(verdicts))
