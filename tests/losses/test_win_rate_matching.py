"""Win-rate matching against plain formulas under autograd, on one process and on several."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluation.doc_examples import failed_examples
from tests.losses.simulated_processes import on_processes
from trl_ext.losses import WinRateMatchingLoss


def random_rows(seed, rows=60, groups=4):
    generator = torch.Generator().manual_seed(seed)
    differences = 2 * torch.randn(rows, generator=generator, dtype=torch.float64)
    codes = torch.randint(0, groups, (rows,), generator=generator)
    codes[: 2 * groups] = torch.arange(groups).repeat(2)  # two rows of every group at least
    weight = 0.1 + torch.rand(rows, generator=generator, dtype=torch.float64)
    targets = torch.rand(groups, generator=generator, dtype=torch.float64)
    return differences.requires_grad_(), codes, weight, targets


def mean_of_products(u, w):
    """Of u_i u_j over i != j, by the loops of its definition."""
    n = len(u)
    products = [(w[i] * w[j], w[i] * w[j] * u[i] * u[j]) for i in range(n) for j in range(n) if i != j]
    return sum(product for _, product in products) / sum(weight for weight, _ in products)


def plain(
    differences, codes, targets, weight, *, temperature=1.0, divergence="squared", unbiased=True, importance=None
):
    total = 0.0
    importance = torch.ones_like(targets) if importance is None else importance
    for g, target in enumerate(targets):
        wins, w = torch.sigmoid(differences[codes == g] / temperature), weight[codes == g]
        rate = (w * wins).sum() / w.sum()
        if divergence == "kl":
            distance = target * (target / rate).log() + (1 - target) * ((1 - target) / (1 - rate)).log()
        else:
            distance = mean_of_products(wins - target, w) if unbiased else (rate - target) ** 2
        total = total + importance[g] * distance
    return total / importance.sum()


def gradient(objective, differences):
    return torch.autograd.grad(objective.loss, differences, retain_graph=True)[0]


SETTINGS = [("squared", True), ("squared", False), ("kl", True)]


@pytest.mark.parametrize(("divergence", "unbiased"), SETTINGS)
class TestEveryDivergence:
    @pytest.mark.parametrize("seed", [0, 1])
    def test_value_and_gradient_are_those_of_the_formula(self, divergence, unbiased, seed):
        differences, codes, weight, targets = random_rows(seed)
        variance = torch.tensor([0.0, 1e-3, 4e-4, 1.0], dtype=torch.float64)
        loss = WinRateMatchingLoss(0.7, divergence, unbiased)
        objective = loss(differences, codes, targets, weight=weight, target_variance=variance)
        expected = plain(
            *(differences, codes, targets, weight),
            **{"temperature": 0.7, "divergence": divergence, "unbiased": unbiased},
            importance=1 / (variance + 4e-4),
        )
        torch.testing.assert_close(objective.value, expected.detach(), rtol=1e-10, atol=1e-13)
        assert objective.loss.item() == objective.value.item()
        torch.testing.assert_close(
            gradient(objective, differences), torch.autograd.grad(expected, differences)[0], rtol=1e-10, atol=1e-13
        )

    @settings(max_examples=30)
    @given(data=st.data(), seed=st.integers(0, 10**6), processes=st.integers(2, 4))
    def test_processes_together_have_the_gradient_of_one_with_all_rows(
        self, divergence, unbiased, data, seed, processes
    ):
        differences, codes, weight, targets = random_rows(seed, rows=12)
        owner = torch.tensor(data.draw(st.lists(st.integers(0, processes - 1), min_size=12, max_size=12)))
        running = torch.tensor(data.draw(st.sampled_from([[0.3, math.nan, 0.9, 0.5], [math.nan] * 4])))
        loss = WinRateMatchingLoss(1.5, divergence, unbiased, momentum=0.5)

        def share_of(rows, **options):  # processes may have no rows at all
            return loss(differences[rows], codes[rows], targets, weight=weight[rows], running=running, **options)

        alone = share_of(torch.arange(12))
        shares = on_processes([(owner == process).nonzero()[:, 0] for process in range(processes)], share_of)
        together = sum(gradient(share, differences) for share in shares)
        torch.testing.assert_close(together, gradient(alone, differences), rtol=1e-9, atol=1e-12)
        for share in shares:
            torch.testing.assert_close(share.value, alone.value, rtol=1e-9, atol=1e-12)
            for name in ("statistics", "counts", "used", "running"):
                torch.testing.assert_close(getattr(share, name), getattr(alone, name), equal_nan=True)

    @given(
        d=st.lists(st.floats(-1e4, 1e4, width=32), min_size=2, max_size=6),
        target=st.floats(0, 1, width=32),
        temperature=st.sampled_from([0.5, 1.0, 10.0]),
    )
    def test_extremes_are_finite(self, divergence, unbiased, d, target, temperature):
        differences = torch.tensor(d, requires_grad=True)
        codes = torch.zeros(len(d), dtype=torch.int64)
        objective = WinRateMatchingLoss(temperature, divergence, unbiased)(differences, codes, torch.tensor([target]))
        assert objective.value.isfinite() and gradient(objective, differences).isfinite().all()

    def test_exchanging_the_sources_of_a_group_changes_nothing(self, divergence, unbiased):
        differences, codes, weight, targets = random_rows(3)
        loss = WinRateMatchingLoss(1.0, divergence, unbiased)
        first, second = (
            loss(sign * differences, codes, target, weight=weight)
            for sign, target in ((1, targets), (-1, 1 - targets))
        )
        torch.testing.assert_close(first.value, second.value)
        torch.testing.assert_close(gradient(first, differences), gradient(second, differences))

    def test_groups_without_rows_and_rows_without_weight_change_nothing(self, divergence, unbiased):
        differences, codes, weight, targets = random_rows(4, groups=2)
        loss = WinRateMatchingLoss(1.0, divergence, unbiased)
        plain_objective = loss(differences, codes, targets, weight=weight)

        more = torch.cat([differences, torch.tensor([3.0, -5.0], dtype=torch.float64)])
        objective = loss(
            more,
            torch.cat([codes, torch.tensor([0, 3])]),  # group 2 has no row, group 3 one without weight
            torch.cat([targets, torch.tensor([0.5, 0.5])]),
            weight=torch.cat([weight, torch.zeros(2)]),
        )
        torch.testing.assert_close(objective.value, plain_objective.value)
        torch.testing.assert_close(gradient(objective, differences), gradient(plain_objective, differences))
        assert objective.used.tolist() == [True, True, False, False]
        assert objective.counts.tolist() == [*plain_objective.counts.tolist(), 0, 0]
        assert objective.statistics[2:].isnan().all()

    def test_a_batch_without_rows_has_no_gradient(self, divergence, unbiased):
        differences = torch.empty(0, requires_grad=True)
        objective = WinRateMatchingLoss(1.0, divergence, unbiased)(
            differences, torch.empty(0, dtype=torch.int64), torch.tensor([0.5, 0.7])
        )
        assert objective.value.item() == 0 and gradient(objective, differences).shape == (0,)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_computes_in_float32_at_least(self, divergence, unbiased, dtype):
        differences = torch.tensor([3.0, -1.0, 0.25], dtype=dtype, requires_grad=True)
        codes, targets = torch.zeros(3, dtype=torch.int64), torch.tensor([0.3])
        loss = WinRateMatchingLoss(1.0, divergence, unbiased)
        objective, exact = loss(differences, codes, targets), loss(differences.double(), codes, targets.double())
        assert objective.loss.dtype == torch.float32
        torch.testing.assert_close(objective.value, exact.value, rtol=1e-5, atol=1e-7)

    def test_the_gradient_of_running_rates_is_that_of_the_mixed_rate(self, divergence, unbiased):
        differences, codes, weight, targets = random_rows(5)
        running = torch.tensor([0.2, 0.6, 0.9, 0.5], dtype=torch.float64)
        loss = WinRateMatchingLoss(1.0, divergence, unbiased, momentum=0.75)
        objective = loss(differences, codes, targets, weight=weight, running=running)

        values = []
        for g in range(4):
            wins, w = torch.sigmoid(differences[codes == g]), weight[codes == g]
            rate = (w * wins).sum() / w.sum()
            mixed = 0.75 * running[g] + 0.25 * rate
            torch.testing.assert_close(objective.running[g], mixed.detach())
            if divergence == "kl":
                values.append(plain_kl(targets[g], mixed))
            else:
                variance = (rate - targets[g]) ** 2 - mean_of_products(wins - targets[g], w) if unbiased else 0.0
                values.append((mixed - targets[g]) ** 2 - 0.25**2 * variance)
        expected = sum(values) / 4
        torch.testing.assert_close(objective.value, expected.detach())
        torch.testing.assert_close(
            gradient(objective, differences), torch.autograd.grad(expected, differences)[0] / (1 - 0.75)
        )


def plain_kl(target, rate):
    return target * (target / rate).log() + (1 - target) * ((1 - target) / (1 - rate)).log()


class TestSquared:
    def test_value_and_gradient_by_hand(self):
        # z = log 3 and -log 3: sigma = 3/4 and 1/4. P = 1/4: u = 1/2 and 0
        # biased: (1/4)^2 = 1/16; unbiased: 1/2 * 0 = 0
        # slopes sigma' = 3/16; biased d = 2 * 1/4 * 1/2 * 3/16 = 3/64 each; unbiased d_1 = u_2 * 3/16 = 0, d_2 = 3/32
        differences = torch.tensor([math.log(3), -math.log(3)], dtype=torch.float64, requires_grad=True)
        arguments = (differences, torch.zeros(2, dtype=torch.int64), torch.tensor([0.25]))
        biased = WinRateMatchingLoss(unbiased=False)(*arguments)
        assert biased.value.item() == pytest.approx(1 / 16)
        assert gradient(biased, differences).tolist() == pytest.approx([3 / 64, 3 / 64])
        unbiased = WinRateMatchingLoss()(*arguments)
        assert unbiased.value.item() == pytest.approx(0, abs=1e-15)
        assert gradient(unbiased, differences).tolist() == pytest.approx([0, 3 / 32], abs=1e-15)
        assert unbiased.statistics.tolist() == pytest.approx([0.5])

    def test_is_unbiased_for_every_size_of_group(self):
        # z ~ N(0.5, 1): the true rate is the mean over a fine grid; the square of the mean of n is too large by var / n
        generator = torch.Generator().manual_seed(0)
        grid = 0.5 + math.sqrt(2) * torch.special.erfinv(torch.linspace(-1, 1, 20_003, dtype=torch.float64)[1:-1])
        wins = torch.sigmoid(grid)
        truth, variance = (wins.mean() - 0.4).square().item(), wins.var().item()
        groups = 40_000
        for n in (2, 5):
            z = 0.5 + torch.randn(groups * n, generator=generator, dtype=torch.float64)
            codes = torch.arange(groups).repeat_interleave(n)
            targets = torch.full((groups,), 0.4, dtype=torch.float64)
            biased, unbiased = (WinRateMatchingLoss(unbiased=u)(z, codes, targets).value.item() for u in (False, True))
            assert unbiased == pytest.approx(truth, abs=1e-3)  # four standard errors
            assert biased == pytest.approx(truth + variance / n, abs=1e-3)

    def test_one_row_has_no_unbiased_estimate(self):
        differences = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
        codes, targets = torch.tensor([0, 1, 1]), torch.tensor([0.1, 0.9])
        objective = WinRateMatchingLoss()(differences, codes, targets)
        assert objective.used.tolist() == [False, True] and objective.counts.tolist() == [1, 2]
        assert gradient(objective, differences)[0] == 0
        biased = WinRateMatchingLoss(unbiased=False)(differences, codes, targets)
        assert biased.used.all() and gradient(biased, differences)[0] > 0

    def test_one_row_moves_by_the_running_rate(self):
        # m = 1/2, running - P = 0.3: gradient of 2 m (running - P) sigma(z), here 2 * 1/2 * 0.3 * 1/4
        differences = torch.tensor([0.0], requires_grad=True)
        objective = WinRateMatchingLoss(momentum=0.5)(
            differences, torch.tensor([0]), torch.tensor([0.6]), running=torch.tensor([0.9])
        )
        assert objective.used.tolist() == [True]
        assert gradient(objective, differences).item() == pytest.approx(0.075)
        assert objective.running.item() == pytest.approx(0.7)

    def test_the_weight_of_the_running_rate_is_not_rounded(self):
        objective = WinRateMatchingLoss(momentum=0.9)(
            torch.tensor([0.0], dtype=torch.float64),
            torch.tensor([0]),
            torch.tensor([0.6]),
            running=torch.tensor([0.8], dtype=torch.float64),
        )
        assert objective.running.item() == pytest.approx(0.9 * 0.8 + 0.1 * 0.5, abs=1e-15)

    def test_a_running_rate_is_kept_while_its_group_is_away(self):
        objective = WinRateMatchingLoss(momentum=0.5)(
            torch.zeros(2),
            torch.tensor([1, 1]),
            torch.full((3,), 0.6),
            running=torch.tensor([0.9, math.nan, math.nan]),
        )
        torch.testing.assert_close(objective.running, torch.tensor([0.9, 0.5, math.nan]).double(), equal_nan=True)

    def test_common_variances_change_nothing(self):
        differences, codes, weight, targets = random_rows(6)
        loss = WinRateMatchingLoss()
        without, common = (
            loss(differences, codes, targets, target_variance=variance)
            for variance in (None, torch.full((4,), 0.01, dtype=torch.float64))
        )
        torch.testing.assert_close(without.value, common.value)
        torch.testing.assert_close(gradient(without, differences), gradient(common, differences))

    def test_weights_have_no_scale(self):
        differences, codes, weight, targets = random_rows(7)
        first, second = (WinRateMatchingLoss()(differences, codes, targets, weight=w) for w in (weight, 1000 * weight))
        torch.testing.assert_close(gradient(first, differences), gradient(second, differences))


class TestKL:
    def test_value_and_gradient_by_hand(self):
        # sigma = 3/4 and 1/4, rate 1/2, P = 1/4: 1/4 log(1/2) + 3/4 log(3/2) = 0.130812
        # slope of KL in the rate (p - P) / (p (1 - p)) = 1; times 1/2 * 3/16
        differences = torch.tensor([math.log(3), -math.log(3)], dtype=torch.float64, requires_grad=True)
        objective = WinRateMatchingLoss(divergence="kl")(
            differences, torch.zeros(2, dtype=torch.int64), torch.tensor([0.25])
        )
        assert objective.value.item() == pytest.approx(0.130812, abs=1e-6)
        assert gradient(objective, differences).tolist() == pytest.approx([3 / 32, 3 / 32])

    @pytest.mark.parametrize("lost_by", [1e4, 48_000, 5e6, 1e8])
    @pytest.mark.parametrize("processes", [1, 3])
    def test_a_hopeless_group_still_moves(self, processes, lost_by):
        # every pair lost by as much: -P log(mean of sigma) falls with slope P / n in each, shared by their sigma
        differences = torch.full((3,), -lost_by, dtype=torch.float64, requires_grad=True)
        loss, targets = WinRateMatchingLoss(divergence="kl"), torch.tensor([0.25], dtype=torch.float64)

        def share(rows, **options):
            return loss(differences[rows], torch.zeros(len(rows), dtype=torch.int64), targets, **options)

        objectives = on_processes(torch.arange(3).chunk(processes), share)
        found = sum(gradient(objective, differences) for objective in objectives)
        assert found.tolist() == pytest.approx([-0.25 / 3] * 3)

    def test_processes_of_very_different_rewards_agree(self):
        # the mean is that of one process; the others' exponentials underflow
        differences = torch.tensor([-2.0, -1.0, -5e3, -9e3, -1e4], dtype=torch.float64, requires_grad=True)
        loss, targets = WinRateMatchingLoss(divergence="kl"), torch.tensor([0.5], dtype=torch.float64)

        def share(rows, **options):
            return loss(differences[rows], torch.zeros(len(rows), dtype=torch.int64), targets, **options)

        alone = share(torch.arange(5))
        for order in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0]):
            objectives = on_processes(torch.tensor(order).split(1), share)
            torch.testing.assert_close(objectives[0].value, alone.value)
            together = sum(gradient(objective, differences) for objective in objectives)
            torch.testing.assert_close(together, gradient(alone, differences))

    def test_beyond_all_bounds_it_is_finite_on_processes_too(self):
        differences = torch.tensor([1e30, 2e30], requires_grad=True)
        loss, targets = WinRateMatchingLoss(divergence="kl"), torch.tensor([0.25])

        def share(rows, **options):
            return loss(differences[rows], torch.zeros(len(rows), dtype=torch.int64), targets, **options)

        for objective in (share(torch.arange(2)), *on_processes(torch.arange(2).chunk(2), share)):
            assert objective.value.isfinite() and gradient(objective, differences).isfinite().all()

    @pytest.mark.parametrize("target", [0.0, 1.0])
    def test_a_target_at_the_end_is_the_logarithm_of_one_rate(self, target):
        differences = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
        objective = WinRateMatchingLoss(divergence="kl")(
            differences, torch.zeros(2, dtype=torch.int64), torch.tensor([target])
        )
        rate = torch.sigmoid(differences).mean()
        expected = -(rate if target else 1 - rate).log()
        torch.testing.assert_close(objective.value, expected.detach())
        torch.testing.assert_close(gradient(objective, differences), torch.autograd.grad(expected, differences)[0])


class TestArguments:
    def call(self, **changed):
        arguments = {
            "differences": torch.zeros(4),
            "groups": torch.tensor([0, 0, 1, 1]),
            "targets": torch.tensor([0.5, 0.6]),
        }
        options = {name: changed.pop(name) for name in list(changed) if name not in arguments}
        return WinRateMatchingLoss()(*(arguments | changed).values(), **options)

    @pytest.mark.parametrize("name", ["differences", "groups", "targets", "weight", "target_variance", "running"])
    @pytest.mark.parametrize("shape", [(4, 1), (), (3,)])
    def test_refuses_shapes_that_would_broadcast(self, name, shape):
        if (name, shape) in {("targets", (3,)), ("differences", (3,))}:
            return  # a number of targets, or of rows that groups don't agree with: see the other names
        with pytest.raises(ValueError, match=rf"{name} must be a tensor of shape \(B,\)"):
            self.call(**{name: torch.zeros(shape, dtype=torch.int64 if name == "groups" else torch.float32)})

    @pytest.mark.parametrize(
        ("name", "values", "message"),
        [
            ("targets", [0.5, 1.5], r"1 values outside \[0, 1\]; first: row 1, value 1.5"),
            ("targets", [math.nan, 0.5], "row 0, value nan"),
            ("weight", [1.0, 1.0, -1.0, 1.0], "row 2, value -1"),
            ("weight", [1.0, math.inf, 1.0, 1.0], "row 1, value inf"),
            ("target_variance", [0.0, -1e-3], "row 1, value -0.001"),
            ("running", [math.nan, 1.01], "row 1, value 1.01"),
        ],
    )
    def test_names_the_first_bad_value(self, name, values, message):
        with pytest.raises(ValueError, match=f"{name} has .*{message}"):
            self.call(**{name: torch.tensor(values)})

    @pytest.mark.parametrize("code", [-1, 2])
    def test_refuses_groups_without_target(self, code):
        with pytest.raises(ValueError, match=rf"groups has 1 values outside \[0, 1\]; first: row 3, value {code}"):
            self.call(groups=torch.tensor([0, 0, 1, code]))

    def test_refuses_groups_that_are_no_integers(self):
        with pytest.raises(TypeError, match="groups must be int64, got torch.float32"):
            self.call(groups=torch.zeros(4))

    @pytest.mark.parametrize(
        "argument",
        [
            {"temperature": 0.0},
            {"temperature": math.nan},
            {"divergence": "js"},
            {"momentum": 1.0},
            {"variance_floor": 0.0},
        ],
    )
    def test_refuses_settings_out_of_range(self, argument):
        (name,) = argument
        with pytest.raises(ValueError, match=f"`{name}` must be"):
            WinRateMatchingLoss(**argument)

    def test_says_how_to_rebuild_and_cite_it(self):
        loss = WinRateMatchingLoss(2.0, "kl", False, 0.5, 1e-3)
        assert WinRateMatchingLoss(**loss.get_config_dict()).get_config_dict() == loss.get_config_dict()
        assert loss.citation.startswith("@")

    def test_the_docstring_example_runs(self):
        assert not failed_examples(WinRateMatchingLoss)
