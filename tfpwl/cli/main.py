"""Entry point of the ``tfpwl`` command: finds the command's module, turns errors into messages and exit codes.

Exit codes: 0 done; 1 a gate or check failed; 2 wrong use or bad input; 70 a bug in tfpwl; 130 interrupted.
"""

from __future__ import annotations

import difflib
import sys
import traceback
from importlib import import_module
from typing import Any

import click

import tfpwl
from tfpwl.cli.native_log import NativeLog
from tfpwl.cli.output import outliving_its_reader
from tfpwl.errors import TfpwlError

EXIT_USAGE = 2
EXIT_BUG = 70
EXIT_INTERRUPTED = 130

# Command -> module and attribute. A command's imports cost only those who call it.
COMMANDS = {
    "init": "tfpwl.cli.init:init",
    "build": "tfpwl.cli.build:build",
    "train": "tfpwl.cli.build:train",
    "distill": "tfpwl.cli.build:distill",
    "export": "tfpwl.cli.build:export",
    "quantize": "tfpwl.cli.quantize:quantize",
    "evaluate": "tfpwl.cli.evaluate:evaluate",
    "inspect": "tfpwl.cli.inspect:inspect",
    "verify": "tfpwl.cli.verify:verify",
    "sign": "tfpwl.cli.sign:sign",
    "pack": "tfpwl.cli.pack:pack",
    "unpack": "tfpwl.cli.pack:unpack",
    "pull": "tfpwl.cli.pull:pull",
    "plan": "tfpwl.cli.plan:plan",
    "bench": "tfpwl.cli.bench:bench",
    "profile": "tfpwl.cli.profile:profile",
    "tiers": "tfpwl.cli.tiers:tiers",
    "run": "tfpwl.cli.run:run",
    "report": "tfpwl.cli.report:report",
    "diff": "tfpwl.cli.diff:diff",
    "prune": "tfpwl.cli.prune:prune",
    "cut": "tfpwl.cli.cut:cut",
    "wave": "tfpwl.cli.wave:wave",
    "doctor": "tfpwl.cli.doctor:doctor",
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name].partition(":")
        command = getattr(import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{COMMANDS[name]} is {type(command).__name__}, not a click command")
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            close = difflib.get_close_matches(name, COMMANDS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise click.UsageError(f"No such command {name!r}.{hint} Commands: {', '.join(COMMANDS)}.", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(tfpwl.__version__, prog_name="tfpwl")
@click.option("--debug", is_flag=True, help="Show tracebacks and the log lines of native libraries.")
def cli(debug: bool) -> None:
    """Turn a Keras teacher into a progressive bundle of .tflite files.

    \b
    tfpwl init -o my.yaml            write a commented pipeline
    tfpwl build my.yaml              train, distil, export, evaluate
    tfpwl run runs/my/bundle --data digits --watch
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    # Wherever it stands: `tfpwl build p.yaml --debug` is what people type after an error.
    arguments = ["--debug"] * debug + [argument for argument in arguments if argument != "--debug"]
    with outliving_its_reader(), NativeLog(enabled=not debug) as native_log:
        code = _run(arguments, debug, native_log)
    sys.exit(code)


def _run(arguments: list[str], debug: bool, native_log: NativeLog) -> int:  # noqa: PLR0911 - one per way to end
    try:
        result = cli.main(arguments, prog_name="tfpwl", standalone_mode=False, obj=tuple(arguments))
    except click.exceptions.Exit as exc:
        return exc.exit_code
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code
    except TfpwlError as exc:
        if debug:
            traceback.print_exc()
        click.echo(f"Error: {exc}", err=True)
        return exc.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("\nInterrupted. What is finished is kept; the same command goes on from there.", err=True)
        return EXIT_INTERRUPTED
    except OSError as exc:
        if debug:
            traceback.print_exc()
        click.echo(f"Error: {exc}. Check the path, its permissions and free space.", err=True)
        return EXIT_USAGE
    except Exception:  # the last line of defence: a bug, shown whole
        traceback.print_exc()
        click.echo(native_log.tail(), err=True)
        click.echo("This is a bug in tfpwl; please report it with the lines above.", err=True)
        return EXIT_BUG
    return result if isinstance(result, int) else 0
