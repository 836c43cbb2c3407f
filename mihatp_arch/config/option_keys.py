"""Which options a model, a data set or basicsr's own pipeline reads: found in their source, not kept in a list.

basicsr hands the option mapping around as it is and reads it by `opt['key']`, `opt.get('key')` and `'key' in opt`. The
reader below follows the mapping through assignments, attributes, loops and calls, so that a plugin's model declares its
options simply by reading them.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from types import FunctionType, ModuleType
from typing import Any

from mihatp_arch.config.read import KeyPath

ANY = "*"  # any key, where a mapping is looped over
_DEPTH = 4  # options are not nested deeper; a function that walks them calls itself without end
_READING = {"get", "pop", "setdefault"}
_COPYING = {"copy", "deepcopy", "dict", "OrderedDict"}


@dataclass
class OptionKeys:
    """What was found: the paths that are read, and those handed over whole as `**mapping`."""

    read: set[KeyPath] = field(default_factory=set)
    unpacked: set[KeyPath] = field(default_factory=set)
    _seen: set[tuple[Any, ...]] = field(default_factory=set)

    def below(self, *path: str) -> set[str]:
        """The keys that are read in the section at `path`."""
        return {keys[-1] for keys in self.read if len(keys) == len(path) + 1 and keys[:-1] == path} - {ANY}

    def scan_function(self, function: Callable[..., Any], names: dict[str, KeyPath] | None = None) -> None:
        """Read one function, `names` saying which of its parameters hold options; `opt` is the root by convention."""
        self._scan(function, {"opt": ()} | (names or {}), None, {})

    def scan_class(self, cls: type) -> None:
        """Read every method of `cls` and its bases; `self.opt` and a parameter `opt` are the root."""
        attributes: dict[str, KeyPath] = {"opt": ()}
        for _ in range(2):  # a method may use an attribute that a later one sets
            self._seen.clear()
            for method in _methods(cls):
                self._scan(method, {"opt": ()}, cls, attributes)

    def _scan(
        self,
        function: Callable[..., Any],
        names: dict[str, KeyPath],
        owner: type | None,
        attributes: dict[str, KeyPath],
    ) -> None:
        function = inspect.unwrap(function)
        signature = (function, *sorted(names.items()))
        if signature in self._seen or not isinstance(function, FunctionType):
            return
        self._seen.add(signature)
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
        except (OSError, SyntaxError):  # no source, or a lambda cut out of its line
            return
        _Reader(self, function, dict(names), owner, attributes).visit(tree)


class _Reader(ast.NodeVisitor):
    """Follows the option mapping through one function body."""

    def __init__(
        self,
        keys: OptionKeys,
        function: FunctionType,
        names: dict[str, KeyPath],
        owner: type | None,
        attributes: dict[str, KeyPath],
    ) -> None:
        self.keys, self.function, self.names, self.owner, self.attributes = keys, function, names, owner, attributes
        self.words: dict[str, list[str]] = {}  # loop variables that run over words

    def resolve(self, node: ast.expr) -> KeyPath | None:
        """The option path that an expression stands for."""
        match node:
            case ast.Name(id=name):
                return self.names.get(name)
            case ast.Attribute(value=ast.Name(id="self"), attr=name):
                return self.attributes.get(name)
            case ast.Subscript(value=base, slice=ast.Constant(value=str() as key)):
                return self._below(base, key)
            case ast.Call(func=ast.Attribute(value=base, attr=name), args=[ast.Constant(value=str() as key), *_]):
                return self._below(base, key) if name in _READING else None
            case ast.Call(func=ast.Attribute(value=base, attr="copy"), args=[]):
                return self.resolve(base)
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=[base]) if name in _COPYING:
                return self.resolve(base)
            case ast.BoolOp(values=values):
                return next((path for path in map(self.resolve, values) if path is not None), None)
            case ast.IfExp(body=body, orelse=orelse):
                path = self.resolve(body)
                return self.resolve(orelse) if path is None else path
            case ast.NamedExpr(value=value):
                return self.resolve(value)
        return None

    def _below(self, base: ast.expr, key: str) -> KeyPath | None:
        path = self.resolve(base)
        return None if path is None else (*path, key)

    def bind(self, target: ast.expr, value: ast.expr) -> None:
        path = self.resolve(value)
        match target, value:
            case (ast.Tuple(elts=targets), ast.Tuple(elts=values)) if len(targets) == len(values):
                for one, other in zip(targets, values, strict=True):
                    self.bind(one, other)
            case ast.Name(id=name), _ if path is not None:
                self.names[name] = path
            case ast.Attribute(value=ast.Name(id="self"), attr=name), _ if path is not None:
                self.attributes[name] = path

    def bind_loop(self, target: ast.expr, iterable: ast.expr) -> None:
        match iterable:
            case ast.Tuple(elts=elements) | ast.List(elts=elements) if isinstance(target, ast.Name):
                words = [element.value for element in elements if isinstance(element, ast.Constant)]
                self.words[target.id] = [word for word in words if isinstance(word, str)]
            case ast.Call(func=ast.Name(id="sorted" | "list" | "enumerate"), args=[inner, *_]):
                self.bind_loop(target, inner)
            case ast.Call(func=ast.Attribute(value=base, attr="items" | "values" as method), args=[]):
                path = self.resolve(base)
                held = target.elts[-1] if method == "items" and isinstance(target, ast.Tuple) else target
                if path is not None and isinstance(held, ast.Name):
                    self.names[held.id] = (*path, ANY)

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            self.bind(target, node.value)
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign | ast.NamedExpr) -> None:
        if node.value is not None:
            self.bind(node.target, node.value)
        self.generic_visit(node)

    visit_NamedExpr = visit_AnnAssign

    def visit_For(self, node: ast.For) -> None:
        self.bind_loop(node.target, node.iter)
        self.generic_visit(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp | ast.ListComp | ast.SetComp | ast.DictComp) -> None:
        for loop in node.generators:  # they stand behind the expression, and bind its names
            self.bind_loop(loop.target, loop.iter)
        self.generic_visit(node)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self._note(self.resolve(node))
        self._spelled(node.value, node.slice)
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        match node:
            case ast.Compare(left=ast.Constant(value=str() as key), ops=[ast.In() | ast.NotIn()], comparators=[base]):
                self._note(self._below(base, key))
        self.generic_visit(node)

    def _spelled(self, base: ast.expr, key: ast.expr) -> None:
        """Note `base[key]` for a name or f-string `key` that runs over words."""
        match key:
            case ast.Name(id=name):
                parts: list[list[str]] = [self.words.get(name, [])]
            case ast.JoinedStr(values=values):
                parts = [self._part(value) for value in values]
            case _:
                return
        path = self.resolve(base)
        for combination in product(*parts):
            self._note(None if path is None else (*path, "".join(combination)))

    def _part(self, value: ast.expr) -> list[str]:
        match value:
            case ast.Constant(value=str() as text):
                return [text]
            case ast.FormattedValue(value=ast.Name(id=name)):
                return self.words.get(name, [])
        return []

    def visit_Call(self, node: ast.Call) -> None:
        self._note(self.resolve(node))
        match node:
            case ast.Call(func=ast.Attribute(value=base, attr=name), args=[key, *_]) if name in _READING:
                self._spelled(base, key)
        arguments: list[tuple[int | str, KeyPath]] = []
        for index, value in enumerate(node.args):
            path = self.resolve(value)
            if path is not None:
                arguments.append((index, path))
        for keyword in node.keywords:
            path = self.resolve(keyword.value)
            if path is not None and keyword.arg is None:
                self.keys.unpacked.add(path)
            elif path is not None and keyword.arg is not None:
                arguments.append((keyword.arg, path))
        if arguments:
            self._follow(node.func, arguments)
        self.generic_visit(node)

    def _note(self, path: KeyPath | None) -> None:
        if path:
            self.keys.read.add(path)

    def _follow(self, called: ast.expr, arguments: list[tuple[int | str, KeyPath]]) -> None:
        """Read the function that is called with options as arguments."""
        module_names = self.function.__globals__
        owner, attributes, skip = None, {}, 0
        match called:
            case ast.Name(id=name):
                target = module_names.get(name)
            case ast.Attribute(value=ast.Name(id="self"), attr=name) if self.owner is not None:
                target, owner, attributes, skip = getattr(self.owner, name, None), self.owner, self.attributes, 1
            case ast.Attribute(value=ast.Name(id=module), attr=name) if isinstance(
                module_names.get(module), ModuleType
            ):
                target = getattr(module_names[module], name, None)
            case _:
                return
        if isinstance(target, type):
            target, owner, skip = target.__init__, target, 1
        if not isinstance(target, FunctionType) or any(len(path) > _DEPTH for _, path in arguments):
            return
        parameters = list(inspect.signature(inspect.unwrap(target)).parameters)[skip:]
        names = {
            parameters[place] if isinstance(place, int) else place: path
            for place, path in arguments
            if not isinstance(place, int) or place < len(parameters)
        }
        self.keys._scan(target, names, owner, attributes)


def _methods(cls: type) -> Iterator[FunctionType]:
    for base in inspect.getmro(cls):
        if base.__module__.partition(".")[0] in ("builtins", "torch", "abc", "typing"):
            continue
        for member in vars(base).values():
            function = getattr(member, "__func__", getattr(member, "fget", None) or member)
            if isinstance(function, FunctionType):
                yield function
