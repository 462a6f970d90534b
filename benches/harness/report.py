"""The figures of all runs as spreads and ratios, and these as Markdown."""

import os
import platform
from statistics import median

FIGURES = ("rows", "rows_per_second", "rows_per_cpu_second", "peak_bytes")
HEAD = (
    "",
    "rows",
    "rows a CPU second",
    "rows a second",
    "peak MiB",
    "times the CPU",
    "times the memory",
)


def spread(values):
    values = list(values)
    return {"min": min(values), "median": median(values), "max": max(values)}


def summary(name, runs, reference):
    """The spread of a contender's figures over its rounds, and of its CPU time a row and its peak
    memory as multiples of the reference's in the same round."""
    faults = [run["fault"] for run in runs.values() if run["fault"]]
    if faults or not runs:
        return {"name": name, "fault": faults[0] if faults else "it was not run"}
    entry = {"name": name, "fault": None, "rounds": len(runs)}
    for figure in FIGURES:
        entry[figure] = spread(run[figure] for run in runs.values())
    pairs = [(reference[at], run) for at, run in runs.items() if not reference[at]["fault"]]
    if pairs and runs is not reference:
        rate, memory = "rows_per_cpu_second", "peak_bytes"
        entry["cpu_ratio"] = spread(first[rate] / run[rate] for first, run in pairs)
        entry["memory_ratio"] = spread(run[memory] / first[memory] for first, run in pairs)
    return entry


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": names[0] if names else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
    }


def shown(values, form, scale=1):
    """The median, and the least and the most in brackets where they differ."""
    low, middle, high = (form.format(values[at] / scale) for at in ("min", "median", "max"))
    return middle if low == high else f"{middle} ({low} to {high})"


def table_row(cells):
    return f"| {' | '.join(cells)} |"


def markdown(results):
    on = results["machine"]
    where = (
        f"{on['processor']}, {on['cores']} cores, {on['memory_gib']} GiB, {on['system']}, "
        f"load {on['load']:.1f} at the start"
    )
    size = f"{results['bytes_per_row'] / 1000:.1f} KB each"
    lines = [
        f"{results['rows']:,} conversations of {results['days']} days, {size}; "
        f"scenario `{results['scenario']}`; {results['date']}; {where}; "
        f"{results['version']}, revision {results['revision']}.",
        "",
        table_row(HEAD),
        table_row(["---"] * len(HEAD)),
    ]
    for entry in results["contenders"]:
        if entry["fault"]:
            continue
        cells = [
            entry["name"],
            shown(entry["rows"], "{:,.0f}"),
            shown(entry["rows_per_cpu_second"], "{:,.0f}"),
            shown(entry["rows_per_second"], "{:,.0f}"),
            shown(entry["peak_bytes"], "{:,.0f}", 2**20),
            shown(entry["cpu_ratio"], "{:.2f}") if "cpu_ratio" in entry else "1",
            shown(entry["memory_ratio"], "{:.2f}") if "memory_ratio" in entry else "1",
        ]
        lines.append(table_row(cells))
    faults = [entry for entry in results["contenders"] if entry["fault"]]
    lines += ["", *(f"Not measured: {entry['name']}: {entry['fault']}." for entry in faults)]
    return "\n".join(lines).rstrip() + "\n"
