"""The report for people: probes.md and its pictures, from probes.json alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.detection.pictures import lines


def pictures(report: Mapping[str, Any]) -> dict[str, str]:
    """Name → SVG."""
    drawn = {}
    for model, part in report.get("peers", {}).items():
        for question in ("any", "within_1.0_iqr", "one_feature"):
            series = {name: [0.0, *curve[question]] for name, curve in part["methods"].items()}
            title = f"{model}: share of requests with a flip ({question.replace('_', ' ')}) after each budget"
            drawn[f"{model}_{question}"] = lines(title, series, 1.0, 1.0)
    return drawn


def page(report: Mapping[str, Any], drawn: Mapping[str, str]) -> str:
    """Markdown."""
    return "\n".join(
        [
            "# Probes, measured",
            "",
            "`make bench-probes` writes this page. Seeded: the same versions give the same figures.",
            "",
            *_models(report.get("models", {})),
            *_peers(report.get("peers", {}), drawn),
            *_planted(report.get("planted", {})),
            *_live(report),
        ]
    )


def _models(models: Mapping[str, Any]) -> list[str]:
    if not models:
        return []
    head = [
        "## Against exhaustive search",
        "",
        "Possible: requests for which some plausible value of one feature (up to 2,000 a feature) changes",
        "the decision, or for which the probe found one that exhaustive search did not. Distance: of the",
        "nearest flip found over the true minimum, which is the nearest of the exhaustive flips bisected to",
        "the last digit. Pairs: of requests without a single-feature flip, those for which a grid of 10 × 10",
        "values of some pair has one. Asked: rows of one probe at most; calls: batches they went in.",
        "",
        "| model | data | requests | possible | found | distance p50 | p90 | pairs possible | found "
        "| asked max | mean | calls max |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, one in models.items():
        for data, part in one["data"].items():
            head.append(
                f"| {name} | {data} | {part['requests']} | {part['possible']} | {part['found']} | "
                f"{part['distance_ratio_p50']} | {part['distance_ratio_p90']} | {part['pairs_possible']} | "
                f"{part['pairs_found']} | {part['queries_max']} | {part['queries_mean']} | "
                f"{part['calls_max']} |"
            )
        head.append(
            f"| **{name}** | all | {one['requests']} | {one['possible']} | {one['found']} | "
            f"{one['distance_ratio_p50']} | {one['distance_ratio_p90']} | {one['pairs_possible']} | "
            f"{one['pairs_found']} | {one['queries_max']} | | |"
        )
    return [*head, ""]


def _peers(peers: Mapping[str, Any], drawn: Mapping[str, str]) -> list[str]:
    if not peers:
        return []
    text = [
        "## Against other searches, at equal budget",
        "",
        "Synthetic data, 20 features. Every row asked counts. HopSkipJump moves all features at once and",
        "minimises an L2 norm over interquartile ranges: it answers another question, hence three columns.",
        "Any flip at all is cheap: rows of random values have one.",
        "",
        "| model | method | any flip | within 1 IQR in sum | by one feature | features | distance |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for model, part in peers.items():
        for name, one in part["methods"].items():
            text.append(
                f"| {model} | {name} | {one['any'][-1]:.0%} | {one['within_1.0_iqr'][-1]:.0%} | "
                f"{one['one_feature'][-1]:.0%} | {one['features_changed_median']} | "
                f"{one['distance_iqr_median']} |"
            )
        text += [f"| | {what}: {version} | | | | | |" for what, version in part["versions"].items()]
    budget = next(iter(peers.values()))["budgets"][-1]
    text += [
        "",
        f"At {budget} rows; features changed and distance (interquartile ranges, in sum): medians of the",
        "nearest flip. Against the budget:",
        "",
    ]
    return [*text, *(f"![{name}](probes_{name}.svg)" for name in drawn), ""]


def _live(report: Mapping[str, Any]) -> list[str]:
    text: list[str] = []
    if budget := report.get("budget"):
        text += [
            "## The budget, seen by the model's server",
            "",
            f"{budget['workers']} workers, {budget['allowed']:g} rows a second allowed and a burst of "
            f"{budget['burst']}, for {budget['seconds']} s: at most **{budget['max_in_a_second']}** rows in",
            f"any second, wherever it begins; {budget['rows_per_s']} a second over all, in {budget['calls']} "
            "calls.",
            "",
        ]
    if "ingest_ratio" in report:
        one = report["ingest"]
        text += [
            "## What ingest pays",
            "",
            f"Records a second while a prober works beside the loop ({one['budget_rows_per_s']:g} rows a",
            f"second, a sample of {one['sample']:.0%}) over those while it rests: "
            f"**{report['ingest_ratio']:.3f}**, the median of {one['pairs']}",
            f"pairs of stretches of {one['records_a_phase']:,} predictions in turns (quartiles "
            f"{one['ratio_quartiles'][0]:.3f} and {one['ratio_quartiles'][1]:.3f}); by CPU seconds "
            f"{one['ratio_cpu']:.3f}. {one['rows_asked']:,} rows were asked.",
            "",
        ]
    return text


def _planted(planted: Mapping[str, Any]) -> list[str]:
    if "skipped" in planted or not planted:
        return []
    text = [
        "## Planted effects",
        "",
        "UCI Adult, sex swapped. Blind: trained without sex. Direct: the same, with "
        f"{planted['shift_log_odds']} log odds added",
        f"for men. The detector tolerates 1 % of flips and takes {planted['bucket']} trials a bucket.",
        "",
        "| model | trials | flips | mean score change | alarm after |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, one in planted.items():
        if isinstance(one, Mapping):
            after = "silent" if one["alarm_after_trials"] is None else f"{one['alarm_after_trials']} trials"
            text.append(
                f"| {name} | {one['trials']} | {one['flips']} | {one['score_change_mean']} | {after} |"
            )
    return [*text, ""]
