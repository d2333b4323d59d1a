"""The model's functions on decimal numbers of 150 digits and more: what test vectors are made of.

Numbers are ``decimal.Decimal``, vectors and matrices lists of them. Constants are those of the
formulas as they are written (0.044715), square roots and pi the real ones.
"""

from __future__ import annotations

import decimal
from collections.abc import Callable, Sequence
from decimal import Decimal

Vector = list[Decimal]
Matrix = list[Vector]

DIGITS = 150
# Sums are of products of float64, from 1e-648 to 1e616: nothing is lost of any.
_SUM_DIGITS = 1400
ZERO, ONE, TWO = Decimal(0), Decimal(1), Decimal(2)
# An exponential of less than this is 0 in float64, whatever it is multiplied by.
_LOWEST = Decimal(-2400)


def digits_for(x: Decimal) -> int:
    """Enough digits to round a function of ``x`` rightly: near 0 some are next to a tie."""
    return DIGITS + (max(0, -2 * x.adjusted()) if x else 0)


def context(digits: int) -> decimal.Context:
    """Decimal arithmetic that rounds to the nearest, over any range, and raises nothing."""
    return decimal.Context(
        prec=digits,
        rounding=decimal.ROUND_HALF_EVEN,
        Emin=decimal.MIN_EMIN,
        Emax=decimal.MAX_EMAX,
        traps=[],
    )


def exp(x: Decimal) -> Decimal:
    """``e^x``; beyond float64 a number that is 0 or infinite there."""
    return max(_LOWEST, min(-_LOWEST, x)).exp()


def tanh(x: Decimal) -> Decimal:
    with decimal.localcontext(_cancelling(x)):
        e = exp(-2 * abs(x))
        y = ((1 - e) / (1 + e)).copy_sign(x)
    return +y


def sigmoid(x: Decimal) -> Decimal:
    return 1 / (1 + exp(-x)) if x >= 0 else exp(x) / (1 + exp(x))


def softplus(x: Decimal) -> Decimal:
    return max(x, ZERO) + log1p(exp(-abs(x)))


def log1p(x: Decimal) -> Decimal:
    """``ln(1 + x)`` of ``0 <= x <= 1``; of a small one by its series, which cancels nothing."""
    if x > Decimal("1e-9"):
        return (1 + x).ln()
    terms = decimal.getcontext().prec // 9 + 2
    return sum((-((-x) ** n) / n for n in range(1, terms)), ZERO)


def expm1(x: Decimal) -> Decimal:
    with decimal.localcontext(_cancelling(x)):
        y = exp(x) - 1
    return +y


def _cancelling(x: Decimal) -> decimal.Context:
    """Digits for a difference of two numbers that are ``x`` apart."""
    return context(decimal.getcontext().prec + (max(0, -2 * x.adjusted()) if x else 0))


def erfc(x: Decimal) -> Decimal:
    """``1 - erf(x)``, of ``erf``'s Taylor series with as many digits more as it cancels."""
    if abs(x) > 28:  # 1e-343
        return TWO if x < 0 else ZERO
    here = decimal.getcontext()
    with decimal.localcontext(context(here.prec + int(x * x) + 10)):
        square = x * x
        term = total = x
        n = 0
        while abs(term) > Decimal(10) ** (total.adjusted() - decimal.getcontext().prec):
            n += 1
            term *= -square / n
            total += term / (2 * n + 1)
            if not term:
                break
        y = 1 - 2 * total / pi().sqrt()
    return +y


def pi() -> Decimal:
    """By Gauss's and Legendre's mean of means, at the precision of the context."""
    digits = decimal.getcontext().prec
    if digits not in _PI:
        with decimal.localcontext(context(digits + 10)):
            a, b, t, p = ONE, 1 / TWO.sqrt(), Decimal("0.25"), ONE
            for _ in range(digits.bit_length() + 2):
                a, b, t, p = (a + b) / 2, (a * b).sqrt(), t - p * ((a - b) / 2) ** 2, 2 * p
            _PI[digits] = (a + b) ** 2 / (4 * t)
    return +_PI[digits]


_PI: dict[int, Decimal] = {}


def clip(x: Decimal, low: Decimal, high: Decimal) -> Decimal:
    return max(low, min(high, x))


def gelu(x: Decimal) -> Decimal:
    return x * erfc(-x / TWO.sqrt()) / 2


def gelu_tanh(x: Decimal) -> Decimal:
    if abs(x) > 1000:
        return max(x, ZERO) if x > 0 else ZERO.copy_sign(x)
    return x * sigmoid(2 * (2 / pi()).sqrt() * (x + Decimal("0.044715") * x**3))


