"""A tiny random chat model answers here."""

import json
from collections import Counter

import numpy as np
import pytest
import torch

from tests.tiny import tiny_checkpoint, tiny_tokenizer
from trl_ext.completions import (
    AnswerForm,
    CompletionRequest,
    LocalBackend,
    Sampling,
    complete_all,
    estimate_completions,
)
from trl_ext.completions.seeded_sampling import form_tokens, seeded_sampling
from trl_ext.reliability.llm_arms import parse_scores, scores_form


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("model"), max_position_embeddings=512)


def questions(count: int, sampling: Sampling, repetition: int = 0) -> list[CompletionRequest]:
    return [
        CompletionRequest(
            f"q{i}/{repetition}", [{"role": "user", "content": "what " * (3 * i + 1)}], sampling, repetition
        )
        for i in range(count)
    ]


def texts(run) -> list[str | None]:
    return [result.answer and result.answer.text for result in run.results]


class TestLocalBackend:
    @pytest.mark.parametrize("sampling", [Sampling(0.0, max_tokens=12), Sampling(1.0, 0.9, max_tokens=12)])
    def test_answers_do_not_depend_on_the_batch_or_on_interruptions(self, checkpoint, tmp_path, sampling):
        requests = questions(7, sampling)
        whole = complete_all(requests, LocalBackend(checkpoint, batch_size=7), tmp_path / "a", progress=False)
        single = LocalBackend(checkpoint, batch_size=1)
        complete_all(requests[3:5], single, tmp_path / "b", progress=False)
        rest = complete_all(requests, single, tmp_path / "b", progress=False)
        assert rest.asked == 5
        assert texts(whole) == texts(rest) and len(set(texts(whole))) > 1
        assert whole.ledger == rest.ledger

    def test_repetitions_and_seeds_give_other_answers(self, checkpoint, tmp_path):
        backend = LocalBackend(checkpoint)
        runs = [
            complete_all(questions(2, Sampling(1.0, max_tokens=12, seed=seed), repetition), backend, tmp_path / "s")
            for seed, repetition in ((0, 0), (0, 1), (1, 0))
        ]
        assert len({tuple(texts(run)) for run in runs}) == 3

    def test_counts_tokens(self, checkpoint, tmp_path):
        backend = LocalBackend(checkpoint)
        requests = questions(3, Sampling(0.0, max_tokens=6))
        estimate = estimate_completions(requests, backend, tmp_path / "s")
        run = complete_all(requests, backend, tmp_path / "s", progress=False)
        assert estimate.prompt_tokens == run.ledger.prompt_tokens
        expected = sum(
            len(backend.tokenizer.apply_chat_template(r.messages, add_generation_prompt=True)["input_ids"])
            for r in requests
        )
        assert estimate.prompt_tokens == expected
        assert run.ledger.completion_tokens <= 18
        for result in run.results:
            assert (result.answer.finish_reason == "length") == (result.answer.completion_tokens == 6)

    def test_ends_at_the_end_of_sequence(self, tmp_path):
        # a head that always says <|im_end|>, the end of sequence
        path = tiny_checkpoint(tmp_path / "m", max_position_embeddings=2048)
        backend = LocalBackend(path)
        end = backend.tokenizer.eos_token_id
        backend.model.lm_head = torch.nn.Linear(32, len(backend.tokenizer))
        with torch.no_grad():
            backend.model.lm_head.weight.zero_()
            backend.model.lm_head.bias.zero_()[end] = 50
        run = complete_all(questions(2, Sampling(0.0)), backend, tmp_path / "s", progress=False)
        assert run.failures == {"unparsable": 2} and run.asked == 2, "a deterministic model is asked once"
        assert "the answer is empty (finish_reason 'stop')" in run.results[0].failure.message
        assert run.ledger.completion_tokens == 2

    def test_fills_in_forms(self, checkpoint, tmp_path):
        sampling = Sampling(1.0, form=scores_form())
        run = complete_all(
            questions(6, sampling), LocalBackend(checkpoint), tmp_path / "s", parse=parse_scores, progress=False
        )
        assert run.failures == {}
        scores = Counter(score.score for result in run.results for score in result.value.values())
        assert set(scores) <= {1, 2, 3, 4, 5} and len(scores) > 2
        assert run.results[0].answer.finish_reason == "stop"

    def test_too_long_a_question_is_a_failure_of_its_own(self, checkpoint, tmp_path):
        requests = questions(2, Sampling(0.0, max_tokens=8))
        requests.insert(
            1, CompletionRequest("long", [{"role": "user", "content": "what " * 600}], requests[0].sampling)
        )
        run = complete_all(requests, LocalBackend(checkpoint), tmp_path / "s", progress=False)
        assert [r.failure and r.failure.kind for r in run.results] == [None, "context_length", None]
        assert "exceed the model's 512" in run.results[1].failure.message

    def test_other_weights_have_other_answers(self, checkpoint, tmp_path):
        other = tiny_checkpoint(tmp_path / "other", seed=1, max_position_embeddings=512)
        requests = questions(2, Sampling(0.0, max_tokens=4))
        for name in (checkpoint, other):
            assert complete_all(requests, LocalBackend(name), tmp_path / "s", progress=False).asked == 2
        models = {json.loads(line)["model"] for line in (tmp_path / "s").read_text().splitlines()}
        assert len(models) == 2

    @pytest.mark.parametrize(
        ("sampling", "message"),
        [
            (Sampling(extra={"reasoning_effort": "low"}), "knows no further sampling fields"),
            (Sampling(max_tokens=None), "needs max_tokens"),
            (Sampling(0.7, seed=None), "needs a seed to sample"),
            (Sampling(form=AnswerForm((("Score: ", ("1", "twelve thousand")),))), "not one"),
        ],
    )
    def test_refuses(self, checkpoint, tmp_path, sampling, message):
        with pytest.raises(ValueError, match=message):
            complete_all(questions(1, sampling), LocalBackend(checkpoint), tmp_path / "s")

    @pytest.mark.parametrize("device", ["cuda:99", "gpu"])
    def test_refuses_a_device_that_is_not_there(self, checkpoint, device):
        with pytest.raises(ValueError, match=f"device '{device}' can't be used here"):
            LocalBackend(str(checkpoint), device=device)

    def test_refuses_a_model_without_a_chat_template(self, tmp_path):
        tokenizer = tiny_tokenizer()
        tokenizer.chat_template = None
        with pytest.raises(ValueError, match="has no chat template"):
            LocalBackend(tiny_checkpoint(tmp_path, tokenizer))


