"""Numbers at the end of their range: the most probable token, or an error that names the cause."""

import numpy as np
import pytest

from pyroberta import InputError, RobertaConfig, RobertaForCausalLM
from pyroberta.generation.options import GenerationOptions
from pyroberta.generation.processors import penalise_repetition, warm

CONFIG = RobertaConfig(
    vocab_size=100,
    num_blocks=2,
    hidden_size=64,
    num_attention_heads=4,
    intermediate_size=128,
    max_positions=66,
    initializer_range=0.3,
)
STRATEGIES = {
    "greedy": {},
    "sampling": {"seed": 0},
    "beam": {"num_beams": 3},
    "contrastive": {"top_k": 3},
}
ASK = {"max_new_tokens": 3, "eos_token_id": ()}


@pytest.fixture(scope="module")
def model():
    return RobertaForCausalLM.from_config(CONFIG, seed=0)


def setting(value, column=31):
    """A processor that sets one token's logit."""

    def process(ids, logits):
        new = logits.copy()
        new[:, column] = value
        return new

    return [process]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("value", [np.inf, np.nan, -np.nan])
def test_logits_that_are_no_numbers_are_refused_by_name(model, strategy, value):
    with pytest.raises(
        InputError, match=r"logits must be finite, or -inf .*, not (inf|nan) for row"
    ):
        model.generate(
            [[0, 5]],
            strategy=strategy,
            logits_processors=setting(value),
            **STRATEGIES[strategy],
            **ASK,
        )


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.longdouble, ">f4", ">f8"])
def test_a_processor_may_return_any_floats(model, strategy, dtype):
    """Large logits of a narrow type among them: the token that is far above all others."""
    wanted = [[0, 5, 31, 31, 31]]
    got = model.generate(
        [[0, 5]],
        strategy=strategy,
        logits_processors=[lambda ids, logits: setting(60000)[0](ids, logits).astype(dtype)],
        **STRATEGIES[strategy],
        **ASK,
    )
    assert got.tolist() == wanted


@pytest.mark.parametrize("temperature", [1e-6, 1e-30, 1e-38, 1e-45, 1e-300, 5e-324])
def test_a_temperature_near_0_takes_the_most_probable_token(model, temperature):
    wanted = model.generate([[0, 31], [0, 7]], **ASK)
    got = model.generate(
        [[0, 31], [0, 7]], strategy="sampling", seed=0, temperature=temperature, **ASK
    )
    assert np.array_equal(got, wanted)


@pytest.mark.parametrize("temperature", [1e6, 1e38, 1e308])
def test_a_high_temperature_makes_all_tokens_alike(temperature):
    logits = np.float32([[1e30, -1e30, 0, -np.inf]])
    warmed = warm(logits, temperature)
    assert warmed[0, 3] == -np.inf
    assert np.isfinite(warmed[0, :3]).all()


@pytest.mark.parametrize("penalty", [1e-300, 1e300, 1e-44, 5e-324])
def test_a_repetition_penalty_that_overflows_is_refused_by_name(model, penalty):
    prompt = [[0, 5, 6, 7, 8, 9]]
    for strategy, options in STRATEGIES.items():
        if strategy == "beam":  # log-probabilities, in float64, of which none overflows here
            got = model.generate(
                prompt, strategy=strategy, repetition_penalty=penalty, **options, **ASK
            )
            assert got.shape == (1, 9)
            assert (got < 100).all()
            continue
        with pytest.raises(InputError, match="repetition_penalty must leave each logit a number"):
            model.generate(prompt, strategy=strategy, repetition_penalty=penalty, **options, **ASK)


def test_a_penalty_leaves_forbidden_tokens_forbidden():
    logits = np.float32([[1, -np.inf, -2]])
    got = penalise_repetition([np.array([0, 1, 2])], logits, 2.0)
    assert got.tolist() == [[0.5, -np.inf, -4]]


@pytest.mark.parametrize("penalty", [400.0, -400.0, 1e300, -1e300, 10**9, -(10**9), 10**300])
@pytest.mark.parametrize("early", [True, False, "never"])
def test_a_length_penalty_whose_power_is_no_number_is_refused_by_name(model, penalty, early):
    with pytest.raises(InputError, match=r"length_penalty must be a number whose power of the"):
        model.generate(
            [[0, 5]],
            strategy="beam",
            length_penalty=penalty,
            early_stopping=early,
            max_new_tokens=8,
        )
    one = model.generate([[0, 5]], strategy="beam", length_penalty=penalty, max_new_tokens=1)
    assert one.shape == (1, 3)  # 1 to any power


@pytest.mark.parametrize("name", ["temperature", "repetition_penalty", "length_penalty"])
@pytest.mark.parametrize("value", [10**400, -(10**400), np.inf, np.nan, True, "1", None.__class__])
def test_what_is_no_finite_number_is_refused_by_name(name, value):
    strategy = {"temperature": "sampling", "length_penalty": "beam"}.get(name, "greedy")
    with pytest.raises(InputError, match=f"{name} must be a number "):
        GenerationOptions(strategy=strategy, **{name: value})


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_model_whose_logits_are_no_numbers_is_refused_in_each_strategy(value, tmp_path):
    """No id that the vocabulary does not have comes of it."""
    from safetensors.numpy import load_file, save_file

    RobertaForCausalLM.from_config(CONFIG, seed=0).save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["lm_head.bias"][31] = value
    save_file(tensors, tmp_path / "model.safetensors")
    broken = RobertaForCausalLM.from_pretrained(tmp_path)
    for strategy, options in STRATEGIES.items():
        with pytest.raises(InputError, match=f"logits must be finite.*, not {value} for row 0"):
            broken.generate([[0, 5]], strategy=strategy, **options, **ASK)
