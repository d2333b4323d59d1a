// exp, tanh and the normal distribution on vectors: what the activations and softmax are made of.
//
// The polynomials are minimax fits of the relative error (Remez), made with 40 digits; the
// errors quoted are those of the fit, before float32 rounds it.
#pragma once

#include <cstddef>

#include "vec/vec.h"

namespace pyroberta::PYROBERTA_ISA {
namespace {

constexpr float kLogSmallest = -87.3365447f;  // ln(FLT_MIN)

template <std::size_t N>
inline Vec polynomial(Vec x, const float (&coefficients)[N]) {  // lowest power first
  Vec y = set(coefficients[N - 1]);
  for (std::size_t i = N - 1; i-- > 0;) y = fma(y, x, set(coefficients[i]));
  return y;
}

// e^x = 2^n e^r, |r| <= ln(2) / 2. Within 4u of e^x, relative; exactly 0 below ln(FLT_MIN), since
// a subnormal weight makes the products that follow an order of magnitude slower; infinite above
// ln(FLT_MAX); NaN for NaN.
inline Vec exp(Vec x) {
  static constexpr float kFit[] = {1.0f,          1.0f,           0.499999921f,  0.166664201f,
                                   0.0416682261f, 0.00837482411f, 0.00138368396f};  // 1.9e-9
  const Vec inside = min(set(89.0f), max(set(-104.0f), x));
  const Vec n = round(mul(inside, set(1.44269504f)));
  // ln(2) in two parts, the first with so few bits that n times it is exact.
  Vec r = fma(n, set(-0.693359375f), inside);
  r = fma(n, set(2.12194440e-4f), r);
  const Vec y = scale_by_power(polynomial(r, kFit), n);
  return where_less(x, set(kLogSmallest), zero(), y);
}

// 2^x for x <= 0, within 4u, relative; exactly 0 below -126, as `exp` is below ln(FLT_MIN); NaN for
// NaN.
inline Vec exp2_of_negative(Vec x) {
  static constexpr float kFit[] = {1.0f,           0.693147182f,  0.240226477f,  0.0555033237f,
                                   0.00961843692f, 0.0013398875f, 0.00015353362f};  // 1.6e-8
  const Vec n = round(x);
  const Vec y = scale_by_power(polynomial(sub(x, n), kFit), n);
  return where_less(x, set(-126.0f), zero(), y);
}

inline Vec sigmoid(Vec x) { return div(set(1.0f), add(set(1.0f), exp(sub(zero(), x)))); }

inline Vec tanh(Vec x) {
  static constexpr float kFit[] = {-0.333333332f, 0.133333036f,    -0.0539592636f,
                                   0.0217689475f, -0.00834402937f, 0.00229283033f};  // 4.8e-9
  const Vec a = abs(x), square = mul(x, x);
  const Vec small = fma(mul(x, square), polynomial(square, kFit), x);
  const Vec e = exp(add(a, a));
  const Vec large = copysign(sub(set(1.0f), div(set(2.0f), add(e, set(1.0f)))), x);
  return where_less(a, set(0.625f), small, large);
}

// P(X > x) of a standard normal X, for 0 <= x <= 14: exp(-x^2 / 2) times Mills' ratio, which is
// smooth in t = (x - 3) / (x + 3).
inline Vec normal_tail(Vec x) {
  static constexpr float kFit[] = {0.121513948f,     -0.206402618f,    0.123225022f,
                                   -0.0462133138f,   0.00613218304f,   0.00290470262f,
                                   -0.000984182683f, -0.000339911293f, 0.000116037288f,
                                   5.41507937e-05f};  // 6.6e-9
  const Vec t = div(sub(x, set(3.0f)), add(x, set(3.0f)));
  // e^(-x^2 / 2) = 2^(-x^2 / (2 ln(2)))
  return mul(exp2_of_negative(mul(mul(x, x), set(-0.721347520f))), polynomial(t, kFit));
}

// x * P(X < x) = max(x, 0) - |x| * P(X > |x|): nothing cancels on either side, so the small
// values left of -2 keep their digits, which the erf form x / 2 * (1 + erf(x / sqrt(2))) loses.
inline Vec gelu(Vec x) {
  const Vec a = min(set(14.0f), abs(x));  // P(X > 14) is below FLT_MIN: 0
  return sub(max(zero(), x), mul(a, normal_tail(a)));
}

}  // namespace
}  // namespace pyroberta::PYROBERTA_ISA
