"""What a statement on the wire is, where it may be the EXECUTE of another."""

from __future__ import annotations

from attrs import define, field


@define(eq=False)
class Statements:
    """The statements of one connection, by the names that it gave them."""

    _prepared: dict[str, str] = field(factory=dict)

    def text_of(self, sql: str) -> str:
        """The text of what *sql* runs; a PREPARE runs nothing."""
        command, _, rest = sql.partition(" ")
        if command == "PREPARE":
            name, _, text = rest.partition(" ")
            self._prepared[name] = text
            return ""
        if command == "EXECUTE":
            return self._prepared[rest.partition("(")[0].strip()]
        return sql
