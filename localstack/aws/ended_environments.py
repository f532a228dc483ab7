"""Removes the files of execution environments that have ended, as Lambda does.

The emulator keeps the directory of an environment that was killed or timed out until the function is invoked again.
"""

import fcntl
import logging
import os
import shutil
import time
from pathlib import Path

from localstack.aws.emulated_environment import LOCK

log = logging.getLogger("environments")

#: How the emulator names the directories of environments.
_PATTERN = "ministack-lambda-*"

#: Seconds between two checks.
_PAUSE_S = 1.0

#: Seconds in which a new environment must have locked its file.
_START_S = 300.0


def remove_continually(directory: Path) -> None:
    """Removes ended environments of this directory once a second."""
    while True:
        try:
            remove(directory)
        except OSError as error:
            log.warning("cannot remove ended environments: %s", error)
        time.sleep(_PAUSE_S)


def remove(directory: Path) -> None:
    """Removes ended environments of this directory. Raises OSError."""
    for environment in directory.glob(_PATTERN):
        if _has_ended(environment):
            shutil.rmtree(environment, ignore_errors=True)  # the emulator may remove it at the same time


def _has_ended(environment: Path) -> bool:
    try:
        descriptor = os.open(environment / LOCK, os.O_RDONLY)
    except FileNotFoundError:
        return _is_older(environment, _START_S)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _is_older(path: Path, age_s: float) -> bool:
    try:
        return path.stat().st_mtime < time.time() - age_s
    except FileNotFoundError:
        return False