class TestSeededSampling:
    def test_draws_from_the_softmax_with_temperature(self):
        logits = torch.tensor([0.0, 1.0, 2.0])
        n = 20_000
        processors = seeded_sampling(Sampling(0.5), range(n))
        drawn = processors(torch.zeros(n, 1, dtype=torch.long), logits.expand(n, 3).clone()).argmax(-1)
        expected = torch.softmax(logits / 0.5, -1).numpy()
        shares = np.bincount(drawn.numpy(), minlength=3) / n
        np.testing.assert_allclose(shares, expected, atol=4 * np.sqrt(0.25 / n))

    def test_top_p_leaves_out_the_tail(self):
        logits = torch.tensor([[0.0, 0.0, -3.0]]).expand(2000, 3).clone()
        drawn = seeded_sampling(Sampling(1.0, 0.9), range(2000))(torch.zeros(2000, 1, dtype=torch.long), logits)
        assert set(drawn.argmax(-1).tolist()) == {0, 1}

    def test_form_tokens_spell_the_form(self):
        tokenizer = tiny_tokenizer()
        allowed = form_tokens(AnswerForm((("A: ", ("1", "2")), ("; B: ", ("x",))), end="."), tokenizer)
        spelled = tokenizer.decode([tokens[0] for tokens in allowed])
        assert spelled == "A: 1; B: x." and max(map(len, allowed)) == 2
