"""Option files and values as plain data: only safe tags, no octal `0123`, `2e-4` is a number, no key appears twice."""

import re
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError

from mihatp_arch.errors import UserError, reason_of

_MERGE = "tag:yaml.org,2002:merge"
_LEADING_ZERO = re.compile(r"[-+]?0[0-7]+")


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, with `2e-4` a number and with errors where PyYAML guesses."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            open_node = self.anchors.get(event.anchor)
            if open_node is not None and open_node.end_mark is None:
                raise ComposerError(None, None, f"*{event.anchor} contains itself", event.start_mark)
        return super().compose_node(parent, index)

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                continue
            if key.value in seen:
                raise ComposerError(None, None, f"the key '{key.value}' stands twice", key.start_mark)
            seen.add(key.value)
        return node

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """A whole number, where YAML and the reader mean the same number by it."""
        number: int = super().construct_yaml_int(node)
        text = node.value.replace("_", "")
        if ":" in text or (_LEADING_ZERO.fullmatch(text) and int(text) != number):
            way = "base 60" if ":" in text else "octal"
            line = f"YAML reads {node.value} as {way}, {number}: write {number}, or the number that you mean"
            raise ConstructorError(None, None, line, node.start_mark)
        return number


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True  # basicsr writes into its options: two keys must never share one mapping


# PyYAML follows YAML 1.1, in which 2e-4 and 1e5 (no dot) are words. The dumper quotes a word that looks like a number.
_FLOAT = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+$")
for _class in (_Loader, _Dumper):
    _class.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


def parse(text: str, source: str) -> Any:
    """The value that the YAML `text` spells; `source` names it in errors (a file, or an option of the command line).

    Raises:
        UserError: no YAML, a tag that makes Python objects, a key twice in one mapping.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark and "\n" in text else ""
        raise UserError(f"{source}{line}: {error.problem or error.context}") from error
    except RecursionError as error:
        raise UserError(f"{source}: nested too deep") from error
    except (yaml.YAMLError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise UserError(f"{source}: {error}") from error


def read(file: Path) -> dict[str, Any]:
    """The mapping in an option file.

    Raises:
        UserError: the file is missing, unreadable, no YAML, or no mapping.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"there is no option file '{file}'") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UserError(f"the option file '{file}' cannot be read: {reason}") from error
    values = parse(text, str(file))
    if not isinstance(values, dict):
        raise UserError(f"{file}: an option file is a mapping of keys to values, this is {kind(values)}")
    return values


def text_of(values: dict[str, Any], heading: str) -> str:
    """`values` as YAML below the comment line `heading`, in ASCII: basicsr opens it in the locale's encoding."""
    body = yaml.dump(values, Dumper=_Dumper, sort_keys=False)
    comment = " ".join(heading.split()).encode("ascii", "backslashreplace").decode()
    return f"# {comment}\n{body}"


def write(values: dict[str, Any], file: Path, heading: str) -> None:
    """Write `text_of` the values."""
    file.write_text(text_of(values, heading), encoding="ascii")


def kind(value: Any) -> str:
    """A value in a message: `a mapping`, `a list`, `null`, or the value itself."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return "null" if value is None else repr(value)
