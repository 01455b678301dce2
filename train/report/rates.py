"""The rates of a grid: the best of each optimizer, and a table of all."""

from collections.abc import Sequence

from train.report.tables import Row, StudyTable, markdown_table


def _score(row: Row) -> tuple[bool, float, float]:
    """Higher is better: no run diverged, then accuracy, then loss."""
    accuracy, loss = row.accuracy.mean, row.loss.mean
    if accuracy is None or loss is None:
        return False, 0.0, 0.0
    # Rounded, for means of the same counts, added in another order, must be ties.
    return row.diverged == 0, round(accuracy, 12), -loss


def best_rates(rates: Sequence[float], tables: Sequence[StudyTable]) -> dict[str, float]:
    """Each optimizer's rate of the highest accuracy, equal ones by loss; the first if all fail."""
    best: dict[str, tuple[float, Row]] = {}
    for rate, table in zip(rates, tables, strict=True):
        for row in table.rows:
            if row.optimizer not in best or _score(row) > _score(best[row.optimizer][1]):
                best[row.optimizer] = rate, row
    return {name: rate for name, (rate, _) in best.items()}


def rate_table(rates: Sequence[float], tables: Sequence[StudyTable]) -> str:
    """Every optimizer's figures at every rate, in Markdown, the best of each in bold."""
    best = best_rates(rates, tables)
    body = [
        [f"{rate:g}", *(_cell(row, is_best=rate == best[row.optimizer]) for row in table.rows)]
        for rate, table in zip(rates, tables, strict=True)
    ]
    seeds = tables[0].rows[0].accuracy.n + tables[0].rows[0].diverged
    return (
        f"{markdown_table(['rate', *best], body)}\n\n{tables[0].title}; {seeds} seeds. "
        "Validation accuracy in %, and loss; bold: the best accuracy of each optimizer, equal "
        "ones by loss.\n"
    )


def _cell(row: Row, *, is_best: bool) -> str:
    if row.accuracy.mean is None or row.loss.mean is None:
        return "diverged"
    diverged = f", {row.diverged} diverged" if row.diverged else ""
    text = f"{100 * row.accuracy.mean:.2f}, {row.loss.mean:.4f}{diverged}"
    return f"**{text}**" if is_best else text
