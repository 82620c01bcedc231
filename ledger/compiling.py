"""How kernels are compiled: whole, or as parts of those that call them.

numba optimizes each function, with all that it calls, and makes machine code of it. For functions that are only ever a
part of a kernel that is work for nothing, and was a third of the time that compiling took: of those only what can be
linked is made. There is no setting for it, so this stands in for two things of numba's own.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final

import numba
from numba.core.codegen import JITCodeLibrary
from numba.core.dispatcher import _FunctionCompiler  # type: ignore[attr-defined]  # its stubs do not know it

_njit: Any = numba.njit  # its stubs do not know _nrt
_SETTINGS: Final = {"nogil": True, "boundscheck": False, "_nrt": False}


def compile_whole(function: Callable[..., Any]) -> Any:
    """Compile what is called from Python, without reference counts; no part may call it."""
    return _compiled_by(_EntryCompiler, _njit(**_SETTINGS)(function))


def part(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function into the kernels that call it, and into nothing else; without reference counts.

    It has no doors for callers from Python or C, which would take apart what it is given, and no machine code: it is
    made ready to be linked, and optimized as a part of the kernel. By itself it must not be called.

    Parameters
    ----------
    options
        Of numba.njit, such as forceinline.
    """

    def compile_as_part(function: Callable[..., Any]) -> Any:
        inside = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
        return _compiled_by(_PartCompiler, _njit(**_SETTINGS, **inside, **options)(function))

    return compile_as_part


def _compiled_by(compiler: Any, dispatcher: Any) -> Any:
    """Let a function be compiled by a compiler of ours."""
    own = dispatcher._compiler  # noqa: SLF001 - numba has no setting for it
    given = own.py_func, own.targetdescr, own.targetoptions, own.locals, own.pipeline_class
    dispatcher._compiler = compiler(*given)  # noqa: SLF001 - as above
    return dispatcher


class _Part(JITCodeLibrary):
    """The code of a function that is linked into others: no machine code is made of it, and nobody gets its address."""

    def _optimize_final_module(self) -> None:
        """Leave that to the kernel, which is optimized as a whole."""

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        self._finalized = True

    def get_pointer_to_function(self, _: str) -> int:
        """Return that there is none."""
        return 0


class _PartCompiler(_FunctionCompiler):  # type: ignore[misc]  # as above
    """Lets the code generator make parts while one is compiled."""

    def _compile_core(self, args: Any, return_type: Any) -> Any:
        with _instead(self.targetdescr.target_context.codegen(), _library_class=_Part, set_env=lambda *_: None):
            return super()._compile_core(args, return_type)


class _EntryCompiler(_FunctionCompiler):  # type: ignore[misc]  # as above
    """Sees to it that an entry is no part, whoever calls it."""

    def _compile_core(self, args: Any, return_type: Any) -> Any:
        codegen = self.targetdescr.target_context.codegen()
        assert codegen._library_class is not _Part, f"{self.py_func.__name__} is an entry, and a part calls it"  # noqa: SLF001 - set above
        return super()._compile_core(args, return_type)


@contextlib.contextmanager
def _instead(thing: Any, **attributes: Any) -> Iterator[None]:
    """Let an object have other attributes for a while."""
    before = {name: thing.__dict__[name] for name in attributes if name in thing.__dict__}
    thing.__dict__.update(attributes)
    try:
        yield
    finally:
        for name in attributes:
            del thing.__dict__[name]
        thing.__dict__.update(before)
