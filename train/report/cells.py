"""Numbers as a table's cells, and a table in Markdown."""

from collections.abc import Sequence

from train.report.scores import Measure, count_text, number
from train.report.statistics import Difference, Pairing, Spread
from train.report.verdict import confidence


def spread_text(spread: Spread, measure: Measure) -> str:
    """Mean and standard deviation."""
    if spread.mean is None:
        return "none"
    text = measure.number(spread.mean)
    return text if spread.std is None else f"{text} ± {measure.number(spread.std)}"


def difference_text(difference: Difference, scale: float, digits: int) -> str:
    """Mean and interval, times the scale."""
    if difference.mean is None:
        return "no pair"
    text = number(scale * difference.mean, digits, "+")
    if difference.low is None or difference.high is None:
        pairs = count_text(difference.n, "pair")
        return f"{text} ({pairs} cannot show anything at {confidence(difference.level)})"
    low, high = (number(scale * end, digits, "+") for end in (difference.low, difference.high))
    return f"{text} [{low}, {high}]"


def p_text(p: float | None) -> str:
    """A p value as it is shown."""
    if p is None:
        return "none"
    return "<0.0001" if p < 0.0001 else f"{p:.4f}"


def pairing_text(pairing: Pairing) -> str:
    """Correlation, and what pairing gains."""
    if pairing.correlation is None:
        return "none"
    gain = "" if pairing.gain is None else f", ×{pairing.gain:.2g}"
    return f"r {pairing.correlation:.2f}{gain}"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, without a line end."""
    escaped = [[cell.replace("|", "\\|") for cell in line] for line in (header, *rows)]
    lines = [escaped[0], ["---"] * len(header), *escaped[1:]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
