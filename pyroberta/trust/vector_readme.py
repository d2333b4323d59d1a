"""What is written beside the test vectors, for implementers in other languages."""

from __future__ import annotations

README = """# Test vectors for the functions of RoBERTa

`vectors.json` and `vectors.safetensors` hold the same cases. A case has a name such as
`gelu.float32`, the function that it is of, its parameters, its inputs, and the output. In the JSON
an array is its shape and its values row by row, with "Infinity" and "-Infinity" as texts; in the
safetensors file it is the tensor `CASE/INPUT`, and `CASE/output` (float64; indices int64).

The last part of a name is the type whose numbers the inputs are: an implementation in that type
reads them without rounding. Outputs are the exact results rounded once to float64, whatever the
type: those of an implementation are compared with them in units in the last place of its type.
Constants are as the formulas have them, square roots and pi the real ones. A zero has the sign that
rounding gives it, which need not be met.

| function | computes |
|---|---|
| an activation | of each number of `x [1, n]`; names as in transformers and Axon |
| softmax, log_softmax | over the rows of `x`; what is `-Infinity` has no part |
| layer_norm | `(x - mean) / sqrt(variance + eps) * gamma + beta` over the rows, biased variance |
| linear | `x weight^T + bias`; without `bias`, none |
| attention_weights | `head_weight softmax(scale q k^T)`, query i sees `visible + i` keys |
| attention | the same times `v` |
| embeddings | `layer_norm(word[ids] + type[types] + position[positions])` |
| pooler | `tanh(x weight^T + bias)` |
| classification_head | `pooler out_weight^T + out_bias` |
| lm_head | `layer_norm(gelu(x weight^T + bias)) table^T + table_bias` |
| positions | of `ids`: those that are not the pad count up from `pad_token_id + 1`, pads have it |

The activations: identity `x` (the one named linear); gelu `x P(X < x)`; gelu_tanh
`x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`;
gelu_clipped gelu in [-10, 10]; quick_gelu `x sigmoid(1.702 x)`; silu `x sigmoid(x)`; hard_sigmoid
`0.2 x + 0.2` in [0, 1]; hard_silu `x hard_sigmoid(x)`; hard_swish `x (x + 3 in [0, 6]) / 6`;
leaky_relu with 0.01; elu with 1; selu with 1.0507009873554805 and 1.6732632423543772; mish
`x tanh(softplus(x))`; laplace `erfc((0.707107 - x) / (0.282095 sqrt(2))) / 2`; the others as their
names say.

To check an implementation, put its output of each case under the case's name into a `.npz` or
safetensors file, or a folder of `.npy` files (a part of the cases will do):

    pyroberta vectors --check HERE THEIRS

`SHA256SUMS` has the checksums of these files.
"""