def elu(x: Decimal) -> Decimal:
    return x if x > 0 else expm1(x)


_SLOPE = Decimal("0.2")
# selu's constants: Klambauer et al. 2017, arXiv:1706.02515, to float64's digits.
_SELU = Decimal("1.0507009873554805"), Decimal("1.6732632423543772")


def _laplace(x: Decimal) -> Decimal:
    return erfc((Decimal("0.707107") - x) / (Decimal("0.282095") * TWO.sqrt())) / 2


ACTIVATIONS: dict[str, Callable[[Decimal], Decimal]] = {
    "identity": lambda x: x,  # the activation named linear, which is the layer here
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "gelu_clipped": lambda x: clip(gelu(x), Decimal(-10), Decimal(10)),
    "quick_gelu": lambda x: x * sigmoid(Decimal("1.702") * x),
    "relu": lambda x: max(x, ZERO),
    "relu_squared": lambda x: max(x, ZERO) ** 2,
    "relu6": lambda x: clip(x, ZERO, Decimal(6)),
    "leaky_relu": lambda x: x if x >= 0 else Decimal("0.01") * x,
    "tanh": tanh,
    "sigmoid": sigmoid,
    "silu": lambda x: x * sigmoid(x),
    "hard_sigmoid": lambda x: clip(_SLOPE * x + _SLOPE, ZERO, ONE),
    "hard_silu": lambda x: x * clip(_SLOPE * x + _SLOPE, ZERO, ONE),
    "hard_swish": lambda x: x * clip(x + 3, ZERO, Decimal(6)) / 6,
    "hard_tanh": lambda x: clip(x, -ONE, ONE),
    "softsign": lambda x: x / (1 + abs(x)),
    "exp": exp,
    "elu": elu,
    "selu": lambda x: _SELU[0] * (x if x > 0 else _SELU[1] * expm1(x)),
    "softplus": softplus,
    "log_sigmoid": lambda x: -softplus(-x),
    "sqrt_softplus": lambda x: softplus(x).sqrt(),
    "mish": lambda x: x * tanh(softplus(x)),
    "laplace": _laplace,
}


def softmax(x: Vector) -> Vector:
    """Over the numbers of a row; those that are ``-inf`` have no part in it."""
    largest = max(x)
    e = [exp(one - largest) if one.is_finite() else ZERO for one in x]
    total = sum(e, ZERO)
    return [one / total for one in e]


def log_softmax(x: Vector) -> Vector:
    largest = max(x)
    total = sum((exp(one - largest) for one in x), ZERO)
    return [one - largest - total.ln() for one in x]


def total(numbers: Sequence[Decimal]) -> Decimal:
    """Their sum, exactly."""
    with decimal.localcontext(context(_SUM_DIGITS)):
        return sum(numbers, ZERO)


def dot(x: Vector, y: Vector) -> Decimal:
    """The sum of products, exactly."""
    with decimal.localcontext(context(_SUM_DIGITS)):
        return sum((a * b for a, b in zip(x, y, strict=True)), ZERO)


def linear(x: Matrix, weight: Matrix, bias: Vector | None) -> Matrix:
    """``x weight^T + bias``."""
    with decimal.localcontext(context(_SUM_DIGITS)):
        return [
            [dot(row, w) + (ZERO if bias is None else bias[n]) for n, w in enumerate(weight)]
            for row in x
        ]


def layer_norm(x: Matrix, gamma: Vector, beta: Vector, eps: Decimal) -> Matrix:
    """Each row to mean 0 and variance 1, then scaled and shifted."""
    y = []
    for row in x:
        with decimal.localcontext(context(_SUM_DIGITS)):
            mean = total(row) / len(row)
            centred = [one - mean for one in row]
            variance = total([one * one for one in centred]) / len(row)
        deviation = (variance + eps).sqrt()
        y.append(
            [
                (one / deviation if one else ZERO) * g + b
                for one, g, b in zip(centred, gamma, beta, strict=True)
            ]
        )
    return y


def attention_weights(
    q: Matrix, k: Matrix, visible: int, scale: Decimal, head_weight: Decimal
) -> Matrix:
    """The softmax of scaled dot products; query ``i`` sees the first ``visible + i`` keys."""
    rows = []
    for i, one in enumerate(q):
        own = k[: visible + i]
        weights = softmax([dot(one, key) * scale for key in own])
        rows.append([w * head_weight for w in weights] + [ZERO] * (len(k) - len(own)))
    return rows
