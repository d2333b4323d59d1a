"""Calls that do not come to their end: the program ends, it forks, somebody presses Ctrl-C."""

from __future__ import annotations

import sys

import pytest
from support import OPENMP, needs_core, run_python

pytestmark = [
    needs_core,
    pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs fork and signals"),
]

MODEL = """
import os, signal, sys, threading, time, warnings
import numpy as np, pyroberta as p
def make(cls=p.RobertaModel, **sizes):
    sizes = dict(vocab_size=2000, num_blocks=4, hidden_size=256, num_attention_heads=4,
                 intermediate_size=1024, max_positions=514) | sizes
    return cls.from_config(p.RobertaConfig(**sizes), seed=0)
"""

# What a thread may be inside of: a run through the blocks, a head's product, packing, a search.
CALLS = {
    "blocks": "model = make(); call = lambda: model(np.full((4, 60), 7))",
    "head": "model = make(p.RobertaForMaskedLM, vocab_size=50000, num_blocks=1);"
    "call = lambda: model(np.full((2, 60), 7))",
    "packing": "call = lambda: make(num_blocks=1)",
    "search": "model = make(p.RobertaForCausalLM);"
    "call = lambda: model.generate([[0, 5]] * 4, max_new_tokens=30, eos_token_id=())",
}


@pytest.mark.parametrize("inside", CALLS)
def test_a_daemon_thread_in_a_call_lets_the_program_end(inside):
    code = (
        MODEL
        + CALLS[inside]
        + """
called = threading.Event()
def loop():
    while True:
        call()
        called.set()
for _ in range(2):
    threading.Thread(target=loop, daemon=True).start()
called.wait(50)
time.sleep(0.05)
"""
    )
    for _ in range(3):
        ended = run_python(code)
        assert (ended.returncode, ended.stderr) == (0, "")


def test_a_model_that_is_called_first_when_python_ends_answers():
    code = (
        MODEL
        + """
class Last:
    def __del__(self, model=make(p.RobertaForCausalLM)):
        model([[0, 5]])
        for strategy in ("greedy", "beam", "sampling"):
            model.generate([[0, 5]], max_new_tokens=2, strategy=strategy)
        print("fine", flush=True)
sys.modules["__main__"].last = Last()
"""
    )
    ended = run_python(code)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("fine\n", "", 0)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_child_of_a_fork_under_other_threads_calls_answers(threads):
    """The caller that forks is in no call; the others may hold any lock of ours."""
    code = (
        MODEL
        + f"""
warnings.simplefilter("ignore")
model = make(hidden_size=64, num_blocks=2, intermediate_size=128)
p.set_num_threads({threads})
ids = np.full((2, 30), 7)
bits = model(ids).last_hidden_state.tobytes()
stop = False
def loop():
    while not stop:
        assert model(ids).last_hidden_state.tobytes() == bits
callers = [threading.Thread(target=loop) for _ in range(3)]
for caller in callers:
    caller.start()
for _ in range(150):
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        same = all(model(ids).last_hidden_state.tobytes() == bits for _ in range(2))
        os._exit(0 if same else 3)
    assert os.waitpid(child, 0)[1] == 0
stop = True
for caller in callers:
    caller.join()
print("done")
"""
    )
    ended = run_python(code, timeout=120)
    assert (ended.stdout, ended.stderr) == ("done\n", "")


LONG = {
    "blocks": "model = make(num_blocks=12); call = lambda: model(np.full((8, 300), 7))",
    "head": "model = make(p.RobertaForMaskedLM, vocab_size=30000, num_blocks=1);"
    "call = lambda: model(np.full((4, 200), 7)) and None",
    "packing": "call = lambda: make(num_blocks=40)",
    "search": "model = make(p.RobertaForCausalLM);"
    "call = lambda: model.generate([[0, 5]] * 8, max_new_tokens=150, eos_token_id=())",
}


