"""Who may import whom, read from the source: docs/design.md's layers, without importing anything."""

import ast
import subprocess
import sys
from pathlib import Path

import tfpwl

ROOT = Path(tfpwl.__file__).parent
STAGES = {"distill", "prune", "wave", "export", "quantize", "evaluate"}
DEVICE_SIDE = {"errors", "mix", "versions", "bundle", "runtime", "bench"}
HEAVY = {"tensorflow", "keras", "pydantic", "yaml", "sklearn", "matplotlib", "PIL"}


def imports(path):
    """(module, at the top of the file?) of every import in a file."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, node in tree.body) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from tfpwl import mix` imports tfpwl.mix
            names = [f"tfpwl.{a.name}" for a in node.names] if node.module == "tfpwl" else [node.module]
            yield from ((name, node in tree.body) for name in names)


def part(module):
    return module.split(".")[1] if module.startswith("tfpwl.") else None


def files_of(name):
    return [ROOT / f"{name}.py"] if (ROOT / f"{name}.py").exists() else sorted((ROOT / name).rglob("*.py"))


def test_stages_do_not_import_one_another():
    for stage in STAGES:
        for path in files_of(stage):
            used = {part(module) for module, _ in imports(path)} & STAGES
            assert used <= {stage}, f"{path} imports {used}"


def test_the_device_side_imports_only_itself_and_nothing_heavy():
    for name in DEVICE_SIDE:
        for path in files_of(name):
            for module, _ in imports(path):
                assert part(module) in {*DEVICE_SIDE, None}, f"{path} imports {module}"
                assert module.split(".")[0] not in HEAVY, f"{path} imports {module}"


def test_only_the_pipeline_and_the_command_line_know_the_pipeline():
    for path in ROOT.rglob("*.py"):
        if path.relative_to(ROOT).parts[0] in {"pipeline", "cli", "__init__.py"}:
            continue
        assert "pipeline" not in {part(module) for module, _ in imports(path)}, path


def test_nothing_but_its_own_modules_imports_the_command_line():
    for path in ROOT.rglob("*.py"):
        if path.relative_to(ROOT).parts[0] not in {"cli", "__main__.py"}:
            assert "cli" not in {part(module) for module, _ in imports(path)}, path


def test_the_command_line_imports_keras_and_tensorflow_only_inside_functions():
    for path in files_of("cli"):
        at_top = {module.split(".")[0] for module, top in imports(path) if top}
        assert not at_top & HEAVY, f"{path} imports {at_top & HEAVY}"


def test_building_is_imported_when_it_is_asked_for():
    code = (
        "import sys, tfpwl; light = not {'keras', 'pydantic'} & set(sys.modules); "
        "print(light, tfpwl.build.__name__, tfpwl.build_tiers.__name__, hasattr(tfpwl, 'bild'), tfpwl.__all__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True build build_tiers False ['__version__', 'build', 'build_tiers']\n"
