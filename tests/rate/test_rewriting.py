"""Chains of rewrites and their file."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluation.doc_examples import failed_examples
from tests.tiny import tiny_checkpoint
from trl_ext.completions import BatchBackend, LocalBackend, Sampling
from trl_ext.rate import Attribute, ChatRewriter, Rewritten, TextChains, rewrite_chains
from trl_ext.rate.rewriting import rewrite_chains as rewriting_module
from trl_ext.rate.rewriting.rewrite_files import count_steps


LENGTH = Attribute("length", "longer", "shorter", "Make this text {target}: {text}")


class Marker:
    """A rewriter that writes what it was asked, fails where a text says so, and counts."""

    name = "marker"

    def __init__(self, version=1):
        self.asked = []
        self.version = version

    def rewrite(self, requests):
        self.asked += requests
        return [
            Rewritten(None, "refusal", "stop")
            if f"fail{request.step}" in request.text
            else Rewritten(f"{request.text} {'+' if request.target else '-'}{request.step}", None, "stop")
            for request in requests
        ]

    def settings(self):
        return {"kind": "marker", "version": self.version}


def chains_of(*texts: str, w=None, **kwargs) -> TextChains:
    w = np.ones(len(texts), bool) if w is None else np.array(w, bool)
    ids = tuple(f"r{i}" for i in range(len(texts)))
    return TextChains("length", ids, ("p",) * len(texts), w, tuple((text,) for text in texts), **kwargs)


def rewrite(chains, rewriter, **kwargs):
    return rewrite_chains(chains, LENGTH, rewriter, progress=False, **kwargs)


class TestChains:
    @settings(max_examples=25)
    @given(w=st.lists(st.booleans(), min_size=1, max_size=5), steps=st.integers(1, 5))
    def test_targets_alternate_from_the_opposite_of_w(self, w, steps):
        done = rewrite(chains_of(*map(str, range(len(w))), w=w), Marker(), steps=steps)
        assert done.steps == steps
        for i, has_it in enumerate(w):
            signs = ["+" if has_it ^ bool(step % 2) else "-" for step in range(1, steps + 1)]
            assert done.texts[i][-1] == " ".join([str(i), *(f"{sign}{k}" for k, sign in enumerate(signs, 1))])

    def test_failures_stay_and_nothing_is_asked_after_them(self):
        rewriter = Marker()
        chains = chains_of("fine", "fail1", "fail2", clusters=("a", "a", "b"), metadata=({"x": 1}, {}, {}))
        done = rewrite(chains, rewriter, steps=3)
        assert done.failures == (
            (None, None, None),
            ("refusal", "no_rewrite", "no_rewritten_rewrite"),
            (None, "refusal", "no_rewritten_rewrite"),
        )
        assert done.finish_reasons[1] == ("stop", None, None)
        assert len(rewriter.asked) == 3 + 2 + 1
        assert done.clusters == chains.clusters and done.metadata == chains.metadata
        assert count_steps(done)["rewritten_rewrite"] == {
            "texts": 1,
            "failures": {"no_rewrite": 1, "refusal": 1},
            "finish_reasons": {"stop": 2},
        }

    def test_where_all_failed_nothing_more_is_asked(self):
        class Never(Marker):
            def rewrite(self, requests):
                assert requests, "an empty list was asked"
                return [Rewritten(None, "timeout") for _ in requests]

        assert rewrite(chains_of("a", "b"), Never()).failures == (("timeout", "no_rewrite"),) * 2

    def test_rewrites_that_are_given_are_kept(self):
        once = rewrite(chains_of("a", "b"), Marker(), steps=1)
        rewriter = Marker()
        assert rewrite(once, rewriter).texts == rewrite(chains_of("a", "b"), Marker()).texts
        assert {request.step for request in rewriter.asked} == {2}

    def test_example(self):
        assert failed_examples(rewriting_module.rewrite_chains) == 0
        assert failed_examples(count_steps) == 0


class TestFile:
    def test_a_complete_file_is_returned_without_asking(self, tmp_path):
        path = tmp_path / "rewrites.jsonl"
        first = rewrite(chains_of("a", "fail2"), Marker(), path=path)
        rewriter = Marker()
        again = rewrite(chains_of("a", "fail2"), rewriter, path=path)
        assert not rewriter.asked and again.rows() == first.rows() == TextChains.read(path).rows()
        record = json.loads((tmp_path / "rewrites.meta.json").read_text())
        assert record["rows"] == 2 and record["complete_rows"] == 1
        assert record["steps"]["rewritten_rewrite"]["failures"] == {"refusal": 1}
        assert record["settings"]["rewriter"] == {"kind": "marker", "version": 1}
        assert len(record["settings"]["instruction_sha256"]) == 64 and "trl_ext" in record["versions"]

    def test_more_steps_ask_only_for_those(self, tmp_path):
        path = tmp_path / "rewrites.jsonl"
        rewrite(chains_of("a", "b"), Marker(), path=path)
        rewriter = Marker()
        three = rewrite(chains_of("a", "b"), rewriter, steps=3, path=path)
        assert {request.step for request in rewriter.asked} == {3} and TextChains.read(path).steps == 3
        assert rewrite(chains_of("a", "b"), rewriter, steps=2, path=path).texts == three.cut(2).texts
        assert TextChains.read(path).steps == 3 and len(rewriter.asked) == 2
        # the result itself may be given in place of the originals
        assert rewrite(three, rewriter, steps=4, path=path).cut(3).texts == three.texts

    @pytest.mark.parametrize("kill_at", range(1, 7))
    @pytest.mark.parametrize("steps", [(2,), (2, 3)])
    def test_a_kill_between_any_two_files_goes_on(self, tmp_path, monkeypatch, steps, kill_at):
        from trl_ext.rate.rewriting import rewrite_files

        path, count = tmp_path / "rewrites.jsonl", 0
        original = rewrite_files.write_text_atomically

        def write(*args):
            nonlocal count
            count += 1
            if count == kill_at:
                raise KeyboardInterrupt
            original(*args)

        monkeypatch.setattr(rewrite_files, "write_text_atomically", write)
        chains = chains_of("a", "fail1", "c")
        for number in [*steps, *steps]:
            try:
                done = rewrite(chains, Marker(), steps=number, path=path)
            except KeyboardInterrupt:
                continue
        assert (
            done.rows()
            == TextChains.read(path).cut(done.steps).rows()
            == rewrite(chains, Marker(), steps=steps[-1]).rows()
        )

    def test_retry_keeps_what_is_there(self, tmp_path):
        path = tmp_path / "rewrites.jsonl"
        chains = chains_of("a", "fail1", "fail2")
        rewrite(chains, Marker(), steps=3, path=path)
        rewriter = Marker()
        rewriter.rewrite = lambda requests: [Rewritten(f"mended {r.step}") for r in requests]
        done = rewrite(chains, rewriter, steps=2, path=path, retry_failures=True)
        assert done.texts[0][1:] == ("a -1", "a -1 +2") and done.texts[1][1:] == ("mended 1", "mended 2")
        assert done.texts[2][1:] == ("fail2 -1", "mended 2")
        assert TextChains.read(path).steps == 3 and TextChains.read(path).complete.all()

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda c, a, r: (chains_of("a", "c"), a, r), "originals_sha256 was"),
            (lambda c, a, r: (replace(c, w=~c.w), a, r), "originals_sha256 was"),
            (lambda c, a, r: (c, replace(a, instruction="{text} {target}"), r), "instruction_sha256 was"),
            (lambda c, a, r: (c, replace(a, treated="long"), r), "treated was 'longer' and is 'long'"),
            (lambda c, a, r: (c, a, Marker(2)), r"rewriter was .*'version': 1.* and is .*'version': 2"),
        ],
    )
    def test_other_settings_are_refused_or_overwrite(self, tmp_path, change, message):
        path = tmp_path / "rewrites.jsonl"
        chains = chains_of("a", "b")
        rewrite(chains, Marker(), path=path)
        chains, attribute, rewriter = change(chains, LENGTH, Marker())
        with pytest.raises(ValueError, match=f"was made with other settings: {message}.*overwrite=True"):
            rewrite_chains(chains, attribute, rewriter, path=path, progress=False)
        done = rewrite_chains(chains, attribute, rewriter, path=path, overwrite=True, progress=False)
        assert TextChains.read(path).rows() == done.rows() and rewriter.asked

    def test_a_file_that_was_changed_or_has_no_record(self, tmp_path):
        path = tmp_path / "rewrites.jsonl"
        rewrite(chains_of("a"), Marker(), path=path)
        path.write_text(path.read_text().replace("a -1", "b -1"))
        with pytest.raises(ValueError, match="was changed after it was written.*overwrite=True"):
            rewrite(chains_of("a"), Marker(), path=path)
        (tmp_path / "rewrites.meta.json").unlink()
        with pytest.raises(ValueError, match="exists, but not the record rewrites.meta.json"):
            rewrite(chains_of("a"), Marker(), path=path)
        (tmp_path / "rewrites.meta.json").write_text("{")
        with pytest.raises(ValueError, match="rewrites.meta.json is no record of rewrites"):
            rewrite(chains_of("a"), Marker(), path=path)

    def test_given_rewrites_that_differ_from_those_of_the_file(self, tmp_path):
        path = tmp_path / "rewrites.jsonl"
        rewrite(chains_of("a"), Marker(), path=path)
        other = chains_of("a").extend([Rewritten("something else")])
        with pytest.raises(ValueError, match="has other rewrites than those that are given"):
            rewrite(other, Marker(), path=path)


class TestBadInput:
    @pytest.mark.parametrize("steps", [0, -1, 1.0, True, "2"])
    def test_steps(self, steps):
        with pytest.raises(ValueError, match="steps must be a number of rewrites, at least 1, got"):
            rewrite(chains_of("a"), Marker(), steps=steps)

    def test_fewer_steps_than_are_there(self):
        with pytest.raises(ValueError, match="have 2 rewrites, more than steps=1; see TextChains.cut"):
            rewrite(rewrite(chains_of("a"), Marker()), Marker(), steps=1)

    def test_what_is_no_chains(self):
        with pytest.raises(TypeError, match="must be TextChains, got list"):
            rewrite([{"text": "a"}], Marker())

    def test_another_attribute(self, tmp_path):
        other = replace(LENGTH, name="sentiment")
        with pytest.raises(ValueError, match="those of attribute 'length', and are to be rewritten in 'sentiment'"):
            rewrite_chains(chains_of("a"), other, Marker())
        rewriter = ChatRewriter(BatchBackend("m", tmp_path, offline=True), other, tmp_path / "s")
        with pytest.raises(ValueError, match="changes attribute 'sentiment' in another way"):
            rewrite_chains(chains_of("a"), LENGTH, rewriter)

    @pytest.mark.parametrize(
        ("results", "error", "message"),
        [
            ([], ValueError, "gave 0 results to 2 requests"),
            ([Rewritten("x")] * 3, ValueError, "gave 3 results to 2 requests"),
            (["x", "y"], TypeError, "'marker', id 'r0', 'rewrite': a result must be a Rewritten, got str: 'x'"),
            ([Rewritten("x"), Rewritten(" ")], ValueError, "id 'r1', 'rewrite': the text is empty"),
        ],
    )
    def test_rewriters_that_do_not_keep_their_word(self, results, error, message):
        rewriter = Marker()
        rewriter.rewrite = lambda requests: results
        with pytest.raises(error, match=message):
            rewrite(chains_of("a", "b"), rewriter)


class TestModels:
    def test_a_local_model(self, tmp_path):
        """What a random model writes is nonsense; that it is stored, shared and resumed is not."""
        checkpoint = tiny_checkpoint(tmp_path / "model", max_position_embeddings=1024)
        chains = chains_of("what is the answer", "the capital of France", "what is the answer", w=[1, 0, 1])

        def rewriter(batch_size):
            backend = LocalBackend(checkpoint, batch_size=batch_size)
            return ChatRewriter(
                backend, LENGTH, tmp_path / f"s{batch_size}", sampling=Sampling(1.0, max_tokens=12), progress=False
            )

        done = rewrite(chains, rewriter(4), path=tmp_path / "rewrites.jsonl")
        assert done.texts[0] == done.texts[2] and done.texts[0] != done.texts[1]
        assert rewrite(chains, rewriter(1)).texts == done.texts, "batches and stores change nothing"
        record = json.loads((tmp_path / "rewrites.meta.json").read_text())
        # seeds depend on the path of the model: now and then a random model ends an answer at once, and is asked again
        ledger = record["ledger"]
        assert ledger["answers"] - ledger["unusable"] == 4 and ledger["without_usage"] == 0
        # a text that leaves no room for an answer fails alone
        long = ChatRewriter(LocalBackend(checkpoint), LENGTH, tmp_path / "s", progress=False)
        done = rewrite(chains_of("what " * 900), long, steps=1)
        assert done.failures == (("context_length",),)

    def test_batches_by_hand(self, tmp_path):
        from tests.servers.openai_batch import output_lines
        from trl_ext.completions import BatchesUnderWay

        def answer(body):
            return body["messages"][0]["content"].split(": ", 1)[1] + " !"

        chains = chains_of("a", "b")
        rewriter = ChatRewriter(
            BatchBackend("m", tmp_path / "batches", offline=True), LENGTH, tmp_path / "s", progress=False
        )
        for number in (1, 2):
            with pytest.raises(BatchesUnderWay):
                rewrite(chains, rewriter, path=tmp_path / "rewrites.jsonl")
            questions = (tmp_path / "batches" / f"batch_{number:04d}_input.jsonl").read_bytes()
            (tmp_path / "batches" / f"batch_{number:04d}_output.jsonl").write_bytes(output_lines(questions, answer))
        done = rewrite(chains, rewriter, path=tmp_path / "rewrites.jsonl")
        assert done.texts == (("a", "a !", "a ! !"), ("b", "b !", "b ! !"))
