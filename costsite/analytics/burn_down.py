"""Will it hold: what a month has cost so far, day by day, under its budget and with what is to be expected. Pure.

Money in microcents; across percent of the width, down pixels, as in `charts`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from agents.spend import cents_text
from costsite.analytics import figures
from costsite.analytics.charts import Tick, nice_ticks
from costsite.analytics.forecast import Forecast, ForecastDay, TooShort
from costsite.analytics.periods import Days

HEIGHT = 240.0
HEADROOM = 14.0


@dataclass(frozen=True)
class Limit:
    """A budget to draw: its limit and its lines below that, in percent."""

    microcents: int
    thresholds: tuple[int, ...]


@dataclass(frozen=True)
class Line:
    """Across the whole plot."""

    at: float
    label: str


@dataclass(frozen=True)
class Dated:
    x: float
    y: float
    tip: str
    href: str = ""
    """The runs behind it."""


@dataclass(frozen=True)
class BurnDown:
    title: str
    measure: str
    ticks: tuple[Tick, ...]
    day_ticks: tuple[Tick, ...]
    spent: str
    """Points of the line, to today."""
    today: Dated
    band: str
    """Points of the outline of p10 to p90; empty without a forecast."""
    median: str
    band_label: str
    band_label_y: float
    band_label_dy: int
    limit: Line | None
    thresholds: tuple[Line, ...]
    out: Dated | None
    """The day it runs out."""
    points: tuple[Dated, ...]
    rows: tuple[tuple[str, ...], ...]
    exact_rows: tuple[tuple[object, ...], ...]
    height: float = HEIGHT

    head = ("Day", "Spent so far", "p10", "Median", "p90")
    exact_head = ("Day", "cost_cents", "p10_cents", "median_cents", "p90_cents")


def band_words(forecast: Forecast) -> str:
    """`$43 to $61`."""
    return between(forecast.end.low, forecast.end.high)


def between(low: int, high: int) -> str:
    """Two amounts in one unit, rounded to what a forecast can say."""
    unit = figures.MoneyUnit.for_values([low, high])
    words = [unit.write(value) for value in (low, high)]
    if unit.symbol == "$" and high >= 10 * 100 * 1_000_000:
        words = [figures.money_whole(value) for value in (low, high)]
    return words[0] if words[0] == words[1] else f"{words[0]} to {words[1]}"


def error_words(forecast: Forecast) -> str:
    """How far off such forecasts have been."""
    if forecast.error_percent is None:
        return "Not tested yet: it needs two weeks with spending."
    weeks = "week" if forecast.tested == 1 else f"{forecast.tested} weeks"
    return f"Back-tested on the last {weeks}: half of them were within {forecast.error_percent} %, 7 days ahead."


def burn_down(
    spent: Mapping[date, int],
    today: date,
    month: Days,
    forecast: Forecast | TooShort,
    limit: Limit | None,
    *,
    unpriced_calls: int = 0,
    day_href: Callable[[date], str],
) -> BurnDown:
    """`spent`: microcents a day, of what has a price; `unpriced_calls` this month are not in it, and said.
    `day_href`: where a day's runs are.

    Without a limit, the line and the forecast alone.
    """
    so_far, total = [], 0
    for day in month:
        if day <= today:
            total += max(0, spent.get(day, 0))
            so_far.append(total)
    coming = {one.day: one for one in forecast.days} if isinstance(forecast, Forecast) else {}
    highest = max([total, *(one.high for one in coming.values()), limit.microcents if limit else 0])
    ticks = nice_ticks(highest)
    top = ticks[-1] or 1

    def down(value: int) -> float:
        return round(HEIGHT - value * (HEIGHT - HEADROOM) / top, 2)

    def across(day: date) -> float:
        """At the day's end."""
        return round(1000 * ((day - month.start).days + 1) / len(month), 2)

    line = [f"0,{HEIGHT}", *(f"{across(day)},{down(value)}" for day, value in zip(month, so_far, strict=False))]
    now = Dated(across(today) / 10, down(total), f"{today:%a %-d %b} so far: {figures.money(total)}")
    start = f"{across(today)},{down(total)}"
    ahead = [one for day, one in coming.items() if day > today]
    upper = [f"{across(one.day)},{down(one.high)}" for one in ahead]
    lower = [f"{across(one.day)},{down(one.low)}" for one in reversed(ahead)]
    out_day = forecast.runs_out(limit.microcents) if limit and isinstance(forecast, Forecast) else None
    out = None
    if limit and out_day and total < limit.microcents:
        out = Dated(across(out_day) / 10, down(limit.microcents), f"runs out about {out_day:%-d %b}")
    return BurnDown(
        title=_title(total, today, month, forecast, limit, out_day),
        measure=_measure(month, forecast, unpriced_calls),
        ticks=tuple(Tick(down(value), figures.axis_money(value, ticks[-1])) for value in ticks),
        day_ticks=tuple(
            Tick(round(100 * ((day - month.start).days + 0.5) / len(month), 2), f"{day:%-d %b}")
            for day in month
            if day.weekday() == 0
        ),
        spent=" ".join(line),
        today=now,
        band=" ".join([start, *upper, *lower]) if ahead else "",
        median=" ".join([start, *(f"{across(one.day)},{down(one.median)}" for one in ahead)]) if ahead else "",
        band_label=band_words(forecast) if isinstance(forecast, Forecast) else "",
        band_label_y=max(HEADROOM, down(coming[month.last].high)) if coming else 0.0,
        band_label_dy=_aside(down(coming[month.last].high), down(limit.microcents)) if coming and limit else -6,
        limit=Line(down(limit.microcents), f"budget {figures.money(limit.microcents)}") if limit else None,
        thresholds=tuple(
            Line(down(limit.microcents * threshold // 100), f"{threshold} %")
            for threshold in limit.thresholds
            if threshold < 100
        )
        if limit
        else (),
        out=out,
        points=tuple(
            Dated(across(day) / 10, down(value), f"{day:%a %-d %b}: {figures.money(value)} so far", day_href(day))
            for day, value in zip(month, so_far, strict=False)
        ),
        rows=_rows(month, so_far, today, coming),
        exact_rows=tuple(
            (f"{day:%Y-%m-%d}", cents_text(so_far[index]) if index < len(so_far) else None, *_exact(coming.get(day)))
            for index, day in enumerate(month)
        ),
    )


def _aside(band: float, limit: float) -> int:
    """Above the band, unless the line of the budget is right there; then under both."""
    return 16 if 0 <= band - limit < 22 else -6


def _exact(one: ForecastDay | None) -> tuple[str | None, str | None, str | None]:
    if one is None:
        return None, None, None
    return cents_text(one.low), cents_text(one.median), cents_text(one.high)


def _title(
    total: int,
    today: date,
    month: Days,
    forecast: Forecast | TooShort,
    limit: Limit | None,
    out_day: date | None,
) -> str:
    if limit and total >= limit.microcents:
        return f"The budget of {figures.money(limit.microcents)} is spent"
    if not isinstance(forecast, Forecast):
        return f"{figures.money(total)} by {today:%-d %b}"
    end = forecast.end
    if limit is None:
        return f"Heading for {band_words(forecast)} by {month.last:%-d %b}"
    if out_day:
        return f"At this pace the budget runs out about {out_day:%-d %b}"
    if end.high >= limit.microcents:
        return f"It will probably hold: {figures.percent(end.median, limit.microcents)} by {month.last:%-d %b}"
    return f"It holds: {figures.percent(end.median, limit.microcents)} of the budget by {month.last:%-d %b}"


def _measure(month: Days, forecast: Forecast | TooShort, unpriced_calls: int) -> str:
    left_out = f" + {figures.unpriced_calls(unpriced_calls)}" if unpriced_calls else ""
    measure = f"Estimated cost since {month.start:%-d %b}, added up{left_out}."
    if isinstance(forecast, Forecast):
        return f"{measure} Dashed: median forecast; band: eight of ten draws (p10 to p90). {error_words(forecast)}"
    return f"{measure} {forecast}"


def _rows(
    month: Days, so_far: Sequence[int], today: date, coming: Mapping[date, ForecastDay]
) -> tuple[tuple[str, ...], ...]:
    values = [*so_far]
    for one in coming.values():
        values += [one.low, one.median, one.high]
    unit = figures.MoneyUnit.for_values(values)
    rows = []
    for index, day in enumerate(month):
        known = unit.write(so_far[index]) if index < len(so_far) else "–"
        expected = coming.get(day)
        if day > today and expected is None:
            continue
        values = [expected.low, expected.median, expected.high] if expected else []
        ahead = [unit.write(value) for value in values] or ["–"] * 3
        rows.append((f"{day:%a %-d %b}", known, *ahead))
    return tuple(rows)
