"""The stack machine of pickle with its power taken away: it builds lists, dictionaries, tensors and inert containers.

A name in the file becomes a `Global`, a label. Where the pickle asks to call it, the machine looks into a short table
of calls that it carries out itself (`calls.py`); a class that is only instantiated, without arguments, becomes an
`Opaque`. Everything else is refused, and the refusal lists the names. No module is imported, no attribute looked up,
and nothing that the file names is called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from copgen.storage.foreign.containers import Global, Opaque
from copgen.storage.foreign.opcodes import MOST_OPCODES, BadPickle, Cursor, opcodes

DEEPEST = 256
_SCALARS = (str, bytes, int, float, bool, type(None))
_COPIED = (str, bytes, list, tuple, dict, set)
_MARK = object()

Call = Callable[..., Any]
Builders = Mapping[tuple[str, str], Call]


def is_key(value: object) -> bool:
    """Keys and members of sets are scalars: the hash of nested tuples can be made to take for ever."""
    return isinstance(value, _SCALARS)


class Machine:
    """Runs one pickle.

    Args:
        cursor: where it starts; afterwards it stands behind it.
        calls: (module, name) -> what is done when the pickle calls it.
        persistent: what a persistent id stands for.
    """

    def __init__(self, cursor: Cursor, *, calls: Builders, persistent: Call) -> None:
        self.cursor = cursor
        self.calls = calls
        self.persistent = persistent
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.forbidden: set[str] = set()
        self.budget = MOST_OPCODES + len(cursor.buffer)

    def run(self) -> Any:
        """What the pickle holds.

        Raises:
            BadPickle: damaged, or it asks for something that is not done here.
        """
        try:
            for name, argument in opcodes(self.cursor):
                getattr(self, f"on_{name.lower()}")(argument)
            value = self.pop()
            if self.stack:
                raise BadPickle("its values do not add up: some are left over")
        except (BadPickle, TypeError, ValueError, KeyError, IndexError, OverflowError, RuntimeError) as error:
            # What was asked for is the better explanation of whatever went wrong after it.
            self.refuse_forbidden()
            raise error if isinstance(error, BadPickle) else BadPickle(f"a value in it cannot be: {error}") from None
        self.refuse_forbidden()
        refuse_deep(value)
        return value

    def refuse_forbidden(self) -> None:
        if self.forbidden:
            raise BadPickle(
                f"it asks for {', '.join(sorted(self.forbidden))} to be called, which would run code; nothing was run"
            )

    # The stack and the memo

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise BadPickle("its values do not add up: one is missing")
        return self.stack.pop()

    def peek(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise BadPickle("its values do not add up: one is missing")
        return self.stack[-1]

    def pop_mark(self) -> list[Any]:
        """The values above the topmost mark."""
        for k in range(len(self.stack) - 1, -1, -1):
            if self.stack[k] is _MARK:
                values = self.stack[k + 1 :]
                del self.stack[k:]
                return values
        raise BadPickle("its values do not add up: a mark is missing")

    def on_proto(self, version: int) -> None:
        if version > 5:
            raise BadPickle(f"it is of protocol {version}; up to 5 are read")

    def on_frame(self, length: int) -> None:
        pass

    def on_stop(self, argument: None) -> None:
        pass

    def on_mark(self, argument: None) -> None:
        self.stack.append(_MARK)

    def on_pop(self, argument: None) -> None:
        if not self.stack:
            raise BadPickle("its values do not add up: one is missing")
        self.stack.pop()

    def on_pop_mark(self, argument: None) -> None:
        self.pop_mark()

    def on_dup(self, argument: None) -> None:
        self.stack.append(self.peek())

    def on_put(self, index: int) -> None:
        self.memo[index] = self.peek()

    def on_memoize(self, argument: None) -> None:
        self.memo[len(self.memo)] = self.peek()

    def on_get(self, index: int) -> None:
        if index not in self.memo:
            raise BadPickle(f"it refers to value {index}, which it never stored")
        self.stack.append(self.memo[index])

    # Values and containers

    def on_value(self, value: Any) -> None:
        self.stack.append(value)

    def on_empty_list(self, argument: None) -> None:
        self.stack.append([])

    def on_empty_dict(self, argument: None) -> None:
        self.stack.append({})

    def on_empty_set(self, argument: None) -> None:
        self.stack.append(set())

    def on_tuple_of(self, n: int) -> None:
        self.stack.append(tuple(reversed([self.pop() for _ in range(n)])))

    def on_tuple(self, argument: None) -> None:
        self.stack.append(tuple(self.pop_mark()))

    def on_list(self, argument: None) -> None:
        self.stack.append(self.pop_mark())

    def on_dict(self, argument: None) -> None:
        values = self.pop_mark()
        self.stack.append({})
        self.set_items(values)

    def on_frozenset(self, argument: None) -> None:
        self.stack.append(set_of(self.pop_mark()))

    def on_append(self, argument: None) -> None:
        self.extend([self.pop()])

    def on_appends(self, argument: None) -> None:
        self.extend(self.pop_mark())

    def on_setitem(self, argument: None) -> None:
        value, key = self.pop(), self.pop()
        self.set_items([key, value])

    def on_setitems(self, argument: None) -> None:
        self.set_items(self.pop_mark())

    def on_additems(self, argument: None) -> None:
        values, target = self.pop_mark(), self.peek()
        if not isinstance(target, set):
            raise BadPickle("it adds members to what is no set")
        target |= set_of(values)

    def extend(self, values: list[Any]) -> None:
        target = self.peek()
        target = target.items if isinstance(target, Opaque) else target
        if not isinstance(target, list):
            raise BadPickle("it appends to what is no list")
        target.extend(values)

    def set_items(self, values: list[Any]) -> None:
        target = self.peek()
        target = target.entries if isinstance(target, Opaque) else target
        if not isinstance(target, dict) or len(values) % 2:
            raise BadPickle("it sets items of what is no dictionary")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if not is_key(key):
                raise BadPickle(f"a dictionary in it has a key of type {type(key).__name__}")
            target[key] = value

    # Names, and what would be calls

    def on_global(self, name: tuple[str, str]) -> None:
        self.stack.append(Global(*name))

    def on_stack_global(self, argument: None) -> None:
        name, module = self.pop(), self.pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise BadPickle("it names something by what is no text")
        self.stack.append(Global(module, name))

    def on_reduce(self, argument: None) -> None:
        arguments, called = self.pop(), self.pop()
        self.call(called, arguments)

    def on_newobj(self, argument: None) -> None:
        arguments, called = self.pop(), self.pop()
        self.instance(called, arguments)

    def on_newobj_ex(self, argument: None) -> None:
        keywords, arguments, called = self.pop(), self.pop(), self.pop()
        self.instance(called, arguments if not keywords else (keywords,))

    def on_inst(self, name: tuple[str, str]) -> None:
        self.instance(Global(*name), tuple(self.pop_mark()))

    def on_obj(self, argument: None) -> None:
        values = self.pop_mark()
        if not values:
            raise BadPickle("its values do not add up: a class is missing")
        self.instance(values[0], tuple(values[1:]))

    def instance(self, called: Any, arguments: Any) -> None:
        """A new object: a class that is not here, without arguments, becomes an inert container."""
        if isinstance(called, Global) and arguments == () and (called.module, called.name) not in self.calls:
            self.stack.append(Opaque(called))
        else:
            self.call(called, arguments)

    def call(self, called: Any, arguments: Any) -> None:
        """Carry out one of the known calls; note any other, and go on with an inert container as its result."""
        if not isinstance(called, Global):
            raise BadPickle(f"it calls a value of type {type(called).__name__}")
        builder = self.calls.get((called.module, called.name))
        if builder is None:
            self.forbidden.add(str(called))
            self.stack.append(Opaque(called))
            return
        if not isinstance(arguments, tuple):
            raise BadPickle(f"it gives {called} arguments of type {type(arguments).__name__}")
        # A call may copy what it is given, and one value can be given a million times; honest files give it once.
        self.budget -= sum(len(one) for one in arguments if isinstance(one, _COPIED))
        if self.budget < 0:
            raise BadPickle("what it builds is larger than the file")
        self.stack.append(builder(*arguments))

    def on_build(self, argument: None) -> None:
        """The state of an object. Containers of Python's own (an OrderedDict's attributes) drop theirs."""
        state, target = self.pop(), self.peek()
        if isinstance(target, Opaque):
            # (attributes, slots) is what classes with __slots__ give.
            parts = state if isinstance(state, tuple) else (state,)
            for part in parts:
                if isinstance(part, dict):
                    target.state.update({str(key): value for key, value in part.items()})
                elif part is not None:
                    target.items.append(part)
        elif hasattr(target, "inert_build"):
            target.inert_build(state)

    def on_binpersid(self, argument: None) -> None:
        self.stack.append(self.persistent(self.pop()))


def set_of(values: list[Any]) -> set[Any]:
    if not all(map(is_key, values)):
        raise BadPickle("a set in it has members that are no scalars")
    return set(values)


def refuse_deep(value: Any) -> None:
    """Refuse structures that are nested deeper than any checkpoint is; without recursion, as that is the point."""
    layer, seen = [value], {id(value)}
    for _ in range(DEEPEST):
        below = [child for one in layer for child in children(one)]
        layer = []
        for child in below:
            if id(child) not in seen:
                seen.add(id(child))
                layer.append(child)
        if not layer:
            return
    raise BadPickle(f"it is nested deeper than {DEEPEST} levels")


def children(value: Any) -> list[Any]:
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, Opaque):
        return [value.state, value.items, value.entries]
    return []
