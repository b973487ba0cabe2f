"""A table as plain text cells, rendered for the terminal or as Markdown."""

from __future__ import annotations

from dataclasses import dataclass

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True, slots=True)
class Sheet:
    """A titled table; the first column is words, the others are figures."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def rich_table(sheet: Sheet) -> Group:
    """The sheet for the terminal; a cell that begins with ``not met`` is red."""
    table = Table(box=box.SIMPLE_HEAD)
    for index, column in enumerate(sheet.header):
        table.add_column(column, justify="right" if index else "left")
    for row in sheet.rows:
        table.add_row(*(Text(cell, style="bold red" if cell.startswith("not met") else "") for cell in row))
    # As a title of the table it would be broken to the table's width.
    return Group(Text(sheet.title, style="italic"), table)


def markdown_table(sheet: Sheet) -> str:
    """The sheet as Markdown, its title in bold above it."""
    rule = ("---", *("---:" for _ in sheet.header[1:]))
    lines = (sheet.header, rule, *(tuple(cell.replace("|", "\\|") for cell in row) for row in sheet.rows))
    return "\n".join([f"**{sheet.title}**", "", *(f"| {' | '.join(line)} |" for line in lines)])
