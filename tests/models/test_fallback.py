"""Without the compiled extension the package runs on the reference, and says so."""

from __future__ import annotations

from models.without import WITHOUT
from support import make_folder, run_python


def test_a_model_runs_on_the_reference_with_one_warning(tmp_path):
    folder = make_folder(tmp_path, "base")
    code = f"""
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    model = pyroberta.from_pretrained({str(folder)!r})
    again = pyroberta.from_pretrained({str(folder)!r})
print(model.backend, len(caught), caught[0].category.__name__)
print(caught[0].message)
print(model([[0, 5, 6]]).last_hidden_state.shape, pyroberta.get_num_threads())
pyroberta.set_num_threads(2)
pyroberta.show_config()
"""
    done = run_python(WITHOUT + code)
    assert done.returncode == 0, done.stderr
    first, message, shape, *config = done.stdout.splitlines()
    assert first == "reference 1 RuntimeWarning"
    assert "compiled kernels are not in" in message
    assert shape == "(1, 3, 18) 1"
    assert any("the compiled extension is missing" in line for line in config)


def test_the_kernels_themselves_are_an_import_error():
    done = run_python(
        WITHOUT
        + "warnings.simplefilter('ignore')\nimport pyroberta.kernels\npyroberta.kernels.core()"
    )
    assert "ImportError: pyroberta must have been built with its compiled extension" in done.stderr
