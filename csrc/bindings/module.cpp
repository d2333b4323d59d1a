// The Python module: which builds there are, threads, and what the other files of bindings/ bind.
// Only csrc/bindings/ knows Python.
#include "bindings/arrays.h"
#include "bindings/gil.h"
#include "threads/floating_point.h"
#include "threads/placement.h"
#include "threads/team.h"

namespace pyroberta {
namespace {

std::vector<std::string> built_isas() {
  std::size_t count;
  const Kernels* const* builds = built_kernels(count);
  std::vector<std::string> names;
  for (std::size_t i = 0; i < count; ++i) names.emplace_back(builds[i]->isa);
  return names;
}

// The build called `isa`, or null where this binary or this CPU lacks it.
const Kernels* find_kernels(const std::string& isa) {
  std::size_t count;
  const Kernels* const* builds = built_kernels(count);
  for (std::size_t i = 0; i < count; ++i) {
    if (isa == builds[i]->isa) return runs_here(*builds[i]) ? builds[i] : nullptr;
  }
  return nullptr;
}

// UsualArithmetic around what NumPy computes, whose numbers may be subnormal.
class PythonsArithmetic {
 public:
  void enter() { usual_.emplace(UsualArithmetic::Subnormals::kept); }
  void leave() { usual_.reset(); }

 private:
  std::optional<UsualArithmetic> usual_;
};

}  // namespace
}  // namespace pyroberta

// What several threads may use at once is behind mutexes or never written: the GIL was released
// before any of it ran.
PYBIND11_MODULE(_core, m, pybind11::mod_gil_not_used()) {
  using namespace pyroberta;
  m.doc() = "The compiled kernels. Private: use the pyroberta package.";
  m.attr("version") = PYROBERTA_VERSION;
  m.attr("threads") = PYROBERTA_THREADS;
  m.attr("attention_queries") = kAttentionQueries;

  find_main_thread();
  bind_kernels(m);
  bind_block(m);
  bind_run_blocks(m);
  py::class_<PythonsArithmetic>(m, "UsualArithmetic")
      .def(py::init<>())
      .def("enter", &PythonsArithmetic::enter)
      .def("leave", &PythonsArithmetic::leave);
  m.def("built_isas", &built_isas);
  m.def("find_kernels", &find_kernels, "isa"_a, py::return_value_policy::reference);
  m.def("set_num_threads", &set_num_threads, "n"_a);
  m.def("get_num_threads", &num_threads);
  m.def(
      "leave_cpus",
      [](const std::vector<int>& taken) { return leave_cpus(taken.data(), taken.size()); },
      "taken"_a);
}
