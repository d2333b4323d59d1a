// The 22 functions of CBLAS that NumPy itself calls (products of float and complex arrays), as
// plain loops under the names of the library that NumPy's own wheels carry, with its 64-bit
// integers. That library is 25 MB; `pyroberta bundle` puts this one, of 30 KB, in its place: a
// model's products are the kernels', and what NumPy multiplies beside them is small. It calls
// nothing but memset.
#include <cstddef>
#include <cstdint>

namespace {

using Int = std::int64_t;
constexpr int kRowMajor = 101, kNoTranspose = 111, kConjugate = 113, kUpper = 121;

template <typename Real>
struct Complex {
  Real re, im;
};
template <typename Real>
Complex<Real> operator+(Complex<Real> a, Complex<Real> b) {
  return {a.re + b.re, a.im + b.im};
}
template <typename Real>
Complex<Real> operator*(Complex<Real> a, Complex<Real> b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

template <typename Real>
Real conjugate(Real a) {
  return a;
}
template <typename Real>
Complex<Real> conjugate(Complex<Real> a) {
  return {a.re, -a.im};
}
bool is_zero(float a) { return a == 0; }
bool is_zero(double a) { return a == 0; }
template <typename Real>
bool is_zero(Complex<Real> a) {
  return a.re == 0 && a.im == 0;
}

// A vector whose elements stand `step` apart; a negative step begins at the end.
template <typename T>
struct Vector {
  T* first;
  Int step;
  Vector(T* x, Int n, Int step_) : first(step_ < 0 ? x - (n - 1) * step_ : x), step(step_) {}
  T& operator[](Int i) const { return first[i * step]; }
};

// A matrix in rows, as it is or transposed.
template <typename T>
struct Matrix {
  const T* a;
  Int row, column;  // the steps
  bool conjugated;
  Matrix(const T* a_, Int width, bool transposed, bool conjugated_)
      : a(a_),
        row(transposed ? 1 : width),
        column(transposed ? width : 1),
        conjugated(conjugated_) {}
  T operator()(Int i, Int j) const {
    const T value = a[i * row + j * column];
    return conjugated ? conjugate(value) : value;
  }
};

// y := beta y. What is not a number does not outlive a beta of 0.
template <typename T>
void scale(T& y, T beta) {
  y = is_zero(beta) ? T{} : beta * y;
}

template <typename T>
T dot(Int n, const T* x, Int step_x, const T* y, Int step_y, bool conjugated) {
  const Vector<const T> a(x, n, step_x), b(y, n, step_y);
  T sum{};
  for (Int i = 0; i < n; ++i) sum = sum + (conjugated ? conjugate(a[i]) : a[i]) * b[i];
  return sum;
}

template <typename T>
void axpy(Int n, T alpha, const T* x, Int step_x, T* y, Int step_y) {
  const Vector<const T> from(x, n, step_x);
  const Vector<T> to(y, n, step_y);
  for (Int i = 0; i < n; ++i) to[i] = to[i] + alpha * from[i];
}

template <typename T>
void gemm(int order, int trans_a, int trans_b, Int m, Int n, Int k, T alpha, const T* a, Int lda,
          const T* b, Int ldb, T beta, T* c, Int ldc) {
  if (order != kRowMajor) {  // C's transpose is B's times A's
    gemm(kRowMajor, trans_b, trans_a, n, m, k, alpha, b, ldb, a, lda, beta, c, ldc);
    return;
  }
  const Matrix<T> left(a, lda, trans_a != kNoTranspose, trans_a == kConjugate);
  const Matrix<T> right(b, ldb, trans_b != kNoTranspose, trans_b == kConjugate);
  for (Int i = 0; i < m; ++i) {
    T* row = c + i * ldc;
    for (Int j = 0; j < n; ++j) scale(row[j], beta);
    if (trans_b == kNoTranspose) {
      for (Int p = 0; p < k; ++p) {
        const T factor = alpha * left(i, p);
        for (Int j = 0; j < n; ++j) row[j] = row[j] + factor * b[p * ldb + j];
      }
    } else {
      for (Int j = 0; j < n; ++j) {
        T sum{};
        for (Int p = 0; p < k; ++p) sum = sum + left(i, p) * right(p, j);
        row[j] = row[j] + alpha * sum;
      }
    }
  }
}

template <typename T>
void gemv(int order, int trans, Int m, Int n, T alpha, const T* a, Int lda, const T* x, Int step_x,
          T beta, T* y, Int step_y) {
  const bool transposed = (trans != kNoTranspose) != (order != kRowMajor);
  const Matrix<T> matrix(a, lda, transposed, trans == kConjugate);
  const Int rows = trans == kNoTranspose ? m : n, columns = trans == kNoTranspose ? n : m;
  const Vector<const T> from(x, columns, step_x);
  const Vector<T> to(y, rows, step_y);
  for (Int i = 0; i < rows; ++i) {
    T sum{};
    for (Int j = 0; j < columns; ++j) sum = sum + matrix(i, j) * from[j];
    scale(to[i], beta);
    to[i] = to[i] + alpha * sum;
  }
}

template <typename T>
void syrk(int order, int triangle, int trans, Int n, Int k, T alpha, const T* a, Int lda, T beta,
          T* c, Int ldc) {
  const bool by_rows = order == kRowMajor;
  const Matrix<T> matrix(a, lda, (trans != kNoTranspose) == by_rows, false);
  for (Int i = 0; i < n; ++i) {
    const bool upper = (triangle == kUpper) == by_rows;
    for (Int j = upper ? i : 0; j < (upper ? n : i + 1); ++j) {
      T sum{};
      for (Int p = 0; p < k; ++p) sum = sum + matrix(i, p) * matrix(j, p);
      scale(c[i * ldc + j], beta);
      c[i * ldc + j] = c[i * ldc + j] + alpha * sum;
    }
  }
}

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))
// Numbers come by value where they are real and by address where they are complex.
#define PRODUCTS(letter, T, Scalar, AT)                                                           \
  EXPORT void scipy_cblas_##letter##gemm64_(int order, int trans_a, int trans_b, Int m, Int n,    \
                                            Int k, Scalar alpha, const T* a, Int lda, const T* b, \
                                            Int ldb, Scalar beta, T* c, Int ldc) {                \
    gemm<T>(order, trans_a, trans_b, m, n, k, AT alpha, a, lda, b, ldb, AT beta, c, ldc);         \
  }                                                                                               \
  EXPORT void scipy_cblas_##letter##gemv64_(int order, int trans, Int m, Int n, Scalar alpha,     \
                                            const T* a, Int lda, const T* x, Int step_x,          \
                                            Scalar beta, T* y, Int step_y) {                      \
    gemv<T>(order, trans, m, n, AT alpha, a, lda, x, step_x, AT beta, y, step_y);                 \
  }                                                                                               \
  EXPORT void scipy_cblas_##letter##syrk64_(int order, int triangle, int trans, Int n, Int k,     \
                                            Scalar alpha, const T* a, Int lda, Scalar beta, T* c, \
                                            Int ldc) {                                            \
    syrk<T>(order, triangle, trans, n, k, AT alpha, a, lda, AT beta, c, ldc);                     \
  }                                                                                               \
  EXPORT void scipy_cblas_##letter##axpy64_(Int n, Scalar alpha, const T* x, Int step_x, T* y,    \
                                            Int step_y) {                                         \
    axpy<T>(n, AT alpha, x, step_x, y, step_y);                                                   \
  }
#define REAL(letter, T)                                                                          \
  PRODUCTS(letter, T, T, )                                                                       \
  EXPORT T scipy_cblas_##letter##dot64_(Int n, const T* x, Int step_x, const T* y, Int step_y) { \
    return dot<T>(n, x, step_x, y, step_y, false);                                               \
  }
#define COMPLEX(letter, T)                                                                 \
  PRODUCTS(letter, T, const T*, *)                                                         \
  EXPORT void scipy_cblas_##letter##dotu_sub64_(Int n, const T* x, Int step_x, const T* y, \
                                                Int step_y, T* sum) {                      \
    *sum = dot<T>(n, x, step_x, y, step_y, false);                                         \
  }                                                                                        \
  EXPORT void scipy_cblas_##letter##dotc_sub64_(Int n, const T* x, Int step_x, const T* y, \
                                                Int step_y, T* sum) {                      \
    *sum = dot<T>(n, x, step_x, y, step_y, true);                                          \
  }

REAL(s, float)
REAL(d, double)
COMPLEX(c, Complex<float>)
COMPLEX(z, Complex<double>)
