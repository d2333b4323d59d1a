"""What an installation without a compiler looks like, for processes that tests start."""

# No module of that name.
WITHOUT = """
import sys, warnings
class NoExtension:
    def find_spec(self, name, path=None, target=None):
        if name == "pyroberta._core":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, NoExtension())
import pyroberta
"""