@pytest.mark.parametrize(("inside", "threads"), [*((one, 1) for one in LONG), ("blocks", 2)])
def test_ctrl_c_ends_a_call_early_and_the_next_one_is_right(inside, threads):
    """Early: before three quarters of what the whole takes, pressed after a fifth of it."""
    code = (
        MODEL
        + f"p.set_num_threads({threads})\n"
        + LONG[inside]
        + """
signal.signal(signal.SIGINT, signal.default_int_handler)
small = make(num_blocks=1)
ids = np.full((2, 30), 7)
bits = small(ids).last_hidden_state.tobytes()
def whole():
    begin = time.process_time()
    call()
    return time.process_time() - begin
length = min(whole() for _ in range(2))
begin = time.process_time()
def press():
    while time.process_time() - begin < length / 5:
        time.sleep(0.002)
    os.kill(os.getpid(), signal.SIGINT)
presser = threading.Thread(target=press)
presser.start()
try:
    call()
    print("not interrupted")
except KeyboardInterrupt:
    taken = time.process_time() - begin
    print("early" if taken < 0.75 * length else f"after {taken} of {length}")
presser.join()
assert small(ids).last_hidden_state.tobytes() == bits
"""
    )
    ended = run_python(code, timeout=120)
    assert (ended.stdout, ended.stderr) == ("early\n", "")


def test_what_a_signals_handler_raises_comes_out_of_the_call():
    code = (
        MODEL
        + LONG["blocks"]
        + """
class Alarm(Exception):
    pass
def ring(*_):
    raise Alarm
signal.signal(signal.SIGALRM, ring)
signal.setitimer(signal.ITIMER_REAL, 0.1)
try:
    call()
except Alarm:
    print("rang")
"""
    )
    assert run_python(code).stdout == "rang\n"


def test_a_handler_that_raises_nothing_ends_nothing():
    code = (
        MODEL
        + """
model = make()
ids = np.full((8, 300), 7)
bits = model(ids).last_hidden_state.tobytes()
rang = []
signal.signal(signal.SIGALRM, lambda *_: rang.append(model([[0, 5, 2]]).last_hidden_state.shape))
signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
for _ in range(3):
    assert model(ids).last_hidden_state.tobytes() == bits
signal.setitimer(signal.ITIMER_REAL, 0)
print(len(rang) > 0)
"""
    )
    assert run_python(code).stdout == "True\n"


def test_ctrl_c_does_not_end_another_threads_call():
    code = (
        MODEL
        + """
signal.signal(signal.SIGINT, signal.default_int_handler)
model, ids, answers = make(), np.full((4, 300), 7), []
bits = model(ids).last_hidden_state.tobytes()
def work():
    for _ in range(5):
        answers.append(model(ids).last_hidden_state.tobytes() == bits)
worker = threading.Thread(target=work)
worker.start()
time.sleep(0.05)
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)
except KeyboardInterrupt:
    worker.join()
    print(answers)
"""
    )
    assert run_python(code).stdout == "[True, True, True, True, True]\n"


@pytest.mark.skipif(OPENMP, reason="OpenMP places its own threads")
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="affinity of threads is Linux's")
def test_helpers_have_the_affinity_of_the_process_not_of_the_first_caller():
    code = (
        MODEL
        + """
before = set(os.listdir("/proc/self/task"))
allowed = os.sched_getaffinity(0)
model, seen = make(), []
p.set_num_threads(3)
def first():
    os.sched_setaffinity(0, {min(allowed)})
    model(np.full((4, 60), 7))
    tasks = set(os.listdir("/proc/self/task")) - before - {str(threading.get_native_id())}
    time.sleep(0.1)
    seen.extend(os.sched_getaffinity(int(task)) == allowed for task in tasks)
caller = threading.Thread(target=first)
caller.start()
caller.join()
print(seen)
"""
    )
    assert run_python(code).stdout == "[True, True]\n"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="affinity of threads is Linux's")
def test_the_default_number_of_threads_is_the_process_s_not_the_first_caller_s():
    code = """
import os, threading
import pyroberta
def first():
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print(pyroberta.get_num_threads() == len(os.sched_getaffinity(os.getpid())))
caller = threading.Thread(target=first)
caller.start()
caller.join()
"""
    assert run_python(code).stdout == "True\n"


@pytest.mark.parametrize("number", [1025, 5000, 2**31 - 1, 2**31, 2**64])
def test_more_threads_than_memory_is_for_are_refused(number):
    code = f"""
import pyroberta
try:
    pyroberta.set_num_threads({number})
except pyroberta.InputError as error:
    print(error)
"""
    assert run_python(code).stdout == f"n must be a whole number in [1, 1024], not {number}\n"
    code = "import pyroberta; pyroberta.get_num_threads()"
    ended = run_python(code, PYROBERTA_NUM_THREADS=str(number))
    message = f"PYROBERTA_NUM_THREADS must be a whole number in [1, 1024], not '{number}'"
    assert ended.stderr.strip().endswith(message)
