"""The command line: what runs, what an error looks like, and which code the program exits with."""

import io
import logging
import os
import sys
from collections.abc import Sequence

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


class Interrupted(Exception):
    """Ctrl-C, with what can be done about it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: Words after ``python -m cnnlib``; those of this process if None.

    Returns:
        0: done. 1: a file, a folder or a number was wrong. 2: the command was written wrongly, or
        not at all: then the help is shown. 130: interrupted.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    logging.basicConfig(format="cnnlib: %(message)s", level=logging.WARNING)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # piped on Windows it knows a few letters only
            stream.reconfigure(errors="backslashreplace")
    try:
        from cnnlib._cli.app import app

        # Not standalone: errors and interrupts come here instead of being printed on the way.
        code = app(words or ["--help"], prog_name="python -m cnnlib", standalone_mode=False) or OK
        return code if words else USAGE
    except BaseException as error:
        if debug and not isinstance(error, SystemExit):
            raise
        return _report(error)


def _report(error: BaseException) -> int:
    """Print one line about what happened; return the exit code."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else FAILED
    if isinstance(error, Interrupted | KeyboardInterrupt) or type(error).__name__ == "Abort":
        if rank() == "0":  # the others have nothing to add
            _say(f"interrupted{f': {error}' if str(error) else ''}")
        return INTERRUPTED
    if hasattr(error, "format_message"):  # typer's own: an unknown option, a missing argument
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "python -m cnnlib"
        message = " ".join(error.format_message().split()).rstrip(".")
        _say(f"error: {message} (see {command} --help)")
        return USAGE
    if isinstance(error, BrokenPipeError):  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    text = " ".join(str(error).split()) or "no further message"
    known = isinstance(error, ValueError | OSError | ImportError)
    _say(f"error: {text}" if known else f"error: {type(error).__name__}: {text} (try --debug)")
    return FAILED


def rank() -> str:
    """Number of this process among those of torchrun."""
    return os.environ.get("RANK", "0")


def _say(text: str) -> None:
    who = "" if rank() == "0" else f"process {rank()}: "
    print(f"cnnlib: {who}{text}", file=sys.stderr)
