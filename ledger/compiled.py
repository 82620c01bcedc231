"""Where compiled kernels come from: what a wheel brought, else what this user keeps, else they are compiled.

    packaged   ledger/_kernels/ROOM-DIGEST         put there when a wheel was built; only read
    kept       NUMBA_CACHE_DIR, or XDG_CACHE_HOME or ~/.cache and there onhand/, and in it ROOM-DIGEST
    neither    compiled for this process, and not kept

The digest is that of all that the code depends on: the sources of the room and of those it calls, the compiler, Python,
the kind of processor, and settings of the compiler. So code that does not fit is not found, rather than found and
wrong; where a package is installed, and when its files were written, does not matter.

Code is made for a level of processors (x86-64-v3, x86-64-v2), not for the one that compiles: machines of a fleet share
it, and a primary and its standbys run the same instructions. NUMBA_CPU_NAME and NUMBA_CPU_FEATURES, if set, are obeyed.
"""

import contextlib
import os
import platform
import stat
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

import llvmlite
import numba
import xxhash
from llvmlite import binding as llvm
from numba.core.caching import CompileResultCacheImpl, FunctionCache, InTreeCacheLocator

from ledger import compiling

PACKAGED: Final = Path(__file__).parent / "_kernels"
SETTING: Final = "NUMBA_CACHE_DIR"
LEVELS: Final[Sequence[tuple[str, frozenset[str]]]] = (
    ("x86-64-v3", frozenset({"avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe"})),
    ("x86-64-v2", frozenset({"cx16", "popcnt", "sahf", "sse3", "ssse3", "sse4.1", "sse4.2"})),
    ("x86-64", frozenset()),
)
"""Levels of the x86-64 psABI, best first, and the features by which a processor is of one (as LLVM names them)."""
_CONFIG: Final[Any] = numba.config
_COMPILER_SETTINGS: Final = ("CPU_NAME", "CPU_FEATURES", "OPT", "BOUNDSCHECK", "LOOP_VECTORIZE", "SLP_VECTORIZE")
_OTHERS_MAY_WRITE: Final = stat.S_IWOTH
_PRIVATE: Final = 0o700
_ROOT: Final = 0
_llvm: Any = llvm  # it has no types


def _level() -> str:
    """Return the level of this machine's processor; "generic" where there are no levels."""
    if platform.machine().lower() not in {"x86_64", "amd64"}:
        return "generic"
    has = {name for name, there in _llvm.get_host_cpu_features().items() if there}
    return next(level for level, needed in LEVELS if needed <= has)


if not _CONFIG.CPU_NAME:  # read when the first function is compiled or loaded
    _CONFIG.CPU_NAME = os.environ["NUMBA_CPU_NAME"] = _level()
    _CONFIG.CPU_FEATURES = _CONFIG.CPU_FEATURES or ""
    # Where any setting in the environment changes, the compiler reads them all anew, and would forget these.
    os.environ["NUMBA_CPU_FEATURES"] = _CONFIG.CPU_FEATURES


class Toolchain(NamedTuple):
    """What kernels are made with, and for."""

    numba: str
    llvmlite: str
    python: str
    platform: str
    settings: dict[str, str]


def toolchain() -> Toolchain:
    """Return what kernels are made with in this process."""
    return Toolchain(
        numba=numba.__version__,
        llvmlite=llvmlite.__version__,
        python=f"{sys.implementation.name} {sys.version_info.major}.{sys.version_info.minor}",
        platform=_llvm.get_process_triple(),
        settings={name: str(getattr(_CONFIG, name)) for name in _COMPILER_SETTINGS},
    )


def kept_folder() -> Path:
    """Return the folder of this user's kernels; raises RuntimeError where there is neither a setting nor a home."""
    if given := os.environ.get(SETTING):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "onhand"


def why_not_kept() -> str:
    """Say why this user can keep no kernels, and may not run what lies there; empty if all is well."""
    try:
        folder = kept_folder()
    except RuntimeError:
        return "this user has no home folder"
    try:
        folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as error:
        return f"{folder} cannot be written ({error.strerror})"
    # What lies there is run: nobody else may have put it there.
    if found.st_uid not in {os.getuid(), _ROOT} or found.st_mode & _OTHERS_MAY_WRITE:
        return f"{folder} belongs to another user, or others may write there"
    return "" if os.access(folder, os.W_OK | os.X_OK) else f"{folder} cannot be written (Permission denied)"


class Room:
    """Kernels that are compiled into each other, and kept in one folder.

    Parameters
    ----------
    name
        How the folder's name begins.
    sources
        Files whose change makes the compiled code worthless.
    beside
        Rooms whose kernels are called.
    """

    def __init__(self, name: str, sources: Iterable[Path], beside: Sequence["Room"] = ()) -> None:
        self.name = name
        self.folder_name: str
        """In any place."""
        digest = xxhash.xxh3_64(repr(toolchain()).encode())
        for source in (Path(compiling.__file__), *sources):
            digest.update(source.read_bytes())
        for each in beside:
            digest.update(each.folder_name.encode())
        self.folder_name = f"{name}-{digest.hexdigest()}"

    @property
    def packaged(self) -> Path:
        """The folder that a wheel with these kernels has."""
        return PACKAGED / self.folder_name

    @property
    def is_packaged(self) -> bool:
        """Whether this installation brought them."""
        return self.packaged.is_dir()

    @cached_property
    def folder(self) -> Path | None:
        """Where they are; None if nothing can be kept. Looked at once, when the first of them is defined."""
        if self.is_packaged:
            return self.packaged
        return None if why_not_kept() else kept_folder() / self.folder_name

    def entry(self, function: Callable[..., Any]) -> Any:
        """Compile what is called from Python when it is called first, or load it; without reference counts."""
        dispatcher = compiling.compile_whole(function)
        if self.folder is not None:
            dispatcher._cache = _Cache(function, self.folder, keeps=not self.is_packaged)  # noqa: SLF001 - numba offers one folder for everybody
        return dispatcher

    def holds(self, entry: Any) -> bool:
        """Tell whether an entry was compiled before, with any types."""
        cache = entry._cache  # noqa: SLF001 - as above
        return self.folder is not None and cache.is_there()


class _Locator(InTreeCacheLocator):
    """One folder for a room, wherever its sources are."""

    def __init__(self, function: Callable[..., Any], file: str, folder: Path) -> None:
        super().__init__(function, file)  # type: ignore[no-untyped-call]
        self._cache_path = str(folder)


class _Place(CompileResultCacheImpl):
    """What numba asks where the code of one function is kept."""

    def __init__(self, function: Callable[..., Any], folder: Path) -> None:
        self._locator_classes = [self]  # type: ignore[list-item]  # asked for one thing, which this has
        self._folder = folder
        super().__init__(function)  # type: ignore[no-untyped-call]

    def from_function(self, function: Callable[..., Any], file: str) -> _Locator:
        """Answer as a class of locators does."""
        return _Locator(function, file, self._folder)


class _Cache(FunctionCache):
    """The compiled code of one function."""

    def __init__(self, function: Callable[..., Any], folder: Path, *, keeps: bool) -> None:
        self._keeps = keeps
        self._impl_class = lambda each: _Place(each, folder)  # type: ignore[assignment]
        super().__init__(function)  # type: ignore[no-untyped-call]

    def is_there(self) -> bool:
        """Tell whether anything was kept."""
        return Path(self._cache_file._index_path).exists()  # noqa: SLF001 - numba's own object

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Load what was compiled; what cannot be read, or is cut off, is compiled anew."""
        try:
            return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except Exception:  # noqa: BLE001 - a damaged pickle raises whatever it likes
            if self._keeps:
                with contextlib.suppress(OSError):
                    self.flush()  # type: ignore[no-untyped-call]
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep what was compiled, unless it belongs to a package; a full disk ends no call."""
        if self._keeps:
            with contextlib.suppress(OSError):
                super().save_overload(sig, data)  # type: ignore[no-untyped-call]
